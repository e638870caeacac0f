"""What the engine tells whoever listens, as it happens. Plain values, so that they can cross a process boundary."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from trainer_props.case import Case
from trainer_props.judgement import Check

FIXED: Final = "FIXED"
FAILING: Final = "FAILING"
KNOWN: Final = "KNOWN"
CANNOT_RUN: Final = "CANNOT RUN"
RUN_PROPERTY: Final = "steps.run_finishes"
"""What a case violates that ends its process or hangs, whatever its experiment."""


@dataclass(frozen=True)
class Finding:
    """One property violated by one case.

    Attributes:
        property: its id.
        verdict: `violated`, `nondeterministic`, `crashed` or `hung`.
        quantity, symptom: what differs and in what way, without numbers.
        expected, observed: both sides, as text-like data.
        divergence: the first place where they part.
        known_bug: id of the known bug that explains it, or None.
        case: what was run.
        check: how to compare again, or None if the observed side was not measured.
    """

    property: str
    verdict: str
    quantity: str
    symptom: str
    expected: Any
    observed: Any
    divergence: str
    known_bug: str | None
    case: Case
    check: Check | None = None

    @builtins.property  # a field of this class has that name
    def key(self) -> tuple[str, str, str, str, str | None]:
        """What makes two findings the same violation: everything but the numbers."""
        return (self.property, self.verdict, self.quantity, self.symptom, self.known_bug)


@dataclass(frozen=True)
class Moment:
    """One update of a run, or what comes before the first (`update` 0), for a reader: plain data.

    Attributes:
        update: counted from 1.
        epoch: passes over the data begun before its window, from 0.
        batches: its micro-batches: the samples of each, in order; None if they are not known.
        sizes: rows of each micro-batch.
        losses: loss of each micro-batch, or None.
        learning_rate: of the first parameter group, or None.
        gradient_norm: of the gradient that the optimizer used, or None.
        happened: what followed it, in order: `log`, `evaluate`, `save`, `end of epoch`, `end`.
        loss: what was logged after it, or None.
    """

    update: int
    epoch: int
    batches: tuple[tuple[int, ...] | None, ...]
    sizes: tuple[int, ...]
    losses: tuple[float | None, ...]
    learning_rate: float | None
    gradient_norm: float | None
    happened: tuple[str, ...]
    loss: float | None


@dataclass(frozen=True)
class Violation:
    """A finding, shrunk.

    Attributes:
        finding: on the smallest case.
        first: the finding as it was first seen.
        seconds: what shrinking took.
        complete: False if shrinking ran into its budget.
        runs: cases that shrinking ran.
        notes: which parts of the case matter, one sentence each.
        timeline: what the run of the smallest case did, update by update.
    """

    finding: Finding
    first: Finding
    seconds: float
    complete: bool
    runs: int
    notes: tuple[str, ...] = ()
    timeline: tuple[Moment, ...] = ()


@dataclass(frozen=True)
class Started:
    """The engine knows what it will do."""

    experiments: tuple[str, ...]
    properties: tuple[str, ...]
    seconds: float | None
    max_examples: int | None
    seed: int


@dataclass(frozen=True)
class CaseStarted:
    """A case is about to run."""

    case: Case


@dataclass(frozen=True)
class Progress:
    """So far: runs, property evaluations, seconds; `share` of the whole budget, `activity` in words.

    Where several work side by side, `workers` has the activity of each, in order.
    """

    runs: int
    evaluations: int
    seconds: float
    share: float
    activity: str
    workers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Replayed:
    """A case of an earlier failure was judged again.

    Attributes:
        id: as the plan names it.
        status: `FIXED` (the property holds), `FAILING`, `KNOWN` (a known bug explains it) or `CANNOT RUN`.
        finding: what is violated, or None.
        reason: in words; empty if it is fixed.
    """

    id: str
    status: str
    finding: Finding | None
    reason: str


@dataclass(frozen=True)
class FirstSeen:
    """A violation was seen for the first time; shrinking comes later."""

    finding: Finding


@dataclass(frozen=True)
class Shrunk:
    """A violation was shrunk."""

    violation: Violation


@dataclass
class ExperimentCount:
    """What an experiment did: examples judged, refused by the subject, rejected while drawing, impossible here; seconds."""

    name: str
    examples: int = 0
    refused: int = 0
    rejected: int = 0
    could_not_run: int = 0
    seconds: float = 0.0


@dataclass
class PropertyCount:
    """How often a property was evaluated, not applicable, violated by something new, violated by something known."""

    id: str
    evaluated: int = 0
    not_applicable: int = 0
    violated: int = 0
    known: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass
class Result:
    """All that a session found.

    Attributes:
        fixed: ids of known bugs whose examples showed them no more; only a campaign looks.
    """

    seed: int
    runs: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    experiments: dict[str, ExperimentCount] = field(default_factory=dict)
    properties: dict[str, PropertyCount] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    known: dict[str, list[Finding]] = field(default_factory=dict)
    known_seen: dict[str, int] = field(default_factory=dict)
    replayed: list[Replayed] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    refusals: dict[str, int] = field(default_factory=dict)
    impossible: dict[str, int] = field(default_factory=dict)
    coverage: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    fixed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Finished:
    """The session is over."""

    result: Result


EngineEvent = Started | CaseStarted | Progress | Replayed | FirstSeen | Shrunk | Finished
Listener = Callable[[EngineEvent], None]
