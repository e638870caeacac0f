"""What is measured of the types that a model computes in. A call of the model is in `training`, an `evaluation during training`, or a
later `evaluation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record


def all_of(record: Record, when: Sequence[str], what: str) -> list[str]:
    """The types in all calls of these moments, each once, in alphabetical order."""
    calls: list[dict[str, Any]] = record.results["calls"]
    return sorted({kind for call in calls if call["when"] in when for kind in call[what]})


@measure
def types_inside(record: Record, when: Sequence[str]) -> list[str]:
    """What layers cast their inputs to, or that they leave them as they are, each once, in all calls of these moments."""
    return all_of(record, when, "inside")


@measure
def types_of_weights(record: Record, when: Sequence[str]) -> list[str]:
    """The types of the weights, each once, in all calls of these moments."""
    return all_of(record, when, "weights")


@measure
def half_precision_outputs(record: Record, when: Sequence[str]) -> list[str]:
    """The types of half precision among those of the outputs, each once, in all calls of these moments."""
    return [kind for kind in all_of(record, when, "outputs") if kind in ("torch.bfloat16", "torch.float16")]


@measure
def training_loss_of_batch(record: Record, index: int) -> float | None:
    """The loss that the model returned for a training micro-batch, counted from 0."""
    return record.batches[index].loss


@measure
def evaluation_loss_of_batch(record: Record, evaluation: int, index: int) -> float | None:
    """The loss that the model returned for a batch of an evaluation, both counted from 0."""
    return record.evaluations[evaluation].batches[index].loss
