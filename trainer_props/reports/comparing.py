"""Expected against observed, for a page: what is shown of each side, and where the two part first."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from trainer_props.reports.reading import Moment, Violation

_BEFORE, _AFTER = 5, 7
_MOST_KEYS = 12
_MOST_ITEMS = 12
_DEEPEST = 6
_LONGEST_TEXT = 1500
_LARGEST_PLOTTED = 1e30
_CLOSE: Final = 1e-12

_MISSING: Final = object()
_OCCASIONS: Final = {"evaluation": "evaluate", "save": "save", "checkpoint": "save", "log": "log"}


@dataclass(frozen=True)
class Piece:
    """A part of a shown value; `parts` is true of where the two sides part first, `differs` of every other difference."""

    text: str
    differs: bool = False
    parts: bool = False


@dataclass(frozen=True)
class Row:
    """One key that two mappings have different values for."""

    key: str
    expected: str
    observed: str
    parts: bool


@dataclass(frozen=True)
class Comparison:
    """Both sides of a violation.

    Attributes:
        expected, observed: what is shown, piece by piece.
        rows: the keys that differ, where both sides are mappings.
        equal: the number of keys that agree.
        left_out: the number of keys that differ and are not among the rows.
        first: index of the first difference, where both sides are sequences.
        series: expected and observed as numbers (NaN where one is not finite), where both sides are sequences of numbers.
    """

    expected: tuple[Piece, ...]
    observed: tuple[Piece, ...]
    rows: tuple[Row, ...] = ()
    equal: int = 0
    left_out: int = 0
    first: int | None = None
    series: tuple[list[float], list[float]] | None = None


@dataclass(frozen=True)
class Place:
    """Where in a timeline two sides part: an update, and one of its micro-batches if that is known (both as positions, from 0)."""

    moment: int
    batch: int | None = None


def compare(violation: Violation) -> Comparison:
    """What a page shows of expected and observed."""
    expected, observed = violation.expected, violation.observed
    if isinstance(expected, Mapping) and isinstance(observed, Mapping):
        return _mappings(expected, observed, violation.divergence)
    if _is_sequence(expected) and _is_sequence(observed):
        first = first_difference(expected, observed, violation.divergence)
        numbers = numeric(expected), numeric(observed)
        series = (numbers[0], numbers[1]) if numbers[0] is not None and numbers[1] is not None else None
        return Comparison(_pieces(expected, observed, first), _pieces(observed, expected, first), first=first, series=series)
    return Comparison((Piece(show(expected)),), (Piece(show(observed)),))


def show(value: Any, depth: int = 0) -> str:
    """A value in few characters: long sequences, mappings and texts are cut, and say how long they are."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else f"{value[:_LONGEST_TEXT]} ... ({len(value)} characters in all)"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**40:
        return f"a {'negative ' if value < 0 else ''}whole number of about {value.bit_length() * math.log10(2):.0f} digits"
    if isinstance(value, Mapping) or _is_sequence(value):
        if depth >= _DEEPEST:
            return "..."
        if isinstance(value, Mapping):
            items = [f"{show(key, depth + 1)}: {show(item, depth + 1)}" for key, item in list(value.items())[:_MOST_ITEMS]]
        else:
            items = [show(item, depth + 1) for item in value[:_MOST_ITEMS]]
        more = [f"... ({len(value)} in all)"] if len(value) > _MOST_ITEMS else []
        left, right = "{}" if isinstance(value, Mapping) else "[]"
        return f"{left}{', '.join(items + more)}{right}"
    return str(value)


def first_difference(expected: Sequence[Any], observed: Sequence[Any], divergence: str) -> int | None:
    """Index of the element where two sequences part; None if they don't.

    Args:
        divergence: as the violation has it: the index that ends it counts, if the elements there differ at all. Elements before it may
            differ by less than the property's tolerance. (Updates have numbers, which are no indices.)
    """
    named = re.search(r"(?<!^update )\b(\d{1,9})$", divergence)
    shorter = min(len(expected), len(observed))
    if named is not None and int(named[1]) < shorter and not _equal(expected[int(named[1])], observed[int(named[1])]):
        return int(named[1])
    for index in range(shorter):
        if not _agree(expected[index], observed[index]):
            return index
    if len(expected) != len(observed):
        return shorter
    return next((index for index in range(shorter) if not _equal(expected[index], observed[index])), None)


