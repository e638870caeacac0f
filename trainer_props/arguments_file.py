"""A JSON file of TrainingArguments, as `trainer.args.to_json_string()` or a user writes it: what of it a check can hold fixed."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer_props import serialization
from trainer_props.arguments import DEFAULTS, DRAWN, FIELDS, FIXED, nearest

MOST_UPDATES = 2000
"""A check runs a scenario thousands of times: a run that long is no run for a check."""

_LARGEST_FILE = 1_000_000


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
        if path.stat().st_size > _LARGEST_FILE:
            raise InvalidArguments(f"{path}: larger than {_LARGEST_FILE} bytes: no file of TrainingArguments is")
        data = serialization.loads(path.read_bytes())
    except OSError as error:
        raise InvalidArguments(f"{path}: {error.strerror or error}") from None
    except serialization.InvalidData as error:
        raise InvalidArguments(f"{path}: {error}") from None
    if not isinstance(data, dict):
        raise InvalidArguments(f"{path}: a JSON object of TrainingArguments is wanted, not {type(data).__name__}")
    hints = _hints()
    arguments: dict[str, Any] = {}
    left_out: list[tuple[str, str]] = []
    for name, value in data.items():
        if name not in FIELDS:
            if name in hints:
                left_out.append((name, "unknown to this version of trainer-props"))
                continue
            raise InvalidArguments(f"{path}: TrainingArguments has no field {name!r}{nearest(name)}")
        if name in hints and not _fits(value, hints[name]):
            raise InvalidArguments(f"{path}: {name}={value!r} is {type(value).__name__}, not {_words(hints[name])}")
        field = FIELDS[name]
        if field.status == DRAWN:
            arguments[name] = value
        elif value != DEFAULTS[name] and field.status != FIXED:
            left_out.append((name, field.why))
    _construct(path, arguments)
    return HeldArguments(arguments, tuple(left_out))


def _construct(path: Path, arguments: Mapping[str, Any]) -> None:
    import transformers

    from trainer_props import compat

    updates = arguments.get("max_steps", -1)
    if updates > MOST_UPDATES:
        raise InvalidArguments(f"{path}: max_steps={updates} is too long for a check, which runs it thousands of times: at most {MOST_UPDATES}")
    try:
        transformers.TrainingArguments(**compat.training_arguments_kwargs({**arguments, "output_dir": "unused"}))
    except Exception as error:  # whatever TrainingArguments raises is its word on these values
        text = str(error).strip().splitlines()
        raise InvalidArguments(f"{path}: TrainingArguments refuses it: {text[0] if text else type(error).__name__}") from None


def _hints() -> dict[str, Any]:
    import transformers

    return typing.get_type_hints(transformers.TrainingArguments)


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, each) for each in typing.get_args(hint))
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if origin is list:
        return isinstance(value, list) and all(_fits(each, typing.get_args(hint)[0]) for each in value)
    if origin is dict:
        return isinstance(value, dict)
    if hint is None or hint is type(None):
        return value is None
    if not isinstance(hint, type):
        return True
    if issubclass(hint, enum.Enum):
        return isinstance(value, str)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _words(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(each) for each in typing.get_args(hint)))
    return "None" if hint is type(None) else getattr(hint, "__name__", str(hint))
