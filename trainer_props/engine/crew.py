"""The crew: a plan carried out by several workers at once, each under a supervisor of its own.

All of them share a board, which gives every experiment's time, every replayed case and every violation that is to be shrunk to one of
them. What they tell is told as if it came from one session. A supervisor that is killed is started again, a few times. Ctrl-C is heard
here and handed on.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, Protocol

from trainer_props.engine import totals
from trainer_props.engine.board import SharedBoard
from trainer_props.engine.events import (
    EngineEvent,
    Finding,
    Finished,
    FirstSeen,
    Listener,
    Progress,
    Replayed,
    Result,
    Shrunk,
    Started,
    Violation,
)
from trainer_props.engine.ledger import Key, size
from trainer_props.engine.replaying import by_case
from trainer_props.engine.session import Plan
from trainer_props.engine.signals import Signals
from trainer_props.engine.supervisor import supervise
from trainer_props.engine.worker import HELD_BACK, GaveUp, Running
from trainer_props.running.output import folder_of_this_process, remove_leftovers
from trainer_props.running.parent import end_with
from trainer_props.subjects import Subject, SubjectError

_BOARD: Final = "board.json"
_BEAT_SECONDS: Final = 1.0
_GRACE_SECONDS: Final = 3.0
MOST_STARTS: Final = 4
"""How often a supervisor is started at most."""


class Workers(Protocol):
    """What carries out a plan by several workers. `supervise_side_by_side` does, with processes of this machine; an engine that spreads
    work over machines takes its place by doing the same with a board that they share, since a plan and all events are plain data.
    """

    def __call__(
        self,
        subject: Subject,
        plan: Plan,
        listener: Listener,
        *,
        jobs: int,
        running: Sequence[Running | None],
        board: SharedBoard,
    ) -> Result:
        """Carry it out, tell the listener everything in this thread, and return what all of them found."""


def supervise_side_by_side(
    subject: Subject,
    plan: Plan,
    listener: Listener = lambda event: None,
    *,
    jobs: int,
    running: Sequence[Running | None] = (),
    board: SharedBoard | None = None,
) -> Result:
    """Run the plan by so many workers at once, until it is done or interrupted; returns what all of them found.

    With a number of examples the cases are the same, however many work. With seconds, each explores for so long.

    Args:
        jobs: workers at a time, at least one.
        running: for each of them, where the case that runs is noted; see `supervise`.
        board: that is gone on with; by default one of their own, which is gone afterwards.

    Raises:
        SubjectError: the subject gives no Trainer.
    """
    notes = [*running, *[None] * jobs][:jobs]
    if jobs == 1:
        return supervise(subject, plan if board is None else replace(plan, board=board), listener, running=notes[0])
    remove_leftovers()
    with folder_of_this_process() as folder, Signals() as signals:
        return _Crew(subject, _parts(plan, jobs, board or SharedBoard(Path(folder) / _BOARD)), listener, notes, signals).run(plan)


def _parts(plan: Plan, jobs: int, board: SharedBoard) -> list[Plan]:
    cases = list(by_case(plan.replayed))
    return [replace(plan, board=board, part=part, replayed=[each for same in cases[part::jobs] for each in same]) for part in range(jobs)]


class _Crew:
    """Several supervisors, seen from outside."""

    def __init__(
        self, subject: Subject, parts: Sequence[Plan], listener: Listener, running: Sequence[Running | None], signals: Signals
    ) -> None:
        self._subject, self._parts, self._listener, self._signals = subject, list(parts), listener, signals
        self._notes = list(running)
        self._starts = [0] * len(parts)
        self._replayed: list[Replayed] = []
        self._shrunk: dict[Key, Violation] = {}
        self._begun = time.monotonic()
        self._announced: dict[Key, Finding] = {}
        self._teller: dict[Key, int] = {}
        self._progress: dict[int, Progress] = {}
        self._runs = self._evaluations = 0  # of supervisors that ended without a result, as they told last
        self._by_time = parts[0].seconds is not None
        self._jobs: dict[Connection, tuple[int, BaseProcess]] = {}
        self._processes: list[BaseProcess] = []

    def _start(self, part: int, plan: Plan) -> None:
        self._starts[part] += 1
        context = multiprocessing.get_context("fork")
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
        try:
            receiver, sender = context.Pipe(duplex=False)
            process: BaseProcess = context.Process(target=_supervise, args=(sender, self._subject, plan, self._notes[part], os.getpid()))
            process.start()
            sender.close()
            self._processes.append(process)
            self._jobs[receiver] = part, process
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _start_again(self, part: int) -> None:
        """Go on with what a supervisor that was killed has left: the time, the replays that were not told, what it had told and not shrunk,
        and the case that ran.
        """
        plan, noted = self._parts[part], self._notes[part]
        told = {each.id for each in self._replayed}
        again = [finding.case for key, finding in self._announced.items() if key not in self._shrunk and self._teller[key] == part]
        if noted is not None and (case := noted.case()) is not None:
            again.append(case)
        left = None if plan.seconds is None else max(0.0, plan.seconds - (time.monotonic() - self._begun))
        self._start(part, replace(plan, seconds=left, replayed=[each for each in plan.replayed if each.id not in told], again=again))

    def _keep_counts(self, part: int) -> None:
        """Count for the whole what a supervisor has told that ends without a result."""
        if (last := self._progress.pop(part, None)) is not None:
            self._runs, self._evaluations = self._runs + last.runs, self._evaluations + last.evaluations

    def run(self, plan: Plan) -> Result:
        """Listen until all have come to their end."""
        results: list[Result] = []
        errors: list[str] = []
        heard = 0
        try:
            for part, each in enumerate(self._parts):
                self._start(part, each)
            while self._jobs:
                ready = wait([*self._jobs, self._signals.fileno()], _BEAT_SECONDS)
                if self._signals.count > heard:
                    heard = self._signals.count
                    self._signals.clear()
                    _signal(self._processes, signal.SIGINT)
                for connection in ready:
                    if isinstance(connection, Connection):
                        self._hear(connection, results, errors)
        finally:
            if self._jobs:
                _signal(self._processes, signal.SIGKILL)  # each takes its worker along
            for process in self._processes:
                process.join(_GRACE_SECONDS)
            remove_leftovers()
        total = self._total(plan, results, errors)
        self._listener(Finished(total))
        return total

    def _hear(self, connection: Connection, results: list[Result], errors: list[str]) -> None:
        part, process = self._jobs[connection]
        try:
            message = connection.recv()
        except (EOFError, OSError):
            message = GaveUp(_end_of(process), by_subject=False)
            if process.exitcode == -signal.SIGKILL and self._starts[part] < MOST_STARTS and not self._signals.count:
                del self._jobs[connection]
                connection.close()
                self._keep_counts(part)
                self._start_again(part)
                return
        if isinstance(message, Finished):
            results.append(message.result)
        elif isinstance(message, GaveUp):
            if message.by_subject:
                raise SubjectError(message.message)
            errors.append(message.message)
            self._keep_counts(part)
        else:
            self._tell(part, message)
            return
        del self._jobs[connection]
        connection.close()

    def _tell(self, part: int, event: EngineEvent) -> None:
        if isinstance(event, Started):
            if not part:
                self._listener(event)
        elif isinstance(event, Progress):
            self._progress[part] = event
            self._listener(self._together())
        elif isinstance(event, FirstSeen):
            if self._announced.setdefault(event.finding.key, event.finding) is event.finding:
                self._teller[event.finding.key] = part
                self._listener(event)
        else:
            if isinstance(event, Shrunk):
                self._announced.setdefault(event.violation.first.key, event.violation.first)
                self._shrunk[event.violation.first.key] = event.violation
            elif isinstance(event, Replayed):
                self._replayed.append(event)
            self._listener(event)

    def _together(self) -> Progress:
        told = [self._progress[part] for part in sorted(self._progress)]
        shares = [each.share for each in told]
        return Progress(
            sum((each.runs for each in told), self._runs),
            sum((each.evaluations for each in told), self._evaluations),
            time.monotonic() - self._begun,
            min(1.0, max(shares) if self._by_time else sum(shares)),
            ", ".join(dict.fromkeys(each.activity for each in told)),
            tuple(each.activity for each in told),
        )

    def _total(self, plan: Plan, results: Sequence[Result], errors: Sequence[str]) -> Result:
        total = Result(seed=plan.seed)
        for each in results:
            totals.add(total, each)
        total.runs, total.evaluations = total.runs + self._runs, total.evaluations + self._evaluations
        total.replayed += self._replayed
        total.experiments = {name: total.experiments[name] for name in [*plan.experiments, *total.experiments] if name in total.experiments}
        total.errors += errors
        total.interrupted = any(each.interrupted for each in results) or bool(self._signals.count)
        total.seconds = time.monotonic() - self._begun
        lost = [self._shrunk.get(key) or Violation(finding, finding, 0.0, False, 0) for key, finding in self._announced.items()]
        best: dict[Key, Violation] = {}
        for violation in sorted([*total.violations, *lost], key=_for_readers):
            best.setdefault(violation.first.key, violation)
        total.violations = list(best.values())
        return total


def _for_readers(violation: Violation) -> tuple[Any, ...]:
    """The best of several that are the same violation comes first: shrunk, explained, small."""
    return not violation.complete, not violation.timeline, size(violation.finding.case)


def _supervise(sender: Connection, subject: Subject, plan: Plan, running: Running | None, crew: int) -> None:
    """The body of one supervisor's process. Does not return: a fork must not run its parent's exit handlers."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)  # what the crew hears from the terminal it hands on itself
    end_with(crew)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError):
        try:
            supervise(subject, plan, sender.send, running=running)
        except SubjectError as error:
            sender.send(GaveUp(str(error), by_subject=True))
        except BrokenPipeError:
            raise
        except BaseException as error:  # noqa: BLE001  whatever ends it is told
            sender.send(GaveUp(f"{type(error).__name__}: {' '.join(str(error).split())}", by_subject=False))
    os._exit(0)


def _end_of(process: BaseProcess) -> str:
    process.join(_GRACE_SECONDS)
    code = process.exitcode or 0
    return f"the supervisor of a worker ended with {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"


def _signal(processes: Sequence[BaseProcess], number: int) -> None:
    for process in processes:
        with contextlib.suppress(OSError):
            if process.is_alive():
                os.kill(process.pid or 0, number)
