"""What is measured of single ranks of a run on many devices, each of which was played by itself. Records are called `rank 3`."""

from __future__ import annotations

from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record, Runs

ENDED = "it ends"


def ending(record: Record) -> str:
    """`it ends`, or what ended the run before."""
    if record.stuck is not None:
        return record.stuck
    return ENDED if record.failure is None else f"{record.failure.kind}: {record.failure.message}"


@measure
def endings(runs: Runs) -> list[str]:
    """Of each rank: `it ends`, or what ended the run before."""
    return [ending(each) for each in runs.values()]


def kept(record: Record, name: str) -> Any:
    """What was kept of a run under a name."""
    return record.results.get(name)


@measure
def told(runs: Runs, name: str) -> list[Any]:
    """What was kept of each rank under a name: `process_index`, `should_save` and the like."""
    return [kept(each, name) for each in runs.values()]


def said(record: Record, name: str) -> Any:
    """What the state of a run says under a name at its end."""
    return record.state.get(name)


@measure
def states(runs: Runs, name: str) -> list[Any]:
    """What the state of each rank says under a name at its end."""
    return [said(each, name) for each in runs.values()]


def steps(record: Record) -> int | None:
    """`global_step` at the end of a run."""
    return record.global_step


@measure
def steps_at_the_end(runs: Runs) -> list[int | None]:
    """`global_step` of each rank at the end."""
    return [steps(each) for each in runs.values()]


def micro_batches_at_updates(record: Record) -> list[int]:
    """Micro-batches seen at each update."""
    return [update.batches for update in record.updates]


@measure
def micro_batches(runs: Runs, name: str) -> list[int]:
    """Micro-batches that a rank has seen at each update."""
    return micro_batches_at_updates(runs[name])


@measure
def planned_updates(runs: Runs, name: str, planned: list[Any]) -> list[Any]:
    """What is planned for updates, as far as a rank has come."""
    return planned[: len(micro_batches_at_updates(runs[name]))]


def rows_of_micro_batches(record: Record) -> list[int]:
    """Rows of each micro-batch."""
    return [batch.size for batch in record.batches]


@measure
def rows(runs: Runs, name: str) -> list[int]:
    """Rows of each micro-batch of a rank."""
    return rows_of_micro_batches(runs[name])


@measure
def planned_micro_batches(runs: Runs, name: str, planned: list[Any]) -> list[Any]:
    """What is planned for micro-batches, as far as a rank has come."""
    return planned[: len(rows_of_micro_batches(runs[name]))]


def samples_of_micro_batches(record: Record) -> list[list[int]]:
    """The samples of each micro-batch, in order."""
    return [list(batch.samples or ()) for batch in record.batches]


@measure
def samples(runs: Runs, name: str) -> list[list[int]]:
    """The samples of each micro-batch of a rank, in order."""
    return samples_of_micro_batches(runs[name])


@measure
def contradictions(runs: Runs, epoch: int, shares: dict[str, list[list[int]]]) -> list[int]:
    """Positions of a pass at which several samples were seen, or a sample that was seen at another position too, in order.

    `shares` has the positions of the micro-batches of the pass, by rank.
    """
    pairs = set()
    for name, share in shares.items():
        seen = samples_of_micro_batches(runs[name])[epoch * len(share) : (epoch + 1) * len(share)]
        for places, found in zip(share, seen, strict=False):
            pairs |= set(zip(places, found, strict=False))
    places, found = [place for place, _ in pairs], [sample for _, sample in pairs]
    return sorted({place for place, sample in pairs if places.count(place) > 1 or found.count(sample) > 1})


@measure
def shared(runs: Runs, epoch: int, rounds: dict[str, list[int]]) -> list[int]:
    """Samples that several ranks saw in a pass, in order. `rounds` has, by rank, the micro-batches of a pass and how many of them count."""
    seen = []
    for name, (whole, counting) in rounds.items():
        batches = samples_of_micro_batches(runs[name])[epoch * whole : epoch * whole + counting]
        seen.append({sample for batch in batches for sample in batch})
    together = [sample for each in seen for sample in each]
    return sorted({sample for sample in together if together.count(sample) > 1})


@measure
def repeated(runs: Runs, epoch: int, rounds: int) -> int:
    """How often the ranks that were played saw a sample again that one of them had seen in the same pass."""
    seen = [
        sample
        for each in runs.values()
        for batch in samples_of_micro_batches(each)[epoch * rounds : (epoch + 1) * rounds]
        for sample in batch
    ]
    return len(seen) - len(set(seen))


def files_of(record: Record) -> Any:
    """The files of each checkpoint, by its name."""
    return record.results.get("files")


@measure
def files(runs: Runs, name: str) -> Any:
    """The files of each checkpoint that a rank wrote, by its name."""
    return files_of(runs[name])


@measure
def checkpoints(runs: Runs, name: str) -> list[str]:
    """The checkpoints that a rank wrote something into."""
    return list(files_of(runs[name]) or ())


def steps_of_losses(record: Record) -> list[int]:
    """The steps of the log history that have a loss."""
    return [entry["step"] for entry in record.log_history if "loss" in entry]


@measure
def logged_steps(runs: Runs, name: str) -> list[int]:
    """The steps at which a rank logged a loss."""
    return steps_of_losses(runs[name])


@measure
def planned_logs(runs: Runs, name: str, planned: list[int]) -> list[int]:
    """The steps at which a loss is due, as far as a rank has come."""
    return [step for step in planned if step <= len(micro_batches_at_updates(runs[name]))]
