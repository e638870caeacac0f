"""What is measured of TrainingArguments: their fields, those of what was made of them, and how a bad value was refused.

What was made of them stands in the results of a record, and is named by the way there: `"copies", "to_dict"`, or `"replaced"`.
"""

from __future__ import annotations

from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record

NO_EXCEPTION = "no exception"


def made(record: Record, way: tuple[str, ...]) -> dict[str, Any]:
    """What was made this way; the arguments themselves if there is none."""
    found: dict[str, Any] = record.results if way else record.arguments
    for each in way:
        found = found[each]
    return found


@measure
def outcome_of_the_construction(record: Record) -> str:
    """What came of building the arguments: that it succeeds, or the exception."""
    return "it succeeds" if record.failure is None else f"{record.failure.kind}: {record.failure.message}"


@measure
def fields_of(record: Record, names: list[str], *way: str) -> dict[str, Any]:
    """Values of some fields of the arguments, or of what was made of them this way."""
    found = made(record, way)
    return {name: found.get(name, "missing") for name in names}


@measure
def exception_of(record: Record, *way: str) -> str:
    """The exception that making something of the arguments ended with."""
    text: str = made(record, way).get("error", NO_EXCEPTION)
    return text


@measure
def has_fields(record: Record, names: list[str], *way: str) -> bool:
    """Whether these fields exist in what was made of the arguments."""
    return all(name in made(record, way) for name in names)


@measure
def fields_are_plain(record: Record, names: list[str], *way: str) -> bool:
    """Whether the values of some fields of what was made of the arguments are numbers, truth values and texts."""
    return all(isinstance(made(record, way).get(name), (bool, int, float, str)) for name in names)


@measure
def fields_after_silent_setters(record: Record, pairs: list[list[str]]) -> dict[str, Any]:
    """Values of some fields, each given by its setter and its name, after the setter was not told what has a documented default."""
    found = record.results["silent"]
    return {f"{setter}: {name}": found.get(setter, {}).get(name, NO_EXCEPTION) for setter, name in pairs}


@measure
def fields_without_setters(record: Record, pairs: list[list[str]]) -> dict[str, Any]:
    """Values of the same fields of the arguments as they were built."""
    return {f"{setter}: {name}": record.arguments.get(name, NO_EXCEPTION) for setter, name in pairs}


@measure
def bad_value_is_refused_by_name(record: Record) -> bool:
    """Whether the bad value got a ValueError or TypeError whose message names its field."""
    bad = record.results["bad"]
    error = bad["error"]
    if error is None or not {"ValueError", "TypeError"} & set(error["kinds"]):
        return False
    return _names(error["message"], bad["field"])


@measure
def refusal_of_the_plan(record: Record) -> str | None:
    """The exception that a plan got, or None if it was accepted."""
    error = record.results["plan"]["error"]
    return None if error is None else f"{error['kinds'][0]}: {error['message']}"


@measure
def plan_is_refused_by_name(record: Record, name: str) -> bool:
    """Whether a plan got a ValueError or TypeError whose message has this name."""
    error = record.results["plan"]["error"]
    return error is not None and bool({"ValueError", "TypeError"} & set(error["kinds"])) and _names(error["message"], name)


def _names(text: str, name: str) -> bool:
    """Whether a name is in a text, and not as a part of a longer one."""
    start = text.find(name)
    while start >= 0:
        around = (text[start - 1 : start], text[start + len(name) : start + len(name) + 1])
        if not any(each.isascii() and (each.isalnum() or each == "_") for each in around):
            return True
        start = text.find(name, start + 1)
    return False
