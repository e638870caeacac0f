"""Early stopping: after which evaluation a run gives up."""

from __future__ import annotations

from typing import Any

from trainer_props.judgement import Judgement, same
from trainer_props.measures import early_stopping as measures
from trainer_props.oracles import best_model
from trainer_props.properties import sources
from trainer_props.properties._facts import facts
from trainer_props.properties.needs import DELAY_KNOWN, FINISHED, INTERVALS_KNOWN, SOME_UPDATE, WHOLE_WINDOWS, Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario

EARLY_STOPPING = Need("early_stopping", "no early stopping", lambda record, scenario: scenario.components.early_stopping is not None)


@trainer_property(
    source=sources.docs("EarlyStoppingCallback"),
    needs=[FINISHED, SOME_UPDATE, WHOLE_WINDOWS, DELAY_KNOWN, INTERVALS_KNOWN, EARLY_STOPPING],
    catalogue=[62],
)
def stops_when_patience_is_spent(record: Record, scenario: Scenario) -> Judgement:
    """Training stops right after `early_stopping_patience` evaluations in a row have not improved on the best metric by more than the
    threshold, and not before.
    """
    known, observed = facts(record, scenario), measures.updates_at_the_end(record)
    expected: Any = known.course.updates
    stopping = scenario.components.early_stopping
    if stopping is not None and observed.value is not None and observed.value < expected:
        # Too early: when patience will be spent depends on evaluations that only a run that goes on can bring.
        name, greater = f"eval_{best_model.metric_name(scenario)}", best_model.greater_is_better(scenario)
        expected = measures.updates_until_patience_is_spent(
            record, name, greater, stopping.patience, stopping.threshold, known.total
        )
    return same("global_step at the end", expected=expected, observed=observed)
