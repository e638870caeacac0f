"""Whose an exception is that no `except Exception` catches: of the code under test, which may raise anything, or of who wants an end."""

from __future__ import annotations

from collections.abc import Callable

_heard: list[Callable[[], bool]] = []


def tell_apart(heard: Callable[[], bool]) -> None:
    """In this process, and those it forks, nobody but the code under test raises such exceptions as long as no signal was heard."""
    _heard[:] = [heard]


def ends_more_than_the_run(error: BaseException) -> bool:
    """Whether the exception is somebody's Ctrl-C, or the time limit of a test; SystemExit is always the code's own."""
    return not isinstance(error, (Exception, SystemExit)) and all(heard() for heard in _heard)
