"""The ledger: counts, and per violation the smallest failing case. Exploring writes it, shrinking reads it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from trainer_props.case import Case
from trainer_props.engine.coverage import cover
from trainer_props.engine.events import ExperimentCount, Finding, PropertyCount, Result
from trainer_props.engine.judging import Judged

Key = tuple[str, str, str, str, str | None]

EXAMPLES_OF_A_KNOWN_BUG = 3


@dataclass(frozen=True)
class Origin:
    """Where a case came from: the slice that draws it again."""

    experiment: str
    seed: int
    max_examples: int
    richness: int = 1


@dataclass
class Entry:
    """One violation.

    Attributes:
        first: the finding as it was first seen.
        finding: the same on the smallest case.
        origin: where it can be drawn again; None if only a replayed case has shown it.
        shrunk: it comes from a stored example, whose case was shrunk when it was stored.
        seen: how often.
    """

    first: Finding
    finding: Finding
    origin: Origin | None
    shrunk: bool = False
    seen: int = 1


@dataclass
class Ledger:
    """Everything that was judged in a session.

    Attributes:
        known: whether what a known bug explains is counted apart from new violations.
        settled: violations that are counted, and not told again.
    """

    result: Result
    entries: dict[Key, Entry] = field(default_factory=dict)
    judged: dict[str, Judged] = field(default_factory=dict)
    known: bool = True
    settled: Collection[Key] = ()

    def write(self, judged: Judged, origin: Origin | None, seconds: float, *, shrunk: Collection[str] = ()) -> list[Finding]:
        """Add an outcome; returns the findings that are new violations seen for the first time.

        Args:
            origin: where the case was drawn, or None if it is a replayed one.
            shrunk: ids of the properties that a replayed case was shrunk for.
        """
        result = self.result
        self.judged[judged.case.key] = judged
        count = result.experiments.setdefault(judged.case.experiment, ExperimentCount(judged.case.experiment))
        count.seconds += seconds
        result.runs += 1
        if judged.could_not_run is not None:
            count.could_not_run += 1
            result.impossible[judged.could_not_run] = result.impossible.get(judged.could_not_run, 0) + 1
            return []
        if judged.refused is not None:
            count.refused += 1
            result.refusals[judged.refused] = result.refusals.get(judged.refused, 0) + 1
            return []
        count.examples += 1
        cover(result.coverage, judged.case)
        result.errors += [error for error in judged.errors if len(result.errors) < 20]
        for identifier in judged.holds:
            self._count(identifier).evaluated += 1
        for identifier, reason in judged.not_applicable:
            each = self._count(identifier)
            each.not_applicable += 1
            each.reasons[reason] = each.reasons.get(reason, 0) + 1
        result.evaluations += len(judged.holds) + len(judged.findings)
        return [finding for finding in judged.findings if self._note(finding, origin, shrunk=finding.property in shrunk)]

    def _note(self, finding: Finding, origin: Origin | None, *, shrunk: bool) -> bool:
        count = self._count(finding.property)
        count.evaluated += 1
        if self.known and finding.known_bug is not None:
            count.known += 1
            self.result.known_seen[finding.known_bug] = self.result.known_seen.get(finding.known_bug, 0) + 1
            examples = self.result.known.setdefault(finding.known_bug, [])
            examples.append(finding)
            examples.sort(key=lambda each: size(each.case))
            del examples[EXAMPLES_OF_A_KNOWN_BUG:]
            return False
        count.violated += 1
        if finding.key in self.settled:
            return False
        entry = self.entries.get(finding.key)
        if entry is None:
            self.entries[finding.key] = Entry(finding, finding, origin, shrunk)
            return True
        entry.seen += 1
        if size(finding.case) < size(entry.finding.case):
            entry.finding, entry.origin, entry.shrunk = finding, origin, shrunk
        elif entry.origin is None and not entry.shrunk:
            entry.origin = origin  # a replayed case can't be drawn, and so not be shrunk by Hypothesis; this one can
        return False

    def _count(self, identifier: str) -> PropertyCount:
        return self.result.properties.setdefault(identifier, PropertyCount(identifier))


def size(case: Case) -> tuple[int, ...]:
    """How large a case is for a reader: what is not default, then samples, then the length of its text."""
    scenario = case.scenario
    parts = (scenario.data, scenario.model, scenario.devices, scenario.components)
    settings = len(scenario.arguments) + sum(1 for part in parts for name, _ in part.non_defaults() if name != "n")
    return (settings, scenario.data.n, len(case.text))

