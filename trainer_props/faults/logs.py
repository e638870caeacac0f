"""Faults in what is logged: the loss and its window, tokens, speed, and the history."""

from __future__ import annotations

from typing import Any

from trainer_props.faults._source import rewritten
from trainer_props.faults._swapping import with_flow
from trainer_props.faults.registry import fault


@fault(property="logs.logged_loss_is_the_mean_since_the_last_log")
def log_window_not_reset() -> Any:
    """The sum of losses is not reset when it is logged."""
    from transformers import Trainer

    class NotReset(Trainer):
        def _maybe_log_save_evaluate(self, tr_loss: Any, *args: Any, **kwargs: Any) -> None:
            super()._maybe_log_save_evaluate(tr_loss.clone(), *args, **kwargs)

    return NotReset


@fault(property="logs.loss_is_logged_when_due")
def first_step_not_logged() -> Any:
    """`logging_first_step` has no effect."""
    from transformers import DefaultFlowCallback

    class NoFirstStep(DefaultFlowCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            control = super().on_step_end(args, state, control, **kwargs)
            due = args.logging_strategy == "steps" and state.global_step % state.logging_steps == 0
            control.should_log = control.should_log and due
            return control

    return with_flow(NoFirstStep)


@fault(property="logs.filtered_loss_is_the_mean_of_the_finite_ones")
def infinite_losses_not_filtered() -> Any:
    """`logging_nan_inf_filter` filters NaN only."""
    from transformers import Trainer

    class OnlyNaN(Trainer):
        _run_epoch = rewritten(Trainer, "_run_epoch", "(torch.isnan(tr_loss_step) or torch.isinf(tr_loss_step))", "tr_loss_step.isnan()")

    return OnlyNaN


@fault(property="logs.a_log_without_a_finite_loss_makes_none_up")
def filtered_losses_replaced_by_large_ones() -> Any:
    """`logging_nan_inf_filter` puts a very large loss in the place of one that is not finite."""
    from transformers import Trainer

    class Large(Trainer):
        _run_epoch = rewritten(
            Trainer,
            "_run_epoch",
            "self._tr_loss += self._tr_loss / (1 + self.state.global_step - self._globalstep_last_logged)",
            "self._tr_loss += tr_loss_step.nan_to_num(nan=1e6, posinf=1e6, neginf=-1e6)",
        )

    return Large


@fault(property="logs.train_loss_is_the_mean_of_all_updates")
def train_loss_since_the_last_log() -> Any:
    """What was logged before is left out of the training loss in the end."""
    from transformers import Trainer

    class SinceTheLastLog(Trainer):
        def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
            super()._maybe_log_save_evaluate(*args, **kwargs)
            self._total_loss_scalar = 0.0

    return SinceTheLastLog


@fault(property="logs.every_log_says_epoch_and_step")
def epoch_rounded_in_logs() -> Any:
    """The log history keeps one decimal of the epoch."""
    from transformers import Trainer

    class Rounds(Trainer):
        def log(self, *args: Any, **kwargs: Any) -> None:
            super().log(*args, **kwargs)
            entry = self.state.log_history[-1]
            entry["epoch"] = round(entry["epoch"], 1)

    return Rounds


@fault(property="logs.history_is_what_callbacks_saw")
def history_keeps_four_decimals() -> Any:
    """The log history keeps four decimals of the loss, callbacks get all."""
    from transformers import Trainer

    class FourDecimals(Trainer):
        def log(self, *args: Any, **kwargs: Any) -> None:
            super().log(*args, **kwargs)
            entry = self.state.log_history[-1]
            if "loss" in entry:
                entry["loss"] = round(entry["loss"], 4)

    return FourDecimals


@fault(property="logs.last_log_is_the_summary")
def summary_not_logged() -> Any:
    """The summary of a run is returned and not logged."""
    from transformers import Trainer

    class NoSummary(Trainer):
        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            if "train_runtime" not in logs:
                super().log(logs, *args, **kwargs)

    return NoSummary


@fault(property="logs.speed_is_steps_over_runtime")
def speed_counts_micro_batches() -> Any:
    """`train_steps_per_second` counts micro-batches as steps."""
    from transformers import Trainer

    class CountsMicroBatches(Trainer):
        _finalize_training = rewritten(
            Trainer, "_finalize_training", "num_steps=num_steps_trained",
            "num_steps=num_steps_trained * self.args.gradient_accumulation_steps",
        )

    return CountsMicroBatches


@fault(property="logs.tokens_seen_are_counted")
def tokens_counted_once_an_update() -> Any:
    """Tokens are counted in the last micro-batch of each update."""
    from transformers import Trainer

    class OnceAnUpdate(Trainer):
        def _track_num_input_tokens(self, inputs: Any) -> None:
            if self.accelerator.sync_gradients:
                super()._track_num_input_tokens(inputs)

    return OnceAnUpdate


@fault(property="logs.logs_say_tokens_seen")
def tokens_of_the_log_before() -> Any:
    """A log says the tokens that were seen up to the log before."""
    from transformers import Trainer

    class OneBehind(Trainer):
        _told = 0

        def log(self, *args: Any, **kwargs: Any) -> None:
            seen = self.state.num_input_tokens_seen
            self.state.num_input_tokens_seen = self._told
            super().log(*args, **kwargs)
            self.state.num_input_tokens_seen = self._told = seen

    return OneBehind
