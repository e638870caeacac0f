"""Faults in what becomes of the control flags that a callback sets."""

from __future__ import annotations

from typing import Any

from trainer_props.faults._source import rewritten
from trainer_props.faults._swapping import with_handler
from trainer_props.faults.registry import fault


@fault(property="flags.events_are_those_that_flags_ask_for")
def flags_reset_at_the_end_of_a_step() -> Any:
    """Log, evaluation and save are set back right before `on_step_end` is sent, instead of at the beginning of the step."""
    from transformers.trainer_callback import CallbackHandler

    class AtTheEnd(CallbackHandler):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            control.should_log = control.should_evaluate = control.should_save = False
            return super().on_step_end(args, state, control, **kwargs)

    return with_handler(AtTheEnd)


@fault(property="flags.events_are_those_that_flags_ask_for")
def stop_of_the_epoch_ends_training() -> Any:
    """Once an epoch was stopped no other one begins."""
    from transformers import Trainer

    class Ends(Trainer):
        def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
            super()._run_epoch(*args, **kwargs)
            self.control.should_training_stop = self.control.should_training_stop or self.control.should_epoch_stop

    return Ends


@fault(property="flags.flags_stay_until_they_are_set_back")
def stop_of_the_epoch_never_reset() -> Any:
    """`should_epoch_stop` stays set when the next epoch begins."""
    from transformers.trainer_callback import CallbackHandler

    class Stays(CallbackHandler):
        def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            return self.call_event("on_epoch_begin", args, state, control, **kwargs)

    return with_handler(Stays)


@fault(property="flags.flags_stay_until_they_are_set_back")
def stop_reset_at_the_end_of_an_epoch() -> Any:
    """The end of an epoch sets back a stop that a callback has asked for."""
    from transformers.trainer_callback import CallbackHandler

    class SetsBackStops(CallbackHandler):
        def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            control.should_training_stop = state.global_step >= state.max_steps
            return super().on_epoch_end(args, state, control, **kwargs)

    return with_handler(SetsBackStops)


@fault(property="flags.epoch_is_that_of_the_last_update")
def epoch_counted_from_the_steps() -> Any:
    """`state.epoch` is the number of updates over those of an epoch, whichever epoch it is."""
    from transformers import Trainer

    class FromSteps(Trainer):
        _run_epoch = rewritten(
            Trainer, "_run_epoch", "self.state.epoch = epoch + (step + 1) / steps_in_epoch",
            "self.state.epoch = self.state.global_step / num_update_steps_per_epoch",
        )

    return FromSteps


@fault(property="flags.windows_are_cut_where_flags_say")
def stops_wait_for_the_update() -> Any:
    """A stop is looked at after updates only, not after every micro-batch."""
    from transformers import Trainer

    class Waits(Trainer):
        _run_epoch = rewritten(
            Trainer, "_run_epoch", "if self.control.should_epoch_stop or self.control.should_training_stop:",
            "if do_sync_step and (self.control.should_epoch_stop or self.control.should_training_stop):", times=2,
        )

    return Waits


@fault(property="flags.logged_losses_are_of_updates")
def logged_loss_divided_by_the_interval() -> Any:
    """The logged loss is divided by `logging_steps`, however many updates there were since the last log."""
    from transformers import Trainer

    class ByTheInterval(Trainer):
        _maybe_log_save_evaluate = rewritten(
            Trainer, "_maybe_log_save_evaluate", "tr_loss_scalar / (self.state.global_step - self._globalstep_last_logged)",
            "tr_loss_scalar / self.state.logging_steps",
        )

    return ByTheInterval


@fault(property="flags.train_loss_is_of_updates")
def losses_of_a_stopped_epoch_forgotten() -> Any:
    """When a callback stops an epoch, the losses that were not logged yet are dropped."""
    from transformers import Trainer

    class Drops(Trainer):
        def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
            super()._run_epoch(*args, **kwargs)
            if self.control.should_epoch_stop:
                self._tr_loss = self._tr_loss * 0

    return Drops
