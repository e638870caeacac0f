"""What is measured of a run whose callback sets control flags.

An update averages over the micro-batches since the update before, as far as they are of the same epoch as its last one: what an epoch stop
has left of a window is none of them.
"""

from __future__ import annotations

import math
from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record

TRAINING = (
    "on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_step_begin", "on_substep_end", "on_pre_optimizer_step",
    "on_optimizer_step", "on_step_end", "on_prediction_step", "on_evaluate", "on_log", "on_save",
)  # fmt: skip


@measure
def flags_at_events(record: Record, count: int) -> list[list[str]]:
    """Of the first events of training: the name, and the letters of the flags that are set when it is sent (l: log, v: evaluate, k: save,
    e: stop the epoch, t: stop training).
    """
    return [[event.name, event.flags] for event in record.events if event.name in TRAINING][:count]


@measure
def epochs_at_events(record: Record, count: int) -> list[float | None]:
    """`state.epoch` at the first events of training."""
    return [event.epoch for event in record.events if event.name in TRAINING][:count]


def losses_of_updates(record: Record, reduction: str) -> list[float]:
    """The loss of each update: the mean of its micro-batches' losses (`mean_per_batch`), or their sum (`sum_over_items`)."""
    found, first = [], 0
    for update in record.updates:
        batches = record.batches[first : update.batches]
        own = [math.nan if batch.loss is None else batch.loss for batch in batches if batch.epoch == batches[-1].epoch]
        found.append(sum(own) / (1 if reduction == "sum_over_items" or not own else len(own)))
        first = update.batches
    return found


def loss_logs(record: Record) -> list[dict[str, Any]]:
    """The entries of the log history that hold a training loss."""
    return [entry for entry in record.log_history if "loss" in entry]


@measure
def logged_losses(record: Record) -> list[float]:
    """The training losses that were logged."""
    return [entry["loss"] for entry in loss_logs(record)]


@measure
def mean_losses(record: Record, reduction: str) -> list[float]:
    """For each log of the training loss the mean loss of the updates since the log before."""
    losses = losses_of_updates(record, reduction)
    found, before = [], 0
    for entry in loss_logs(record):
        since = losses[before : entry["step"]]
        found.append(sum(since) / len(since) if since else math.nan)
        before = entry["step"]
    return found


@measure
def training_loss(record: Record) -> float | None:
    """The training loss that `train()` returned."""
    return record.training_loss


@measure
def mean_loss_of_updates(record: Record, reduction: str) -> float:
    """The mean loss of all updates."""
    losses = losses_of_updates(record, reduction)
    return sum(losses) / len(losses) if losses else math.nan
