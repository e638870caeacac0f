"""Strict JSON for the value types: NaN and infinities travel as strings, unknown fields and wrong types are refused by name."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_SPELLINGS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class InvalidData(ValueError):
    """Data that is no such value; the message says where and what was expected."""


def to_data(value: Any) -> Any:
    """Plain dicts, lists, strings, numbers, booleans and None, without fields at their defaults; NaN and infinities as strings."""
    if isinstance(value, msgspec.Struct):
        # msgspec's own omit_defaults asks whether a value is the very object of the default: equal values would be written differently
        defaults = _defaults(type(value))
        given = {name: to_data(getattr(value, name)) for name in value.__struct_fields__}
        return {name: data for name, data in given.items() if not (name in defaults and _is_default(data, defaults[name]))}
    if isinstance(value, dict):
        return {key: to_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_data(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value if value is None or isinstance(value, (bool, int, float, str)) else msgspec.to_builtins(value)


def plain(value: Any) -> Any:
    """JSON-like data of anything at all: what JSON does not know is its repr; half a surrogate pair, which no file takes, is escaped."""
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=repr)
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value if value is None or isinstance(value, (bool, int, float)) else plain(repr(value))


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
        InvalidData: not JSON, one of the constants that JSON lacks, or an object that has a key twice.
    """

    def refuse(constant: str) -> Any:
        raise InvalidData(f"{constant} is not JSON: write it as a string")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            raise InvalidData(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
        return found

    try:
        return json.loads(text, parse_constant=refuse, object_pairs_hook=once)
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


@functools.cache
def _defaults(kind: type[msgspec.Struct]) -> dict[str, Any]:
    factories = {each.name: each.default_factory for each in msgspec.structs.fields(kind) if each.default_factory is not msgspec.NODEFAULT}
    values = {each.name: each.default for each in msgspec.structs.fields(kind) if each.default is not msgspec.NODEFAULT}
    return {**{name: to_data(value) for name, value in values.items()}, **{name: to_data(make()) for name, make in factories.items()}}


def _is_default(data: Any, default: Any) -> bool:
    # 1, 1.0 and True are equal and are written differently, and so are 0.0 and -0.0
    return bool(data == default) and repr(data) == repr(default)


def _read(data: Any) -> Any:
    if isinstance(data, str):
        return _SPELLINGS.get(data, data)
    if isinstance(data, dict):
        return {key: _read(item) for key, item in data.items()}
    if isinstance(data, list):
        return [_read(item) for item in data]
    return data
