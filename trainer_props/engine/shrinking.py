"""Shrinking: a Hypothesis run of its own for each violation, in which only that violation counts.

It starts from what exploring knows: the slice that contained the smallest failing case is drawn again, judged cases are looked up and not
run,
and Hypothesis shrinks from there. Once the budget is spent, every case not yet judged is rejected, which ends shrinking without lying.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

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
_LENGTHENING = ("num_train_epochs", "max_steps", "per_device_train_batch_size", "n")
"""What makes a run longer when it is left at its default."""


class _Spent(Exception):
    """The budget is spent, and the case is not known yet."""


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

    def ask(case: Case) -> Finding | None:
        nonlocal runs
        judged = recall(case)
        if judged is None:
            if time.monotonic() - begun > seconds:
                raise _Spent
            runs += 1
            judged = judge(case)
        return next((finding for finding in judged.findings if finding.key == key), None)

    def body(case: Case) -> None:
        nonlocal complete, smallest
        try:
            finding = ask(case)
        except _Spent:
            complete = False
            reject()
        if finding is not None:
            smallest = finding
            raise Reproduced

    reproduce(cases, body, number=entry.origin.seed, max_examples=entry.origin.max_examples)
    if smallest is not None and complete:
        smallest, complete = _plainest(smallest, ask)
    return Violation(smallest or entry.finding, entry.first, time.monotonic() - begun, complete and smallest is not None, runs)


def _plainest(finding: Finding, ask: Callable[[Case], Finding | None]) -> tuple[Finding, bool]:
    """Take away settings one at a time while the violation stays; whether that came to an end within the budget.

    Hypothesis shrinks draws. A setting that several draws make together, or that changes what is drawn after it, can be left over.
    """
    while True:
        try:
            less = next((found for found in map(ask, _plainer(finding.case)) if found is not None), None)
        except _Spent:
            return finding, False
        if less is None:
            return finding, True
        finding = less


def _plainer(case: Case) -> Iterator[Case]:
    """The case with one setting less: an argument, a component, a parameter of the model, or one of the experiment."""
    scenario = case.scenario
    for name in scenario.arguments:
        if name not in _LENGTHENING:
            yield case.replace(scenario=scenario.without_arguments(name))
    for part in ("components", "model", "data"):
        value = getattr(scenario, part)
        usual = type(value)()
        for name, _ in value.non_defaults():
            if name not in _LENGTHENING:
                yield case.replace(scenario=scenario.replace(**{part: value.replace(**{name: getattr(usual, name)})}))
    for name in case.parameters:
        yield case.replace(parameters={key: value for key, value in case.parameters.items() if key != name})


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
