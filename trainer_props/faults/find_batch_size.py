"""Faults in finding a batch size that fits."""

from __future__ import annotations

from typing import Any

from trainer_props.faults.registry import fault


@fault(property="find_batch_size.a_size_that_fits_is_found")
def not_below_half() -> Any:
    """A batch size below half of the given one is refused."""
    from transformers import Trainer

    class NotBelowHalf(Trainer):
        def _update_auto_batch_size(self, batch_size: int) -> None:
            if 2 * batch_size < self.args.train_batch_size:
                raise RuntimeError(f"batch size {batch_size} is too small")
            super()._update_auto_batch_size(batch_size)

    return NotBelowHalf


@fault(property="find_batch_size.too_little_for_one_row_is_said")
def reason_hidden() -> Any:
    """Whatever ends training is reported as a failure of training."""
    from transformers import Trainer

    class Hidden(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().train(*args, **kwargs)
            except RuntimeError:
                raise RuntimeError("training failed") from None

    return Hidden


@fault(property="find_batch_size.other_errors_end_the_run")
def every_error_taken_for_memory() -> Any:
    """Every error of a device is taken for one about its memory."""
    from transformers import Trainer

    class Every(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().training_step(*args, **kwargs)
            except RuntimeError:
                raise RuntimeError("CUDA out of memory.") from None

    return Every


@fault(property="find_batch_size.each_attempt_begins_anew")
def rest_of_a_window_used() -> Any:
    """The gradients that were accumulated when memory ran short are used for an update."""
    from transformers import Trainer

    class Used(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().training_step(*args, **kwargs)
            except RuntimeError:
                self.accelerator.gradient_state._set_sync_gradients(True)  # noqa: SLF001  as the Trainer does
                self.optimizer.step()
                raise

    return Used


@fault(property="find_batch_size.steps_are_those_of_the_batch_size")
def steps_counted_once() -> Any:
    """The number of steps is worked out for the batch size that is tried first."""
    from transformers import Trainer

    class Once(Trainer):
        _first: Any = None

        def set_initial_training_values(self, *args: Any, **kwargs: Any) -> Any:
            self._first = self._first or super().set_initial_training_values(*args, **kwargs)
            return self._first

    return Once


@fault(property="find_batch_size.samples_are_those_of_the_batch_size")
def in_order_once_memory_ran_short() -> Any:
    """Once memory ran short the samples come in their own order."""
    from torch.utils.data import SequentialSampler
    from transformers import Trainer

    class InOrder(Trainer):
        def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
            if self._train_batch_size < self.args.train_batch_size:
                return SequentialSampler(self.train_dataset)
            return super()._get_train_sampler(*args, **kwargs)

    return InOrder


@fault(property="find_batch_size.weights_are_those_of_the_batch_size")
def gradients_scaled_to_the_given_batch_size() -> Any:
    """Gradients of a batch that was made smaller are scaled by its share of the given batch size."""
    from transformers import Trainer

    class Scaled(Trainer):
        def training_step(self, model: Any, *args: Any, **kwargs: Any) -> Any:
            loss = super().training_step(model, *args, **kwargs)
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(self._train_batch_size / self.args.train_batch_size)
            return loss

    return Scaled


@fault(property="find_batch_size.failed_attempts_log_nothing")
def history_of_failed_attempts_stays() -> Any:
    """The log history goes on where a failed attempt left it."""
    from transformers import Trainer

    class Stays(Trainer):
        def _init_training_state(self, *args: Any, **kwargs: Any) -> Any:
            history = self.state.log_history
            found = super()._init_training_state(*args, **kwargs)
            self.state.log_history = history + self.state.log_history
            return found

    return Stays


@fault(property="find_batch_size.logs_are_those_of_the_batch_size")
def losses_logged_by_the_given_batch_size() -> Any:
    """Losses are logged by the share that a batch has of the given batch size."""
    from transformers import Trainer

    class Share(Trainer):
        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            if "loss" in logs:
                logs["loss"] *= self._train_batch_size / self.args.train_batch_size
            super().log(logs, *args, **kwargs)

    return Share


@fault(property="find_batch_size.failed_attempts_count_for_nothing")
def tokens_of_failed_attempts_counted() -> Any:
    """The tokens that failed attempts have seen are counted too."""
    from transformers import Trainer

    class Counted(Trainer):
        def _init_training_state(self, *args: Any, **kwargs: Any) -> Any:
            seen = self.state.num_input_tokens_seen
            found = super()._init_training_state(*args, **kwargs)
            self.state.num_input_tokens_seen += seen
            return found

    return Counted


@fault(property="find_batch_size.failed_attempts_leave_no_checkpoint")
def saved_when_memory_runs_short() -> Any:
    """A checkpoint is written when memory runs short."""
    from transformers import Trainer

    class Saved(Trainer):
        def training_step(self, model: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().training_step(model, *args, **kwargs)
            except RuntimeError:
                self._save_checkpoint(model, trial=None)
                raise

    return Saved


@fault(property="find_batch_size.the_batch_size_is_remembered")
def given_batch_size_remembered() -> Any:
    """The state says the batch size of the arguments."""
    from transformers import Trainer

    class Given(Trainer):
        def _init_training_state(self, *args: Any, **kwargs: Any) -> Any:
            found = super()._init_training_state(*args, **kwargs)
            self.state.train_batch_size = self.args.train_batch_size
            return found

    return Given


@fault(property="find_batch_size.resuming_keeps_the_batch_size")
def resumed_with_the_given_batch_size() -> Any:
    """A resumed run begins with the batch size of the arguments again."""
    from transformers import Trainer, TrainerState

    class Again(Trainer):
        def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
            usual = TrainerState.load_from_json
            size = self.args.train_batch_size

            def forgetful(path: str) -> TrainerState:
                state: TrainerState = usual(path)
                state.train_batch_size = size
                return state

            TrainerState.load_from_json = staticmethod(forgetful)
            try:
                return super().train(resume_from_checkpoint, *args, **kwargs)
            finally:
                TrainerState.load_from_json = usual

    return Again
