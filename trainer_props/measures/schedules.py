"""What is measured of a schedule that is stepped by itself."""

from __future__ import annotations

from trainer_props.measures.registry import measure
from trainer_props.record import Record


@measure
def rate(record: Record, step: int, group: int) -> float | None:
    """The learning rate of a parameter group after so many steps; None if it did not come so far."""
    rates = record.results["rates"]
    return float(rates[step][group]) if step < len(rates) else None


@measure
def steps(record: Record) -> int:
    """How often the schedule was stepped."""
    return max(0, len(record.results["rates"]) - 1)


@measure
def exception(record: Record) -> str | None:
    """The exception that ended it."""
    return None if record.failure is None else f"{record.failure.kind}: {record.failure.message}"