def numeric(values: Sequence[Any]) -> list[float] | None:
    """A sequence as numbers that can be plotted, or None; what is missing, or not finite, becomes NaN."""
    numbers = []
    for value in values:
        if value is None:
            numbers.append(math.nan)
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        try:
            number = float(value)
        except OverflowError:
            return None
        if math.isfinite(number) and abs(number) > _LARGEST_PLOTTED:
            return None
        numbers.append(number if math.isfinite(number) else math.nan)
    return numbers if any(not math.isnan(number) for number in numbers) else None


def place(violation: Violation, first: int | None) -> Place | None:
    """Where in the timeline of a violation the two sides part, or None if its text does not say.

    Args:
        first: index of the first difference, where both sides are sequences.
    """
    timeline, text = violation.timeline, violation.divergence
    if first is not None and re.fullmatch(r"micro-batch \d+", text):
        return _at_batch(timeline, first)
    if found := re.search(r"\b(?:update|step|global_step) (\d{1,9})(?:, micro-batch (\d{1,9}))?", text):
        where = _at_update(timeline, int(found[1]))
        if where is not None and found[2] is not None and 1 <= int(found[2]) <= len(timeline[where.moment].sizes):
            where = Place(where.moment, int(found[2]) - 1)
        return where
    if found := re.search(r"\b(evaluation|save|checkpoint|log) (\d{1,9})", text):
        return _at_occasion(timeline, _OCCASIONS[found[1]], int(found[2]))
    if found := re.search(r"\bepoch (\d{1,9})", text):
        return next((Place(position) for position, each in enumerate(timeline) if each.update and each.epoch == int(found[1])), None)
    return None


def _at_update(timeline: Sequence[Moment], update: int) -> Place | None:
    return next((Place(position) for position, each in enumerate(timeline) if each.update == update), None)


def _at_batch(timeline: Sequence[Moment], index: int) -> Place | None:
    for position, each in enumerate(timeline):
        if index < len(each.sizes):
            return Place(position, index)
        index -= len(each.sizes)
    return None


def _at_occasion(timeline: Sequence[Moment], what: str, number: int) -> Place | None:
    positions = [position for position, each in enumerate(timeline) for happened in each.happened if happened == what]
    return Place(positions[number]) if number < len(positions) else None


def _pieces(values: Sequence[Any], others: Sequence[Any], first: int | None) -> tuple[Piece, ...]:
    begin = 0 if first is None or first <= _BEFORE else first - _BEFORE
    end = min(len(values), max(begin + _BEFORE + _AFTER, 0))
    pieces = [Piece("[")]
    if begin:
        pieces.append(Piece(f"... {begin} before, "))
    for index in range(begin, end):
        other = others[index] if index < len(others) else _MISSING
        pieces.append(Piece(show(values[index], 1), differs=not _agree(values[index], other), parts=index == first))
        if index + 1 < len(values):
            pieces.append(Piece(", "))
    if first == len(values) < len(others):
        pieces.append(Piece("nothing more", differs=True, parts=True))
    if end < len(values):
        pieces.append(Piece(f"... {len(values)} in all"))
    return (*pieces, Piece("]"))


def _mappings(expected: Mapping[Any, Any], observed: Mapping[Any, Any], divergence: str) -> Comparison:
    keys = [*expected, *(key for key in observed if key not in expected)]
    different = [key for key in keys if not _agree(expected.get(key, _MISSING), observed.get(key, _MISSING))]
    different.sort(key=lambda key: str(key) != divergence)
    rows = tuple(
        Row(show(key), _entry(expected, key), _entry(observed, key), str(key) == divergence) for key in different[:_MOST_KEYS]
    )
    sides = (Piece(show(expected)),), (Piece(show(observed)),)
    return Comparison(*sides, rows=rows, equal=len(keys) - len(different), left_out=len(different) - len(rows))


def _entry(side: Mapping[Any, Any], key: Any) -> str:
    return show(side[key], 1) if key in side else "(missing)"


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left) and math.isnan(right):
        return True
    try:
        return bool(left == right) and isinstance(left, bool) is isinstance(right, bool)
    except (RecursionError, ValueError):
        return False


def _agree(left: Any, right: Any) -> bool:
    """Equal, or two floats that differ by rounding only."""
    if isinstance(left, float) and isinstance(right, float) and math.isfinite(left) and math.isfinite(right):
        return abs(left - right) <= _CLOSE * max(1.0, abs(left))
    return _equal(left, right)
