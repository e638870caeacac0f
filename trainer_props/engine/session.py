"""A session: judge again what failed before, explore experiments in turns within a budget, shrink what was found. It tells everything."""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from trainer_props import serialization
from trainer_props.case import Case
from trainer_props.engine.board import Board
from trainer_props.engine.drawing import EndOfSlice, draw, slice_seed
from trainer_props.engine.events import (
    CANNOT_RUN,
    CaseStarted,
    ExperimentCount,
    Finished,
    FirstSeen,
    Listener,
    Moment,
    Progress,
    PropertyCount,
    Replayed,
    Result,
    Shrunk,
    Started,
    Violation,
)
from trainer_props.engine.judging import Judged, judge
from trainer_props.engine.ledger import Entry, Key, Ledger, Origin
from trainer_props.engine.memory import resident
from trainer_props.engine.novelty import Bitmap, shown
from trainer_props.engine.replaying import Replay, by_case, findings_of, outcome, unknown
from trainer_props.engine.shrinking import shrink
from trainer_props.engine.timeline import timeline
from trainer_props.engine.turns import Harvest, Slice, Turn, Turns
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.properties import PROPERTIES, Property
from trainer_props.record import first_record
from trainer_props.running import prepared
from trainer_props.running.output import on_disk
from trainer_props.running.watchdog import at_most
from trainer_props.subjects import Subject, SubjectError

REPLAYING: Final = "replaying"
EXPLORING: Final = "exploring"
SHRINKING: Final = "shrinking"

SLICE_EXAMPLES = 100
SHRINK_SECONDS = 10.0
_PROGRESS_SECONDS = 0.1
_EXHAUSTED = 1000
"""After so many cases in a row that were all judged before, an experiment is taken to have no others."""
_PATIENCE, _LEAST_PATIENCE = 20.0, 10.0
"""Where the clock had to end a case, others get so many times as long as the slowest before, but no less than so many seconds."""


def _never(ledger: Ledger) -> bool:
    return False


@dataclass(frozen=True)
class Plan:
    """What a session does. With a board and a bitmap of another machine's in place of these, it can be sent there: it is plain data.

    Attributes:
        experiments, properties: ids, in order.
        seconds: budget for exploring, given to the experiments in turns; or None and `max_examples` for each experiment.
        seed: everything that is drawn follows from it.
        held: what the user holds fixed.
        known: whether known bugs are told apart from new violations.
        first_failure: stop exploring at the first new violation.
        enough: is asked after each case, with all that was found; True ends exploring.
        shrink_seconds: budget for shrinking each violation; None to leave it as it is found.
        shrunk: ids of the properties of which the first violation is shrunk; None: all violations of all.
        replayed: cases that failed before, to be judged first; they need not belong to the experiments.
        board: what this session shares with others that do a part of the same work; None if there are none.
        part: its number among them.
        again: cases to run once more before anything is drawn, since what ran them was ended from outside.
        settled: keys of violations that are counted, but neither told nor shrunk, since an earlier session did that.
        novelty: where it is noted what no case has shown before; experiments that show more of it get more time.
        richness: of the slices of an experiment, in turns: how many times over features are drawn (`strategies.draft.rich`).
        hunting: whether half of the cases in regions where a known bug shows in at least half are passed over.
        most_memory: bytes by which the process may have grown when a case begins; beyond that exploring ends, for all who share the board.
    """

    experiments: Sequence[str] = field(default_factory=lambda: tuple(EXPERIMENTS))
    properties: Sequence[str] = field(default_factory=lambda: tuple(PROPERTIES))
    seconds: float | None = None
    max_examples: int | None = None
    seed: int = 0
    held: Held = field(default_factory=Held)
    known: bool = True
    first_failure: bool = False
    enough: Callable[[Ledger], bool] = _never
    shrink_seconds: float | None = SHRINK_SECONDS
    shrunk: Collection[str] | None = None
    replayed: Sequence[Replay] = ()
    board: Board | None = None
    part: int = 0
    again: Sequence[Case] = ()
    settled: Collection[Key] = ()
    novelty: Bitmap | None = None
    richness: Sequence[int] = (1,)
    hunting: bool = False
    most_memory: int | None = None


