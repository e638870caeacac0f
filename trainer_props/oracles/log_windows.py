"""Logged losses: means over the updates since the last log.

Source: the docstrings of TrainingArguments (`logging_steps`, `logging_nan_inf_filter`) and of `Trainer.train` (`train_loss`).

A micro-batch's share of its update's loss is its loss divided by the number of micro-batches of the window, where the loss is a mean
over the micro-batch (`mean_per_batch`), or its loss itself, where it has already been divided by the items of the whole window
(`sum_over_items`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainer_props.oracles.accounting import Window

MEAN_PER_BATCH = "mean_per_batch"
SUM_OVER_ITEMS = "sum_over_items"


@dataclass(frozen=True)
class LoggedLoss:
    """What is logged at a step.

    Attributes:
        step: the update after which it is logged.
        value: the mean over the updates since the last log; None if nothing can be said (the filter left no loss).
        low, high: the least and the greatest mean that any replacement of filtered losses by averages of finite ones can give.
        filtered: number of losses that the filter left out.
    """

    step: int
    value: float | None
    low: float | None
    high: float | None
    filtered: int


def logged_losses(
    windows: Sequence[Window],
    losses: Sequence[float],
    steps: Iterable[int],
    *,
    reduction: str = MEAN_PER_BATCH,
    nan_filter: bool = True,
) -> list[LoggedLoss]:
    """The loss of every log.

    Args:
        windows: of the run, see `accounting.windows`.
        losses: of every training micro-batch, as forward returned it, in order.
        steps: updates after which is logged, increasing.
        reduction: `mean_per_batch` or `sum_over_items`.
        nan_filter: `logging_nan_inf_filter`: NaN and infinite losses are left out, the mean is over the finite ones.

    Raises:
        ValueError: the windows have more micro-batches than there are losses, or the reduction is unknown.
    """
    weighted = _weighted(windows, losses, reduction)
    found, before = [], 0
    for step in steps:
        found.append(_mean(step, weighted[before:step], step - before, nan_filter))
        before = step
    return found


def train_loss(
    windows: Sequence[Window], losses: Sequence[float], *, reduction: str = MEAN_PER_BATCH, nan_filter: bool = True
) -> LoggedLoss:
    """The mean over all updates of a call of `train`; no value if there was none. Arguments as for `logged_losses`."""
    return _mean(len(windows), _weighted(windows, losses, reduction), len(windows), nan_filter)


def update_losses(windows: Sequence[Window], losses: Sequence[float], *, reduction: str = MEAN_PER_BATCH) -> list[float]:
    """The loss of every update, nothing filtered. Arguments as for `logged_losses`."""
    return [math.fsum(share for share, _ in shares) if _finite(shares) else sum(share for share, _ in shares)
            for shares in _weighted(windows, losses, reduction)]


Shares = list[tuple[float, float]]
"""Of every micro-batch of one update: its share of the loss, and its weight (the weights of an update sum to 1)."""


def _weighted(windows: Sequence[Window], losses: Sequence[float], reduction: str) -> list[Shares]:
    if reduction not in (MEAN_PER_BATCH, SUM_OVER_ITEMS):
        raise ValueError(f"reduction must be {MEAN_PER_BATCH!r} or {SUM_OVER_ITEMS!r}, not {reduction!r}")
    if len(losses) < sum(window.batches for window in windows):
        raise ValueError(f"{len(losses)} losses for {sum(window.batches for window in windows)} micro-batches")
    found, position = [], 0
    for window in windows:
        divisor = window.batches if reduction == MEAN_PER_BATCH else 1
        found.append([(loss / divisor, 1 / window.batches) for loss in losses[position : position + window.batches]])
        position += window.batches
    return found


def _finite(shares: Shares) -> bool:
    return all(math.isfinite(share) for share, _ in shares)


def _mean(step: int, updates: Sequence[Shares], count: int, nan_filter: bool) -> LoggedLoss:
    pairs = [pair for shares in updates for pair in shares]
    if not pairs:
        return LoggedLoss(step, None, None, None, 0)
    kept = [pair for pair in pairs if math.isfinite(pair[0])]
    if len(kept) == len(pairs):
        value = math.fsum(share for share, _ in pairs) / count
        return LoggedLoss(step, value, value, value, 0)
    if not nan_filter:
        value = sum(share for share, _ in pairs) / count
        return LoggedLoss(step, value, value, value, 0)
    if not kept:
        return LoggedLoss(step, None, None, None, len(pairs))
    ratios = [share / weight for share, weight in kept]
    value = math.fsum(share for share, _ in kept) / math.fsum(weight for _, weight in kept)
    return LoggedLoss(step, value, min(ratios), max(ratios), len(pairs) - len(kept))
