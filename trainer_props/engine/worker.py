"""The worker: a session in a process of its own, which may be killed. It tells; the supervisor listens.

Before a case runs it is on disk, so that a worker that dies leaves word of what it died of. What it knows is shipped every half second,
at every new violation, and whenever another experiment, or shrinking, begins.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from trainer_props import serialization
from trainer_props.case import Case
from trainer_props.engine.events import CaseStarted, EngineEvent, FirstSeen, Replayed, Result
from trainer_props.engine.ledger import Entry, Key
from trainer_props.engine.pulse import Pulse
from trainer_props.engine.session import Plan, Session
from trainer_props.running.interrupt import tell_apart
from trainer_props.running.parent import end_with
from trainer_props.running.watchdog import tell
from trainer_props.subjects import Subject, SubjectError

HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)
"""Signals that the supervisor blocks while it forks, until the worker has its own handlers."""

INTERRUPT = signal.SIGUSR2
SHOW_STACK = signal.SIGUSR1

_SHIP_SECONDS = 0.5
_AGAIN_SECONDS = 0.02
_STACK = "stack.txt"


@dataclass(frozen=True)
class Shipped:
    """What a worker knows so far.

    Attributes:
        result: counts, known bugs, violations that are shrunk.
        entries: every violation that was seen.
        phase: what the session is at.
        shrinking: the violation that is being shrunk.
    """

    result: Result
    entries: dict[Key, Entry]
    phase: str
    shrinking: Key | None = None


@dataclass(frozen=True)
class GaveUp:
    """The session can't go on; `by_subject`: since the subject gives no Trainer, otherwise by a fault of ours."""

    message: str
    by_subject: bool


class Running(Protocol):
    """Where the case that runs is on disk. It outlives the worker, which may die of the case."""

    def note(self, case: Case) -> None:
        """Say that this case is about to run."""

    def case(self) -> Case | None:
        """The case that was noted last, or None."""

    def clear(self) -> None:
        """Say that none is running."""


class CaseFile:
    """The case that runs, in a file of its own."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def note(self, case: Case) -> None:
        """Say that this case is about to run."""
        # in place and up to its newline, what a longer case left behind it is not read: one system call, whole at any instant
        os.pwrite(self._file, f"{serialization.dumps(case.to_json())}\n".encode(), 0)

    def case(self) -> Case | None:
        """The case that was noted last, or None."""
        text = os.pread(self._file, os.fstat(self._file).st_size, 0)
        try:
            return Case.from_json(serialization.loads(text.partition(b"\n")[0]))
        except ValueError:
            return None

    def clear(self) -> None:
        """Say that none is running."""
        os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Let the file go."""
        os.close(self._file)


@dataclass(frozen=True)
class Task:
    """What a worker is given.

    Attributes:
        entries: violations that an earlier worker saw and did not come to shrink.
        skipped: keys of cases that must not be run.
        explored: names of experiments that are not explored any more.
        folder: where it may write; everything temporary goes there, and is removed by the supervisor.
        running: where the case that runs is noted.
        supervisor: the process to end with.
        pulse: where it is told that a run begins, or ends.
    """

    subject: Subject
    plan: Plan
    entries: Mapping[Key, Entry]
    skipped: Collection[str]
    explored: Collection[str]
    folder: Path
    running: Running
    supervisor: int
    pulse: Pulse


