"""Comparing the weights or gradients of many updates: the first update that is off is named, and in it the element that is farthest off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from trainer_props.judgement import HOLDS, Judgement, Violated, close
from trainer_props.record import Parameter
from trainer_props.scenario import Scenario

_EXACT: Final = {"float64": 1e-12, "float32": 1e-5}


def exactness(scenario: Scenario) -> float:
    """The tolerance for numbers that are computed in the model's dtype."""
    return _EXACT[scenario.model.dtype]


def exactness_of(values: Tensor) -> float | None:
    """The tolerance for numbers that are computed in the dtype of these; None for a dtype of which nothing is promised."""
    return _EXACT.get(str(values.dtype).removeprefix("torch."))


def close_rows(quantity: str, *, expected: Tensor, observed: Tensor, tolerance: float, parameters: Sequence[Parameter]) -> Judgement:
    """Every row agrees within `tolerance * max(1, largest expected element of this row and those before)`.

    Rounding of large values stays when later ones are small.

    Args:
        expected, observed: shape [updates, elements of all parameters].
    """
    difference = (observed - expected).abs()
    sizes = expected.abs().amax(1).cummax(0).values.clamp(min=1).unsqueeze(1)
    wrong = ~(difference <= tolerance * sizes)  # what is not a number is wrong
    if not bool(wrong.any()):
        return HOLDS
    row = int(wrong.any(1).int().argmax())
    element = int(difference[row].argmax())
    left, right, size = float(expected[row, element]), float(observed[row, element]), float(sizes[row])
    at = f"update {row + 1}, {element_name(parameters, element)}"
    judgement = close(quantity, expected=left, observed=right, tolerance=tolerance, scale=size, at=at)
    # Which sign the element that is farthest off happens to have says nothing of the cause.
    return replace(judgement, symptom="different") if isinstance(judgement, Violated) else judgement


def element_name(parameters: Sequence[Parameter], index: int) -> str:
    """`name`, or `name[i]`, of the element at a place in the flat vector of all parameters."""
    for parameter in parameters:
        if index < parameter.size:
            return parameter.name if parameter.size == 1 else f"{parameter.name}[{index}]"
        index -= parameter.size
    raise IndexError(f"{index} elements beyond the last parameter")


def flat_rows(rows: Sequence[Sequence[float | Tensor | None]], trainable: Tensor, rest: Tensor) -> Tensor:
    """The reference loop's coordinates of each update as flat vectors over all elements, shape [updates, elements].

    Args:
        rows: of each update, floats (one an element), or one flat tensor of the trainable elements.
        trainable: which elements are trainable.
        rest: what stands at the others, and where a coordinate is None.
    """
    if isinstance(rows[0][0], Tensor):
        flat = rest.repeat(len(rows), 1)
        flat[:, trainable] = torch.stack([row[0] for row in rows if isinstance(row[0], Tensor)])
        return flat
    others: list[float] = rest.tolist()
    return torch.tensor(
        [[other if each is None else float(each) for each, other in zip(row, others, strict=True)] for row in rows], dtype=torch.float64
    )
