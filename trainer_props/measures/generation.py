"""What is measured of calls that generate: `call` counts them from 0, `row` the rows of the data."""

from __future__ import annotations

from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record

IGNORED = -100


def row_of(record: Record, call: int, name: str, row: int) -> list[int]:
    """A row of `predictions` or `label_ids`; empty if there is no such row."""
    rows: list[list[int]] = record.results["made"][call][name]
    return rows[row] if row < len(rows) else []


def without_end(row: list[int], padding: int) -> list[int]:
    """The row without the padding at its end."""
    kept = list(row)
    while kept and kept[-1] in (padding, IGNORED):
        kept.pop()
    return kept


@measure
def number_of_rows(record: Record, call: int, name: str) -> int:
    """How many rows there are of `predictions` or `label_ids`."""
    return len(record.results["made"][call][name])


@measure
def tokens_of_row(record: Record, call: int, row: int, padding: int) -> list[int]:
    """The tokens of a row of predictions, without the padding at its end."""
    return without_end(row_of(record, call, "predictions", row), padding)


@measure
def labels_of_row(record: Record, call: int, row: int, padding: int) -> list[int]:
    """The labels of a row, without the padding at its end."""
    return without_end(row_of(record, call, "label_ids", row), padding)


@measure
def no_tokens(record: Record, call: int) -> list[list[int]]:
    """Row and place of what is no token among the predictions."""
    rows = record.results["made"][call]["predictions"]
    return [[number, place] for number, row in enumerate(rows) for place, token in enumerate(row) if token < 0]


@measure
def loss_of_call(record: Record, call: int) -> float:
    """The evaluation loss."""
    loss: float = record.results["made"][call]["loss"]
    return loss


@measure
def config_before(record: Record, whose: str) -> list[list[Any]]:
    """The generation configuration of the `model` or of the `arguments` before: names and values."""
    found: list[list[Any]] = record.results["before"][whose]
    return found


@measure
def config_after(record: Record, whose: str) -> list[list[Any]]:
    """The generation configuration of the `model` or of the `arguments` after all calls: names and values."""
    found: list[list[Any]] = record.results["after"][whose]
    return found
