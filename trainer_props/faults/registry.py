"""The registry of faults: bugs planted on purpose, so that every property shows that it can fail."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Fault:
    """A bug that a reviewer could take for an honest mistake.

    Attributes:
        id: stable, in words.
        sentence: what it does, from its docstring.
        property: id of the property that it was written for.
        make: gives the faulty subject: a Trainer class or a factory `make(parts, output_dir)`.
    """

    id: str
    sentence: str
    property: str
    make: Callable[[], Any]


FAULTS: Final[dict[str, Fault]] = {}
TEN: Final = (
    "floor-for-ceil", "accumulation-ignored", "scheduler-stepped-twice", "last-window-dropped", "log-window-not-reset", "clipping-skipped",
    "decay-on-biases", "patience-off-by-one", "rotation-deletes-the-best", "event-dropped",
)  # fmt: skip
"""Ten of them, one of each kind: what a check has to catch within seconds."""


def fault(property: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Register a function that returns a faulty Trainer class (or factory) for a property; its docstring says what it does.

    Raises:
        ValueError: the name is taken, or there is no docstring.
    """

    def register(make: Callable[[], Any]) -> Callable[[], Any]:
        name = make.__name__.replace("_", "-")
        sentence = " ".join(inspect.cleandoc(make.__doc__ or "").split())
        if name in FAULTS or not sentence:
            raise ValueError(f"fault {name}: taken, or without a docstring")
        FAULTS[name] = Fault(name, sentence, property, make)
        return make

    return register
