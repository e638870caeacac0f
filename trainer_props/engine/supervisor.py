"""The supervisor: runs a session in a worker process that may be killed, so that a run that hangs or crashes in native code is a verdict.

When a worker dies, the case that it was running becomes a violation, and another worker goes on with the rest. SIGKILL is what others
send, the system that runs out of memory above all: a case that it ended is run once more, and is a violation if it ends so again. Ctrl-C is
heard here: the first lets the worker wrap up, the second ends it; what was found so far is the result either way.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path, PurePath
from typing import Any

from trainer_props.case import Case
from trainer_props.engine import totals
from trainer_props.engine.events import (
    FAILING,
    RUN_PROPERTY,
    EngineEvent,
    ExperimentCount,
    Finding,
    Finished,
    FirstSeen,
    Listener,
    Progress,
    PropertyCount,
    Replayed,
    Result,
    Started,
    Violation,
)
from trainer_props.engine.ledger import Entry, Key, size
from trainer_props.engine.pulse import Patience, Pulse
from trainer_props.engine.session import REPLAYING, SHRINKING, Plan
from trainer_props.engine.signals import Signals
from trainer_props.engine.worker import HELD_BACK, INTERRUPT, SHOW_STACK, CaseFile, GaveUp, Running, Shipped, Task, stack, work
from trainer_props.running.output import folder_of_this_process, remove_leftovers
from trainer_props.running.run import WALL_CLOCK_SECONDS
from trainer_props.subjects import Subject, SubjectError

SILENCE_SECONDS = 2 * WALL_CLOCK_SECONDS
"""A worker that says nothing for so long, in a run half of it beyond the run's own limit, is stuck where its watchdog can't reach it."""

MOST_LOST = 3
"""Workers that an experiment, or the shrinking of a violation, may lose before it is given up: each costs a start, or the whole silence."""
MOST_KILLED = 30
"""Workers that may be killed from outside without a verdict, before nobody starts another."""

_GRACE_SECONDS = 3.0
_STACK_SECONDS = 1.0
_BEAT_SECONDS = 1.0
_LONG_SECONDS = 3.0
_FRAMES = 12
_CASE = "case.json"
_OUR_RUN = "running/run.py"


def supervise(
    subject: Subject,
    plan: Plan,
    listener: Listener = lambda event: None,
    *,
    silence: float = SILENCE_SECONDS,
    running: Running | None = None,
) -> Result:
    """Run the plan in worker processes until it is done or interrupted; returns what all of them found.

    Args:
        running: where the case that runs is noted, for whoever comes after a kill of all these processes.
        silence: seconds without a word after which a worker is taken to hang; in a run, half of them beyond what that may take.

    Raises:
        SubjectError: the subject gives no Trainer.
    """
    remove_leftovers()
    with folder_of_this_process() as folder, Signals() as signals:
        return _Supervision(subject, plan, listener, silence, Path(folder), signals, running or CaseFile(Path(folder) / _CASE)).run()


class _Supervision:
    """The state that outlives workers."""

    def __init__(
        self, subject: Subject, plan: Plan, listener: Listener, silence: float, folder: Path, signals: Signals, running: Running
    ) -> None:
        self._subject, self._plan, self._listener, self._silence = subject, plan, listener, silence
        self._folder, self._signals, self._running = folder, signals, running
        self._begun = time.monotonic()
        self._total = Result(seed=plan.seed)
        self._entries: dict[Key, Entry] = {}
        self._lost: dict[Key, Violation] = {}
        self._losses: Counter[str] = Counter()
        self._losses_in_shrinking: Counter[Key] = Counter()
        self._reached: set[str] = set()
        self._killed: dict[str, Case] = {}
        self._again: list[Case] = list(plan.again)
        self._skipped: set[str] = set()
        self._replayed: set[str] = set()
        self._progress = Progress(0, 0, 0.0, 0.0, "getting ready")

    def run(self) -> Result:
        """Start workers until one comes to the end."""
        exploring, generation = True, 0
        while True:
            worker = self._one_worker(generation, exploring)
            if worker.finished or self._signals.count:
                break
            case = self._running.case()
            if case is None and not worker.killed:
                self._total.errors.append(f"{worker.cause} before it ran a case")
                break
            if generation > MOST_KILLED and worker.killed:
                number = worker.symptom.removeprefix("ended by ")
                self._total.errors.append(f"{generation} workers ended, the last one by {number} from outside: no other one is started")
                break
            if case is not None:
                if worker.phase != REPLAYING:
                    self._reached.add(case.experiment)
                self._end(case, worker)
            exploring = exploring and worker.phase != SHRINKING and not (self._plan.first_failure and self._lost)
            generation += 1
        total = self._total
        total.interrupted = bool(self._signals.count)
        total.seconds = time.monotonic() - self._begun
        total.violations += self._lost.values()
        found = {violation.first.key for violation in total.violations}
        total.violations += [Violation(each.finding, each.first, 0.0, False, 0) for key, each in self._entries.items() if key not in found]
        self._listener(Finished(total))
        return total

    def _one_worker(self, generation: int, exploring: bool) -> _Worker:
        plan = replace(
            self._plan,
            seed=self._plan.seed + generation,
            replayed=[each for each in self._plan.replayed if each.id not in self._replayed],
            again=[each for each in self._again if each.key not in self._skipped],
        )
        if generation and plan.seconds is not None:
            plan = replace(plan, seconds=max(0.0, plan.seconds - (time.monotonic() - self._begun)))
        explored = [name for name in plan.experiments if not exploring or name in self._explored or self._losses[name] >= MOST_LOST]
        folder = self._folder / str(generation)
        folder.mkdir()
        self._running.clear()
        task = Task(self._subject, plan, self._entries, self._skipped, explored, folder, self._running, os.getpid(), Pulse())
        worker = _Worker(task, self._silence, self._signals)
        result: Result | None = None
        for message in worker.messages():
            if isinstance(message, Shipped):
                result, self._entries = message.result, message.entries
                worker.phase, worker.shrinking = message.phase, message.shrinking
                self._tell(replace(self._progress, runs=result.runs, evaluations=result.evaluations))
            elif isinstance(message, _Silent):
                self._beat(message.seconds)
            elif isinstance(message, Finished):
                result, worker.finished = message.result, True
            elif isinstance(message, GaveUp):
                if message.by_subject:
                    raise SubjectError(message.message)
                self._total.errors.append(message.message)
                worker.finished = True
            elif not (isinstance(message, Started) and generation):
                self._tell(message)
        if result is not None:
            totals.add(self._total, result)
            shrunk = {violation.first.key for violation in result.violations}
            self._entries = {key: entry for key, entry in self._entries.items() if key not in shrunk}
        return worker

    @property
    def _explored(self) -> set[str]:
        """With examples to count, experiments come one after the other: those before the one that lost its worker are done."""
        names = list(self._plan.experiments)
        if self._plan.max_examples is None:
            return set()
        return set(names[: max((names.index(name) for name in self._reached if name in names), default=0)])

    def _beat(self, seconds: float) -> None:
        """A sign of life while one run takes long."""
        progress = self._progress
        if seconds >= _LONG_SECONDS:
            self._tell(replace(progress, activity=f"{progress.activity}, one run for {seconds:.0f} s"))
        else:
            self._tell(progress)
        self._progress = progress

    def _tell(self, event: EngineEvent) -> None:
        if isinstance(event, Progress):
            self._progress = event  # of this worker alone; who listens is told of all of them
            runs, evaluations = self._total.runs + event.runs, self._total.evaluations + event.evaluations
            share = event.share
            if self._plan.seconds is not None and share < 1.0:
                share = min(1.0, (time.monotonic() - self._begun) / max(self._plan.seconds, 1e-9))
            event = replace(event, runs=runs, evaluations=evaluations, seconds=time.monotonic() - self._begun, share=share)
        elif isinstance(event, Replayed):
            self._replayed.add(event.id)
            self._total.replayed.append(event)
        self._listener(event)

    def _end(self, case: Case, worker: _Worker) -> None:
        """A case ended its worker, or the worker was ended meanwhile."""
        if worker.killed and case.key not in self._killed:
            self._killed[case.key] = case
            if worker.phase != REPLAYING:  # those are judged by the next worker in any case
                self._again.append(case)
        else:
            self._lose(case, worker)

    def _lose(self, case: Case, worker: _Worker) -> None:
        verdict = "hung" if worker.hung else "crashed"
        finding = Finding(RUN_PROPERTY, verdict, "the run", worker.symptom, "it ends", worker.cause, "", None, case)
        if worker.phase != REPLAYING:
            self._losses[case.experiment] += 1
        if worker.phase == SHRINKING and worker.shrinking in self._entries:
            self._losses_in_shrinking[worker.shrinking] += 1
            if (lost := self._losses_in_shrinking[worker.shrinking]) >= MOST_LOST:
                entry = self._entries.pop(worker.shrinking)
                self._total.violations.append(Violation(entry.finding, entry.first, 0.0, False, lost))
        self._skipped.add(case.key)
        total = self._total
        total.runs += 1
        total.evaluations += 1
        count = total.properties.setdefault(RUN_PROPERTY, PropertyCount(RUN_PROPERTY))
        count.evaluated += 1
        count.violated += 1
        total.experiments.setdefault(case.experiment, ExperimentCount(case.experiment)).examples += 1
        known = self._lost.get(finding.key)
        settled = finding.key in self._plan.settled
        if known is None and not settled:
            self._listener(FirstSeen(finding))
        if (known is None or size(case) < size(known.finding.case)) and not settled:
            self._lost[finding.key] = Violation(finding, known.first if known else finding, 0.0, False, 0)
        for each in self._plan.replayed:
            if each.case.key == case.key and each.id not in self._replayed:
                self._tell(Replayed(each.id, FAILING, finding, worker.cause.partition("\n")[0]))


@dataclass(frozen=True)
class _Silent:
    """The worker has said nothing for so many seconds."""

    seconds: float


class _Worker:
    """One worker process, seen from outside.

    Attributes:
        finished: it told that it came to the end.
        hung: it was killed since it said nothing for too long.
        killed: it ended by SIGKILL or SIGTERM, which it was not sent from here.
        phase, shrinking: the last that it told of what it was doing.
        cause: how it ended.
        symptom: the same, without numbers.
    """

    def __init__(self, task: Task, silence: float, signals: Signals) -> None:
        self.folder, self._pulse, self._silence, self._signals = task.folder, task.pulse, silence, signals
        self.finished, self.hung, self.killed, self.phase = False, False, False, REPLAYING
        self.shrinking: Key | None = None
        self.cause = self.symptom = ""
        context = multiprocessing.get_context("fork")
        self._receiver, sender = context.Pipe(duplex=False)
        self._process = context.Process(target=work, args=(sender, task))
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        sender.close()
        self._pid = self._process.pid or 0
        with contextlib.suppress(OSError):
            os.setpgid(self._pid, self._pid)  # it does so itself too: whoever comes first

    def messages(self) -> Iterator[Any]:
        """What the worker tells, until it ends or is ended."""
        try:
            yield from self._received()
        finally:
            self._end()

    def _received(self) -> Iterator[Any]:
        heard, patience = 0, Patience(self._pulse, self._silence)
        while True:
            ready = wait([self._receiver, self._signals.fileno()], min(_BEAT_SECONDS, patience.slice()))
            patience.look()
            if self._signals.count > heard:
                self._signals.clear()
                if heard or self._signals.count > 1:
                    return
                heard = 1
                patience.end_in(_GRACE_SECONDS)  # talking buys no more time
                self._signal(INTERRUPT)
            elif self._receiver in ready:
                try:
                    message = self._receiver.recv()
                except (EOFError, OSError):
                    self._ended()
                    return
                patience.renew()
                yield message
                if isinstance(message, (Finished, GaveUp)):
                    return
            elif not ready and not patience.is_over:
                yield _Silent(0.0 if heard else patience.silent)
            elif not ready:
                self._hang(heard, patience.seconds)
                return

    def _ended(self) -> None:
        self._process.join(_GRACE_SECONDS)
        code = self._process.exitcode
        if code is None:
            self.symptom = "closed its pipe and lives on"
        elif code < 0:
            self.symptom = f"ended by {signal.Signals(-code).name}"
            self.killed = -code in (signal.SIGKILL, signal.SIGTERM)  # by which a system short of memory, or a person, ends processes
        else:
            self.symptom = f"ended by exit code {code}"
        self.cause = f"the process {self.symptom}"

    def _hang(self, heard: int, patience: float) -> None:
        """Its patience is over: unless it was interrupted before, the run that it is at hangs."""
        if heard:
            return
        self.hung, self.symptom = True, "silent"
        self._signal(SHOW_STACK)
        end, text = time.monotonic() + _STACK_SECONDS, ""
        while time.monotonic() < end:
            time.sleep(0.1)
            before, text = text, stack(self.folder)
            if text and text == before:
                break
        self.cause = "\n".join([f"silent for {patience:g} s", *_frames(text)])

    def _signal(self, number: int) -> None:
        with contextlib.suppress(OSError):
            os.kill(self._pid, number)

    def _end(self) -> None:
        if self.finished:
            self._process.join(_GRACE_SECONDS)
        with contextlib.suppress(OSError):
            os.killpg(self._pid, signal.SIGKILL)  # with all that it started
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self._receiver.close()


def _frames(text: str) -> list[str]:
    """The innermost frames of the deepest stack that faulthandler wrote, without the folders of this machine."""
    threads = [re.findall(r'File "(.+)", line (\d+) in (.+)', part) for part in text.split("\n\n")]
    deepest = [("/".join(PurePath(file).parts[-2:]), line, name) for file, line, name in max(threads, key=len, default=[])]
    ours = next((index for index, (file, _, _) in enumerate(deepest) if file == _OUR_RUN), _FRAMES)
    return [f"in {name} ({file}, line {line})" for file, line, name in deepest[: min(ours, _FRAMES)]]
