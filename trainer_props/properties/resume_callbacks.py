"""Resuming with callbacks that have states: each gets its own back, and is called when it was called."""

from __future__ import annotations

from typing import Final

from trainer_props.judgement import Judgement, same
from trainer_props.measures import resume as parts
from trainer_props.measures import resume_callbacks as measures
from trainer_props.properties import sources
from trainer_props.properties._resume import BASELINE_FINISHED, RESUMABLE, RESUMED, RESUMED_RUN_FINISHED
from trainer_props.properties.needs import Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Runs
from trainer_props.scenario import Scenario

_CALLBACKS: Final = ("resume_callbacks",)
_RESTORING: Final = "restore_callback_states_from_checkpoint"
RESTORED = Need("restored", "states of callbacks are not restored", lambda runs, scenario: bool(scenario.argument(_RESTORING)))
SAME_STEPS = Need(
    "same_steps", "it ends at another update (resume.ends_at_the_same_step says so)",
    lambda runs, scenario: parts.last(runs).global_step == runs.first.global_step,
)  # fmt: skip
_NEEDS: Final = (BASELINE_FINISHED, RESUMED, RESUMED_RUN_FINISHED, RESUMABLE, RESTORED, SAME_STEPS)


@trainer_property(source=sources.docs(f"TrainingArguments.{_RESTORING}"), experiments=_CALLBACKS, needs=_NEEDS, catalogue=[80])
def each_callback_gets_its_state_back(runs: Runs, scenario: Scenario) -> Judgement:
    """With `restore_callback_states_from_checkpoint` each callback has, when a resumed run is over, the state that it has when the run
    without interruptions is, also where several are of one class.
    """
    return same(
        "states of callbacks", expected=measures.totals_of_the_baseline(runs), observed=measures.totals(runs), at="callback",
        symptom="different",
    )  # fmt: skip


@trainer_property(source=sources.docs("Trainer"), experiments=_CALLBACKS, needs=_NEEDS, catalogue=[65, 80])
def callbacks_keep_their_order(runs: Runs, scenario: Scenario) -> Judgement:
    """In a resumed run the callbacks are called in the order in which they were given, as in any other."""
    return same(
        "order of callbacks", expected=measures.order_of_the_baseline(runs), observed=measures.order(runs), at="callback",
        symptom="different",
    )  # fmt: skip
