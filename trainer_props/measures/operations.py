"""What is measured of the floating-point operations that a run counts."""

from __future__ import annotations

from trainer_props.measures.registry import measure
from trainer_props.record import Record

EMBEDDINGS = ("Embedding",)


@measure
def total_flos(record: Record) -> float | None:
    """`total_flos` of the state at the end."""
    total: float | None = record.state["total_flos"]
    return total


@measure
def returned_total_flos(record: Record) -> float | None:
    """The `total_flos` that `train()` returned."""
    total: float | None = record.metrics["total_flos"]
    return total


@measure
def operations_of_all(record: Record) -> float:
    """The floating-point operations of all training micro-batches, by the Trainer's own count of each."""
    return sum(batch.operations for batch in record.batches if batch.operations is not None)


@measure
def operations_until_saves(record: Record) -> list[float]:
    """For each checkpoint the floating-point operations of the training micro-batches until it was written."""
    seen = [event.batches for event in record.events if event.name == "on_save"]
    return [sum(batch.operations for batch in record.batches[:batches] if batch.operations is not None) for batches in seen]


@measure
def saved_total_flos(record: Record) -> list[float | None]:
    """`total_flos` of the state in each checkpoint."""
    return [checkpoint.state.get("total_flos") if checkpoint.state is not None else None for checkpoint in record.checkpoints]


@measure
def operations_of_each(record: Record) -> list[float | None]:
    """The floating-point operations that the Trainer counts for each training micro-batch."""
    return [batch.operations for batch in record.batches]


@measure
def sizes_of_each(record: Record) -> list[float]:
    """For each training micro-batch six times the elements of the model's main input times the parameters that are no embedding."""
    weights = sum(parameter.size for parameter in record.parameters if parameter.layer not in EMBEDDINGS)
    return [6 * batch.tokens * weights for batch in record.batches]
