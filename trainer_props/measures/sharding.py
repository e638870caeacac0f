"""What is measured of the data, counts and state of several processes: the records are those of `one device`, and of the ranks in order."""

from __future__ import annotations

from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import MicroBatch, Record, Runs

BASELINE = "one device"
CLOCKS = ("runtime", "per_second")
OWN_LOSS = "train_loss"


def ranks(runs: Runs) -> list[Record]:
    """The records of the ranks, in order."""
    return [runs[name] for name in runs if name != BASELINE]


def batches_of_pass(record: Record, epoch: int) -> list[list[int]]:
    """The samples of the training micro-batches of a pass over the data."""
    return [list(batch.samples or ()) for batch in record.batches if batch.epoch == epoch]


@measure
def in_turns(runs: Runs, epoch: int) -> list[int]:
    """The samples of a pass over the data, micro-batch by micro-batch, and of each of these rank by rank."""
    shares = [batches_of_pass(each, epoch) for each in ranks(runs)]
    return [sample for batches in zip(*shares, strict=False) for batch in batches for sample in batch]


@measure
def rows_of_batches(runs: Runs, rank: int, epoch: int) -> list[int]:
    """The rows of each training micro-batch of a rank in a pass over the data."""
    return [len(batch) for batch in batches_of_pass(ranks(runs)[rank], epoch)]


def windows_of_pass(record: Record, epoch: int, accumulation: int) -> list[list[int]]:
    """The samples of each so many micro-batches of a pass over the data."""
    batches = batches_of_pass(record, epoch)
    starts = range(0, len(batches), accumulation)
    return [[sample for batch in batches[start : start + accumulation] for sample in batch] for start in starts]


@measure
def rows_of_windows(runs: Runs, epoch: int, accumulation: int) -> list[int]:
    """How many different samples each so many micro-batches of a pass have, all ranks together."""
    shares = [windows_of_pass(each, epoch, accumulation) for each in ranks(runs)]
    return [len({sample for window in windows for sample in window}) for windows in zip(*shares, strict=False)]


def items_given(record: Record) -> list[float | None]:
    """The `num_items_in_batch` that each training micro-batch got."""
    return [batch.items for batch in record.batches]


@measure
def items(runs: Runs, rank: int) -> list[float | None]:
    """The `num_items_in_batch` that each training micro-batch of a rank got."""
    return items_given(ranks(runs)[rank])


def final(record: Record, name: str) -> Any:
    """Something of the state at the end of a run."""
    return record.state.get(name)


@measure
def tokens_seen(runs: Runs) -> list[int | None]:
    """`num_input_tokens_seen` at the end, on each rank."""
    return [final(each, "num_input_tokens_seen") for each in ranks(runs)]


def tokens_of(batch: MicroBatch, padding: bool) -> int:
    """The tokens of a micro-batch, with or without padding."""
    return batch.tokens if padding or batch.masked_tokens is None else batch.masked_tokens


def tokens_trained_on(record: Record, padding: bool) -> int:
    """The tokens of all training micro-batches of a run, with or without padding."""
    return sum(tokens_of(batch, padding) for batch in record.batches)


@measure
def tokens_on_all_ranks(runs: Runs, padding: bool) -> list[int]:
    """The tokens of all training micro-batches of all ranks, with or without padding, as often as there are ranks."""
    return [sum(tokens_trained_on(each, padding) for each in ranks(runs)) for _ in ranks(runs)]


def shared_logs(record: Record) -> list[list[Any]]:
    """Names and values of each entry of the log history, without times and the loss of the whole training: each rank has its own."""
    return [
        [part for name, value in entry.items() if name != OWN_LOSS and not any(clock in name for clock in CLOCKS) for part in (name, value)]
        for entry in record.log_history
    ]


@measure
def log_history(runs: Runs, rank: int) -> list[list[Any]]:
    """Names and values of each entry of a rank's log history, without times and the loss of the whole training."""
    return shared_logs(ranks(runs)[rank])


@measure
def states(runs: Runs, name: str) -> list[Any]:
    """Something of the state of each rank at the end."""
    return [final(each, name) for each in ranks(runs)]


def events_of(record: Record) -> list[list[Any]]:
    """The events of a run: name, step, and the flags of the control at that moment."""
    return [[event.name, event.step, event.flags] for event in record.events]


@measure
def events(runs: Runs, rank: int) -> list[list[Any]]:
    """The events of a rank: name, step, and the flags of the control at that moment."""
    return events_of(ranks(runs)[rank])


def files_of_its_own(record: Record) -> Any:
    """The files of each checkpoint that the rank of a record wrote into a directory of its own."""
    return record.results.get("own_files")


def seeds_of_workers(record: Record) -> list[list[int]]:
    """The seeds that the workers of a rank have."""
    return record.results.get("worker_seeds") or []


@measure
def own_files(runs: Runs, rank: int) -> Any:
    """The files of each checkpoint that a rank wrote into a directory of its own."""
    return files_of_its_own(ranks(runs)[rank])


@measure
def seeds_used_twice(runs: Runs, kind: int) -> list[int]:
    """The seeds, or first random numbers, that several workers have, all ranks together: of torch (0), Python (1) or numpy (2)."""
    found = [worker[kind] for each in ranks(runs) for worker in seeds_of_workers(each)]
    return sorted({seed for seed in found if found.count(seed) > 1})


def of_prepared(record: Record, name: str, what: str) -> Any:
    """Something of a loader of one's own that the accelerator prepared."""
    return record.results["prepared"][name][what]


@measure
def prepared_batches(runs: Runs, rank: int, name: str) -> Any:
    """The rows of each batch that a rank gets of a loader of one's own that the trainer's accelerator prepared."""
    return of_prepared(ranks(runs)[rank], name, "batches")


@measure
def prepared_length(runs: Runs, rank: int, name: str) -> Any:
    """The length that such a loader tells."""
    return of_prepared(ranks(runs)[rank], name, "length")
