"""Judgements: the value that a property returns. Comparing never raises; the engine decides what to raise, and when."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Holds:
    """The property is true of this record."""


@dataclass(frozen=True)
class NotApplicable:
    """The property says nothing about this record, and why."""

    reason: str


@dataclass(frozen=True)
class Violated:
    """The property is false of this record.

    Attributes:
        quantity: what was compared, as a reader would name it. Part of the identity of a violation.
        expected, observed: both sides, as JSON-like data.
        symptom: in what way they differ, without numbers (`too large`, `missing`). Part of the identity of a violation.
        divergence: the first place where they part (`update 2, micro-batch 1`), or an empty text.
        verdict: `violated`, or `crashed` or `hung` where the run itself ended so.
    """

    quantity: str
    expected: Any
    observed: Any
    symptom: str
    divergence: str = ""
    verdict: str = "violated"


Judgement = Holds | NotApplicable | Violated
HOLDS: Final = Holds()


def not_applicable(reason: str) -> NotApplicable:
    """A judgement for a record that the property says nothing about."""
    return NotApplicable(reason)


def same(quantity: str, *, expected: Any, observed: Any, at: str = "") -> Judgement:
    """Both sides are equal, exactly. Sequences are compared element by element; the first difference is named."""
    if _is_sequence(expected) and _is_sequence(observed):
        return _same_sequences(quantity, list(expected), list(observed), at)
    if _equal(expected, observed):
        return HOLDS
    return Violated(quantity, expected, observed, _relation(expected, observed), at)


def close(quantity: str, *, expected: Any, observed: Any, tolerance: float, at: str = "", scale: float = 1.0) -> Judgement:
    """Both sides (numbers, or sequences of numbers) agree within `tolerance * max(scale, |expected|)`.

    For sequences, the first element out of tolerance is named as `element i`; `at` should say what the elements are (`update`).
    """
    if not _is_sequence(expected):
        return (
            HOLDS
            if _close(expected, observed, tolerance, scale)
            else Violated(quantity, expected, observed, _relation(expected, observed), at)
        )
    expected, observed = list(expected), list(observed)
    if len(expected) != len(observed):
        return _same_sequences(quantity, expected, observed, at)
    for index, (left, right) in enumerate(zip(expected, observed, strict=True)):
        if not _close(left, right, tolerance, scale):
            return Violated(quantity, expected, observed, _relation(left, right), _place(at, index))
    return HOLDS


def holds_for_all(quantity: str, judgements: Iterable[Judgement]) -> Judgement:
    """The first violation among several judgements; holds if there is none and something was judged; else not applicable."""
    judged = False
    for judgement in judgements:
        if isinstance(judgement, Violated):
            return judgement
        judged = judged or isinstance(judgement, Holds)
    return HOLDS if judged else NotApplicable(f"nothing to compare: {quantity}")


def is_true(quantity: str, condition: bool, *, expected: Any, observed: Any, symptom: str = "false", at: str = "") -> Judgement:
    """A condition that is not an equality; `expected` says what was promised."""
    return HOLDS if condition else Violated(quantity, expected, observed, symptom, at)


def _same_sequences(quantity: str, expected: list[Any], observed: list[Any], at: str) -> Judgement:
    if expected == observed:  # nearly always, and far cheaper than looking for the place
        return HOLDS
    for index, (left, right) in enumerate(zip(expected, observed, strict=False)):
        if not _equal(left, right):
            return Violated(quantity, expected, observed, _relation(left, right), _place(at, index))
    if len(expected) != len(observed):
        symptom = "too few" if len(observed) < len(expected) else "too many"
        return Violated(quantity, expected, observed, symptom, _place(at, min(len(expected), len(observed))))
    return HOLDS


def _place(at: str, index: int) -> str:
    return f"{at} {index}" if at else f"element {index}"


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _equal(left: Any, right: Any) -> bool:
    if left is right or (type(left) is type(right) and left == right):
        return True
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left) and math.isnan(right):
        return True
    if _is_sequence(left) and _is_sequence(right):
        return len(left) == len(right) and all(_equal(one, other) for one, other in zip(left, right, strict=True))
    return bool(left == right)


def _close(expected: Any, observed: Any, tolerance: float, scale: float) -> bool:
    if expected is None or observed is None:
        return expected is observed
    if math.isnan(expected) or math.isnan(observed):
        return math.isnan(expected) and math.isnan(observed)
    if math.isinf(expected) or math.isinf(observed):
        return bool(expected == observed)
    return bool(abs(expected - observed) <= tolerance * max(scale, abs(expected)))


def _relation(expected: Any, observed: Any) -> str:
    if observed is None:
        return "missing"
    if expected is None:
        return "unexpected"
    numbers = (int, float)
    if (
        isinstance(expected, numbers)
        and isinstance(observed, numbers)
        and not isinstance(expected, bool)
        and not isinstance(observed, bool)
    ):
        if math.isnan(observed) or math.isnan(expected):
            return "not a number" if math.isnan(observed) else "a number"
        return "too small" if observed < expected else "too large"
    return "different"
