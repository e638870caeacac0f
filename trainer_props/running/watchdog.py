"""The watchdog: a run that takes too many batches or too long is ended from inside.

Two limits, since they fail differently: the batch budget is exact, costs nothing and shrinks well; the wall clock catches what
never reaches a batch. What hangs in native code is ended from outside, by the process that supervises a worker.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Callable, Iterator

from trainer_props.running.clock import Clock


class Stuck(BaseException):
    """The run was ended by the watchdog. Not an Exception, so that no `except Exception` of the code under test swallows it.

    Attributes:
        by_the_clock: it took too long; otherwise too many batches. Then the traceback shows where it was.
    """

    by_the_clock = False


class _OutOfTime(Stuck):
    by_the_clock = True


_shorter: list[float] = []
_told: list[Callable[[float], None]] = []


def tell(listener: Callable[[float], None]) -> None:
    """In this process, and those it forks, tell the listener the seconds of each wall clock when it is set, and 0 when it is over."""
    _told[:] = [listener]


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Let no wall clock that is set meanwhile run for longer: for cases like one that is known to hang."""
    _shorter.append(seconds)
    try:
        yield
    finally:
        _shorter.pop()


@contextlib.contextmanager
def wall_clock(seconds: float) -> Iterator[None]:
    """Raise `Stuck` in this thread once `seconds` have passed, those not counted in which this process was not awake.

    A signal would be cheaper to write, but pytest-timeout owns SIGALRM.
    """
    seconds = min([seconds, *_shorter])
    thread = threading.get_ident()
    watcher = _watcher()
    _tell(seconds)
    ticket = watcher.arm(thread, seconds)
    try:
        try:
            yield
        finally:
            watcher.disarm(ticket)
    except _OutOfTime as error:
        raise _OutOfTime(f"not finished after {seconds:g} s").with_traceback(error.__traceback__) from None
    finally:
        _tell(0.0)


def _tell(seconds: float) -> None:
    for each in _told:
        each(seconds)


class _Watcher:
    """One daemon thread for all deadlines of this process."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._clock = Clock()
        self._deadlines: dict[int, tuple[int, float]] = {}
        self._next = 0
        threading.Thread(target=self._watch, name="trainer-props-watchdog", daemon=True).start()

    def arm(self, thread: int, seconds: float) -> int:
        with self._condition:
            self._next += 1
            self._deadlines[self._next] = (thread, self._clock.now() + seconds)
            if len(self._deadlines) == 1:
                self._condition.notify()
            return self._next

    def disarm(self, ticket: int) -> None:
        with self._condition:
            fired = self._deadlines.pop(ticket, None) is None
        if fired:
            time.sleep(0.01)  # let the pending exception arrive here, inside wall_clock, and not later

    def _watch(self) -> None:
        while True:
            with self._condition:
                if not self._deadlines:
                    self._condition.wait()
                now = self._clock.now()
                for ticket, (thread, deadline) in list(self._deadlines.items()):
                    if deadline <= now:
                        del self._deadlines[ticket]
                        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_OutOfTime))
            time.sleep(0.05)


_instance: _Watcher | None = None
_process: int | None = None


def _watcher() -> _Watcher:
    import os

    global _instance, _process
    if _instance is None or _process != os.getpid():  # threads do not survive a fork
        _instance, _process = _Watcher(), os.getpid()
    return _instance
