"""Strict JSON for the value types: NaN and infinities travel as strings, unknown fields and wrong types are refused by name."""

from __future__ import annotations

import json
import math
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_SPELLINGS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class InvalidData(ValueError):
    """Data that is no such value; the message says where and what was expected."""


def to_data(value: Any) -> Any:
    """Plain dicts, lists, strings, numbers, booleans and None; numbers that JSON lacks are spelled out."""
    return _spell(msgspec.to_builtins(value))


def from_data(data: Any, kind: type[T]) -> T:
    """A value of `kind` from plain data.

    Raises:
        InvalidData: the data has an unknown or missing field, or a value of another type.
    """
    try:
        return msgspec.convert(_read(data), kind)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise InvalidData(str(error)) from None
    except RecursionError:
        raise InvalidData("nested too deeply") from None


def dumps(value: Any, indent: int | None = None) -> str:
    """Canonical text: sorted keys, nothing that JSON does not know."""
    return json.dumps(to_data(value), indent=indent, sort_keys=True, allow_nan=False, ensure_ascii=False)


def loads(text: str | bytes) -> Any:
    """Plain data from strict JSON.

    Raises:
        InvalidData: not JSON, or one of the constants that JSON lacks.
    """

    def refuse(constant: str) -> Any:
        raise InvalidData(f"{constant} is not JSON: write it as a string")

    try:
        return json.loads(text, parse_constant=refuse)
    except InvalidData:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidData(f"not JSON: {error}") from None


def code(value: Any) -> str:
    """Python source that evaluates to an equal value, given the names of `trainer_props.scenario` and `float`."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {code(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(code(item) for item in value) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, list):
        return "[" + ", ".join(code(item) for item in value) + "]"
    return repr(value)


def _spell(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return "NaN" if math.isnan(data) else ("Infinity" if data > 0 else "-Infinity")
    if isinstance(data, dict):
        return {key: _spell(item) for key, item in data.items()}
    if isinstance(data, (list, tuple)):
        return [_spell(item) for item in data]
    return data


def _read(data: Any) -> Any:
    if isinstance(data, str):
        return _SPELLINGS.get(data, data)
    if isinstance(data, dict):
        return {key: _read(item) for key, item in data.items()}
    if isinstance(data, list):
        return [_read(item) for item in data]
    return data
