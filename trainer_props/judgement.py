"""Judgements: the value that a property returns. Comparing never raises; the engine decides what to raise, and when."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final


@dataclass(frozen=True)
class Measured:
    """A value together with how it was measured, so that somebody else can measure it again: a standalone script does.

    Attributes:
        value: what was measured.
        measure: `module.function` of `trainer_props.measures`.
        arguments: what the measure was given after the record, as JSON-like data.
    """

    value: Any
    measure: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Check:
    """How a comparison is made again from another record of the same case.

    Attributes:
        relation: `same`, `close`, `at_most`, `at_least` or `true`.
        observed: what is compared.
        expected: the other side if it was measured too; None if it is the plain value of the violation.
        tolerance, scale: of `close`.
    """

    relation: str
    observed: Measured
    expected: Measured | None = None
    tolerance: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Holds:
    """The property is true of this record.

    Attributes:
        nearness: of numbers that need only be close: the largest deviation, as a part of what is allowed. It tells no two judgements apart.
    """

    nearness: float = field(default=0.0, compare=False)


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
        check: how to compare again, or None if the observed side was not measured.
    """

    quantity: str
    expected: Any
    observed: Any
    symptom: str
    divergence: str = ""
    verdict: str = "violated"
    check: Check | None = None


Judgement = Holds | NotApplicable | Violated
HOLDS: Final = Holds()


def not_applicable(reason: str) -> NotApplicable:
    """A judgement for a record that the property says nothing about."""
    return NotApplicable(reason)


def same(quantity: str, *, expected: Any, observed: Any, at: str = "", symptom: str = "", verdict: str = "violated") -> Judgement:
    """Both sides are equal, exactly. Sequences are compared element by element; the first difference is named.

    Args:
        expected, observed: plain values, or `Measured` ones.
        symptom: instead of the relation between the two sides, where that says more.
    """
    left, right = _value(expected), _value(observed)
    if _is_sequence(left) and _is_sequence(right):
        found = _different_sequences(list(left), list(right), at)
        if found is None:
            return HOLDS
        relation, place = found
    elif _equal(left, right):
        return HOLDS
    else:
        relation, place = _relation(left, right), at
    return Violated(quantity, left, right, symptom or relation, place, verdict, _check("same", expected, observed))


def close(
    quantity: str, *, expected: Any, observed: Any, tolerance: float, at: str = "", scale: float = 1.0, symptom: str = ""
) -> Judgement:
    """Both sides (numbers, or sequences of numbers) agree within `tolerance * max(scale, |expected|)`.

    For sequences, the first element out of tolerance is named as `element i`; `at` should say what the elements are (`update`).
    """
    left, right = _value(expected), _value(observed)
    if not _is_sequence(left):
        if _close(left, right, tolerance, scale):
            return _near([(left, right)], tolerance, scale)
        relation, place = _relation(left, right), at
    else:
        left, right = list(left), list(right)
        wrong = next((i for i, pair in enumerate(zip(left, right, strict=False)) if not _close(*pair, tolerance, scale)), None)
        if len(left) != len(right):
            relation, place = _different_sequences(left, right, at) or ("different", at)
        elif wrong is None:
            return _near(zip(left, right, strict=True), tolerance, scale)
        else:
            relation, place = _relation(left[wrong], right[wrong]), _place(at, wrong)
    return Violated(quantity, left, right, symptom or relation, place, check=_check("close", expected, observed, tolerance, scale))


def at_most(quantity: str, *, expected: Any, observed: Any, at: str = "", symptom: str = "too large") -> Judgement:
    """The observed number does not exceed the expected one."""
    left, right = _value(expected), _value(observed)
    if right <= left:
        return HOLDS
    return Violated(quantity, left, right, symptom, at, check=_check("at_most", expected, observed))


def at_least(quantity: str, *, expected: Any, observed: Any, at: str = "", symptom: str = "too small") -> Judgement:
    """The observed number is not below the expected one."""
    left, right = _value(expected), _value(observed)
    if right >= left:
        return HOLDS
    return Violated(quantity, left, right, symptom, at, check=_check("at_least", expected, observed))


def holds_for_all(quantity: str, judgements: Iterable[Judgement]) -> Judgement:
    """The first violation among several judgements; holds if there is none and something was judged; else not applicable."""
    nearest: Holds | None = None
    for judgement in judgements:
        if isinstance(judgement, Violated):
            return judgement
        if isinstance(judgement, Holds) and (nearest is None or judgement.nearness > nearest.nearness):
            nearest = judgement
    return nearest or NotApplicable(f"nothing to compare: {quantity}")


def is_true(
    quantity: str, condition: Any, *, expected: Any, observed: Any, symptom: str = "false", at: str = "", verdict: str = "violated"
) -> Judgement:
    """A condition that is not one of the comparisons above; `expected` says what was promised.

    Args:
        condition: a truth value, or a `Measured` one.
    """
    if _value(condition):
        return HOLDS
    check = _check("true", None, condition)
    return Violated(quantity, _value(expected), _value(observed), symptom, at, verdict, check)


def expecting(judgement: Judgement, expected: Callable[[], Measured]) -> Judgement:
    """The judgement; if it is a violation, with an expectation that is measured again where another record is compared.

    For what an oracle has predicted from the record itself: from its losses, say, or from the number of its updates.
    """
    if not isinstance(judgement, Violated) or judgement.check is None:
        return judgement
    return replace(judgement, check=replace(judgement.check, expected=expected()))


def _value(side: Any) -> Any:
    return side.value if isinstance(side, Measured) else side


def _check(relation: str, expected: Any, observed: Any, tolerance: float = 0.0, scale: float = 1.0) -> Check | None:
    if not isinstance(observed, Measured):
        return None
    return Check(relation, observed, expected if isinstance(expected, Measured) else None, tolerance, scale)


def _different_sequences(expected: list[Any], observed: list[Any], at: str) -> tuple[str, str] | None:
    """In what way two sequences differ, and where first; None if they are equal."""
    if expected == observed:  # nearly always, and far cheaper than looking for the place
        return None
    for index, (left, right) in enumerate(zip(expected, observed, strict=False)):
        if not _equal(left, right):
            return _relation(left, right), _place(at, index)
    if len(expected) != len(observed):
        return ("too few" if len(observed) < len(expected) else "too many"), _place(at, min(len(expected), len(observed)))
    return None


def _place(at: str, index: int) -> str:
    if at == "update":  # updates are counted from 1, as `global_step` counts them after each
        return f"update {index + 1}"
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


def _near(pairs: Iterable[tuple[Any, Any]], tolerance: float, scale: float) -> Holds:
    """All of them are close; how near they come to not being so."""
    most = 0.0
    for left, right in pairs:
        if left != right and not math.isnan(left):  # neither both missing, nor the same infinity, nor not a number
            most = max(most, abs(left - right) / (tolerance * max(scale, abs(left))))
    return Holds(most) if most else HOLDS


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
