"""What is measured of a run and of one that goes on from its checkpoint: the records of the second have names that begin with `resumed`."""

from __future__ import annotations

from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record, Runs

RESUMED = "resumed "


def whole(runs: Runs) -> list[Record]:
    """The records of the ranks of the whole run."""
    return [runs[name] for name in runs if not name.startswith(RESUMED)]


def resumed(runs: Runs) -> list[Record]:
    """The records of the ranks of the run that went on."""
    return [runs[name] for name in runs if name.startswith(RESUMED)]


def how_it_ended(record: Record) -> str:
    """`it ends`, or what ended the run before."""
    if record.stuck is not None:
        return record.stuck
    return "it ends" if record.failure is None else f"{record.failure.kind}: {record.failure.message}"


@measure
def endings(runs: Runs) -> list[str]:
    """Of each rank of the run that went on: `it ends`, or what ended the run before."""
    return [how_it_ended(each) for each in resumed(runs)]


def told(record: Record, name: str) -> Any:
    """What was kept of a run under a name."""
    return record.results.get(name)


@measure
def steps_of_the_checkpoint(runs: Runs) -> list[int]:
    """The step of the checkpoint that each rank of the run that went on was given."""
    return [told(each, "resumed_from") for each in resumed(runs)]


def first_step(record: Record) -> int:
    """`global_step` when a run begins."""
    return record.events[0].step if record.events else 0


@measure
def first_steps(runs: Runs) -> list[int]:
    """`global_step` with which each rank of the run that went on begins."""
    return [first_step(each) for each in resumed(runs)]


def final(record: Record, name: str) -> Any:
    """Something of the state at the end of a run."""
    return record.state.get(name)


@measure
def states_of_the_whole(runs: Runs, name: str) -> list[Any]:
    """Something of the state of the first rank at the end of the whole run, as often as there are ranks in the other."""
    return [final(whole(runs)[0], name) for _ in resumed(runs)]


@measure
def states(runs: Runs, name: str) -> list[Any]:
    """Something of the state at the end of the run that went on, on each rank."""
    return [final(each, name) for each in resumed(runs)]


def batches_after(record: Record, updates: int) -> list[list[list[int]]]:
    """The samples of the micro-batches of each update after the first so many."""
    ends = [0, *(update.batches for update in record.updates)]
    spans = [record.batches[ends[index] : ends[index + 1]] for index in range(updates, len(record.updates))]
    return [[list(batch.samples or ()) for batch in span] for span in spans]


def windows_after(record: Record, updates: int) -> list[list[int]]:
    """The samples of each update after the first so many."""
    return [[sample for batch in batches for sample in batch] for batches in batches_after(record, updates)]


def together(windows: list[list[list[int]]]) -> list[list[int]]:
    """The samples of each update, all ranks together, in ascending order."""
    return [sorted(sample for samples in update for sample in samples) for update in zip(*windows, strict=False)]


@measure
def samples_of_the_whole(runs: Runs, updates: int) -> list[list[int]]:
    """The samples of each update of the whole run after the first so many, all ranks together, in ascending order."""
    return together([windows_after(each, updates) for each in whole(runs)])


@measure
def samples(runs: Runs) -> list[list[int]]:
    """The samples of each update of the run that went on, all ranks together, in ascending order."""
    return together([windows_after(each, 0) for each in resumed(runs)])


@measure
def batches_of_the_whole(runs: Runs, rank: int, updates: int) -> list[list[list[int]]]:
    """The samples of the micro-batches of each update of a rank of the whole run, after the first so many."""
    return batches_after(whole(runs)[rank], updates)


@measure
def batches(runs: Runs, rank: int) -> list[list[list[int]]]:
    """The samples of the micro-batches of each update of a rank of the run that went on."""
    return batches_after(resumed(runs)[rank], 0)


def weights_after(record: Record, update: int) -> list[float] | None:
    """The weights after an update, counted from 1; None if there is no such update."""
    return record.updates[update - 1].weights.tolist() if 0 < update <= len(record.updates) else None


@measure
def weights_of_the_whole(runs: Runs, update: int) -> list[float] | None:
    """The weights of the first rank of the whole run after an update, counted from 1."""
    return weights_after(whole(runs)[0], update)


@measure
def weights(runs: Runs, rank: int, update: int) -> list[float] | None:
    """The weights of a rank of the run that went on after an update, counted from 1 at the checkpoint."""
    return weights_after(resumed(runs)[rank], update)


def draws_from(record: Record, step: int) -> list[list[float]]:
    """The random numbers at the beginning of each update from a step on: the step, and those of torch, Python and numpy."""
    return [each for each in record.results.get("draws") or [] if each[0] >= step]


@measure
def draws_of_the_whole(runs: Runs, rank: int, step: int) -> list[list[float]]:
    """The random numbers of a rank of the whole run at the beginning of each update from a step on."""
    return draws_from(whole(runs)[rank], step)


@measure
def draws(runs: Runs, rank: int) -> list[list[float]]:
    """The random numbers of a rank of the run that went on at the beginning of each update."""
    return draws_from(resumed(runs)[rank], 0)
