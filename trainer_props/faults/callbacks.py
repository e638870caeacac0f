"""Faults in events: which are sent, in what order, and what becomes of the flags of the control."""

from __future__ import annotations

from typing import Any

from trainer_props.faults._source import rewritten
from trainer_props.faults._swapping import with_flow, with_handler
from trainer_props.faults.registry import fault


@fault(property="callbacks.every_micro_batch_ends_a_step_or_substep")
def event_dropped() -> Any:
    """`on_substep_end` is never sent."""
    from transformers.trainer_callback import CallbackHandler

    class Drops(CallbackHandler):
        def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            return control

    return with_handler(Drops)


@fault(property="callbacks.events_follow_the_grammar")
def evaluated_before_logged() -> Any:
    """Where a log and an evaluation fall due together, the evaluation comes first."""
    from transformers import Trainer

    class EvaluatesFirst(Trainer):
        def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
            saving = self.control.should_save
            if self.control.should_log and self.control.should_evaluate:
                self.control.should_log = self.control.should_save = False
                super()._maybe_log_save_evaluate(*args, **kwargs)
                self.control.should_log, self.control.should_save = True, saving or self.control.should_save
            super()._maybe_log_save_evaluate(*args, **kwargs)

    return EvaluatesFirst


@fault(property="callbacks.events_follow_the_grammar")
def substep_ends_with_every_micro_batch() -> Any:
    """`on_substep_end` is sent after the last micro-batch of an update too, right before `on_step_end`."""
    from transformers.trainer_callback import CallbackHandler

    class Both(CallbackHandler):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            control = self.on_substep_end(args, state, control, **kwargs)
            return super().on_step_end(args, state, control, **kwargs)

    return with_handler(Both)


@fault(property="callbacks.events_are_those_of_the_plans")
def final_evaluation_forgotten() -> Any:
    """A plan by steps evaluates at its multiples only, and not at the end of the run."""
    from transformers import DefaultFlowCallback

    class NoFinalEvaluation(DefaultFlowCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            control = super().on_step_end(args, state, control, **kwargs)
            if args.eval_strategy == "steps" and state.global_step % state.eval_steps != 0:
                control.should_evaluate = False
            return control

    return with_flow(NoFinalEvaluation)


@fault(property="callbacks.control_flags_are_reset")
def evaluation_flag_stays() -> Any:
    """`should_evaluate` stays set until the next step begins."""
    from transformers.trainer_callback import CallbackHandler

    class Stays(CallbackHandler):
        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **kwargs: Any) -> Any:
            return self.call_event("on_evaluate", args, state, control, metrics=metrics, **kwargs)

    return with_handler(Stays)


@fault(property="callbacks.a_stop_is_obeyed_at_once")
def stop_waits_for_the_epoch() -> Any:
    """A stop is obeyed at the end of the epoch."""
    from transformers import Trainer

    class Waits(Trainer):
        _run_epoch = rewritten(
            Trainer, "_run_epoch", "self.control.should_epoch_stop or self.control.should_training_stop", "self.control.should_epoch_stop",
            times=2,
        )

    return Waits
