"""Early stopping: after which evaluation a run gives up."""

from __future__ import annotations

from trainer_props.judgement import Judgement, same
from trainer_props.properties import sources
from trainer_props.properties._facts import facts
from trainer_props.properties.needs import FINISHED, INTERVALS_KNOWN, SOME_UPDATE, WHOLE_WINDOWS, Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario

EARLY_STOPPING = Need("early_stopping", "no early stopping", lambda record, scenario: scenario.components.early_stopping is not None)


@trainer_property(
    source=sources.docs("EarlyStoppingCallback"),
    needs=[FINISHED, SOME_UPDATE, WHOLE_WINDOWS, INTERVALS_KNOWN, EARLY_STOPPING],
    catalogue=[62],
)
def stops_when_patience_is_spent(record: Record, scenario: Scenario) -> Judgement:
    """Training stops right after `early_stopping_patience` evaluations in a row have not improved on the best metric by more than the
    threshold, and not before.
    """
    return same("global_step at the end", expected=facts(record, scenario).course.updates, observed=record.global_step)
