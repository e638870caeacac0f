"""The campaign: hours of exploring in rounds, each by workers that are freshly forked, with everything that is known in a folder."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from msgspec.structs import replace as replace_struct

from trainer_props.engine import Plan, Replay, Result, totals
from trainer_props.engine.board import Mask
from trainer_props.engine.crew import Workers, supervise_side_by_side
from trainer_props.engine.events import (
    CANNOT_RUN,
    FIXED,
    KNOWN,
    EngineEvent,
    Finding,
    Finished,
    FirstSeen,
    Progress,
    Replayed,
    Shrunk,
    Started,
    Violation,
)
from trainer_props.engine.ledger import Key
from trainer_props.engine.replaying import belongs
from trainer_props.engine.signals import Signals
from trainer_props.engine.totals import nothing_trained
from trainer_props.engine.turns import ENOUGH
from trainer_props.engine.worker import Running
from trainer_props.fuzzing.state import Seen, State, StateError, StateFolder, case_of, masks
from trainer_props.keeper import ATTEMPTS, Keeper
from trainer_props.known_bugs import KnownBug, candidates
from trainer_props.properties import PROPERTIES
from trainer_props.running import prepared
from trainer_props.running.output import remove_own
from trainer_props.subjects import Subject, SubjectError

ROUND_SECONDS: Final = 300.0
"""Of exploring, after which workers are forked anew: what they remember of cases goes with them."""
WRITTEN_SECONDS: Final = 10.0
"""Between two times that the counts of a round are written while it goes on."""
RICHNESS: Final = (1, 3)
"""Half of the slices draw features three times over: what shows where several options meet is found there, and what needs defaults in the
others.
"""
MOST_MEMORY: Final = 2**30
"""Bytes that a worker may grow by before its round ends early."""

_LEAST_SECONDS: Final = 1.0
_MOST_VALUES: Final = 200
_MOST_ERRORS: Final = 20
_KNOWN_BUG: Final = "known-bug "


@dataclass(frozen=True)
class Standing:
    """Where a campaign stands.

    Attributes:
        left: seconds that this start has left.
        progress: of this start: runs, evaluations, seconds, the share of its time, what goes on.
        rare: properties that have fewer than ENOUGH evaluations, in all starts.
        seen: bits of novelty that are set, in all starts.
        violations: that have not been seen fixed, in all starts.
    """

    left: float
    progress: Progress
    rare: int
    seen: int
    violations: int


@dataclass(frozen=True)
class FixedUpstream:
    """A known bug shows no more in a case that showed it."""

    bug: str


Event = EngineEvent | Standing | FixedUpstream


class Campaign:
    """One start of a campaign, in a folder that is held.

    Args:
        plan: experiments, properties and what is held; the campaign sets the rest.
        keeper: keeps each violation at once.
        listener: is told what happens.
        round_seconds: of exploring in one round.
        workers: carry out each round.

    Attributes:
        state: what all starts have done.

    Raises:
        StateError: the bitmap of the folder can't be opened.
    """

    def __init__(
        self,
        subject: Subject,
        plan: Plan,
        folder: StateFolder,
        state: State,
        keeper: Keeper,
        listener: Callable[[Event], None] = lambda event: None,
        *,
        round_seconds: float = ROUND_SECONDS,
        workers: Workers = supervise_side_by_side,
    ) -> None:
        self.state = state
        self._subject, self._folder, self._keeper, self._listener = subject, folder, keeper, listener
        self._round_seconds, self._workers = round_seconds, workers
        self._bitmap = folder.bitmap()
        self._plan = replace(
            plan, max_examples=None, novelty=self._bitmap, richness=RICHNESS, hunting=plan.known, most_memory=MOST_MEMORY,
            first_failure=False,
        )
        self._total = Result(seed=state.seed)
        self._found: dict[Key, Violation] = {}
        self._settled: set[Key] = set()
        self._bugs: dict[str, KnownBug] = {}
        self._checked: dict[str, dict[str, str]] = {}
        self._gone: set[Key] = set()
        self._of_state: dict[str, Key] = {}
        self._open: dict[Key, Violation] = {}
        self._rare = self._seen = 0
        self._runs = self._evaluations = 0
        self._looked = self._written = 0.0
        self._progress: Progress | None = None

    def run(self, seconds: float, *, jobs: int = 1, replayed: Sequence[Replay] = (), running: Sequence[Running | None] = ()) -> Result:
        """Go on for so many seconds; returns what this start found. Interrupted, it returns what was found so far; so it does where it
        can't go on (the folder can't be written to any more, the subject gives no Trainer), and `errors` says so.

        Args:
            replayed: what failed before, judged before anything else.

        Raises:
            StateError, SubjectError, OSError: the same, before anything was run.
        """
        self._begun = time.monotonic()
        self._seconds = seconds
        replays = self._replays(replayed)
        with Signals() as signals:
            with prepared():
                pass  # once, so that what is forked from here has all imports of a first run, and need not make one
            remove_own()
            self._write()
            while not signals.count and ((left := seconds - (time.monotonic() - self._begun)) > _LEAST_SECONDS or replays):
                try:
                    # what is judged first has a round of its own: its time counts for the whole, too
                    runs = self._round(0.0 if replays else min(self._round_seconds, left), replays, jobs, running)
                except (StateError, SubjectError, OSError) as error:
                    if not self._runs and not self._open and self._progress is None:
                        raise
                    self._give_up(error)
                    break
                if self._total.interrupted or not (replays or (runs and not nothing_trained(self._total))):
                    break
                replays = ()
            self._total.interrupted |= bool(signals.count)
        if not (self._total.runs or self._total.interrupted or self._total.errors):
            self._total.errors.append(f"{seconds:g} s are over before anything could be run: it takes more --hours")
        self._total.seconds = time.monotonic() - self._begun
        self._total.violations = list(self._found.values())
        self._listener(Finished(self._total))
        return self._total

    def _round(self, seconds: float, replays: tuple[Replay, ...], jobs: int, running: Sequence[Running | None]) -> int:
        """Explore for so many seconds; returns the number of runs."""
        seed, settled = round_seed(self.state.seed, self.state.rounds), frozenset(self._settled)
        plan = replace(self._plan, seed=seed, seconds=seconds, replayed=replays, settled=settled)
        board, listener = self._folder.board(), self._keeper.before(self._hear)
        result = self._workers(self._subject, plan, listener, jobs=jobs, running=running, board=board)
        self._total.interrupted |= result.interrupted
        self._account(result, result.seconds if replays else min(seconds, result.seconds), explored=not replays)
        if not result.interrupted:
            self._look_for_fixed()
        return result.runs

    def _give_up(self, error: Exception) -> None:
        """What was told of the round that could not end stays."""
        text = " ".join(str(error).split())
        self._total.errors.insert(0, text if isinstance(error, (StateError, SubjectError)) else f"{type(error).__name__}: {text}")
        for key, violation in self._open.items():
            self._found.setdefault(key, violation)
        if (so_far := self._progress) is not None:
            self._total.runs, self._total.evaluations = self._total.runs + so_far.runs, self._total.evaluations + so_far.evaluations

    def masks(self) -> dict[str, tuple[Mask, int, int]]:
        """What known bugs hide of what is installed, see `state.masks`; nothing where the board can't be read any more."""
        try:
            with self._folder.board().opened() as notes:
                found = masks(notes)
        except (StateError, OSError):
            return {}
        there = {bug.id for name in PROPERTIES for bug in candidates(name)}
        return {name: mask for name, mask in found.items() if name in there}

    def _replays(self, stored: Sequence[Replay]) -> tuple[Replay, ...]:
        """What failed before: the stored examples, violations whose example is gone, and the known bugs of the installed version."""
        chosen, models = self._plan, self._plan.held.models
        shrunk = {each.example: each.shrunk for each in self.state.violations}
        found = [replace(each, shrunk=shrunk.get(Path(each.id).name, True)) for each in stored]
        there, names = {(each.case.key, each.property) for each in found}, {Path(each.id).name for each in stored}
        for index, seen in enumerate(self.state.violations):
            case, name = case_of(seen), seen.key[0]
            if case is None or (case.key, name) in there or seen.example in names:
                continue
            right_model = models is None or case.scenario.model.name in models
            if belongs(case, name, chosen.experiments, chosen.properties) and right_model:
                identifier = f"{name} (violation {index + 1} of the state)"
                self._of_state[identifier] = seen.key
                # nobody has this case but the state: a fault that does not always show is not to be forgotten for one time that it did not
                found.append(Replay(identifier, case, name, ATTEMPTS, shrunk=seen.shrunk))
        if self._subject.name == "transformers:Trainer" and self._plan.known:
            self._bugs = {bug.id: bug for name in self._plan.properties for bug in candidates(name)}
            for bug in self._bugs.values():
                if bug.example.experiment in self._plan.experiments:
                    judging = [name for name in bug.properties if bug.example.experiment in PROPERTIES[name].experiments]
                    found += [Replay(f"{_KNOWN_BUG}{bug.id} {name}", bug.example, name, ATTEMPTS) for name in judging]
        return tuple(found)

    # ---- what is told ----------------------------------------------------------------------------------------------------

    def _hear(self, event: EngineEvent) -> None:
        if isinstance(event, Progress):
            self._progress = event
            if time.monotonic() - self._written > WRITTEN_SECONDS:
                self._write()
            self._listener(self._standing(event))
            return
        if isinstance(event, FirstSeen):
            self._open.setdefault(event.finding.key, Violation(event.finding, event.finding, 0.0, False, 0))
            self._note(event.finding.key, event.finding, shrunk=False)
        elif isinstance(event, Shrunk):
            self._open[event.violation.first.key] = event.violation
            self._note(event.violation.first.key, event.violation.finding, shrunk=True)
        elif isinstance(event, Replayed):
            self._replayed(event)
        if not isinstance(event, (Started, Finished)):
            self._listener(event)

    def _note(self, key: Key, finding: Finding, *, shrunk: bool) -> None:
        kept = self._keeper.kept.get(key)
        example = kept.regression.name if kept is not None and kept.regression is not None else ""
        self.state.note(Seen.of(key, finding, example=example, shrunk=shrunk))
        self._write()

    def _write(self) -> None:
        """Write the state, with what is counted of the round that goes on: a kill loses some seconds of that, not the round."""
        self._written = time.monotonic()
        state, so_far = self.state, self._progress
        if so_far is not None:
            state = replace_struct(
                state, runs=state.runs + so_far.runs, evaluations=state.evaluations + so_far.evaluations,
                seconds=state.seconds + min(so_far.seconds, self._round_seconds),
            )  # fmt: skip
        self._folder.write(state)

    def _replayed(self, event: Replayed) -> None:
        if event.status in (FIXED, KNOWN):
            gone = {self._of_state[event.id]} if event.id in self._of_state else set()
            self._gone |= gone | {each.key for each in self.state.violations if each.example == Path(event.id).name}
        if event.id.startswith(_KNOWN_BUG):
            bug, _, name = event.id.removeprefix(_KNOWN_BUG).partition(" ")
            self._checked.setdefault(bug, {})[name] = event.status

    def _look_for_fixed(self) -> None:
        """Tell the known bugs whose examples violate nothing more: what each had violated has to be judged, and to hold."""
        for bug, statuses in self._checked.items():
            if statuses.get(self._bugs[bug].shows) == FIXED and set(statuses.values()) <= {FIXED, CANNOT_RUN}:
                self._total.fixed.append(bug)
                self._listener(FixedUpstream(bug))
        self._checked = {}

    def _standing(self, progress: Progress) -> Standing:
        now = time.monotonic()
        if now - self._looked > 1.0:
            self._looked = now
            self._seen = self._bitmap.count()
            counts = self.state.properties
            self._rare = sum(name not in counts or counts[name].evaluated < ENOUGH for name in self._plan.properties)
        seconds = now - self._begun
        together = replace(
            progress,
            runs=self._runs + progress.runs,
            evaluations=self._evaluations + progress.evaluations,
            seconds=seconds,
            share=min(1.0, seconds / self._seconds),
        )
        return Standing(max(0.0, self._seconds - seconds), together, self._rare, self._seen, len(self.state.violations))

    # ---- what is counted -------------------------------------------------------------------------------------------------

    def _account(self, result: Result, seconds: float, *, explored: bool) -> None:
        totals.add(self._total, result)
        self.state.add(result, seconds, explored=explored)
        self._runs, self._evaluations, self._progress = self._total.runs, self._total.evaluations, None
        self._total.replayed += [each for each in result.replayed if not each.id.startswith(_KNOWN_BUG)]
        self._total.violations.clear()
        del self._total.errors[_MOST_ERRORS:]
        values_of = [each for kind in ("arguments", "components") for each in self._total.coverage.get(kind, {}).values()]
        reasons = [each.reasons for each in self._total.properties.values()]
        for values in (*values_of, self._total.refusals, self._total.impossible, *reasons):
            _bound(values)
        for violation in result.violations:
            key = violation.first.key
            before = self._found.get(key)
            if before is None or (violation.complete and not before.complete):
                self._found[key] = violation
            attempted = violation.complete or violation.runs > 0 or violation.finding.verdict in ("crashed", "hung")
            if attempted:
                self._settled.add(key)
            self._note(key, self._found[key].finding, shrunk=attempted)
        self.state.violations = [each for each in self.state.violations if each.key not in self._gone or each.key in self._found]
        self._gone.clear()
        self._open.clear()
        self._write()


def round_seed(seed: int, number: int) -> int:
    """The seed of a round of a campaign."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/round {number}".encode(), digest_size=6).digest(), "big")


def _bound(counts: dict[str, int]) -> None:
    """Of very many values keep those that were met most often: hours of them would fill the memory."""
    if len(counts) > _MOST_VALUES:
        kept = sorted(counts, key=lambda value: counts[value], reverse=True)[: _MOST_VALUES // 2]
        for value in counts.keys() - set(kept):
            del counts[value]
