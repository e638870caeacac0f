"""The audit: every planted fault meets the properties, and each property shows what it kills and what it would miss."""

from __future__ import annotations

import contextlib
import functools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from trainer_props import subjects
from trainer_props.engine import Plan, events
from trainer_props.engine.side_by_side import Lost, side_by_side
from trainer_props.engine.supervisor import supervise
from trainer_props.experiments import EXPERIMENTS
from trainer_props.faults import FAULTS
from trainer_props.properties import PROPERTIES
from trainer_props.running import prepared

if TYPE_CHECKING:
    from trainer_props.case import Case
    from trainer_props.engine.ledger import Ledger

LEAST_RUNS: Final = 30
"""A fault meets so many cases, if time allows, so that it shows which properties kill it besides its own."""
MOST_SECONDS: Final = 1.0
"""And it meets no more once it is killed and so many seconds have passed: cases of several processes take their time."""
_SHRINK_SECONDS: Final = 0.8
_STOCK: Final = ""


@dataclass(frozen=True)
class Kill:
    """A property that a fault violates.

    Attributes:
        runs: cases until then.
        seconds: from the beginning of the session.
    """

    property: str
    runs: int
    seconds: float


@dataclass(frozen=True)
class Audited:
    """What became of a fault.

    Attributes:
        written_for: the property that should kill it.
        kills: what it violates, in the order in which that was seen.
        runs, seconds: of its session, with shrinking.
        case: the smallest case that shows it to its property, or None.
        complete: whether shrinking that case came to its end.
        errors: what went wrong in the audit itself.
    """

    fault: str
    written_for: str
    kills: tuple[Kill, ...] = ()
    runs: int = 0
    seconds: float = 0.0
    case: Case | None = None
    complete: bool = False
    errors: tuple[str, ...] = ()

    @property
    def killed(self) -> Kill | None:
        """The kill by the property that it was written for."""
        return next((kill for kill in self.kills if kill.property == self.written_for), None)


@dataclass
class Audit:
    """What came of all faults.

    Attributes:
        seed: everything that is drawn follows from it.
        faults: in the order in which they were done.
        healthy: ids of properties that the stock Trainer violates, and by nothing that is known.
        healthy_runs: cases on which it was judged.
        interrupted: not all were done.
    """

    seed: int
    faults: list[Audited] = field(default_factory=list)
    healthy: tuple[str, ...] = ()
    healthy_runs: int = 0
    interrupted: bool = False

    def killed_by(self, name: str) -> list[Audited]:
        """The faults that a property kills."""
        return [each for each in self.faults if any(kill.property == name for kill in each.kills)]

    def only_by(self, name: str) -> list[Audited]:
        """The faults that no other property kills."""
        return [each for each in self.killed_by(name) if {kill.property for kill in each.kills} == {name}]

    def missed_by(self, name: str) -> list[Audited]:
        """The faults that other properties kill where this one judges too, and it does not."""
        experiments = set(PROPERTIES[name].experiments)
        killed = self.killed_by(name)
        return [
            each for each in self.faults
            if each.kills and each not in killed and experiments & set(PROPERTIES[each.written_for].experiments)
        ]  # fmt: skip

    def median_runs(self, name: str) -> float | None:
        """Cases until a property kills, or None if it kills nothing."""
        runs = [kill.runs for each in self.faults for kill in each.kills if kill.property == name]
        return statistics.median(runs) if runs else None

    @property
    def survivors(self) -> list[Audited]:
        """Faults that their property does not kill."""
        return [each for each in self.faults if each.killed is None]

    @property
    def toothless(self) -> list[str]:
        """Properties for which a fault was tried and that kill none at all."""
        return sorted(name for name in {each.written_for for each in self.faults} if not self.killed_by(name))

    @property
    def green(self) -> bool:
        """Every fault was killed by its property, and the stock Trainer survived."""
        return not self.survivors and not self.healthy and not self.interrupted


def audit(
    names: Sequence[str],
    *,
    seed: int,
    seconds: float,
    healthy_seconds: float,
    jobs: int,
    told: Callable[[Audited | None, int], None] = lambda audited, done: None,
) -> Audit:
    """Let faults meet the properties of the experiments that their own property judges, as `check` draws them, and the stock Trainer all.

    Args:
        names: of faults.
        seconds: most time for each until its property kills it.
        healthy_seconds: time for the stock Trainer.
        jobs: faults that are tried side by side, each in processes of its own.
        told: is called with what became of a fault, or with None for the stock Trainer, and with how many are done.
    """
    result = Audit(seed)
    for name in names:
        _warm(name)
    with prepared():
        pass  # once, so that what is forked from here has all imports of a first run, and need not make one
    work: dict[str, Callable[[], object]] = {_STOCK: functools.partial(_healthy, seed, healthy_seconds)} if healthy_seconds else {}
    work |= {name: functools.partial(_tried, name, seed, seconds) for name in names}
    try:
        for done, (name, outcome) in enumerate(side_by_side(work, jobs), 1):
            if name == _STOCK:
                result.healthy, result.healthy_runs = ((outcome.message,), 0) if isinstance(outcome, Lost) else outcome
                told(None, done)
            else:
                lost = isinstance(outcome, Lost)
                result.faults.append(Audited(name, FAULTS[name].property, errors=(outcome.message,)) if lost else outcome)
                told(result.faults[-1], done)
    except KeyboardInterrupt:
        result.interrupted = True
    return result


def _warm(name: str) -> None:
    """Import what a fault needs, before processes are forked."""
    with contextlib.suppress(Exception):  # whatever is wrong with it shows where it is tried
        FAULTS[name].make()


def _tried(name: str, seed: int, seconds: float) -> Audited:
    fault = FAULTS[name]
    experiments = PROPERTIES[fault.property].experiments
    judging = [each.id for each in PROPERTIES.values() if set(each.experiments) & set(experiments)]
    begun = time.monotonic()
    kills: list[Kill] = []
    runs = 0

    def listen(event: events.EngineEvent) -> None:
        nonlocal runs
        if isinstance(event, events.Progress):
            runs = event.runs
        elif isinstance(event, events.FirstSeen) and event.finding.property not in {kill.property for kill in kills}:
            kills.append(Kill(event.finding.property, runs, time.monotonic() - begun))

    def enough(ledger: Ledger) -> bool:
        killed = any(entry.finding.property == fault.property for entry in ledger.entries.values())
        return killed and (ledger.result.runs >= LEAST_RUNS or time.monotonic() - begun >= MOST_SECONDS)

    plan = Plan(
        experiments=experiments, properties=judging, seconds=seconds, seed=seed, enough=enough, shrink_seconds=_SHRINK_SECONDS,
        shrunk=[fault.property],
    )  # fmt: skip
    result = supervise(subjects.wrap(fault.make(), name), plan, listen)
    own = [each for each in result.violations if each.finding.property == fault.property]
    return Audited(
        name, fault.property, tuple(kills), result.runs, time.monotonic() - begun, own[0].finding.case if own else None,
        bool(own) and own[0].complete, tuple(result.errors),
    )  # fmt: skip


def _healthy(seed: int, seconds: float) -> tuple[tuple[str, ...], int]:
    plan = Plan(experiments=tuple(EXPERIMENTS), seconds=seconds, seed=seed, shrink_seconds=None)
    result = supervise(subjects.load(subjects.DEFAULT), plan)
    return tuple(sorted({each.finding.property for each in result.violations})), result.runs
