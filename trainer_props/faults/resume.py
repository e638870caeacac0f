"""Faults in resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainer_props.faults._source import rewritten
from trainer_props.faults._swapping import exchanging
from trainer_props.faults.registry import fault


@fault(property="resume.a_resumed_run_comes_to_its_end")
def optimizer_state_of_another_name() -> Any:
    """The state of the optimizer is looked for under a name under which nobody writes it."""
    import torch
    from transformers import Trainer

    class OtherName(Trainer):
        def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
            super()._load_optimizer_and_scheduler(checkpoint)
            if checkpoint is not None:
                torch.load(Path(checkpoint, "optimizer_state.pt"), weights_only=True)

    return OtherName


@fault(property="resume.resumes_from_the_last_save")
def oldest_checkpoint_taken() -> Any:
    """`resume_from_checkpoint=True` goes on from the oldest checkpoint."""
    from transformers import Trainer

    class Oldest(Trainer):
        def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
            if resume_from_checkpoint is True:
                found = Path(str(self.args.output_dir)).glob("checkpoint-*")
                resume_from_checkpoint = str(min(found, key=lambda path: int(path.name.rpartition("-")[2])))
            return super().train(resume_from_checkpoint, *args, **kwargs)

    return Oldest


@fault(property="resume.ends_at_the_same_step")
def steps_counted_from_the_resume() -> Any:
    """A resumed run makes as many updates as a fresh one."""
    from transformers import Trainer

    class AsManyAgain(Trainer):
        def _init_training_state(self, max_steps: int, *args: Any, **kwargs: Any) -> Any:
            found = super()._init_training_state(max_steps, *args, **kwargs)
            self.state.max_steps = max_steps + self.state.global_step
            return found

    return AsManyAgain


@fault(property="resume.patience_counts_through")
def patience_begins_anew() -> Any:
    """Early stopping forgets, when training begins, how many evaluations have not improved."""
    from transformers import EarlyStoppingCallback

    class Forgets(EarlyStoppingCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            super().on_train_begin(args, state, control, **kwargs)
            self.early_stopping_patience_counter = 0

    return exchanging(EarlyStoppingCallback, lambda usual: Forgets(usual.early_stopping_patience, usual.early_stopping_threshold))


@fault(property="resume.samples_go_on_where_they_were")
def batches_not_skipped() -> Any:
    """A resumed run begins its epoch with the first batches again."""
    from transformers import Trainer

    class FromTheFirst(Trainer):
        _run_epoch = rewritten(
            Trainer, "_run_epoch", "skip_first_batches(train_dataloader, steps_trained_in_current_epoch)", "train_dataloader"
        )

    return FromTheFirst


@fault(property="resume.samples_go_on_where_they_were")
def updates_skipped_as_batches() -> Any:
    """A resumed run skips as many batches as updates were made, whatever the accumulation."""
    from transformers import Trainer

    class FewerSkipped(Trainer):
        _run_epoch = rewritten(
            Trainer,
            "_run_epoch",
            "skip_first_batches(train_dataloader, steps_trained_in_current_epoch)",
            "skip_first_batches(train_dataloader, steps_trained_in_current_epoch // self.args.gradient_accumulation_steps)",
        )

    return FewerSkipped


@fault(property="resume.samples_go_on_where_they_were")
def batches_of_streams_not_skipped() -> Any:
    """A resumed run begins a pass over a stream with its first batches again."""
    from transformers import Trainer

    class FromTheFirst(Trainer):
        _run_epoch = rewritten(
            Trainer,
            "_run_epoch",
            "skip_first_batches(train_dataloader, steps_trained_in_current_epoch)",
            "train_dataloader if isinstance(self.train_dataset, IterableDataset) else "
            "skip_first_batches(train_dataloader, steps_trained_in_current_epoch)",
        )

    return FromTheFirst


@fault(property="resume.weights_go_on_where_they_were")
def optimizer_begins_anew() -> Any:
    """A resumed run has the weights and the schedule of its checkpoint, and a fresh optimizer."""
    from transformers import Trainer

    class FreshOptimizer(Trainer):
        def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
            fresh = self.optimizer.state_dict()
            super()._load_optimizer_and_scheduler(checkpoint)
            if checkpoint is not None:
                self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": fresh["state"]})

    return FreshOptimizer


@fault(property="resume.weights_go_on_where_they_were")
def weights_of_the_checkpoint_not_loaded() -> Any:
    """A resumed run begins with the weights of the model that it was given."""
    from transformers import Trainer

    class GivenWeights(Trainer):
        def _load_from_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            pass

    return GivenWeights


@fault(property="resume.learning_rates_go_on_where_they_were")
def schedule_begins_anew() -> Any:
    """A resumed run has the optimizer's state of its checkpoint, and a schedule that begins anew."""
    from transformers import Trainer

    class FreshSchedule(Trainer):
        def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
            fresh = self.lr_scheduler.state_dict()
            rates = [group["lr"] for group in self.optimizer.param_groups]
            super()._load_optimizer_and_scheduler(checkpoint)
            if checkpoint is not None:
                self.lr_scheduler.load_state_dict(fresh)
                for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate

    return FreshSchedule