class Session:
    """One session on one subject.

    Args:
        subject: the trainer under test.
        plan: what to do.
        listener: is told every event.
        entries: violations that an earlier session saw and did not come to shrink.
        skipped: keys of cases that must not be run.
        explored: names of experiments that are not explored any more; what they found is shrunk all the same.

    Attributes:
        phase: `replaying`, `exploring` or `shrinking`.
        shrinking: the violation that is being shrunk.
    """

    def __init__(
        self,
        subject: Subject,
        plan: Plan,
        listener: Listener = lambda event: None,
        *,
        entries: Mapping[Key, Entry] | None = None,
        skipped: Collection[str] = (),
        explored: Collection[str] = (),
    ) -> None:
        self.subject, self.plan, self._tell = subject, plan, listener
        self.result = Result(seed=plan.seed)
        self.ledger = Ledger(self.result, entries=dict(entries or {}), known=plan.known, settled=plan.settled)
        self._skipped, self._explored = frozenset(skipped), frozenset(explored)
        self.phase = REPLAYING
        self.shrinking: Key | None = None
        self._chosen = chosen = [PROPERTIES[name] for name in plan.properties]
        self._turns = []
        for name in plan.experiments:
            properties = self._judging(name)
            if properties:
                experiment = EXPERIMENTS[name]
                self._turns.append(Turn(experiment, experiment.cases(plan.held), properties))
                self.result.experiments[name] = ExperimentCount(name)
        for each in chosen:
            self.result.properties[each.id] = PropertyCount(each.id)
        self._board = plan.board or Board()
        self._examples = 0
        self._resident = resident()
        self._last_progress = 0.0
        self._longest, self._hung = 0.0, False

    def run(self) -> Result:
        """Replay, explore, shrink. Interrupted by KeyboardInterrupt, it returns what was found so far."""
        begun = self._begun = time.monotonic()
        plan = self.plan
        self._tell(
            Started(tuple(turn.experiment.name for turn in self._turns), tuple(plan.properties), plan.seconds, plan.max_examples, plan.seed)
        )
        try:
            with on_disk() if self.subject.own_data else contextlib.nullcontext(), prepared():
                self._replay()
                self.phase, self._explored_from = EXPLORING, time.monotonic()
                self._run_again()
                self._explore()
                self.phase = SHRINKING
                if plan.shrink_seconds is not None:
                    self._shrink(plan.shrink_seconds)
        except KeyboardInterrupt:
            self.result.interrupted = True
        found = {violation.first.key for violation in self.result.violations}
        self.result.violations += [
            Violation(each.finding, each.first, 0.0, False, 0) for key, each in self.ledger.entries.items() if key not in found
        ]
        self.result.seconds = time.monotonic() - begun
        self._tell(Finished(self.result))
        return self.result

    def _judging(self, experiment: str, *more: str) -> tuple[Property, ...]:
        """The chosen properties that judge an experiment, and those that are named."""
        named = [PROPERTIES[name] for name in more if name not in self.plan.properties]
        return tuple(each for each in [*self._chosen, *named] if experiment in each.experiments)

    # ---- replaying -----------------------------------------------------------------------------------------------------

    def _replay(self) -> None:
        for replays in by_case(self.plan.replayed):
            able = []
            for each in replays:
                if (reason := unknown(each)) is None:
                    able.append(each)
                else:
                    self._replayed(Replayed(each.id, CANNOT_RUN, None, reason))
            if able:
                self._replay_case(able)

    def _replayed(self, event: Replayed) -> None:
        self.result.replayed.append(event)
        self._tell(event)

    def _replay_case(self, replays: Sequence[Replay]) -> None:
        """Judge the case that some replays share, until each has shown its violation or had its attempts."""
        case = replays[0].case
        named = [each.property for each in replays if each.property is not None]
        shrunk = [each.property for each in replays if each.property is not None and each.shrunk]
        properties = self._judging(case.experiment, *named) or self._judging(case.experiment, *PROPERTIES)
        waiting = list(replays)
        for attempt in range(1, max(each.attempts for each in replays) + 1):
            try:
                judged = self._judge(case, properties, None, REPLAYING, shrunk=shrunk)
            except SubjectError:
                raise
            except Exception as error:  # noqa: BLE001  a stored case may hold anything; the others are still to be judged
                judged = Judged(case, could_not_run=f"{type(error).__name__}: {error}")
            for each in list(waiting):
                if findings_of(each, judged) or attempt >= each.attempts:
                    waiting.remove(each)
                    self._replayed(outcome(each, judged, known=self.plan.known))
            if not waiting:
                return

    # ---- exploring -----------------------------------------------------------------------------------------------------

    def _run_again(self) -> None:
        for case in self.plan.again:
            if case.key not in self.ledger.judged and case.key not in self._skipped:
                self._judge(case, self._judging(case.experiment), None, case.experiment)

    def _explore(self) -> None:
        turns = [turn for turn in self._turns if turn.experiment.name not in self._explored]
        if self.plan.max_examples is not None:
            for turn in turns:
                if self._board.closed:
                    return
                if self._board.take(turn.experiment.name, self.plan.part):
                    self._slice(Slice(turn, 0, math.inf), self.plan.max_examples)
            return
        assert self.plan.seconds is not None
        end = time.monotonic() + self.plan.seconds
        choice = Turns(turns, self.plan.seconds, self._board, hunting=self.plan.hunting)
        repeated: Counter[str] = Counter()
        while turns and not self._board.closed:
            left = end - time.monotonic()
            if left <= 0:
                return
            given = choice.begin(left)
            begun, before = time.monotonic(), self._examples
            harvest = self._slice(given, SLICE_EXAMPLES * 2 ** min(given.number, 4))
            choice.end(given, time.monotonic() - begun + 1e-3, self._examples - before, harvest)
            name = given.turn.experiment.name
            repeated[name] = 0 if harvest.fresh else repeated[name] + self._examples - before
            if repeated[name] >= _EXHAUSTED:
                turns.remove(given.turn)

    def _slice(self, given: Slice, max_examples: int) -> Harvest:
        """Draw and judge; returns what came of it."""
        name = given.turn.experiment.name
        number = slice_seed(self.plan.seed, name, given.number)
        richness = self.plan.richness[given.number % len(self.plan.richness)]
        origin = Origin(name, number, max_examples, richness)
        begun = time.monotonic()
        novelty = self.plan.novelty
        harvest = Harvest(news=None if novelty is None else 0)

        def body(case: Case) -> None:
            if self.plan.most_memory is not None and resident() - self._resident > self.plan.most_memory:
                self._board.close()
            if self._board.closed or time.monotonic() - begun > given.seconds:
                raise EndOfSlice
            self._examples += 1
            if case.key in self.ledger.judged or case.key in self._skipped:
                self._progress(name)
                return
            harvest.fresh += 1
            if given.hunt is not None and given.hunt.passes_over(case):
                self._progress(name)
                return
            judged = self._judge(case, given.turn.properties, origin, name)
            harvest.evaluated.append([*judged.holds, *(finding.property for finding in judged.findings)])
            if given.hunt is not None:
                given.hunt.judged(judged)
            if novelty is not None and harvest.news is not None:
                harvest.news += novelty.add(shown(judged))

        self.result.experiments[name].rejected += draw(
            given.turn.cases, body, number=number, max_examples=max_examples, richness=richness
        )
        return harvest

    def _judge(
        self, case: Case, properties: Sequence[Property], origin: Origin | None, activity: str, *, shrunk: Collection[str] = ()
    ) -> Judged:
        self._tell(CaseStarted(case))
        begun = time.monotonic()
        with self._patience():
            judged = judge(case, self.subject, properties)
        seconds = time.monotonic() - begun
        if any(finding.verdict == "hung" for finding in judged.findings):
            self._hung |= seconds >= _LEAST_PATIENCE  # not one that was ended for its number of batches
        else:
            self._longest = max(self._longest, seconds)
        for finding in self.ledger.write(judged, origin, seconds, shrunk=shrunk):
            self._tell(FirstSeen(finding))
            if self.plan.first_failure:
                self._board.close()
        if self.phase == EXPLORING and self.plan.enough(self.ledger):
            self._board.close()
        self._progress(activity)
        return judged

    def _patience(self) -> contextlib.AbstractContextManager[None]:
        """Once a run has hung for as long as any may, the next ones that hang are found out sooner."""
        return at_most(max(_LEAST_PATIENCE, _PATIENCE * self._longest)) if self._hung else contextlib.nullcontext()

    def _progress(self, activity: str) -> None:
        now = time.monotonic()
        if now - self._last_progress < _PROGRESS_SECONDS:
            return
        self._last_progress = now
        if self.phase == REPLAYING:
            share = 0.0
        elif self.plan.seconds is not None:
            share = (now - self._explored_from) / max(self.plan.seconds, _PROGRESS_SECONDS)
        else:
            share = self._examples / max(1, len(self._turns) * (self.plan.max_examples or 1))
        self._tell(Progress(self.result.runs, self.result.evaluations, now - self._begun, min(1.0, share), activity))

    # ---- shrinking -----------------------------------------------------------------------------------------------------

    def _shrink(self, seconds: float) -> None:
        for entry in self._to_shrink():
            if not self._board.take("shrink " + serialization.dumps(entry.finding.key), self.plan.part):
                continue
            self.shrinking = entry.first.key
            experiment = entry.finding.case.experiment
            properties = self._judging(experiment, entry.finding.property)
            cases = EXPERIMENTS[experiment].cases(self.plan.held) if entry.origin is not None else None
            self._tell(
                Progress(
                    self.result.runs, self.result.evaluations, time.monotonic() - self._begun, 1.0, f"shrinking {entry.finding.property}"
                )
            )

            def rerun(case: Case, properties: Sequence[Property] = properties) -> Judged:
                self._tell(CaseStarted(case))
                judged = judge(case, self.subject, properties)
                self.ledger.judged[case.key] = judged
                self.result.runs += 1
                return judged

            known = [each.case for each in self.ledger.judged.values() if each.case.experiment == experiment]
            held = self.plan.held.arguments
            models = [name for name in EXPERIMENTS[experiment].models if self.plan.held.models is None or name in self.plan.held.models]
            self._hung |= entry.finding.verdict == "hung"
            with self._patience():
                violation = shrink(entry, cases, rerun, self._recall, seconds=seconds, known=known, held=held, models=models)
                violation = replace(violation, timeline=self._timeline(violation.finding.case))
            self.result.violations.append(violation)
            self._tell(Shrunk(violation))

    def _to_shrink(self) -> list[Entry]:
        if self.plan.shrunk is None:
            return list(self.ledger.entries.values())
        first: dict[str, Entry] = {}
        for entry in self.ledger.entries.values():
            first.setdefault(entry.finding.property, entry)
        return [entry for name, entry in first.items() if name in self.plan.shrunk]

    def _timeline(self, case: Case) -> tuple[Moment, ...]:
        self._tell(CaseStarted(case))
        return timeline(first_record(EXPERIMENTS[case.experiment].run(case, self.subject)))

    def _recall(self, case: Case) -> Judged | None:
        return Judged(case) if case.key in self._skipped else self.ledger.judged.get(case.key)
