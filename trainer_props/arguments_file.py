"""A JSON file of TrainingArguments, as `trainer.args.to_json_string()` or a user writes it: what of it a check can hold fixed."""

from __future__ import annotations

import enum
import functools
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trainer_props import serialization
from trainer_props.arguments import DEFAULTS, DRAWN, FIELDS, FIXED, nearest

MOST: Final = {
    "max_steps": 2000, "num_train_epochs": 1000, "per_device_train_batch_size": 4096, "per_device_eval_batch_size": 4096,
    "gradient_accumulation_steps": 1024, "dataloader_num_workers": 16,
}
"""A check makes thousands of runs: these values have limits, beyond which one run would take longer than a check."""

_AT_LEAST_ONE: Final = ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps")
_LARGEST_FILE = 1_000_000
_JSON_WORDS: Final = {
    dict: "an object", list: "a list", tuple: "a list", str: "a text", int: "a whole number", float: "a number", bool: "true or false",
    type(None): "null",
}
_WRITTEN_AS: Final[dict[type, Any]] = {float: (int, float)}


class InvalidArguments(Exception):
    """The file can't be used; the message is one line for the user."""


@dataclass(frozen=True)
class HeldArguments:
    """What a file holds fixed.

    Attributes:
        arguments: what every case gets.
        left_out: (name, why) of what the file sets and a check can't hold.
    """

    arguments: Mapping[str, Any]
    left_out: tuple[tuple[str, str], ...]


def read(path: Path) -> HeldArguments:
    """Read a file of TrainingArguments.

    Raises:
        InvalidArguments: not readable, not JSON, an unknown key, a value of another type, or values that TrainingArguments refuses.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_FILE + 1)
        if len(text) > _LARGEST_FILE:
            raise InvalidArguments(f"larger than {_LARGEST_FILE} bytes: no file of TrainingArguments is")  # noqa: TRY301  the path is added below
        data = serialization.loads(text)
        if not isinstance(data, dict):
            raise InvalidArguments(f"a JSON object of TrainingArguments is wanted, not {_JSON_WORDS[type(data)]}")  # noqa: TRY301  likewise
        return validated(data)
    except OSError as error:
        raise InvalidArguments(f"{path}: {error.strerror or error}") from None
    except serialization.InvalidData as error:
        raise InvalidArguments(f"{path}: {str(error).removesuffix(': write it as a string')}") from None
    except InvalidArguments as error:
        raise InvalidArguments(f"{path}: {error}") from None


def validated(arguments: Mapping[str, Any]) -> HeldArguments:
    """What of these TrainingArguments, as JSON data, a check can hold fixed. Names of any supported version are understood.

    Raises:
        InvalidArguments: an unknown key, a value of another type, or values that TrainingArguments refuses.
    """
    from trainer_props import compat

    for name, value in arguments.items():
        if name not in FIELDS and name not in compat.RETIRED and name not in compat.installed_signature():
            raise InvalidArguments(f"TrainingArguments has no field {name!r}{nearest(name)}")
        _check(name, value)
    try:
        newest = compat.newest_names(arguments)
    except compat.Unsupported as error:
        raise InvalidArguments(str(error)) from None
    for name in newest.keys() - arguments.keys():  # what an older version called otherwise
        _check(name, newest[name])
    written = _written({name: value for name, value in newest.items() if name in FIELDS and FIELDS[name].status == DRAWN})
    held: dict[str, Any] = {}
    left_out: list[tuple[str, str]] = []
    for name, value in newest.items():
        if name not in FIELDS:
            left_out.append((name, "unknown to this version of trainer-props"))
        elif FIELDS[name].status == DRAWN:
            held[name] = value
        elif FIELDS[name].status != FIXED and value not in (DEFAULTS[name], written.get(name)):
            left_out.append((name, FIELDS[name].why))
    return HeldArguments(held, tuple(left_out))


def _check(name: str, value: Any) -> None:
    """Refuse a value of another type than the field's, or one that no run can have."""
    from trainer_props import compat

    hint = _hints().get(name, Any)
    if hint is Any and compat.RETIRED.get(name) is not None:
        hint = type(compat.RETIRED[name]) | None  # an older version's field: its default tells its type
    if hint is not Any and not _fits(value, hint):
        raise InvalidArguments(f"{name}={_short(value)} is {_JSON_WORDS.get(type(value), type(value).__name__)}, not {_words(hint)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidArguments(f"{name}={value} is not a finite number")
    parameter = compat.installed_signature().get(name)
    if parameter is not None and parameter.choices and isinstance(value, str) and value not in parameter.choices:
        raise InvalidArguments(f"{name}={_short(value)} is none of its values{nearest(value, list(parameter.choices))}")
    if name in _AT_LEAST_ONE and value is not None and value < 1:
        raise InvalidArguments(f"{name}={_short(value)} is below 1")
    if (most := MOST.get(name)) is not None and value is not None and value > most:
        raise InvalidArguments(f"{name}={_short(value)} is too much for a check, which makes thousands of runs: at most {most}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _written(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What the installed TrainingArguments writes of these: it fills in some of the others itself."""
    from trainer_props import compat

    try:
        made = compat.training_arguments(arguments, "unused")
    except Exception as error:  # noqa: BLE001  whatever TrainingArguments raises is its word on these values
        text = str(error).strip().splitlines()
        raise InvalidArguments(f"TrainingArguments refuses it: {text[0] if text else type(error).__name__}") from None
    return compat.newest_names(made.to_dict())


@functools.cache
def _hints() -> dict[str, Any]:
    from trainer_props import compat

    return typing.get_type_hints(type(compat.training_arguments({}, "unused")))


def _fits(value: Any, hint: Any) -> bool:
    """Whether JSON data can be a value of the type that a field declares."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, each) for each in inside)
    if origin is typing.Literal:
        return value in inside
    if origin is list:
        return isinstance(value, list) and all(_fits(each, inside[0]) for each in value)
    kind = origin or (type(None) if hint is None else hint)
    if not isinstance(kind, type):
        return True
    if isinstance(value, bool):
        return issubclass(bool, kind) and kind is not int
    return isinstance(value, str if issubclass(kind, enum.Enum) else _WRITTEN_AS.get(kind, kind))


def _words(hint: Any) -> str:
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(each) for each in inside))
    if origin is list and inside == (str,):
        return "a list of texts"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return "a text"
    return _JSON_WORDS.get(origin or hint, str(hint))
