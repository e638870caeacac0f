"""What is measured of losses and of what they are divided by."""

from __future__ import annotations

from trainer_props.measures.registry import measure
from trainer_props.record import Record


@measure
def loss_of_batch(record: Record, batch: int) -> float | None:
    """The loss that the model returned for a training micro-batch, counted from 0; None if there is none."""
    return record.batches[batch].loss if batch < len(record.batches) else None


@measure
def items_of_batch(record: Record, batch: int) -> float | None:
    """The `num_items_in_batch` that the model was given with a training micro-batch, counted from 0; None if it was given none."""
    return record.batches[batch].items if batch < len(record.batches) else None


@measure
def reported_loss(record: Record, entry: int) -> float | None:
    """The `loss` in an entry of the log history, counted from 0; None if it has none."""
    return record.log_history[entry].get("loss") if entry < len(record.log_history) else None
