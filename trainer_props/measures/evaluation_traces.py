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
