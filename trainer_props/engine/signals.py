"""Ctrl-C, SIGTERM and the end of a terminal, counted where they can be answered in order."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import threading
from typing import Any, Final, Self

_HEARD: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Counts Ctrl-C (and SIGTERM, and SIGHUP) instead of raising it anywhere, while it is entered; the third is the process's own again.

    Entered within another it counts for both, and begins with what the other has heard.

    Attributes:
        count: of those that have arrived.
        process: the one that hears them here; what it forks counts for itself.
    """

    def __init__(self) -> None:
        self.count = 0
        self._handlers: dict[int, Any] = {}
        self.process = os.getpid()

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        if threading.current_thread() is threading.main_thread():
            ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # as by nohup
            heard = [number for number in _HEARD if number != signal.SIGHUP or not ignored]
            self._handlers = {number: signal.signal(number, self.arrive) for number in heard}
            if any(around.count for around in map(self._around, _HEARD) if around is not None):
                self.count = 1
                os.write(self._writer, b".")
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)  # a process that was forked to run this may have held them back until here
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()
        os.close(self._reader)
        os.close(self._writer)

    def fileno(self) -> int:
        """Readable when one has arrived."""
        return self._reader

    def clear(self) -> None:
        """Take note of those that have arrived."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 64)

    def arrive(self, number: int, frame: object) -> None:
        """Count one: the handler."""
        self.count += 1
        if number == signal.SIGHUP:
            _leave_the_terminal()
        os.write(self._writer, b".")
        around = self._around(number)
        if self.count > 1:
            self._restore()
        if around is not None:
            around.arrive(number, frame)

    def _around(self, number: int) -> Signals | None:
        """The one within which this one was entered, in this very process."""
        other = getattr(self._handlers.get(number), "__self__", None)
        return other if isinstance(other, Signals) and other.process == os.getpid() else None

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}


def _leave_the_terminal() -> None:
    """Print into nothing from now on: what is printed to a terminal that is gone is an error."""
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for each in range(3):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(each).st_mode):  # of a terminal that is gone, isatty says no
                os.dup2(nowhere, each)
    os.close(nowhere)
