"""The supervisor: runs a session in a worker process that may be killed, so that a run that hangs or crashes in native code is a verdict.

The worker ships what it found every second; when it dies, the case that it was running is on disk, and a new worker goes on with the rest.
"""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from trainer_props import serialization
from trainer_props.case import Case
from trainer_props.engine.events import CaseStarted, Finding, Finished, Listener, Result, Violation
from trainer_props.engine.ledger import Entry, Key
from trainer_props.engine.session import Plan, Session
from trainer_props.running.output import remove_own
from trainer_props.running.run import WALL_CLOCK_SECONDS
from trainer_props.subjects import Subject

SILENCE_SECONDS = 2 * WALL_CLOCK_SECONDS
"""A worker that says nothing for so long is stuck where its own watchdog can't reach it."""

_SHIP_SECONDS = 1.0
RUN_PROPERTY = "steps.run_finishes"


@dataclass(frozen=True)
class _Shipped:
    """What a worker knows so far."""

    result: Result
    entries: dict[Key, Entry]


def supervise(subject: Subject, plan: Plan, listener: Listener, *, silence: float = SILENCE_SECONDS) -> Result:
    """Run the plan in worker processes until it is done or interrupted; the result of all of them."""
    total: Result | None = None
    entries: dict[Key, Entry] = {}
    violations: list[Violation] = []
    skipped: frozenset[str] = frozenset()
    begun = time.monotonic()
    generation = 0
    with tempfile.TemporaryDirectory(prefix="trainer-props-state-") as state:
        while True:
            case_file, stack_file = Path(state) / "case.json", Path(state) / "stack.txt"
            spent = time.monotonic() - begun
            left = replace(plan, seconds=max(0.0, plan.seconds - spent)) if plan.seconds is not None and generation else plan
            worker = _Worker(subject, replace(left, seed=plan.seed + generation), entries, skipped, case_file, stack_file, listener, silence)
            finished = worker.run()
            entries = worker.shipped.entries if worker.shipped is not None else entries
            result = finished or (worker.shipped.result if worker.shipped is not None else None)
            if result is not None:
                total = _merge(total, result)
            if finished is not None:
                break
            case = _read_case(case_file)
            if worker.interrupted or case is None or RUN_PROPERTY not in plan.properties:
                if total is None:
                    total = Result(seed=plan.seed)
                total.interrupted = worker.interrupted
                if not worker.interrupted:
                    total.errors.append(f"a worker ended by {worker.cause} before it ran a case")
                break
            violations.append(_lost(case, worker))
            skipped |= {case.key}
            generation += 1
    assert total is not None
    total.seed = plan.seed
    total.seconds = time.monotonic() - begun
    found = {violation.first.key for violation in total.violations}
    total.violations += [violation for violation in violations if violation.first.key not in found]
    if total.interrupted:
        found = {violation.first.key for violation in total.violations}
        total.violations += [Violation(entry.finding, entry.first, 0.0, False, 0) for key, entry in entries.items() if key not in found]
    return total


class _Worker:
    """One worker process, seen from outside."""

    def __init__(
        self, subject: Subject, plan: Plan, entries: dict[Key, Entry], skipped: frozenset[str], case_file: Path, stack_file: Path, listener: Listener,
        silence: float,
    ) -> None:
        context = multiprocessing.get_context("fork")
        self._receiver, sender = context.Pipe(duplex=False)
        self._process = context.Process(target=_work, args=(sender, subject, plan, entries, skipped, case_file, stack_file), daemon=True)
        self._sender = sender
        self._listener, self._silence, self._stack_file = listener, silence, stack_file
        self.shipped: _Shipped | None = None
        self.cause = ""
        self.hung = False
        self.interrupted = False

    def run(self) -> Result | None:
        """The worker's result, or None if it died or was killed (then `cause` says how)."""
        self._process.start()
        self._sender.close()
        try:
            for event in self._events():
                if isinstance(event, _Shipped):
                    self.shipped = event
                elif isinstance(event, Finished):
                    self._process.join(10)
                    self._listener(event)
                    return event.result
                else:
                    self._listener(event)
        finally:
            self._end()
        return None

    def _events(self) -> Iterator[Any]:
        stopping = False
        while True:
            try:
                if not self._receiver.poll(self._silence):
                    self._kill()
                    return
                yield self._receiver.recv()
            except EOFError:
                self._process.join(10)
                code = self._process.exitcode or 0
                self.cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
                return
            except KeyboardInterrupt:
                # the first Ctrl-C asks the worker to wrap up, the second ends it at once
                self.interrupted = True
                if stopping:
                    return
                stopping = True
                with contextlib.suppress(OSError):
                    os.kill(self._process.pid or 0, signal.SIGUSR2)

    def _kill(self) -> None:
        self.hung = True
        self.cause = f"silent for {self._silence:g} s"
        with contextlib.suppress(OSError):
            os.kill(self._process.pid or 0, signal.SIGUSR1)  # faulthandler writes the stack
            time.sleep(0.5)

    def _end(self) -> None:
        if self._process.is_alive():
            self._process.kill()
        self._process.join(10)
        self._receiver.close()

    def stack(self) -> str:
        """The stack of a worker that hung."""
        with contextlib.suppress(OSError):
            return self._stack_file.read_text(encoding="utf-8")
        return ""


