"""What is measured of an evaluation that was done in two ways. A run is named by `run`; rows are counted from 0."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record, Runs

CLOCK = ("runtime", "samples_per_second", "steps_per_second", "preparation_time")
"""How the names of metrics end that depend on the clock."""
OF_THE_STATE = ("epoch", "num_input_tokens_seen")
"""What a log adds to the metrics of an evaluation."""
PADDING = -100
ENDED = "it ends"


def last(runs: Runs) -> Record:
    """The run in the other way."""
    return runs[list(runs)[-1]]


def batches_of(values: Any) -> list[Any]:
    """What there is of each batch; one item where batches were put together."""
    return values if isinstance(values, list) else [values]


def outputs_of(batch: Any) -> tuple[Any, ...]:
    """The outputs of a batch, of which there may be several."""
    return batch if isinstance(batch, tuple) else (batch,)


def rows_of(values: Any, output: int) -> Iterator[Any]:
    """The rows of an output; of none where a batch has not so many."""
    for batch in batches_of(values):
        if len(outputs_of(batch)) > output:
            yield from outputs_of(batch)[output]


def flat(row: Any, length: int | None) -> list[float]:
    """A row, element after element, without what is beyond its own length (None: all of it)."""
    values: list[float] = (row if length is None else row[:length]).reshape(-1).tolist()
    return values


@measure
def ending(runs: Runs) -> str:
    """`it ends`, or what ended the evaluation in the other way before."""
    return how_it_ended(last(runs))


def how_it_ended(record: Record) -> str:
    """`it ends`, or what ended the run before."""
    if record.stuck is not None:
        return record.stuck
    failure = record.failure
    return ENDED if failure is None else f"{failure.kind}: {failure.message}"


@measure
def names_of_metrics(runs: Runs, run: str, call: str) -> list[str]:
    """The names of the metrics that a run's `evaluate` or `predict` returned; those of the clock, and of the training state, aside."""
    return names_of(runs[run], call)


def names_of(record: Record, call: str) -> list[str]:
    """The names of metrics, but for those of the clock and of the training state, which only what is logged has."""
    return sorted(name for name in record.results[call] if name not in OF_THE_STATE and not name.endswith(CLOCK))


@measure
def metric(runs: Runs, run: str, call: str, name: str) -> float | None:
    """A metric that a run's `evaluate` or `predict` returned, or None."""
    return metric_of(runs[run], call, name)


def metric_of(record: Record, call: str, name: str) -> float | None:
    """A metric, or None."""
    value: float | None = record.results[call].get(name)
    return value


@measure
def numbers_of_outputs(runs: Runs, run: str, name: str) -> list[int]:
    """How many outputs there are of each batch of `predictions`, or how many columns of `label_ids`; each number once."""
    return sorted({len(outputs_of(batch)) for batch in kept_of(runs[run], name)})


def kept_of(record: Record, name: str) -> list[Any]:
    """What there is of each batch; one item where batches were put together."""
    values = record.results[name]
    return [] if values is None else batches_of(values)


@measure
def number_of_rows(runs: Runs, run: str, name: str, output: int) -> int:
    """How many rows there are of an output of `predictions`, or of a column of `label_ids`."""
    return sum(1 for _ in rows_of(kept_of(runs[run], name), output))


@measure
def row(runs: Runs, run: str, name: str, output: int, index: int, length: int | None) -> list[float]:
    """A row of an output of `predictions`, or of a column of `label_ids`, as far as this length; empty if there is no such row."""
    found = [flat(each, length) for number, each in enumerate(rows_of(kept_of(runs[run], name), output)) if number == index]
    return found[0] if found else []


@measure
def wrong_padding(runs: Runs, run: str, lengths: Sequence[int | None]) -> list[float]:
    """What there is beyond the own lengths of rows of labels (of the first column) and is not -100."""
    found = zip(rows_of(kept_of(runs[run], "label_ids"), 0), lengths, strict=False)
    return [value for row, length in found if length is not None for value in row[length:].tolist() if value != PADDING]


@measure
def rows_that_are_kept(runs: Runs, run: str, name: str) -> list[Any]:
    """The rows that there are of `predictions` or `label_ids`; if they are a list of batches: `each`, and the rows of each batch."""
    values = kept_of(runs[run], name)
    sizes = [len(outputs_of(batch)[0]) for batch in values if outputs_of(batch)]
    return ["each", *sizes] if is_list(runs[run], name) else sizes


def is_list(record: Record, name: str) -> bool:
    """Whether batches were kept apart."""
    return isinstance(record.results[name], list)


@measure
def what_is_returned(runs: Runs, run: str) -> list[str]:
    """Which of `predictions`, `label_ids` and `metrics` of `compute_metrics` there are."""
    return returned(runs[run])


def returned(record: Record) -> list[str]:
    """What there is beside the loss."""
    there = {
        "predictions": record.results["predictions"] is not None,
        "label_ids": record.results["label_ids"] is not None,
        "metrics": "eval_rows" in record.results["evaluate"],
    }
    return [name for name, is_there in there.items() if is_there]


@measure
def inputs_given_to_metrics(runs: Runs, run: str, lengths: Sequence[int]) -> list[list[float]] | str:
    """The rows of inputs that `compute_metrics` was given, each as far as its own length goes; or what else was given."""
    return given_inputs(runs[run], lengths)


def given_inputs(record: Record, lengths: Sequence[int]) -> list[list[float]] | str:
    """The rows of inputs, or the names of all inputs if they came as a mapping."""
    given = [each.inputs for each in record.results["seen"]]
    if any(each is None for each in given):
        return "none"
    names = [", ".join(each) for each in given if hasattr(each, "keys")]
    if names:
        return f"a mapping of {names[0]}"
    found = [row for each in given for row in rows_of(each, 0)]
    return [row.reshape(-1)[:length].tolist() for row, length in zip(found, lengths, strict=False)]


@measure
def losses_given_to_metrics(runs: Runs, run: str) -> list[float]:
    """How many losses `compute_metrics` was given, and their mean."""
    return given_losses(runs[run])


def given_losses(record: Record) -> list[float]:
    """Number and mean of the losses."""
    given = [each.losses for each in record.results["seen"] if each.losses is not None]
    values = [float(value) for each in given for batch in batches_of(each) for value in batch]
    return [len(values), math.fsum(values) / max(1, len(values))]


@measure
def weights_before(runs: Runs, run: str) -> list[Any]:
    """The type of the weights in the beginning, and the weights."""
    return described(initial_weights(runs[run]))


@measure
def weights_afterwards(runs: Runs, run: str) -> list[Any]:
    """The type of the weights in the end, and the weights."""
    return described(final_weights(runs[run]))


def initial_weights(record: Record) -> Any:
    """The weights in the beginning."""
    return record.initial_weights


def final_weights(record: Record) -> Any:
    """The weights in the end."""
    return record.final_weights


def described(weights: Any) -> list[Any]:
    """Type and values."""
    return [str(weights.dtype), *weights.tolist()]