@fault(property="resume.epochs_go_on_where_they_were")
def epoch_counted_from_the_resume() -> Any:
    """Within the epoch in which a run is resumed, `state.epoch` counts the batches since then."""
    from transformers import Trainer

    class FromTheResume(Trainer):
        _run_epoch = rewritten(
            Trainer,
            "_run_epoch",
            "self.state.epoch = epoch + (step + 1) / steps_in_epoch",
            "self.state.epoch = epoch + (step + 1 - num_update_steps_trained * self.args.gradient_accumulation_steps) / steps_in_epoch",
        )

    return FromTheResume


@fault(property="resume.log_history_has_the_same_entries")
def history_begins_anew() -> Any:
    """A resumed run has an empty log history."""
    from transformers import Trainer

    class NoHistory(Trainer):
        def _init_training_state(self, *args: Any, **kwargs: Any) -> Any:
            found = super()._init_training_state(*args, **kwargs)
            self.state.log_history = []
            return found

    return NoHistory


@fault(property="resume.logged_losses_are_the_same")
def first_log_divided_by_all_steps() -> Any:
    """The first log of a resumed run divides its losses by all updates since the beginning."""
    from transformers import Trainer

    class ByAllSteps(Trainer):
        def _run_epoch(self, *args: Any, **kwargs: Any) -> Any:
            if self.state.global_step == self._initial_global_step:
                self._globalstep_last_logged = 0
            return super()._run_epoch(*args, **kwargs)

    return ByAllSteps


@fault(property="resume.logged_numbers_are_the_same")
def tokens_counted_from_the_resume() -> Any:
    """A resumed run counts the tokens that it has seen from 0."""
    from transformers import Trainer

    class FromZero(Trainer):
        def _init_training_state(self, *args: Any, **kwargs: Any) -> Any:
            found = super()._init_training_state(*args, **kwargs)
            self.state.num_input_tokens_seen = 0
            return found

    return FromZero


@fault(property="resume.evaluations_give_the_same")
def evaluations_of_the_given_model() -> Any:
    """A resumed run evaluates the weights with which it began."""
    import copy

    from transformers import Trainer

    class Frozen(Trainer):
        def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
            self._given = copy.deepcopy(self.model.state_dict()) if resume_from_checkpoint else None
            return super().train(resume_from_checkpoint, *args, **kwargs)

        def _evaluate(self, *args: Any, **kwargs: Any) -> Any:
            if self._given is None:
                return super()._evaluate(*args, **kwargs)
            trained = copy.deepcopy(self.model.state_dict())
            self.model.load_state_dict(self._given)
            try:
                return super()._evaluate(*args, **kwargs)
            finally:
                self.model.load_state_dict(trained)

    return Frozen


@fault(property="resume.the_state_is_the_same")
def operations_counted_from_the_resume() -> Any:
    """A resumed run counts its floating-point operations from 0."""
    from transformers import Trainer

    class FromZero(Trainer):
        def _init_training_state(self, *args: Any, **kwargs: Any) -> Any:
            found = super()._init_training_state(*args, **kwargs)
            self.state.total_flos = 0
            return found

    return FromZero


