"""The planted faults as a module that a script can import: `faulty:patience_off_by_one` is a subject like any user's.

`faulty.ArgumentsOf_json_is_rounded` is the class of TrainingArguments that a faulty trainer brings along, if it brings one, and
`faulty.CollatorOf_padding_is_learnt` that of its collator.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, Final

from trainer_props.faults import FAULTS

_BROUGHT: Final = {"ArgumentsOf_": "kind", "CollatorOf_": "collator"}
"""What a factory closes over, by the beginning of its name here."""


def __getattr__(name: str) -> Any:
    prefix = next((prefix for prefix in _BROUGHT if name.startswith(prefix)), "")
    made = _subject(name.removeprefix(prefix))
    found = _brought(made, prefix) if made is not None and prefix else made
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


def stock_of(name: str) -> str:
    """What the class of that name here is called in transformers, where it is derived from a class of it.

    Raises:
        AttributeError: there is no such class.
    """
    found = __getattr__(name)
    return next(each.__name__ for each in found.__mro__ if each.__module__.startswith("transformers."))


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
    for prefix in _BROUGHT:
        brought = _brought(made, prefix)
        if brought is not None:
            _call(brought, f"{prefix}{name}")
    return made


def _brought(made: Any, prefix: str) -> Any:
    """The class that a factory closes over, or None."""
    return None if isinstance(made, type) else inspect.getclosurevars(made).nonlocals.get(_BROUGHT[prefix])


def _call(target: Any, name: str) -> None:
    target.__module__, target.__name__, target.__qualname__ = __name__, name, name
