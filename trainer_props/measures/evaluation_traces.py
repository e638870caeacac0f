"""What is measured of a trainer before and after it evaluates and predicts."""

from __future__ import annotations

from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record


@measure
def before(record: Record, name: str) -> Any:
    """A trace before."""
    return record.results["before"][name]


@measure
def after(record: Record, name: str) -> Any:
    """A trace after."""
    return record.results["after"][name]


@measure
def prefixes(record: Record) -> list[list[Any]]:
    """The step and the prefix of each evaluation during training."""
    return [[each.step, each.prefix] for each in record.evaluations[: record.results["trained_evaluations"]]]


@measure
def metric_of_evaluation(record: Record, index: int, name: str) -> float | None:
    """A metric of an evaluation, counted from 0, or None."""
    value: float | None = record.evaluations[index].metrics.get(name)
    return value


@measure
def metric_afterwards(record: Record, name: str) -> float | None:
    """A metric of the evaluation after training, or None."""
    value: float | None = record.results["evaluate"].get(name)
    return value
