"""Comparing the weights or gradients of many updates: the first update that is off is named, and in it the element that is farthest off.

Which elements can be compared is told here too: not those that are made of rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from trainer_props.judgement import HOLDS, Judgement, Measured, Violated, close
from trainer_props.oracles import optimizers
from trainer_props.record import Parameter
from trainer_props.scenario import Scenario

_EXACT: Final = {"float64": 1e-12, "float32": 1e-5}


def exactness(scenario: Scenario) -> float:
    """The tolerance for numbers that are computed in the model's dtype."""
    return _EXACT[scenario.model.dtype]


def exactness_of(values: Tensor) -> float | None:
    """The tolerance for numbers that are computed in the dtype of these; None for a dtype of which nothing is promised."""
    return _EXACT.get(str(values.dtype).removeprefix("torch."))


class Element(NamedTuple):
    """An element of a parameter at an update: `update` counts from 1, `position` from 0."""

    update: int
    parameter: str
    position: int


MeasureElement = Callable[[Element], Measured]


def close_rows(
    quantity: str,
    *,
    expected: Tensor,
    observed: Tensor,
    tolerance: float | Tensor,
    parameters: Sequence[Parameter],
    measured: MeasureElement,
    measured_expected: MeasureElement | None = None,
) -> Judgement:
    """Every row agrees within `tolerance * max(1, largest expected element of this row and those before)`.

    Rounding of large values stays when later ones are small.

    Args:
        expected, observed: shape [updates, elements of all parameters].
        tolerance: of all rows, or of each.
        measured: measures the observed side, once a place is found where the rows differ.
        measured_expected: the same for the other side; default: it is what the rows say.
    """
    for row, element, scale in wrong_elements(expected, observed, tolerance):
        parameter, index = _parameter_at(parameters, element)
        place = Element(row + 1, parameter.name, index)
        judgement = close(
            quantity,
            expected=float(expected[row, element]) if measured_expected is None else measured_expected(place),
            observed=measured(place),
            tolerance=float(tolerance if isinstance(tolerance, float) else tolerance[row]),
            scale=scale,
            at=f"update {row + 1}, {parameter.name if parameter.size == 1 else f'{parameter.name}[{index}]'}",
            symptom="different",  # which sign the element that is farthest off happens to have says nothing of the cause
        )
        if isinstance(judgement, Violated):
            return judgement
    return HOLDS


def wrong_elements(expected: Tensor, observed: Tensor, tolerance: float | Tensor) -> Iterator[tuple[int, int, float]]:
    """Of each row that is out of tolerance, as `close_rows` has it: its position, the element that is farthest off, the scale."""
    difference = (observed - expected).abs()
    if isinstance(tolerance, float) and float(difference.max()) <= tolerance:  # no scale is below 1, and no comparison holds of NaN
        return
    sizes = largest_so_far(expected)
    limits = sizes * tolerance
    wrong = ~(difference <= limits.unsqueeze(1))  # what is not a number is wrong
    if bool(wrong.any()):
        for row in wrong.any(1).nonzero().flatten().tolist():
            yield row, int(difference[row].argmax()), float(sizes[row])


def largest_so_far(rows: Tensor) -> Tensor:
    """The size of the largest element of each row and those before it, at least 1."""
    return rows.abs().amax(1).cummax(0).values.clamp(min=1)


def _parameter_at(parameters: Sequence[Parameter], element: int) -> tuple[Parameter, int]:
    """The parameter at a place in the flat vector of all, and which of its elements it is."""
    for parameter in parameters:
        if element < parameter.size:
            return parameter, element
        element -= parameter.size
    raise IndexError(f"{element} elements beyond the last parameter")


def flat_rows(rows: Sequence[Sequence[float | Tensor | None]], trainable: Tensor, rest: Tensor) -> Tensor:
    """The reference loop's coordinates of each update as flat vectors over all elements, shape [updates, elements].

    Args:
        rows: of each update, floats (one an element), or one flat tensor of the trainable elements.
        trainable: which elements are trainable.
        rest: what stands at the others, and where a coordinate is None.
    """
    if isinstance(rows[0][0], Tensor):
        flat = rest.repeat(len(rows), 1)
        flat[:, trainable] = torch.stack([row[0] for row in rows if isinstance(row[0], Tensor)]).to(flat.dtype)
        return flat
    others: list[float] = rest.tolist()
    return torch.tensor(
        [[other if each is None else float(each) for each, other in zip(row, others, strict=True)] for row in rows], dtype=torch.float64
    )


def noisy_elements(rule: optimizers.Rule, gradients: Tensor, pulls: Tensor, precision: torch.finfo, tolerance: float) -> Tensor | None:
    """Which elements of which updates an optimizer may have moved by rounding alone, in this update or one before it; None: none.

    Adaptive optimizers divide by the size of what they are given. Where gradient and weight decay nearly cancel, where the square of a
    gradient is too small to be held, and where a centered variance nearly vanishes, what is left is rounding: they make it a whole step.

    Args:
        pulls: what weight decay adds to the gradients, of their shape [updates, elements].
        precision: of the numbers that the optimizer works with. Rounding enlarged to a quarter of the tolerance is no longer judged.
    """
    if not isinstance(rule, (optimizers.AdamW, optimizers.Adagrad, optimizers.RMSprop)):
        return None
    most, least = tolerance / (4 * precision.eps), 1e3 * math.sqrt(precision.tiny)
    centered = isinstance(rule, optimizers.RMSprop) and rule.centered
    decoupled = isinstance(rule, optimizers.AdamW) or not bool(pulls.any())
    harmless = least < rule.eps * tolerance / 4  # what is so small counts for nothing beside epsilon
    if decoupled and harmless and not centered:
        return None
    sums = gradients if decoupled else gradients + pulls
    sizes = sums.abs()
    noisy = torch.maximum(gradients.abs(), pulls.abs()) > most * sizes if not decoupled else torch.zeros_like(sums, dtype=torch.bool)
    if not harmless:
        noisy |= (sizes > 0) & (sizes < least)
    if isinstance(rule, optimizers.RMSprop) and centered:
        steps = torch.arange(len(sums), dtype=sums.dtype)
        ages = steps.unsqueeze(1) - steps
        shares = torch.where(ages < 0, 0.0, (1 - rule.alpha) * rule.alpha ** ages.clamp(min=0))
        squares = shares @ sums**2
        noisy |= squares > most * (squares - (shares @ sums) ** 2)
    return noisy.cummax(0).values if bool(noisy.any()) else None
