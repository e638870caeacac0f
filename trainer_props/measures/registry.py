"""The registry of measures."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from trainer_props.judgement import Measured
from trainer_props.record import Record, Runs

P = ParamSpec("P")
R = TypeVar("R", Record, Runs)

MEASURES: Final[dict[str, Callable[..., Any]]] = {}
"""Measures by `module.function`, as plain functions of a record and further arguments."""


def measure(function: Callable[Concatenate[R, P], Any]) -> Callable[Concatenate[R, P], Measured]:
    """Register a function `(record, *arguments)` as a measure; calling it gives its value and how that was measured.

    The source of a measure is copied into standalone scripts, where the record has the same fields but none of our classes. So it uses
    nothing but its arguments, `math`, `torch`, and functions and constants of its own module that do the same. Its arguments, and what it
    returns, are JSON-like data: numbers, texts, None, lists, dictionaries.

    A measure of several runs calls its first parameter `runs`, and reads their records in functions whose parameter is called `record`.

    Raises:
        ValueError: the name is taken.
    """
    name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    if name in MEASURES:
        raise ValueError(f"measure {name} exists already")
    MEASURES[name] = function

    @functools.wraps(function)
    def measured(record: R, /, *args: P.args, **kwargs: P.kwargs) -> Measured:
        if kwargs:
            raise TypeError(f"measure {name} takes its arguments by position")
        return Measured(function(record, *args, **kwargs), name, args)

    return measured
