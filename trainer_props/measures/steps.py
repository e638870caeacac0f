"""What is measured of steps and epochs."""

from __future__ import annotations

from trainer_props.measures.registry import measure
from trainer_props.record import Record


@measure
def global_step(record: Record) -> int | None:
    """Updates that the run took, by its own account."""
    return record.global_step


@measure
def batches_before_updates(record: Record) -> list[int]:
    """Micro-batches seen before each update."""
    return [update.batches for update in record.updates]
