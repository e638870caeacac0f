"""What the discrete oracles say about one run, computed once a record and shared by all properties."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from trainer_props.oracles import accounting, best_model, course
from trainer_props.record import Record
from trainer_props.scenario import Scenario

_MOST_EVALUATIONS: Final = 10_000


@dataclass(frozen=True)
class Facts:
    """What should have happened.

    Attributes:
        total: updates if nothing stops the run.
        updates: updates that the run did; fewer than `total` if it was stopped.
        windows: of the updates that the run did, as far as `total` goes.
        course: moments, evaluations and saves up to the update at which the run ended.
        values: the tracked metric at each evaluation, as the run itself reported it.
    """

    total: int
    updates: int
    windows: tuple[accounting.Window, ...]
    course: course.Course
    values: tuple[float, ...] | None


_last: tuple[Record, Scenario, Facts] | None = None


def facts(record: Record, scenario: Scenario) -> Facts:
    """The facts of a run; the last run's are remembered."""
    global _last  # noqa: PLW0603 - the memory of one record
    if _last is None or _last[0] is not record or _last[1] is not scenario:
        _last = (record, scenario, predict(record, scenario))
    return _last[2]


def predict(record: Record, scenario: Scenario) -> Facts:
    """The facts of a run. The evaluation before training has no checkpoint: what is best and when patience ends is counted from the first
    update on.
    """
    total = accounting.total_updates(scenario)
    values = tracked_values(record, scenario)
    followed = course.course(
        scenario, total, None if values is None else (*values, *[math.nan] * _missing(scenario, total)), start_counts=False
    )
    return Facts(total, followed.updates, accounting.windows(scenario, followed.updates), followed, values)


def tracked_values(record: Record, scenario: Scenario) -> tuple[float, ...] | None:
    """The tracked metric at each evaluation, as `on_evaluate` was told; None if no metric is tracked."""
    name = best_model.metric_name(scenario)
    if name is None:
        return None
    key = f"eval_{name}"
    return tuple(float(each.metrics.get(key, math.nan)) for each in record.evaluations if each.prefix == "eval")


def _missing(scenario: Scenario, total: int) -> int:
    # a run that evaluated too rarely is another property's finding: here the missing values are better than nothing
    return min(2 * total + 2, _MOST_EVALUATIONS)
