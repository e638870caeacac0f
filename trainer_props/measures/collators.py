"""What is measured of data collators that are called by themselves: their batches, and what became of the samples."""

from __future__ import annotations

from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record


@measure
def exception(record: Record) -> str | None:
    """The exception that making the collator or a batch ended with."""
    return None if record.failure is None else f"{record.failure.kind}: {record.failure.message}"


@measure
def refused(record: Record) -> bool:
    """Whether options that can't be meant got a ValueError or a TypeError."""
    error = record.results["refusal"]
    return error is not None and bool({"ValueError", "TypeError"} & set(error["kinds"]))


@measure
def types(record: Record, call: int) -> dict[str, str]:
    """The entries of a batch, by key, and the type of each."""
    return {key: entry[0] for key, entry in sorted(record.results["batches"][call].items())}


@measure
def value(record: Record, call: int, key: str) -> Any:
    """What an entry of a batch holds; None if there is no such entry."""
    return record.results["batches"][call].get(key, ["", None])[1]


@measure
def row(record: Record, call: int, key: str, number: int) -> Any:
    """One row of an entry of a batch; None if there is none."""
    rows = record.results["batches"][call].get(key, ["", None])[1]
    return rows[number] if isinstance(rows, list) and number < len(rows) else None


@measure
def left(record: Record) -> list[Any]:
    """Padding side and warning of the tokenizer, and the samples, after all calls."""
    after: list[Any] = record.results["after"]
    return after
