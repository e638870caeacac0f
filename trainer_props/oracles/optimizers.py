"""The update rules of the optimizers that torch itself implements, written out from their documented formulas.

A rule works on one coordinate: a float, or a tensor of any shape that is treated element by element. The formulas are the same for both,
so that a two-parameter model is predicted in plain floats, for a fraction of the price of tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from torch import Tensor


class Rule(Protocol):
    """An optimizer's state for one coordinate."""

    def step(self, weight: Any, gradient: Any, learning_rate: float, weight_decay: Any = None) -> Any:
        """The weight after one update.

        Args:
            weight: the coordinate before the update, a float or a tensor.
            gradient: of the loss with respect to it, of the same shape.
            learning_rate: of this update.
            weight_decay: coefficient, a float or a tensor of the same shape; None for a coordinate that is not decayed.
        """
        ...


class SGD:
    """Stochastic gradient descent with optional momentum: https://pytorch.org/docs/stable/generated/torch.optim.SGD.html."""

    __slots__ = ("buffer", "dampening", "momentum", "nesterov")

    def __init__(self, *, momentum: float = 0.0, dampening: float = 0.0, nesterov: bool = False) -> None:
        self.momentum, self.dampening, self.nesterov = momentum, dampening, nesterov
        self.buffer: Any = None

    def step(self, weight: Any, gradient: Any, learning_rate: float, weight_decay: Any = None) -> Any:
        """See `Rule.step`."""
        if weight_decay is not None:
            gradient = gradient + weight_decay * weight
        if self.momentum:
            # The documentation starts the buffer at the first gradient itself, without dampening.
            self.buffer = gradient if self.buffer is None else self.momentum * self.buffer + (1 - self.dampening) * gradient
            gradient = gradient + self.momentum * self.buffer if self.nesterov else self.buffer
        return weight - learning_rate * gradient


class AdamW:
    """Adam with decoupled weight decay: https://pytorch.org/docs/stable/generated/torch.optim.AdamW.html."""

    __slots__ = ("betas", "eps", "mean", "square", "steps")

    def __init__(self, *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        self.betas, self.eps = betas, eps
        self.mean: Any = 0.0
        self.square: Any = 0.0
        self.steps = 0

    def step(self, weight: Any, gradient: Any, learning_rate: float, weight_decay: Any = None) -> Any:
        """See `Rule.step`."""
        first, second = self.betas
        self.steps += 1
        if weight_decay is not None:
            weight = weight * (1 - learning_rate * weight_decay)
        self.mean = first * self.mean + (1 - first) * gradient
        self.square = second * self.square + (1 - second) * (gradient * gradient)
        scale = learning_rate / (1 - first**self.steps)
        return weight - scale * _divide(self.mean, _root(self.square) / math.sqrt(1 - second**self.steps) + self.eps)


class Adagrad:
    """Adagrad: https://pytorch.org/docs/stable/generated/torch.optim.Adagrad.html."""

    __slots__ = ("eps", "lr_decay", "square", "steps")

    def __init__(self, *, lr_decay: float = 0.0, eps: float = 1e-10) -> None:
        self.lr_decay, self.eps = lr_decay, eps
        self.square: Any = 0.0
        self.steps = 0

    def step(self, weight: Any, gradient: Any, learning_rate: float, weight_decay: Any = None) -> Any:
        """See `Rule.step`."""
        scale = learning_rate / (1 + self.steps * self.lr_decay)
        self.steps += 1
        if weight_decay is not None:
            gradient = gradient + weight_decay * weight
        self.square = self.square + gradient * gradient
        return weight - scale * _divide(gradient, _root(self.square) + self.eps)


class RMSprop:
    """RMSprop: https://pytorch.org/docs/stable/generated/torch.optim.RMSprop.html."""

    __slots__ = ("alpha", "buffer", "centered", "eps", "mean", "momentum", "square")

    def __init__(self, *, alpha: float = 0.99, eps: float = 1e-8, momentum: float = 0.0, centered: bool = False) -> None:
        self.alpha, self.eps, self.momentum, self.centered = alpha, eps, momentum, centered
        self.square: Any = 0.0
        self.mean: Any = 0.0
        self.buffer: Any = 0.0

    def step(self, weight: Any, gradient: Any, learning_rate: float, weight_decay: Any = None) -> Any:
        """See `Rule.step`."""
        if weight_decay is not None:
            gradient = gradient + weight_decay * weight
        self.square = self.alpha * self.square + (1 - self.alpha) * (gradient * gradient)
        spread = self.square
        if self.centered:
            self.mean = self.alpha * self.mean + (1 - self.alpha) * gradient
            spread = spread - self.mean * self.mean
        direction = _divide(gradient, _root(spread) + self.eps)
        if self.momentum:
            self.buffer = self.momentum * self.buffer + direction
            direction = self.buffer
        return weight - learning_rate * direction


class NoClosedForm(ValueError):
    """These arguments choose an optimizer, or an option of one, that has no rule here."""


@dataclass(frozen=True)
class _Family:
    """A rule and the options that `optim_args` may set for it, with how their text is read."""

    rule: Callable[..., Rule]
    options: Mapping[str, Callable[[str], Any]]


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


_FAMILIES: Final[dict[str, _Family]] = {
    "sgd": _Family(SGD, {"momentum": float, "dampening": float, "nesterov": _boolean}),
    "adagrad": _Family(Adagrad, {"lr_decay": float, "eps": float}),
    "rmsprop": _Family(RMSprop, {"alpha": float, "eps": float, "momentum": float, "centered": _boolean}),
    "adamw_torch": _Family(AdamW, {}),
    "adamw_torch_fused": _Family(AdamW, {}),
}
NAMES: Final = tuple(_FAMILIES)
"""The values of `optim` that have a rule."""


def rule_factory(
    optim: str, *, optim_args: str | None = None, adam_beta1: float = 0.9, adam_beta2: float = 0.999, adam_epsilon: float = 1e-8
) -> Callable[[], Rule]:
    """What makes a fresh rule for each coordinate, from the arguments of TrainingArguments with these names.

    `adam_beta1`, `adam_beta2` and `adam_epsilon` are documented for AdamW alone, `optim_args` (`"key=value, key=value"`) for the optimizers
    that take options of their own. Weight decay belongs to the parameter groups: the `weight_decay` of TrainingArguments decides.

    Raises:
        NoClosedForm: another optimizer, or an option that is not one of its rule's.
    """
    family = _FAMILIES.get(optim)
    if family is None:
        raise NoClosedForm(f"{optim} has no closed form here")
    options: dict[str, Any] = {}
    for assignment in (optim_args or "").replace(" ", "").split(","):
        if not assignment:
            continue
        name, _, text = assignment.partition("=")
        if name not in family.options:
            raise NoClosedForm(f"the option {name} of {optim} has no closed form here")
        try:
            options[name] = family.options[name](text)
        except ValueError:
            raise NoClosedForm(f"{text!r} is no value for {name} of {optim}") from None
    if family.rule is AdamW:
        options = {"betas": (adam_beta1, adam_beta2), "eps": adam_epsilon}
    return lambda: family.rule(**options)


def _root(value: Any) -> Any:
    """The square root; not a number below zero, as torch has it."""
    if isinstance(value, Tensor):
        return value.sqrt()
    return math.sqrt(value) if value >= 0 else math.nan


def _divide(numerator: Any, denominator: Any) -> Any:
    """The quotient by IEEE rules: a float divided by zero is infinite, or not a number."""
    if isinstance(denominator, float) and denominator == 0:
        return math.copysign(math.inf, numerator) if numerator else math.nan
    return numerator / denominator
