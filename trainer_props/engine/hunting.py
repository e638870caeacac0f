"""Hunting behind known bugs: where a known bug shows in at least half of the cases, fewer cases are run, so that others have their time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trainer_props.case import Case
from trainer_props.engine.board import Mask, Tally
from trainer_props.engine.judging import Judged
from trainer_props.known_bugs import KnownBug, candidates

ENOUGH: Final = 20
"""Cases of a region that are judged before it may be called crowded."""
SHOWN: Final = 0.5
"""A region is crowded where its bug shows in so large a part of the cases."""
OUTSIDE: Final = 0.2
"""So large a part of an experiment's cases has to lie outside for any to be passed over: else most of the time would go into drawing."""


class Hunt:
    """What one slice of an experiment passes over, and what it counts.

    Args:
        properties: ids of those that judge the experiment.
        tally: what is known of the experiment so far.
    """

    def __init__(self, properties: Sequence[str], tally: Tally) -> None:
        self._bugs = list({bug.id: bug for name in properties for bug in candidates(name)}.values())
        self._crowded = crowded(tally)
        self._masks: dict[str, Mask] = {}
        self._drawn = self._inside = 0
        self._regions: list[str] = []

    def passes_over(self, case: Case) -> bool:
        """Count a case that was drawn; whether it is one of the half of a crowded region that is not run."""
        self._regions = [bug.id for bug in self._bugs if _covers(bug, case)]
        for name in self._regions:
            self._masks.setdefault(name, Mask()).cases += 1
        self._drawn += 1
        if self._crowded.isdisjoint(self._regions):
            return False
        self._inside += 1
        return int(case.key, 16) % 2 == 0

    def judged(self, judged: Judged) -> None:
        """Count what became of the case that was asked for last."""
        shown = [finding.known_bug for finding in judged.findings]
        if judged.refused is None and judged.could_not_run is None:
            for name in self._regions:
                mask = self._masks[name]
                mask.judged += 1
                mask.shown += name in shown
                mask.hidden += shown.count(name)

    def note(self, tally: Tally) -> None:
        """Add what was counted to what is known of the experiment."""
        tally.drawn += self._drawn
        tally.crowded += self._inside
        for name, mask in self._masks.items():
            total = tally.masks.setdefault(name, Mask())
            for each in ("cases", "judged", "shown", "hidden"):
                setattr(total, each, getattr(total, each) + getattr(mask, each))


def crowded(tally: Tally) -> frozenset[str]:
    """Ids of the known bugs whose regions are thinned out."""
    most = (1.0 - OUTSIDE) * tally.drawn
    if tally.crowded > most:
        return frozenset()
    return frozenset(
        name for name, mask in tally.masks.items() if mask.judged >= ENOUGH and mask.shown >= SHOWN * mask.judged and mask.cases <= most
    )


def _covers(bug: KnownBug, case: Case) -> bool:
    try:
        return bool(bug.region(case.scenario))
    except Exception:  # noqa: BLE001  a region that fails is told when it is asked for a violation
        return False
