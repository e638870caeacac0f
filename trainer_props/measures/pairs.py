"""What is measured of two runs that differ in some arguments: each measure is given the name of the run that it looks at."""

from __future__ import annotations

from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record, Runs

BASELINE = "baseline"
CHANGED = "changed"
ENDED = "it ends"
CLOCKS = ("_runtime", "_per_second")


@measure
def ending(runs: Runs, name: str) -> str:
    """`it ends`, or what ended the run before."""
    return how_it_ended(runs[name])


def how_it_ended(record: Record) -> str:
    """`it ends`, or what ended the run before."""
    if record.stuck is not None:
        return record.stuck
    return ENDED if record.failure is None else f"{record.failure.kind}: {record.failure.message}"


@measure
def global_step(runs: Runs, name: str) -> int | None:
    """`global_step` at the end."""
    return step_at_the_end(runs[name])


def step_at_the_end(record: Record) -> int | None:
    """`global_step` at the end."""
    return record.global_step


@measure
def samples_of_updates(runs: Runs, name: str) -> list[list[int]]:
    """The samples of each update, in their order."""
    return samples_of(runs[name])


@measure
def sorted_samples_of_updates(runs: Runs, name: str) -> list[list[int]]:
    """The samples of each update, in ascending order."""
    return [sorted(samples) for samples in samples_of(runs[name])]


@measure
def samples_of_micro_batches(runs: Runs, name: str) -> list[list[int]]:
    """The samples of each micro-batch, in their order."""
    return samples_of_batches(runs[name])


def samples_of_batches(record: Record) -> list[list[int]]:
    """The samples of each micro-batch."""
    return [list(batch.samples or ()) for batch in record.batches]


def samples_of(record: Record) -> list[list[int]]:
    """The samples of the micro-batches of each update, all in a row."""
    found, begun = [], 0
    for update in record.updates:
        found.append([sample for batch in record.batches[begun : update.batches] for sample in batch.samples or ()])
        begun = update.batches
    return found


@measure
def learning_rates(runs: Runs, name: str) -> list[float]:
    """The learning rates of all updates and groups, in a row."""
    return rates(runs[name])


def rates(record: Record) -> list[float]:
    """The learning rates of all updates and groups, in a row."""
    return [rate for update in record.updates for rate in update.learning_rates]


@measure
def weight(runs: Runs, name: str, update: int, element: int) -> float:
    """A weight after an update (counted from 1): its place (from 0) among the elements of all parameters in a row."""
    return weight_after(runs[name], update, element)


def weight_after(record: Record, update: int, element: int) -> float:
    """A weight after an update."""
    return float(record.updates[update - 1].weights[element])


@measure
def gradient(runs: Runs, name: str, update: int, element: int) -> float | None:
    """The gradient that an update (counted from 1) used, of an element (from 0) among those of all parameters in a row."""
    return gradient_of(runs[name], update, element)


def gradient_of(record: Record, update: int, element: int) -> float | None:
    """The gradient that an update used."""
    used = record.updates[update - 1].gradient
    return None if used is None else float(used[element])


@measure
def entries_of_history(runs: Runs, name: str) -> list[list[Any]]:
    """Step and names of each entry of the log history."""
    return [[entry["step"], *sorted(entry)] for entry in history(runs[name])]


def history(record: Record) -> list[dict[str, Any]]:
    """The entries of the log history."""
    return record.log_history


@measure
def logged_values(runs: Runs, name: str, key: str) -> list[float]:
    """The values in the log history that have this name."""
    return [float(entry[key]) for entry in history(runs[name]) if key in entry]


@measure
def training_loss(runs: Runs, name: str) -> float | None:
    """The training loss that `train()` returned."""
    return returned_loss(runs[name])


def returned_loss(record: Record) -> float | None:
    """The training loss that `train()` returned."""
    return record.training_loss


@measure
def names_of_metrics(runs: Runs, name: str) -> list[str]:
    """The names of the metrics that `train()` returned, but for the number of tokens, which is there if it is asked for."""
    return names_returned(runs[name])


def names_returned(record: Record) -> list[str]:
    """The names of the metrics that `train()` returned."""
    return sorted(name for name in record.metrics if name != "num_input_tokens_seen")


@measure
def metric(runs: Runs, name: str, key: str) -> float | None:
    """A metric that `train()` returned."""
    return value_returned(runs[name], key)


def value_returned(record: Record, key: str) -> float | None:
    """A metric that `train()` returned."""
    value: float | None = record.metrics.get(key)
    return value


@measure
def logged_at(runs: Runs, name: str, key: str, steps: list[int]) -> list[float]:
    """The values in the log history that have this name, of these steps."""
    return [float(entry[key]) for entry in history(runs[name]) if key in entry and entry["step"] in steps]


@measure
def first_learning_rates(runs: Runs, name: str) -> list[float]:
    """The learning rates of the groups in the first update."""
    return first_rates(runs[name])


def first_rates(record: Record) -> list[float]:
    """The learning rates of the groups in the first update."""
    return [rate for update in record.updates[:1] for rate in update.learning_rates]


@measure
def first_event(runs: Runs, name: str) -> list[Any]:
    """`global_step` and `epoch` when the run begins."""
    return beginning(runs[name])


def beginning(record: Record) -> list[Any]:
    """`global_step` and `epoch` when a run begins."""
    return [record.events[0].step, record.events[0].epoch] if record.events else []


@measure
def history_without_clocks(runs: Runs, name: str) -> list[list[Any]]:
    """The log history without what a clock says: names and values of each entry, in alphabetical order."""
    return [[part for key in sorted(entry) if not key.endswith(CLOCKS) for part in (key, entry[key])] for entry in history(runs[name])]


@measure
def weight_at_the_beginning(runs: Runs, name: str, element: int) -> float:
    """A weight when the run begins: its place (from 0) among the elements of all parameters in a row."""
    return first_weight(runs[name], element)


def first_weight(record: Record, element: int) -> float:
    """A weight when a run begins."""
    return float(record.results["weights at the beginning"][element])


@measure
def weight_at_the_end(runs: Runs, name: str, element: int) -> float:
    """A weight when the run is over: its place (from 0) among the elements of all parameters in a row."""
    return last_weight(runs[name], element)


def last_weight(record: Record, element: int) -> float:
    """A weight when a run is over."""
    return float(record.final_weights[element])  # type: ignore[index]
