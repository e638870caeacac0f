"""Whose an exception is: of the code under test, which may raise anything, or of somebody who wants an end."""

from __future__ import annotations

from collections.abc import Callable

from trainer_props.running.watchdog import Stuck

_heard: list[Callable[[], bool]] = []


def tell_apart(heard: Callable[[], bool]) -> None:
    """In this process, and those it forks, nobody but the code under test raises anything until a signal is heard."""
    _heard[:] = [heard]


def pass_on(error: BaseException) -> None:
    """Raise what is not the code's own: Ctrl-C, the time limit of a test, the end of a run that takes too long.

    What comes after Ctrl-C is Ctrl-C, whatever the code makes of it: many save, and exit. SystemExit is the code's own otherwise.

    Raises:
        KeyboardInterrupt: Ctrl-C was heard.
    """
    if isinstance(error, Stuck):
        raise error
    if any(heard() for heard in _heard):
        raise KeyboardInterrupt from error
    if not _heard and not isinstance(error, (Exception, SystemExit)):
        raise error
