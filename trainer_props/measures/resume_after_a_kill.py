"""What is measured of a run that goes on after another process was killed, beside the run without interruptions (`baseline`)."""

from __future__ import annotations

import math

from trainer_props.measures.registry import measure
from trainer_props.record import Record, Runs

BASELINE = "baseline"
RESUMED = "part 2"


def begins_at(record: Record) -> int:
    """`global_step` when a run begins; 0 if it does not begin."""
    return record.events[0].step if record.events else 0


def is_refused(record: Record) -> bool:
    """Whether an exception ended a run before its first update."""
    return record.failure is not None and not record.updates


def weights_from(record: Record, updates: int) -> list[float]:
    """The weights after all updates of a run but the first ones, in a row."""
    rows = [update.weights.tolist() for update in record.updates[updates:]]
    return [weight for row in rows for weight in row]


def near(left: float, right: float) -> bool:
    """Whether two weights are the same but for rounding."""
    return bool(abs(left - right) <= 1e-6 * max(1.0, abs(right)) or (math.isnan(left) and math.isnan(right)))


@measure
def goes_on_or_refuses(runs: Runs) -> bool:
    """Whether the resumed run ends by an exception before its first update, or else all its updates give the weights of the baseline."""
    if is_refused(runs[RESUMED]):
        return True
    found, expected = weights_from(runs[RESUMED], 0), weights_from(runs[BASELINE], begins_at(runs[RESUMED]))
    return len(found) == len(expected) and all(map(near, found, expected))


@measure
def first_step_after_the_kill(runs: Runs) -> int | None:
    """`global_step` when the resumed run begins; None if it ends by an exception before its first update."""
    return None if is_refused(runs[RESUMED]) else begins_at(runs[RESUMED])
