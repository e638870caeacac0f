"""The gradient of one update: a closed form for lines under squared error, and autograd over a copy of any module.

Micro-batches of an update are averaged in one of two ways:

- `mean_per_batch`: each micro-batch has a loss of its own, a mean, and the update's loss is the mean of these.
- `sum_over_items`: each micro-batch's loss is a sum divided by the number of items in the whole update (`num_items_in_batch`), and the
  update's loss is the sum of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import mul
from typing import Any, Final, Literal, NamedTuple

import torch
from torch import Tensor, nn

Reduction = Literal["mean_per_batch", "sum_over_items"]
REDUCTIONS: Final[tuple[Reduction, ...]] = ("mean_per_batch", "sum_over_items")


class WindowGradient(NamedTuple):
    """What the micro-batches of one update yield together.

    Attributes:
        losses: of each micro-batch, as the model reports it.
        loss: of the update, as the Trainer reports it.
        gradient: of `loss` with respect to each coordinate of the weights; None for one that has none.
    """

    losses: list[float]
    loss: float
    gradient: list[Any]


Gradient = Callable[[Sequence[Any], Any], WindowGradient]
"""From the coordinates of the weights and the micro-batches of one update to what these yield."""


class Points(NamedTuple):
    """One micro-batch of a model that is linear in two coefficients a and b, under squared error.

    Attributes:
        slopes: what a is multiplied by, for every label.
        intercepts: what b is multiplied by, for every label; all 1 for the line y = a * x + b.
        labels: what a * slope + b * intercept should be.
        items: what a mean over the micro-batch is divided by. Fewer than labels if a row has several of them, whose errors are added.
    """

    slopes: Sequence[float]
    intercepts: Sequence[float]
    labels: Sequence[float]
    items: int


def squared_error(reduction: Reduction = "mean_per_batch", *, trainable: tuple[bool, bool] = (True, True)) -> Gradient:
    """The closed form for two coefficients under squared error: coordinates [a, b] and gradients are floats, windows are lists of `Points`.

    Args:
        reduction: how micro-batches are averaged.
        trainable: whether a and b have gradients.
    """
    per_item = reduction == "sum_over_items"
    has_a, has_b = trainable

    def gradient(weights: Sequence[float], window: Sequence[Points]) -> WindowGradient:
        a, b = weights
        whole = sum([points.items for points in window]) if per_item else 0
        losses = []
        for_a = for_b = 0.0
        for slopes, intercepts, labels, items in window:
            residuals = [a * slope + b * intercept - label for slope, intercept, label in zip(slopes, intercepts, labels, strict=True)]
            weight = 1 / (whole or items)
            losses.append(sum(map(mul, residuals, residuals)) * weight)
            for_a += sum(map(mul, residuals, slopes)) * weight
            for_b += sum(map(mul, residuals, intercepts)) * weight
        share = 1.0 if per_item else 1 / len(window)
        return WindowGradient(losses, sum(losses) * share, [2 * for_a * share if has_a else None, 2 * for_b * share if has_b else None])

    return gradient


Losses = Callable[[nn.Module, Any], Iterable[Tensor]]
"""From a module and a window to the loss of each of its micro-batches. A generator keeps one graph alive at a time."""


def autograd(module: nn.Module, losses: Losses, reduction: Reduction = "mean_per_batch") -> Gradient:
    """The gradient by running a module. Coordinates: one, the flat vector of all trainable parameters in the module's order.

    A slice of a parameter that no loss of the window depends on is zero.

    Args:
        module: a copy that is nobody else's; its parameters are overwritten. It is put in training mode.
        losses: the losses of a window. For `sum_over_items` they are already divided by the items of the whole window.
        reduction: how micro-batches are averaged.
    """
    module.train()
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]

    def gradient(weights: Sequence[Tensor], window: Any) -> WindowGradient:
        with torch.no_grad():
            nn.utils.vector_to_parameters(weights[0], parameters)
        for parameter in parameters:
            parameter.grad = None
        parts_of_mean = 1 if reduction == "sum_over_items" else len(window)
        values = []
        for loss in losses(module, window):
            values.append(loss.item())
            (loss / parts_of_mean).backward()
        parts = [torch.zeros_like(parameter) if parameter.grad is None else parameter.grad for parameter in parameters]
        return WindowGradient(values, sum(values) / parts_of_mean, [nn.utils.parameters_to_vector(parts)])

    return gradient