@fault(property="resume.the_best_is_the_same")
def best_forgotten() -> Any:
    """A resumed run does not know what was the best before."""
    from transformers import Trainer

    class Forgets(Trainer):
        def _init_training_state(self, *args: Any, **kwargs: Any) -> Any:
            found = super()._init_training_state(*args, **kwargs)
            self.state.best_metric = None
            return found

    return Forgets


@fault(property="resume.random_numbers_go_on_where_they_were")
def random_states_not_restored() -> Any:
    """A resumed run does not restore the states of the random number generators."""
    from transformers import Trainer

    class NotRestored(Trainer):
        def _load_rng_state(self, checkpoint: str | None) -> None:
            pass

    return NotRestored


@fault(property="resume.random_numbers_go_on_where_they_were")
def state_of_numpy_forgotten() -> Any:
    """A resumed run restores the states of all random number generators but numpy's."""
    import numpy as np
    from transformers import Trainer

    class Forgets(Trainer):
        def _load_rng_state(self, *args: Any, **kwargs: Any) -> None:
            before = np.random.get_state()  # noqa: NPY002  the Trainer's own
            super()._load_rng_state(*args, **kwargs)
            np.random.set_state(before)  # noqa: NPY002

    return Forgets


@fault(property="resume.random_numbers_go_on_where_they_were")
def random_states_restored_before_skipping() -> Any:
    """Within an epoch random states are restored before the data are read up to where training goes on."""
    from transformers import Trainer

    class TooEarly(Trainer):
        _run_epoch = rewritten(
            Trainer, "_run_epoch", "rng_to_sync = True", "rng_to_sync = self._load_rng_state(resume_from_checkpoint) is not None"
        )

    return TooEarly


@fault(property="resume.random_numbers_go_on_where_they_were")
def random_states_left_between_epochs() -> Any:
    """Random states are restored only where training goes on within an epoch."""
    from transformers import Trainer

    class WithinEpochs(Trainer):
        _run_epoch = rewritten(
            Trainer, "_run_epoch", "elif steps_trained_in_current_epoch == 0:", "elif steps_trained_in_current_epoch < 0:"
        )

    return WithinEpochs


@fault(property="resume.train_loss_is_of_this_call")
def train_loss_divided_by_all_steps() -> Any:
    """`train_loss` of a resumed run is the sum of its own losses over all updates since the beginning."""
    from transformers import Trainer

    class ByAllSteps(Trainer):
        _finalize_training = rewritten(
            Trainer,
            "_finalize_training",
            "self._total_loss_scalar / max(num_steps_trained",
            "self._total_loss_scalar / max(self.state.global_step",
        )

    return ByAllSteps


@fault(property="resume.speed_is_of_this_call")
def speed_counts_all_steps() -> Any:
    """The speed of a resumed run counts the updates before the resume too."""
    from transformers import Trainer

    class AllSteps(Trainer):
        _finalize_training = rewritten(Trainer, "_finalize_training", "num_steps=num_steps_trained", "num_steps=self.state.global_step")

    return AllSteps


@fault(property="resume.samples_a_second_are_of_this_call")
def samples_of_the_whole_schedule() -> Any:
    """The samples a second of a resumed run are those of all updates over the run time of this call."""
    from transformers import Trainer

    class WholeSchedule(Trainer):
        _finalize_training = rewritten(
            Trainer, "_finalize_training", "num_train_samples * num_steps_trained / max(self.state.max_steps, 1)", "num_train_samples"
        )

    return WholeSchedule


@fault(property="resume.what_cannot_be_resumed_is_refused")
def refusal_after_an_update() -> Any:
    """A checkpoint without the state of the optimizer is refused once the first update was made with a fresh one."""
    from transformers import Trainer

    class TooLate(Trainer):
        _missing = False

        def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
            super()._load_optimizer_and_scheduler(checkpoint)
            self._missing = checkpoint is not None and not Path(checkpoint, "optimizer.pt").exists()

        def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
            if self._missing:
                raise ValueError("the checkpoint has no state of the optimizer")
            super()._maybe_log_save_evaluate(*args, **kwargs)

    return TooLate
