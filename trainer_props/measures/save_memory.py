"""What is measured of a run that saves memory, beside what is measured of any pair of runs."""

from __future__ import annotations

from trainer_props.measures.registry import measure
from trainer_props.record import Record, Runs


@measure
def types_of_weights(runs: Runs, name: str) -> list[str]:
    """The types of the weights and of the gradients that the updates use, each once, in alphabetical order."""
    return types_held(runs[name])


def types_held(record: Record) -> list[str]:
    """The types of the weights and of the gradients that the updates use, each once."""
    held = [column for update in record.updates for column in (update.weights, update.gradient) if column is not None]
    return sorted({str(column.dtype) for column in held})
