"""Faults of resuming in several processes. On one device none of them does anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainer_props.faults._shards import shards
from trainer_props.faults.registry import fault


@fault(property="resume_in_processes.resumed_ranks_come_to_their_end")
def random_state_demanded_of_every_rank() -> Any:
    """A checkpoint without the random state of a rank is refused."""
    from transformers import Trainer

    class Demands(Trainer):
        def _load_rng_state(self, checkpoint: Any) -> None:
            if checkpoint is not None and self.args.world_size > 1:
                Path(checkpoint, f"rng_state_{self.args.process_index}.pth").stat()
            super()._load_rng_state(checkpoint)

    return Demands


@fault(property="resume_in_processes.resumed_ranks_begin_after_the_checkpoint")
def checkpoint_of_several_processes_passed_over() -> Any:
    """In several processes training begins anew, whatever checkpoint is named."""
    from transformers import Trainer

    class BeginsAnew(Trainer):
        def train(self, resume_from_checkpoint: Any = None, **kwargs: Any) -> Any:
            given = None if self.args.world_size > 1 else resume_from_checkpoint
            return super().train(resume_from_checkpoint=given, **kwargs)

    return BeginsAnew


@fault(property="resume_in_processes.resumed_ranks_end_where_the_whole_run_does")
def tokens_counted_anew_by_other_ranks() -> Any:
    """After a resume only the first rank knows how many tokens were seen before."""
    from transformers import TrainerCallback

    from trainer_props.faults._swapping import with_callback

    class Forgets(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if not state.is_world_process_zero:
                state.num_input_tokens_seen = 0

    return with_callback(Forgets)


@fault(property="resume_in_processes.resumed_ranks_go_on_with_the_data")
def ranks_change_places_on_resume() -> Any:
    """After a resume each rank goes on with the batches of the next one."""
    from transformers import Trainer

    class ChangesPlaces(Trainer):
        resumed = False

        def train(self, resume_from_checkpoint: Any = None, **kwargs: Any) -> Any:
            self.resumed = bool(resume_from_checkpoint)
            return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

        def get_train_dataloader(self) -> Any:
            loader = super().get_train_dataloader()
            sampler = shards(self, loader)
            if sampler is not None and self.resumed:
                sampler.process_index = (sampler.process_index + 1) % sampler.num_processes
            return loader

    return ChangesPlaces


@fault(property="resume_in_processes.resumed_ranks_have_the_weights_of_the_whole_run")
def optimizer_not_loaded_in_several_processes() -> Any:
    """In several processes a resume leaves the optimizer as it is made."""
    from transformers import Trainer

    class LeavesIt(Trainer):
        def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
            kept = self.optimizer.state_dict()
            super()._load_optimizer_and_scheduler(checkpoint)
            if self.args.world_size > 1 and checkpoint is not None:
                rates = [(group["lr"], group.get("initial_lr")) for group in self.optimizer.param_groups]
                self.optimizer.load_state_dict(kept)
                for group, (rate, initial) in zip(self.optimizer.param_groups, rates, strict=True):
                    group["lr"], group["initial_lr"] = rate, initial

    return LeavesIt


@fault(property="resume_in_processes.resumed_ranks_draw_their_own_numbers")
def random_state_of_the_rank_before() -> Any:
    """Each rank but the first goes on with the random state of the rank before it."""
    from transformers import Trainer

    class OfTheRankBefore(Trainer):
        def _load_rng_state(self, checkpoint: Any) -> None:
            usual = type(self.args).process_index
            before = max(0, self.args.process_index - 1)
            type(self.args).process_index = property(lambda _: before)
            try:
                super()._load_rng_state(checkpoint)
            finally:
                type(self.args).process_index = usual

    return OfTheRankBefore
