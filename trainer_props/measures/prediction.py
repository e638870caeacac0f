"""What is measured of predictions and of evaluations outside training. Rows are counted from 0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record

PADDING = -100
"""What rows are padded with that are shorter than others."""

CLOCK = ("runtime", "samples_per_second", "steps_per_second", "preparation_time")
"""How the names of metrics end that depend on the clock."""


SCORES = ("eval_score", "eval_first_score", "eval_second_score")
"""The metrics that are drawn to change, of the evaluation data or of two data sets by name."""


def rows_of(values: Any) -> Iterator[Any]:
    """Rows, as arrays, of the first output; batches that were not concatenated are walked through."""
    if isinstance(values, tuple):
        values = values[:1]
    if isinstance(values, (tuple, list)):
        for batch in values:
            yield from rows_of(batch)
    else:
        yield from values


def row_of(values: Any, row: int) -> Any:
    """A row, as an array; None if there are not so many."""
    return next((each for number, each in enumerate(rows_of(values)) if number == row), None)


@measure
def number_of_rows(record: Record, name: str) -> int:
    """How many rows there are of `predictions` (of the first output) or `label_ids`."""
    return sum(1 for _ in rows_of(record.results[name]))


@measure
def row_of_predictions(record: Record, row: int, shape: Sequence[int]) -> list[float]:
    """The beginning of a row of predictions, as far as this shape goes, element after element; empty if there is no such row."""
    found = row_of(record.results["predictions"], row)
    if found is None:
        return []
    numbers: list[float] = found[tuple(slice(0, size) for size in shape)].reshape(-1).tolist()
    return numbers


@measure
def row_is_padded(record: Record, row: int, start: int) -> bool:
    """Whether a row of predictions is nothing but padding from this position on."""
    found = row_of(record.results["predictions"], row)
    return found is not None and bool((found[start:] == PADDING).all())


@measure
def row_of_labels(record: Record, row: int, length: int | None) -> Any:
    """A row of labels without the padding beyond this length; None as length: the row is a single label."""
    found = row_of(record.results["label_ids"], row)
    if found is None:
        return None
    if length is None:
        return found.tolist()
    rest = found[length:]
    return found[:length].tolist() + rest[rest != PADDING].tolist()


@measure
def metrics_begin_with(record: Record, prefix: str) -> bool:
    """Whether all metrics of the prediction have names that begin so."""
    return all(name.startswith(prefix) for name in record.results["metrics"])


@measure
def metrics_include(record: Record, name: str) -> bool:
    """Whether the prediction has this metric."""
    return name in record.results["metrics"]


@measure
def several_metrics_include(record: Record, names: Sequence[str]) -> bool:
    """Whether the evaluation of several data sets has these metrics."""
    return all(name in record.results["several"] for name in names)


@measure
def timeless_metrics(record: Record, evaluation: str, ignored: Sequence[str]) -> list[list[Any]]:
    """Names and values of the metrics of `evaluate` or `evaluate_again`, but for the clock's, the drawn scores and those ignored."""
    left_out = (*CLOCK, *ignored)
    metrics = record.results[evaluation]
    return sorted([name, value] for name, value in metrics.items() if name not in SCORES and not name.endswith(left_out))


@measure
def samples_by_prefix(record: Record, prefixes: Sequence[str]) -> dict[str, int]:
    """The samples that the last evaluation with each of these prefixes went through."""
    return {each.prefix: sum(batch.size for batch in each.batches) for each in record.evaluations if each.prefix in prefixes}


@measure
def weights_after_training(record: Record) -> list[float]:
    """The weights after the last update; the initial ones if there was none."""
    weights: Any = record.updates[-1].weights if record.updates else record.initial_weights
    return list(weights.tolist())


@measure
def final_weights(record: Record) -> list[float]:
    """The weights in the end."""
    weights: Any = record.final_weights
    return list(weights.tolist())
