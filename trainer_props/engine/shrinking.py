"""Shrinking: a Hypothesis run of its own for each violation, in which only that violation counts.

It starts from what exploring knows: the slice that contained the smallest failing case is drawn again, judged cases are looked up and not
run,
and Hypothesis shrinks from there. Once the budget is spent, every case not yet judged is rejected, which ends shrinking without lying.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from hypothesis import reject
from hypothesis import strategies as st

from trainer_props.case import Case
from trainer_props.engine.drawing import Reproduced, reproduce
from trainer_props.engine.events import Finding, Violation
from trainer_props.engine.judging import Judged
from trainer_props.engine.ledger import Entry

Judge = Callable[[Case], Judged]
Recall = Callable[[Case], "Judged | None"]

_REPEATS = 2


def shrink(entry: Entry, cases: st.SearchStrategy[Case], judge: Judge, recall: Recall, *, seconds: float) -> Violation:
    """The smallest case that shows the violation of `entry`.

    Args:
        cases: the strategy of the experiment that found it.
        judge: runs and judges a case, and remembers the outcome.
        recall: the outcome of a case that was judged before, or None.
        seconds: the budget for running cases that are not known yet.
    """
    begun = time.monotonic()
    differing = _repeats_differ(entry, judge)
    if differing is not None:
        return Violation(differing, entry.first, time.monotonic() - begun, True, _REPEATS)
    key, runs, complete = entry.finding.key, 0, True
    smallest: Finding | None = None

    def body(case: Case) -> None:
        nonlocal runs, complete, smallest
        judged = recall(case)
        if judged is None:
            if time.monotonic() - begun > seconds:
                complete = False
                reject()
            runs += 1
            judged = judge(case)
        for finding in judged.findings:
            if finding.key == key:
                smallest = finding
                raise Reproduced

    reproduce(cases, body, number=entry.origin.seed, max_examples=entry.origin.max_examples)
    return Violation(smallest or entry.finding, entry.first, time.monotonic() - begun, complete and smallest is not None, runs)


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
