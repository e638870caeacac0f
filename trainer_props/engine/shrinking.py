"""Shrinking: a Hypothesis run of its own for each violation, in which only that violation counts.

It starts from what exploring knows: the slice that contained the smallest failing case is drawn again, judged cases are looked up and
not run, and Hypothesis shrinks from there. A case that was not drawn but replayed can only be made plainer. Shrinking ends at the first
case not yet judged once the budget is spent.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable

from hypothesis import reject
from hypothesis import strategies as st

from trainer_props.case import Case
from trainer_props.engine import varying
from trainer_props.engine.confirming import confirmation
from trainer_props.engine.drawing import EndOfSlice, Reproduced, reproduce
from trainer_props.engine.events import Finding, Violation
from trainer_props.engine.judging import Judged
from trainer_props.engine.ledger import Entry, Key, Origin, size
from trainer_props.engine.plainer import plainer

Judge = Callable[[Case], Judged]
Recall = Callable[[Case], "Judged | None"]

_REPEATS = 2


class _Spent(Exception):
    """The budget is spent, and the case is not known yet."""


def shrink(
    entry: Entry,
    cases: st.SearchStrategy[Case] | None,
    judge: Judge,
    recall: Recall,
    *,
    seconds: float,
    known: Iterable[Case] = (),
    held: Collection[str] = (),
    models: Collection[str] = (),
) -> Violation:
    """The smallest case that shows the violation of `entry`, and which of its parts matter.

    Args:
        cases: the strategy of the experiment that found it; None if only a replayed case has shown it.
        judge: runs and judges a case, and remembers the outcome.
        recall: the outcome of a case that was judged before, or None.
        seconds: the budget for running cases that are not known yet.
        known: cases of this session, whose values are tried in the smallest case.
        held: arguments that stay in the case.
        models: those that the case may have; empty: all.
    """
    begun = time.monotonic()
    differing = _repeats_differ(entry, judge)
    if differing is not None:
        return Violation(differing, entry.first, time.monotonic() - begun, True, _REPEATS)
    asker = _Asker(entry.finding.key, judge, recall, begun + seconds)
    if entry.origin is not None and cases is not None:
        smallest, complete = _reproduced(entry.origin, cases, asker)
    else:
        smallest, complete = None, entry.shrunk
    if smallest is None or size(entry.finding.case) < size(smallest.case):
        smallest = entry.finding
    smallest, plainest = _plainest(smallest, asker, held, models)
    complete = complete and plainest
    notes: tuple[str, ...] = ()
    if complete:
        with contextlib.suppress(_Spent):
            notes = varying.notes(smallest, known, asker.judged, held)
    notes = (*confirmation(smallest, entry.first, judge), *notes)
    return Violation(smallest, entry.first, time.monotonic() - begun, complete, asker.runs, notes)


class _Asker:
    """Judges cases within the budget, and finds the violation that is being shrunk in them."""

    def __init__(self, key: Key, judge: Judge, recall: Recall, end: float) -> None:
        self._key, self._judge, self._recall, self._end = key, judge, recall, end
        self.runs = 0

    def judged(self, case: Case) -> Judged:
        """The outcome of a case; raises `_Spent` if it is not known and the budget is spent."""
        judged = self._recall(case)
        if judged is None:
            if time.monotonic() > self._end:
                raise _Spent
            self.runs += 1
            judged = self._judge(case)
        return judged

    def __call__(self, case: Case) -> Finding | None:
        return next((finding for finding in self.judged(case).findings if finding.key == self._key), None)


def _reproduced(origin: Origin, cases: st.SearchStrategy[Case], ask: _Asker) -> tuple[Finding | None, bool]:
    """The finding on what Hypothesis shrinks the slice of `origin` to, and whether that came to an end within the budget."""
    complete, smallest = True, None

    def body(case: Case) -> None:
        nonlocal complete, smallest
        try:
            finding = ask(case)
        except _Spent:
            complete = False
            if smallest is None:  # not come to the violation yet
                reject()
            raise EndOfSlice from None
        if finding is not None:
            smallest = finding
            raise Reproduced

    reproduce(cases, body, number=origin.seed, max_examples=origin.max_examples, richness=origin.richness)
    return smallest, complete and smallest is not None


def _plainest(finding: Finding, ask: _Asker, held: Collection[str], models: Collection[str]) -> tuple[Finding, bool]:
    """Take away settings one at a time while the violation stays; whether that came to an end within the budget.

    Hypothesis shrinks draws. A setting that several draws make together, or that changes what is drawn after it, can be left over.
    """
    while True:
        try:
            less = next((found for found in map(ask, plainer(finding.case, held, models)) if found is not None), None)
        except _Spent:
            return finding, False
        if less is None:
            return finding, True
        finding = less


def _repeats_differ(entry: Entry, judge: Judge) -> Finding | None:
    """A finding with the verdict `nondeterministic` if identical runs of the case do not all show the violation."""
    finding = entry.finding
    for _ in range(_REPEATS):
        again = next((each for each in judge(finding.case).findings if each.key == finding.key), None)
        if again is None:
            return Finding(
                finding.property,
                "nondeterministic",
                finding.quantity,
                "identical runs differ",
                finding.observed,
                "the property holds when run again",
                finding.divergence,
                None,
                finding.case,
            )
    return None
