"""What is measured of steps and epochs."""

from __future__ import annotations

from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record

ENDED = "it ends"
REASONS = ("drop_last", "batch size", "batch_size", "empty", "no sample", "too small")


@measure
def ending(record: Record) -> str:
    """`it ends`, or what ended the run before."""
    if record.stuck is not None:
        return record.stuck
    if record.failure is not None:
        return f"{record.failure.kind}: {record.failure.message}"
    return ENDED


@measure
def refused_or_without_update(record: Record) -> bool:
    """Whether the run was refused with the reason that there is no batch, or came to its end without an update."""
    if record.stuck is not None:
        return False
    if record.failure is None:
        return record.global_step == 0
    text = record.failure.message.lower()
    return record.failure.kind == "ValueError" and any(word in text for word in REASONS)


@measure
def global_step(record: Record) -> int | None:
    """Updates that the run took, by its own account."""
    return record.global_step


@measure
def largest_step_of_events(record: Record) -> int:
    """The largest `global_step` of any event."""
    return max((event.step for event in record.events), default=0)


@measure
def number_of_batches(record: Record) -> int:
    """Training micro-batches that the model saw."""
    return len(record.batches)


@measure
def number_of_updates(record: Record) -> int:
    """Steps of the optimizer."""
    return len(record.updates)


@measure
def initial_weights(record: Record) -> list[float] | None:
    """The flat weights before training."""
    return None if record.initial_weights is None else record.initial_weights.tolist()


@measure
def final_weights(record: Record) -> list[float] | None:
    """The flat weights after training."""
    return None if record.final_weights is None else record.final_weights.tolist()


@measure
def batches_before_updates(record: Record) -> list[int]:
    """Micro-batches seen before each update."""
    return [update.batches for update in record.updates]


def ends_of_windows(updates: int, per_epoch: int, accumulation: int) -> list[int]:
    """Micro-batches seen after each of so many updates: each follows `accumulation` of them, or what is left of an epoch of `per_epoch`."""
    ends = [*range(accumulation, per_epoch, accumulation), per_epoch]
    return [update // len(ends) * per_epoch + ends[update % len(ends)] for update in range(updates)]


@measure
def batches_of_whole_windows(record: Record, per_epoch: int, accumulation: int) -> int:
    """Micro-batches of as many windows as the run took updates, by its own account."""
    return max(ends_of_windows(record.global_step or 0, per_epoch, accumulation), default=0)


@measure
def ends_of_whole_windows(record: Record, per_epoch: int, accumulation: int) -> list[int]:
    """Micro-batches of as many windows as there are steps of the optimizer, summed up."""
    return ends_of_windows(len(record.updates), per_epoch, accumulation)


@measure
def epochs_of_whole_windows(record: Record, first: int, per_epoch: int, accumulation: int) -> list[float]:
    """The epoch after each window, as many as there are ends of updates, from the one at position `first` on."""
    updates = sum(event.name == "on_step_end" for event in record.events)
    return [end / per_epoch for end in ends_of_windows(updates, per_epoch, accumulation)][first:]


@measure
def epochs_after_updates(record: Record, first: int) -> list[float | None]:
    """`state.epoch` after each update, from the one at position `first` on."""
    return [event.epoch for event in record.events if event.name == "on_step_end"][first:]


@measure
def epoch_of_event(record: Record, index: int) -> float | None:
    """`state.epoch` at an event."""
    return record.events[index].epoch


@measure
def epoch_before_event(record: Record, index: int) -> float:
    """`state.epoch` at the last event before this one that has an epoch; 0 if there is none."""
    return next((event.epoch for event in reversed(record.events[:index]) if event.epoch is not None), 0.0)


@measure
def state_entry(record: Record, name: str) -> Any:
    """A field of the state at the end of the run."""
    return record.state.get(name)


@measure
def state_entries(record: Record, names: list[str]) -> dict[str, Any]:
    """Fields of the state at the end of the run."""
    return {name: record.state.get(name) for name in names}