def _work(
    sender: Connection, subject: Subject, plan: Plan, entries: dict[Key, Entry], skipped: frozenset[str], case_file: Path, stack_file: Path
) -> None:
    # Ctrl-C reaches every process of a terminal: only the supervisor listens to it, and passes it on by another signal.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, _interrupt)
    status = 0
    with stack_file.open("w") as stacks:
        faulthandler.register(signal.SIGUSR1, file=stacks, all_threads=True)
        try:
            session = Session(subject, plan, _tell(sender, case_file, lambda: session), entries=entries, skipped=skipped)
            session.run()
            sender.close()
        except (BrokenPipeError, KeyboardInterrupt):
            status = 1  # the supervisor is gone, or in no mood to wait
        except BaseException:
            traceback.print_exc()
            status = 1
        remove_own()
        os._exit(status)  # a fork must not run its parent's exit handlers


def _interrupt(number: int, frame: object) -> None:
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    raise KeyboardInterrupt


def _tell(sender: Connection, case_file: Path, session: Callable[[], Session]) -> Listener:
    shipped = time.monotonic()
    descriptor = os.open(case_file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)

    def tell(event: Any) -> None:
        nonlocal shipped
        if isinstance(event, CaseStarted):
            # written in place and padded: one system call, and whole at any instant that a kill can hit
            text = serialization.dumps(event.case.to_json()).encode()
            os.ftruncate(descriptor, os.pwrite(descriptor, text, 0))
            if time.monotonic() - shipped > _SHIP_SECONDS:
                shipped = time.monotonic()
                sender.send(_Shipped(session().result, session().ledger.entries))
            return
        sender.send(event)

    return tell


def _read_case(path: Path) -> Case | None:
    try:
        return Case.from_json(serialization.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _lost(case: Case, worker: _Worker) -> Violation:
    verdict, observed = ("hung", f"{worker.cause}\n{worker.stack()}") if worker.hung else ("crashed", f"the process ended by {worker.cause}")
    finding = Finding(RUN_PROPERTY, verdict, "the run", worker.cause, "the run ends", observed, "", None, case)
    return Violation(finding, finding, 0.0, False, 0)


def _merge(total: Result | None, result: Result) -> Result:
    if total is None:
        return result
    result.runs += total.runs
    result.evaluations += total.evaluations
    for name, experiment in total.experiments.items():
        mine = result.experiments.setdefault(name, experiment)
        if mine is not experiment:
            for field in ("examples", "refused", "rejected", "could_not_run", "seconds"):
                setattr(mine, field, getattr(mine, field) + getattr(experiment, field))
    for identifier, count in total.properties.items():
        other = result.properties.setdefault(identifier, count)
        if other is not count:
            for field in ("evaluated", "not_applicable", "violated", "known"):
                setattr(other, field, getattr(other, field) + getattr(count, field))
    for bug, times in total.known_seen.items():
        result.known_seen[bug] = result.known_seen.get(bug, 0) + times
        result.known.setdefault(bug, total.known[bug])
    result.errors = total.errors + result.errors
    return result