def work(sender: Connection, task: Task) -> None:
    """The body of the worker process. Does not return: a fork must not run its parent's exit handlers."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)  # with a group of its own, it can be killed together with the data-loading processes of a run
    end_with(task.supervisor)
    interrupts = _Interrupts()
    tell_apart(interrupts.arrived)
    tell(task.pulse.beat)
    sys.excepthook = _silent_in_others(os.getpid())
    os.dup2(2, 1)  # what a subject prints is no part of our output, nor should it find that closed
    tempfile.tempdir = os.environ["TMPDIR"] = str(task.folder)
    status = 1
    with (task.folder / _STACK).open("w") as stacks:
        faulthandler.register(SHOW_STACK, file=stacks, all_threads=True)
        teller = _Teller(sender, task.running, interrupts)
        with contextlib.suppress(BrokenPipeError):  # the supervisor is gone: nobody is left to tell
            try:
                session = Session(task.subject, task.plan, teller, entries=task.entries, skipped=task.skipped, explored=task.explored)
                teller.session = session
                interrupts.listen()
                session.run()
                status = 0
            except KeyboardInterrupt:  # it hit between a session's own guard and here
                teller.ship()
            except SubjectError as error:
                teller.send(GaveUp(str(error), by_subject=True))
            except BrokenPipeError:
                raise
            except BaseException as error:  # noqa: BLE001  whatever ends a worker is told
                place = traceback.extract_tb(error.__traceback__)[-1]
                text = " ".join(str(error).split())
                teller.send(GaveUp(f"{type(error).__name__}: {text} ({Path(place.filename).name}, line {place.lineno})", by_subject=False))
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _silent_in_others(worker: int) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """A hook that prints exceptions, but not how threads of data-loading processes find that a worker is gone, which was killed."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if os.getpid() == worker or not issubclass(kind, (EOFError, OSError)):
            sys.__excepthook__(kind, error, trace)

    return hook


def stack(folder: Path) -> str:
    """The stack that the worker of this folder wrote at SHOW_STACK, of all its threads."""
    with contextlib.suppress(OSError):
        return (folder / _STACK).read_text(encoding="utf-8")
    return ""


class _Interrupts:
    """Turns the supervisor's signal into one KeyboardInterrupt, but never in the middle of a message."""

    def __init__(self) -> None:
        # Ctrl-C and the end of the terminal are the supervisor's to hear; writing to it from a group in its background must not stop us
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTTOU):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._held = True
        self._pending = self._arrived = False
        signal.signal(INTERRUPT, self._arrive)
        sys.unraisablehook = self._lost
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)

    def _arrive(self, number: int, frame: object) -> None:
        signal.signal(INTERRUPT, signal.SIG_IGN)
        self._arrived = True
        if self._held:
            self._pending = True
            return
        raise KeyboardInterrupt

    def _lost(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Python drops what is raised in `__del__` and in callbacks of the garbage collector: let an interrupt come again after that."""
        if not self._arrived or not isinstance(unraisable.exc_value, KeyboardInterrupt):
            sys.__unraisablehook__(unraisable)
            return
        signal.signal(INTERRUPT, self._arrive)
        # from another thread: sent from here, it would be raised, and dropped, here
        again = threading.Timer(_AGAIN_SECONDS, signal.pthread_kill, (threading.main_thread().ident, INTERRUPT))
        again.daemon = True
        again.start()

    def arrived(self) -> bool:
        """Whether there was one."""
        return self._arrived

    def listen(self) -> None:
        """Let interrupts through, one that has arrived before too."""
        self._held = False
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let interrupts wait."""
        before, self._held = self._held, True
        try:
            yield
        finally:
            if not before:
                self.listen()


class _Teller:
    """The session's listener: writes cases to disk, sends the rest."""

    def __init__(self, sender: Connection, running: Running, interrupts: _Interrupts) -> None:
        self.session: Session | None = None
        self._sender, self._running, self._interrupts = sender, running, interrupts
        self._shipped = time.monotonic()
        self._phase: tuple[object, ...] = ()

    def __call__(self, event: EngineEvent) -> None:
        if isinstance(event, CaseStarted):
            self._note(event.case)
            return
        if isinstance(event, (FirstSeen, Replayed)):
            self.ship()  # first what is known of it: word of it may be answered by Ctrl-C
        self.send(event)

    def send(self, message: Any) -> None:
        with self._interrupts.held():
            self._sender.send(message)

    def ship(self) -> None:
        if self.session is not None:
            self._shipped = time.monotonic()
            self.send(Shipped(self.session.result, self.session.ledger.entries, self.session.phase, self.session.shrinking))

    def _note(self, case: Case) -> None:
        assert self.session is not None
        phase = (case.experiment, self.session.phase, self.session.shrinking)
        if phase != self._phase or time.monotonic() - self._shipped > _SHIP_SECONDS:
            self._phase = phase
            self.ship()
        self._running.note(case)
