"""A training loop in its plainest form: for every update the gradient, its norm, clipping, the optimizer's rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from trainer_props.oracles.clipping import clip_factor, total_norm
from trainer_props.oracles.gradients import Gradient
from trainer_props.oracles.optimizers import Rule


@dataclass(frozen=True)
class Plan:
    """What happens to the gradients of a run.

    Attributes:
        rule: makes the optimizer's rule for each coordinate.
        learning_rates: of each update.
        max_grad_norm: gradients above this norm are scaled down to it; 0 switches clipping off.
        weight_decay: of each coordinate (a float, or a tensor of the coordinate's shape), None for one that is not decayed.
    """

    rule: Callable[[], Rule]
    learning_rates: Sequence[float]
    max_grad_norm: float
    weight_decay: Sequence[Any]


class ReferenceUpdate(NamedTuple):
    """What one update should be.

    Attributes:
        losses: of each micro-batch.
        loss: of the update, as the Trainer reports it.
        gradient_norm: before clipping.
        gradient: of each coordinate, after clipping; None for one that has none.
        weights: the coordinates after the update.
    """

    losses: list[float]
    loss: float
    gradient_norm: float
    gradient: list[Any]
    weights: list[Any]


def train(
    gradient: Gradient, weights: Sequence[Any], windows: Sequence[Any], plan: Plan, *, at: Sequence[Sequence[Any]] | None = None
) -> list[ReferenceUpdate]:
    """The updates of a run.

    Args:
        gradient: from the weights and the micro-batches of one update to its losses and gradient (see `gradients`).
        weights: the coordinates before the first update: floats, or flat tensors.
        windows: the micro-batches of each update. Updates are predicted as long as there are windows and learning rates.
        at: the weights at which the gradient of each update is taken, in place of the predicted ones. With the weights that a run really
            had, rounding does not build up over the updates, and a model is not run on weights that it never had.
    """
    rules = [plan.rule() for _ in weights]
    current = list(weights)
    updates = []
    for index, (window, learning_rate) in enumerate(zip(windows, plan.learning_rates, strict=False)):
        losses, loss, parts = gradient(current if at is None else at[index], window)
        norm = total_norm([part for part in parts if part is not None])
        factor = clip_factor(norm, plan.max_grad_norm)
        if factor != 1.0:
            parts = [None if part is None else part * factor for part in parts]
        current = [
            weight if part is None else rule.step(weight, part, learning_rate, decay)
            for rule, weight, part, decay in zip(rules, current, parts, plan.weight_decay, strict=True)
        ]
        updates.append(ReferenceUpdate(losses, loss, norm, parts, current))
    return updates


def apply(gradients: Sequence[Sequence[Any]], before: Sequence[Sequence[Any]], plan: Plan) -> list[list[Any]]:
    """The weights that the optimizer's rule makes of the gradients that a run really used and the weights that it had before each update.

    Args:
        gradients: of each update, for each coordinate; None for one that has none.
        before: the coordinates before each update.
    """
    rules = [plan.rule() for _ in plan.weight_decay]
    return [
        [
            weight if part is None else rule.step(weight, part, learning_rate, decay)
            for rule, weight, part, decay in zip(rules, weights, parts, plan.weight_decay, strict=True)
        ]
        for parts, weights, learning_rate in zip(gradients, before, plan.learning_rates, strict=False)
    ]
