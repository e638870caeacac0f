"""Learning-rate schedules that follow a metric, as small state machines over the values that the evaluations give.

Source: the documentation of `torch.optim.lr_scheduler.ReduceLROnPlateau` and the docstring of `transformers.optimization.GreedyLR`.
Both compare in the direction of their own `mode` (`min` unless `lr_scheduler_kwargs` says `max`): `greater_is_better` is no argument
of theirs.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final


def _is_better(value: float, best: float, mode: str, threshold: float, threshold_mode: str) -> bool:
    if mode == "min":
        return value < (best * (1 - threshold) if threshold_mode == "rel" else best - threshold)
    return value > (best * (1 + threshold) if threshold_mode == "rel" else best + threshold)


def _worst(mode: str) -> float:
    return math.inf if mode == "min" else -math.inf


@dataclass
class Plateau:
    """`reduce_lr_on_plateau`: the learning rate falls when the metric stops improving.

    More than `patience` values in a row that do not improve reduce it; then `cooldown` values do not count as bad.
    Attributes are those of torch's class, for one parameter group; `lr` is the present learning rate.
    """

    lr: float
    mode: str = "min"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    min_lr: float = 0.0
    eps: float = 1e-8
    best: float = field(init=False)
    bad: int = field(init=False, default=0)
    resting: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.best = _worst(self.mode)

    def see(self, value: float) -> float:
        """The learning rate after one more value."""
        if _is_better(value, self.best, self.mode, self.threshold, self.threshold_mode):
            self.best, self.bad = value, 0
        else:
            self.bad += 1
        if self.resting:
            self.resting, self.bad = self.resting - 1, 0
        if self.bad > self.patience:
            lower = max(self.lr * self.factor, self.min_lr)
            if self.lr - lower > self.eps:
                self.lr = lower
            self.resting, self.bad = self.cooldown, 0
        return self.lr


@dataclass
class Greedy:
    """`greedy`: the learning rate rises while the metric improves and falls when it does not.

    More than `patience` improvements in a row divide it by `factor`, as many failures multiply by it, within `min_lr` and `max_lr`. Values
    during `warmup` (after an increase) and `cooldown` (after a reduction) do not count. After `reset_start` reductions at the lower bound
    everything starts anew. Attributes are those of GreedyLR, for one parameter group.
    """

    lr: float
    mode: str = "min"
    factor: float = 0.95
    patience: int = 10
    threshold: float = 1e-6
    threshold_mode: str = "abs"
    cooldown: int = 0
    warmup: int = 0
    min_lr: float = 1e-3
    max_lr: float = 1.0
    eps: float = 1e-8
    smooth: bool = False
    window_size: int = 50
    reset_start: int = 500
    verbose: bool = False

    def __post_init__(self) -> None:
        self._first = self.lr
        self._start_anew()

    def _start_anew(self) -> None:
        self.lr, self.best, self.good, self.bad, self.resting = self._first, _worst(self.mode), 0, 0, 0
        self.left = self.reset_start
        self.recent: deque[float] = deque(maxlen=self.window_size)

    def see(self, value: float) -> float:
        """The learning rate after one more value."""
        if self.smooth:
            self.recent.append(value)
            value = math.fsum(self.recent) / len(self.recent)
        if self.resting:
            self.resting, self.good, self.bad = self.resting - 1, 0, 0
            return self.lr
        if _is_better(value, self.best, self.mode, self.threshold, self.threshold_mode):
            self.best, self.good, self.bad = value, self.good + 1, 0
        else:
            self.good, self.bad = 0, self.bad + 1
        if self.good > self.patience:
            self._raise()
        elif self.bad > self.patience:
            self._lower()
        return self.lr

    def _raise(self) -> None:
        higher = min(self.lr / self.factor, self.max_lr)
        if higher - self.lr > self.eps:
            self.lr = higher
        self.left, self.resting, self.good = self.reset_start, self.warmup, 0

    def _lower(self) -> None:
        lower = max(self.lr * self.factor, self.min_lr)
        if self.lr - lower > self.eps:
            self.lr = lower
        self.resting, self.bad = self.cooldown, 0
        if self.lr <= self.min_lr:
            self.left -= 1
            if self.left <= 0:
                rest = self.resting
                self._start_anew()
                self.resting = rest


_MACHINES: Final[dict[str, Callable[..., Plateau | Greedy]]] = {"reduce_lr_on_plateau": Plateau, "greedy": Greedy}
NAMES: Final = tuple(_MACHINES)
"""The schedules that this module knows."""


def learning_rates(name: str, lr: float, kwargs: Mapping[str, Any], total: int, metrics: Iterable[tuple[int, float]]) -> list[float]:
    """The learning rate that every update 1..total uses: an evaluation after update t acts from update t + 1 on.

    Args:
        name: `reduce_lr_on_plateau` or `greedy`.
        lr: the initial learning rate.
        kwargs: `lr_scheduler_kwargs`.
        total: number of updates.
        metrics: (update, value) of every evaluation, in order.
    """
    machine = _MACHINES[name](lr, **kwargs)
    values: dict[int, list[float]] = {}
    for update, value in metrics:
        values.setdefault(update, []).append(value)
    found = []
    for update in range(1, total + 1):
        found.append(machine.lr)
        for value in values.get(update, ()):
            machine.see(value)
    return found
