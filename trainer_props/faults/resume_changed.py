"""Faults in resuming with other arguments."""

from __future__ import annotations

from typing import Any

from trainer_props.faults._source import rewritten
from trainer_props.faults._swapping import with_flow
from trainer_props.faults.registry import fault


def _flow(change: Any) -> Any:
    """A Trainer class whose flow of control is changed at the end of each update, given the step with which the run began."""
    from transformers import DefaultFlowCallback

    class Changed(DefaultFlowCallback):
        begun = 0

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.begun = state.global_step

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            super().on_step_end(args, state, control, **kwargs)
            if self.begun:
                change(args, state, control, self.begun)
            return control

    return with_flow(Changed)


@fault(property="resume_changed.logs_go_by_the_arguments")
def logs_counted_from_the_resume() -> Any:
    """A resumed run counts the steps between logs from where it goes on."""

    def change(args: Any, state: Any, control: Any, begun: int) -> None:
        if args.logging_strategy == "steps":
            control.should_log = (state.global_step - begun) % state.logging_steps == 0

    return _flow(change)


@fault(property="resume_changed.evaluations_go_by_the_arguments")
def evaluation_after_the_first_update() -> Any:
    """A resumed run that evaluates does so after its first update too, to see where it is."""

    def change(args: Any, state: Any, control: Any, begun: int) -> None:
        if args.eval_strategy != "no" and state.global_step == begun + 1:
            control.should_evaluate = True

    return _flow(change)


@fault(property="resume_changed.saves_go_by_the_arguments")
def no_save_after_the_first_update() -> Any:
    """A resumed run does not save after its first update: the checkpoint that it came from is thought to be near enough."""

    def change(args: Any, state: Any, control: Any, begun: int) -> None:
        if state.global_step == begun + 1:
            control.should_save = False

    return _flow(change)


@fault(property="resume.ends_at_the_same_step")
def length_of_the_checkpoint_kept() -> Any:
    """A resumed run is as long as it was to be when its checkpoint was written."""
    from transformers import Trainer

    class AsLong(Trainer):
        _init_training_state = rewritten(
            Trainer,
            "_init_training_state",
            "self.state.init_training_references(",
            "resume_from_checkpoint or self.state.init_training_references(",
        )

    return AsLong
