"""What is measured of early stopping."""

from __future__ import annotations

import math

from trainer_props.measures.registry import measure
from trainer_props.record import Record


@measure
def updates_at_the_end(record: Record) -> int | None:
    """Updates that the run took before it ended."""
    return record.global_step


@measure
def updates_until_patience_is_spent(record: Record, name: str, greater: bool, patience: int, threshold: float, total: int) -> int:
    """The step of the evaluation that ends a row of `patience` without an improvement by more than the threshold, as far as the run went.

    Args:
        name: of the metric, as it is among those of an evaluation.
        greater: whether greater values are better.
        total: updates of a run that nothing stops: where no row is as long.
    """
    best = math.nan
    row = 0
    counted = [each for each in record.evaluations if each.prefix == "eval" and each.step > 0]
    for index, each in enumerate(counted):
        value = each.metrics.get(name, math.nan)
        gain = value - best if greater else best - value
        first = math.isnan(best)
        improved = not math.isnan(value) and (first or gain > threshold)
        row = 0 if improved or index == 0 else row + 1
        if first or gain > 0:
            best = value
        if row >= patience:
            return each.step
    return total
