"""What is measured of a run that trains, and goes on, where something lies already, beside one in an empty directory (`baseline`)."""

from __future__ import annotations

import math
from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record, Runs

BASELINE = "baseline"
FIRST = "part 1"
RESUMED = "part 2"


def step_before(record: Record) -> int:
    """`global_step` when a run begins."""
    return record.events[0].step if record.events else 0


def weights_after_updates(record: Record, first: int, after: int) -> list[float]:
    """The weights after each update of a run, in a row, from the one after a step on; `first` is the step with which it began."""
    rows = [update.weights.tolist() for update in record.updates[after - first :]]
    return [weight for row in rows for weight in row]


def left_by(record: Record, names: list[str]) -> list[str]:
    """Those of the names that are in the output directory when a run is over."""
    return [name for name in names if name in record.results["entries"]]


@measure
def first_step_of_the_first_part(runs: Runs) -> int:
    """`global_step` when the first part begins."""
    return step_before(runs[FIRST])


@measure
def weights_of_the_first_part(runs: Runs) -> list[float]:
    """The weights after each update of the first part, in a row."""
    return weights_after_updates(runs[FIRST], 0, 0)


@measure
def weights_of_the_baseline_until_then(runs: Runs) -> list[float]:
    """The weights after each of the first updates of the baseline, as many as the first part made, in a row."""
    return weights_after_updates(runs[BASELINE], 0, 0)[: len(weights_after_updates(runs[FIRST], 0, 0))]


@measure
def what_is_left(runs: Runs, names: list[str]) -> list[str]:
    """Those of the names that are in the output directory when the last part is over."""
    return left_by(runs[list(runs)[-1]], names)


@measure
def refuses_or_goes_on_as_usual(runs: Runs) -> bool:
    """Whether the resumed run ends by an exception before its first update, or else all its updates give the weights of the baseline."""
    return is_refused(runs[RESUMED]) or goes_on_as(runs[RESUMED], runs[BASELINE])


def is_refused(record: Record) -> bool:
    """Whether an exception ended a run before its first update."""
    return record.failure is not None and not record.updates


def goes_on_as(record: Record, usual: Record) -> bool:
    """Whether a resumed run gives the weights of another one, from the step with which it begins to the end."""
    begun = step_before(record)
    weights, expected = weights_after_updates(record, begun, begun), weights_after_updates(usual, 0, begun)
    return len(weights) == len(expected) and all(map(near, weights, expected))


def near(left: Any, right: Any) -> bool:
    """Whether two weights are the same but for rounding."""
    return bool(abs(left - right) <= 1e-6 * max(1.0, abs(right)) or (math.isnan(left) and math.isnan(right)))
