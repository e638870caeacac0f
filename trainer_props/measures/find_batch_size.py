"""What is measured of a run that had to find its batch size (`searched`), of one that had it from the beginning (`fitting`), and of the
first one resumed (`resumed`). Of a run with several attempts the last one counts.
"""

from __future__ import annotations

from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record, Runs

CLOCKS = ("_runtime", "_per_second")


def begun_at(record: Record) -> int:
    """The training micro-batches before the last attempt."""
    return max((event.batches for event in record.events if event.name == "on_train_begin"), default=0)


def samples_in(record: Record) -> list[list[int]]:
    """The samples of each micro-batch of the last attempt."""
    return [list(batch.samples or ()) for batch in record.batches[begun_at(record) :]]


@measure
def samples(runs: Runs, name: str) -> list[list[int]]:
    """The samples of each micro-batch of the last attempt of a run."""
    return samples_in(runs[name])


def state_in(record: Record, names: list[str]) -> list[Any]:
    """Fields of the state at the end."""
    return [record.state.get(name) for name in names]


@measure
def state(runs: Runs, name: str, names: list[str]) -> list[Any]:
    """Fields of the state at the end of a run."""
    return state_in(runs[name], names)


def weights_in(record: Record) -> list[float]:
    """The weights at the end."""
    return [] if record.final_weights is None else [float(each) for each in record.final_weights]


@measure
def weights(runs: Runs, name: str) -> list[float]:
    """The weights at the end of a run."""
    return weights_in(runs[name])


def shape(record: Record) -> list[list[Any]]:
    """Step, epoch and names of each entry of the log history."""
    return [
        [entry["step"], entry.get("epoch"), *sorted(each for each in entry if not each.endswith(CLOCKS))] for entry in record.log_history
    ]


@measure
def entries(runs: Runs, name: str) -> list[list[Any]]:
    """Step, epoch and names of each entry of the log history of a run."""
    return shape(runs[name])


def logged_in(record: Record) -> list[float]:
    """All values in the log history that are not of a clock, name by name in each entry."""
    kept = [[entry[name] for name in sorted(entry) if not name.endswith(CLOCKS)] for entry in record.log_history]
    return [float(value) for entry in kept for value in entry if isinstance(value, (int, float))]


@measure
def logged(runs: Runs, name: str) -> list[float]:
    """All values in the log history of a run that are not of a clock, name by name in each entry."""
    return logged_in(runs[name])


def folders_in(record: Record) -> list[str]:
    """The checkpoints that are left."""
    return list(record.folders)


@measure
def folders(runs: Runs, name: str) -> list[str]:
    """The checkpoints that a run leaves."""
    return folders_in(runs[name])


def batch_size_in(record: Record) -> int | None:
    """`state.train_batch_size` at the end."""
    found: int | None = record.results.get("batch_size")
    return found


@measure
def batch_size(runs: Runs, name: str) -> int | None:
    """`state.train_batch_size` at the end of a run."""
    return batch_size_in(runs[name])


def saved_in(record: Record) -> list[int | None]:
    """`train_batch_size` in the last checkpoint."""
    return [(each.state or {}).get("train_batch_size") for each in record.checkpoints[-1:]]


@measure
def saved_batch_size(runs: Runs) -> list[int | None]:
    """`train_batch_size` in the last checkpoint of the run that had to find it."""
    return saved_in(runs["searched"])


def steps_in(record: Record) -> int | None:
    """`global_step` at the end."""
    return record.global_step


@measure
def steps(runs: Runs, name: str) -> int | None:
    """`global_step` at the end of a run."""
    return steps_in(runs[name])


def ending_of(record: Record) -> str:
    """`it ends`, or what ended the run before."""
    if record.stuck is not None:
        return record.stuck
    return "it ends" if record.failure is None else f"{record.failure.kind}: {record.failure.message}"


@measure
def ending(runs: Runs, name: str) -> str:
    """`it ends`, or what ended a run before."""
    return ending_of(runs[name])


def attempts_in(record: Record) -> int:
    """How often training began."""
    count: int = record.results["attempts"]
    return count


@measure
def attempts(runs: Runs, name: str) -> int:
    """How often a run began to train."""
    return attempts_in(runs[name])


@measure
def says_batch_size(runs: Runs) -> bool:
    """Whether the error that ended the run which had to find its batch size speaks of that."""
    return "batch size" in ending_of(runs["searched"]).lower()


def begun_weights(record: Record) -> list[dict[str, list[float]]]:
    """The weights with which each attempt begins."""
    found: list[dict[str, list[float]]] = record.results["begun_weights"]
    return found


@measure
def weights_of_an_attempt(runs: Runs, number: int) -> dict[str, list[float]]:
    """The weights with which an attempt begins, counted from 0."""
    return begun_weights(runs["searched"])[number]


def begun_states(record: Record) -> list[dict[str, dict[str, list[float]]]]:
    """What the optimizer keeps of each parameter when each attempt begins."""
    found: list[dict[str, dict[str, list[float]]]] = record.results["begun_states"]
    return found


@measure
def states_of_an_attempt(runs: Runs, number: int) -> dict[str, dict[str, list[float]]]:
    """What the optimizer keeps of each parameter when an attempt begins, counted from 0."""
    return begun_states(runs["searched"])[number]
