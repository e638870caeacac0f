"""What is measured of logs.

A log is counted among those of the training loss, from 0. A micro-batch's share of its update's loss is its loss divided by the number
of micro-batches of the update (reduction `mean_per_batch`), or its loss itself (`sum_over_items`).
"""

from __future__ import annotations

import math
from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record

SUMMARY = ("train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos", "train_loss")


def loss_logs(record: Record) -> list[dict[str, Any]]:
    """The entries of the log history that hold a training loss."""
    return [entry for entry in record.log_history if "loss" in entry]


def losses_of_updates(record: Record, reduction: str) -> list[list[float]]:
    """For each update the losses of its micro-batches as if each were the whole update: their mean is the loss of the update."""
    found, first = [], 0
    for update in record.updates:
        losses = [math.nan if batch.loss is None else batch.loss for batch in record.batches[first : update.batches]]
        found.append([loss * (len(losses) if reduction == "sum_over_items" else 1) for loss in losses])
        first = update.batches
    return found


def mean(values: list[float]) -> float | None:
    """The mean; None of nothing."""
    return sum(values) / len(values) if values else None


def updates_of_log(record: Record, log: int) -> list[int]:
    """Positions of the updates since the log before."""
    steps = [0, *[entry["step"] for entry in loss_logs(record)]]
    return list(range(steps[log], min(steps[log + 1], len(record.updates))))


@measure
def steps_of_logs(record: Record) -> list[int]:
    """Updates after which the training loss was logged."""
    return [entry["step"] for entry in loss_logs(record)]


@measure
def logged_losses(record: Record, logs: list[int]) -> list[float]:
    """The losses that these logs say."""
    entries = loss_logs(record)
    return [entries[log]["loss"] for log in logs]


@measure
def mean_losses(record: Record, logs: list[int], reduction: str) -> list[float | None]:
    """For each of these logs the mean loss of the updates since the log before."""
    losses = [sum(each) / len(each) for each in losses_of_updates(record, reduction)]
    return [mean([losses[update] for update in updates_of_log(record, log)]) for log in logs]


@measure
def log_is_among_finite_losses(record: Record, log: int, reduction: str, tolerance: float) -> bool:
    """Whether a logged loss lies between the least and the greatest finite loss of its updates; true if none is finite."""
    losses = losses_of_updates(record, reduction)
    finite = [loss for update in updates_of_log(record, log) for loss in losses[update] if math.isfinite(loss)]
    if not finite:
        return True
    low, high = min(finite), max(finite)
    room = tolerance * max(1.0, abs(low), abs(high))
    return bool(low - room <= loss_logs(record)[log]["loss"] <= high + room)


@measure
def log_says_that_no_loss_is_finite(record: Record, log: int, reduction: str, tolerance: float) -> bool:
    """Whether a logged loss is not finite, or lies between the least and the greatest finite loss of the run."""
    said = loss_logs(record)[log]["loss"]
    finite = [loss for update in losses_of_updates(record, reduction) for loss in update if math.isfinite(loss)]
    if not finite or not math.isfinite(said):
        return not math.isfinite(said)
    low, high = min(finite), max(finite)
    room = tolerance * max(1.0, abs(low), abs(high))
    return bool(low - room <= said <= high + room)


@measure
def training_loss(record: Record) -> float | None:
    """The training loss that `train()` returned."""
    return record.training_loss


@measure
def mean_loss_of_updates(record: Record, reduction: str) -> float | None:
    """The mean loss of all updates."""
    return mean([sum(each) / len(each) for each in losses_of_updates(record, reduction)])


@measure
def epochs_and_steps_of_logs(record: Record) -> list[list[Any]]:
    """Epoch and step of every entry of the log history."""
    return [[entry.get("epoch"), entry.get("step")] for entry in record.log_history]


@measure
def epochs_and_steps_of_log_events(record: Record) -> list[list[Any]]:
    """`state.epoch` and `global_step` at every `on_log`."""
    return [[event.epoch, event.step] for event in record.events if event.name == "on_log"]


@measure
def history(record: Record) -> list[list[list[Any]]]:
    """The log history: of each entry its names and values, by name."""
    return [[[name, entry[name]] for name in sorted(entry)] for entry in record.log_history]


@measure
def logs_of_callbacks(record: Record) -> list[list[list[Any]]]:
    """What `on_log` was told: of each log its names and values, by name."""
    return [[[name, entry[name]] for name in sorted(entry)] for entry in record.logs]


@measure
def history_ends_with_a_summary(record: Record) -> bool:
    """Whether the last log, and what `train()` returned, say all that a summary of training says."""
    return bool(record.log_history) and all(name in record.log_history[-1] and name in record.metrics for name in SUMMARY)


@measure
def logged_summary(record: Record) -> list[Any]:
    """The summary of training in the last log."""
    return [record.log_history[-1].get(name) for name in SUMMARY]


@measure
def returned_summary(record: Record) -> list[Any]:
    """The summary of training that `train()` returned."""
    return [record.metrics.get(name) for name in SUMMARY]


def speeds(record: Record) -> list[float]:
    """The least and the greatest number of updates a second: run time is rounded to a tenth of a millisecond, the rate to a thousandth."""
    runtime, updates = record.metrics["train_runtime"], record.global_step or 0
    return [updates / (runtime + 6e-5) - 6e-4, updates / (runtime - 6e-5) + 6e-4 if runtime > 6e-5 else math.inf]


@measure
def speed_is_steps_over_runtime(record: Record) -> bool:
    """Whether `train_steps_per_second` is the number of updates over `train_runtime`, as far as both are rounded."""
    slowest, fastest = speeds(record)
    return bool(slowest <= record.metrics["train_steps_per_second"] <= fastest)


@measure
def tokens_seen(record: Record) -> Any:
    """`num_input_tokens_seen` at the end of the run."""
    return record.state["num_input_tokens_seen"]


def tokens_until(record: Record, kind: str, end: int) -> int:
    """Tokens of the first `end` micro-batches: elements of the main input, or those that are not padding (`non_padding`)."""
    total = 0
    for batch in record.batches[:end]:
        total += batch.masked_tokens if kind == "non_padding" and batch.masked_tokens is not None else batch.tokens
    return total


@measure
def tokens_of_batches(record: Record, kind: str) -> int:
    """Tokens of all micro-batches."""
    return tokens_until(record, kind, len(record.batches))


@measure
def tokens_in_logs(record: Record) -> list[int | None]:
    """`num_input_tokens_seen` of each log of the training loss."""
    return [entry.get("num_input_tokens_seen") for entry in loss_logs(record)]


@measure
def tokens_until_logs(record: Record, kind: str) -> list[int]:
    """Tokens of the micro-batches up to the update of each log of the training loss."""
    return [tokens_until(record, kind, record.updates[entry["step"] - 1].batches) for entry in loss_logs(record)]
