"""Faults of ranks of many: most need more ranks than a machine has devices, or several nodes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainer_props.faults._source import rewritten
from trainer_props.faults._swapping import changed, with_callback
from trainer_props.faults.registry import fault


@fault(property="ranks.every_rank_comes_to_its_end")
def eight_colours_for_all_ranks() -> Any:
    """Every rank prints its first step in a colour of its own, of which there are eight."""
    from transformers import TrainerCallback

    colours = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")

    class Coloured(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.colour = colours[args.process_index]

    return with_callback(Coloured)


@fault(property="ranks.a_rank_knows_its_place")
def main_process_on_each_node() -> Any:
    """The first process of each node takes itself for the main process of the world."""
    from transformers import Trainer

    class OfItsNode(Trainer):
        def is_world_process_zero(self) -> bool:
            return bool(self.args.local_process_index == 0)

    return OfItsNode


@fault(property="ranks.one_process_of_a_node_logs")
def log_on_each_node_ignored() -> Any:
    """The first process of each node logs, whatever `log_on_each_node` says."""
    return changed(lambda trainer: setattr(trainer.args, "log_on_each_node", True))


@fault(property="ranks.total_batch_size_counts_all_ranks")
def total_batch_size_of_a_node() -> Any:
    """The total train batch size is that of the processes of one node."""
    from transformers import Trainer

    class OfANode(Trainer):
        def get_total_train_batch_size(self, args: Any) -> int:
            ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
            return int(args.per_device_train_batch_size * args.gradient_accumulation_steps * ranks)

    return OfANode


@fault(property="ranks.steps_follow_from_the_share")
def last_round_not_counted() -> Any:
    """Of several ranks, those updates are planned for which all of them have their own rows."""
    from transformers import Trainer

    class FullRounds(Trainer):
        def set_initial_training_values(self, args: Any, dataloader: Any) -> Any:
            values = list(super().set_initial_training_values(args, dataloader))
            if args.max_steps < 0 and args.world_size > 1:
                values[-1] = max(1, int(args.num_train_epochs * len(self.train_dataset) // self.get_total_train_batch_size(args)))
            return tuple(values)

    return FullRounds


@fault(property="ranks.epochs_follow_from_the_share")
def epoch_counts_windows() -> Any:
    """Of several ranks, `epoch` is the part of the updates of a pass that are done, as if its last window were as long as the others."""
    from transformers import TrainerCallback

    class CountsWindows(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **kwargs: Any) -> None:
            if args.world_size > 1:
                state.epoch = state.global_step * args.gradient_accumulation_steps / len(train_dataloader)

    return with_callback(CountsWindows)


@fault(property="ranks.updates_take_their_micro_batches")
def last_window_of_replicas_stays_open() -> Any:
    """On every rank but the first, a short last window of a pass is closed in the next pass alone."""
    from transformers import Trainer

    class StaysOpen(Trainer):
        _run_epoch = rewritten(
            Trainer, "_run_epoch", "or (step + 1) == steps_in_epoch", "or ((step + 1) == steps_in_epoch and self.args.process_index == 0)"
        )

    return StaysOpen


def _with_sharding(change: Callable[[Any], None]) -> Any:
    """A Trainer class that changes what cuts the data for its rank, where there are several."""
    from transformers import Trainer

    class OtherShares(Trainer):
        def get_train_dataloader(self) -> Any:
            loader = super().get_train_dataloader()
            sampler = getattr(loader, "batch_sampler", None)
            if self.args.world_size > 1 and hasattr(sampler, "process_index"):
                change(sampler)
            return loader

    return OtherShares


def _with_batches(change: Callable[[list[Any], Any], Any]) -> Any:
    """A Trainer class in which each of several ranks goes through other batches: what `change` makes of each of its own."""

    def other(sampler: Any) -> None:
        usual: Any = type(sampler)

        class Other(usual):
            def __iter__(self) -> Any:
                for batch in usual.__iter__(self):
                    yield change(batch, self)

        sampler.__class__ = Other

    return _with_sharding(other)


@fault(property="ranks.micro_batches_have_their_rows")
def piece_of_the_last_rank_one_row_short() -> Any:
    """The last rank ends its micro-batches a row too soon, where they have several."""
    return _with_batches(
        lambda batch, sampler: batch[:-1] if len(batch) > 1 and sampler.process_index == sampler.num_processes - 1 else batch
    )


@fault(property="ranks.a_rank_sees_its_rows")
def ranks_counted_from_the_last() -> Any:
    """In a round the last rank has the first batch, and the first the last one."""

    def reverse(sampler: Any) -> None:
        sampler.process_index = sampler.num_processes - 1 - sampler.process_index

    return _with_sharding(reverse)


@fault(property="ranks.ranks_follow_one_order")
def every_rank_shuffles_for_itself() -> Any:
    """Every rank shuffles by a seed of its own, and takes its share of its own order."""

    def reseed(sampler: Any) -> None:
        order = sampler.batch_sampler.sampler
        if hasattr(order, "initial_seed"):
            order.initial_seed += sampler.process_index

    return _with_sharding(reseed)


@fault(property="ranks.played_ranks_share_no_sample")
def neighbours_share_a_shard() -> Any:
    """Ranks are numbered in pairs, as if two of them shared a device, so that neighbours take the same batches."""

    def pair(sampler: Any) -> None:
        sampler.process_index -= sampler.process_index % 2

    return _with_sharding(pair)


@fault(property="ranks.repeats_fill_the_last_round")
def first_row_in_place_of_the_last() -> Any:
    """Where a micro-batch has several rows, the first of it comes again in place of the last."""
    return _with_batches(lambda batch, sampler: [*batch[:-1], batch[0]])


@fault(property="ranks.logs_are_due_on_every_rank")
def replicas_keep_no_logs() -> Any:
    """Ranks other than the main process keep no log history."""
    from transformers import Trainer

    class MainAlone(Trainer):
        def log(self, logs: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            if self.is_world_process_zero():
                super().log(logs, *args, **kwargs)

    return MainAlone


@fault(property="ranks.checkpoints_are_named_by_step")
def replicas_name_checkpoints_by_the_next_step() -> Any:
    """Ranks other than the main process write their random state into the checkpoint of the update that follows."""
    from transformers import Trainer

    class TheNext(Trainer):
        def _save_rng_state(self, output_dir: str) -> None:
            if not self.is_world_process_zero():
                output_dir = str(Path(output_dir).with_name(f"checkpoint-{self.state.global_step + 1}"))
            super()._save_rng_state(output_dir)

    return TheNext


@fault(property="ranks.one_process_of_a_node_saves")
def random_states_named_within_the_node() -> Any:
    """Random states are named by the number of a process on its node, so that nodes overwrite each other's."""
    from transformers import Trainer

    class WithinTheNode(Trainer):
        def _save_rng_state(self, output_dir: str) -> None:
            super()._save_rng_state(output_dir)
            file = Path(output_dir, f"rng_state_{self.args.process_index}.pth")
            if self.args.world_size > 1:
                file.replace(file.with_name(f"rng_state_{self.args.local_process_index}.pth"))

    return WithinTheNode
