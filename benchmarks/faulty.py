"""The planted faults as a module that a script can import: `faulty:patience_off_by_one` is a subject like any user's.

`faulty.ArgumentsOf_json_is_rounded` is the class of TrainingArguments that a faulty trainer brings along, if it brings one.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, Final

from trainer_props.faults import FAULTS

_ARGUMENTS: Final = "ArgumentsOf_"


def __getattr__(name: str) -> Any:
    made = _subject(name.removeprefix(_ARGUMENTS))
    found = _arguments_class(made) if made is not None and name.startswith(_ARGUMENTS) else made
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


def __dir__() -> list[str]:
    return [*globals(), *(name.replace("-", "_") for name in FAULTS)]


@functools.cache
def _subject(name: str) -> Any:
    """The faulty class or factory, known by its name here; None if there is no such fault."""
    fault = FAULTS.get(name.replace("_", "-"))
    if fault is None or "-" in name:
        return None
    made = fault.make()
    _call(made, name)
    brought = _arguments_class(made)
    if brought is not None:
        _call(brought, f"{_ARGUMENTS}{name}")
    return made


def _arguments_class(made: Any) -> Any:
    """The class of arguments that a factory closes over, or None."""
    return None if isinstance(made, type) else inspect.getclosurevars(made).nonlocals.get("kind")


def _call(target: Any, name: str) -> None:
    target.__module__, target.__name__, target.__qualname__ = __name__, name, name
