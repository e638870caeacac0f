"""The comparison of a script, as code, by the relation of a check (`judgement.same`, `close` and so on)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from trainer_props.judgement import Check
from trainer_props.scripts import layout
from trainer_props.serialization import code

WORDS: Final[Mapping[str, str]] = {"same": "", "close": "", "at_most": "at most ", "at_least": "at least ", "true": ""}
"""What is put before an expected value, by relation."""

MOST_ITEMS: Final = 24
"""A list that is longer is neither written out nor shown whole."""
PART: Final = 8
"""Items of what is shown instead."""

_EQUAL: Final = '''\
def equal(left, right):
    """Whether both are the same; NaN is the same as NaN."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return left == right or (left != left and right != right)'''
_CLOSE: Final = '''\
def close(left, right):
    """Whether two numbers agree within {tolerance} of max({scale}, |left|)."""
    return right is not None and abs(left - right) <= {tolerance} * max({scale}, abs(left))'''
_CLOSE_OR_ODD: Final = '''\
def close(left, right):
    """Whether two numbers agree within {tolerance} of max({scale}, |left|); NaN, infinities and None agree with themselves."""
    if left is None or right is None or not (math.isfinite(left) and math.isfinite(right)):
        return left is right or left == right or (left != left and right != right)
    return abs(left - right) <= {tolerance} * max({scale}, abs(left))'''


@dataclass(frozen=True)
class Comparison:
    """Code that compares `observed` with `expected`.

    Attributes:
        definition: the function that it needs, or an empty text.
        condition: an expression that is true if the property holds.
        imports: import lines.
    """

    definition: str
    condition: str
    imports: tuple[str, ...] = ()


def comparison(check: Check, expected: Any) -> Comparison:
    """How the sides of a check are compared.

    Args:
        expected: the value of the expected side.

    Raises:
        ValueError: an unknown relation.
    """
    known = check.expected is None  # what is measured may be anything on another version
    match check.relation:
        case "true":
            return Comparison("", "observed")
        case "at_most" | "at_least":
            return Comparison("", f"observed {'<=' if check.relation == 'at_most' else '>='} expected")
        case "same":
            odd = _has_nan(expected) or (not known and _has_nan(check.observed.value))
            return Comparison(_EQUAL, "equal(expected, observed)") if odd else Comparison("", "observed == expected")
        case "close":
            odd = not known or _has_odd(expected)
            definition = (_CLOSE_OR_ODD if odd else _CLOSE).format(tolerance=code(check.tolerance), scale=code(check.scale))
            imports = ("import math",) if odd else ()
            if isinstance(expected, (list, tuple)):
                return Comparison(definition, "len(observed) == len(expected) and all(map(close, expected, observed))", imports)
            if not odd:
                within = f"{code(check.tolerance)} * max({code(check.scale)}, abs(expected))"
                return Comparison("", f"observed is not None and abs(observed - expected) <= {within}")
            return Comparison(definition, "close(expected, observed)", imports)
    raise ValueError(f"unknown relation {check.relation!r}")


def part_that_differs(check: Check, expected: Any, observed: Any) -> slice | None:
    """Where two lists differ first, with what is around it, if the expected one is so long that nobody wants to read it in a script.

    None if it is short, or is measured itself, or is no list.
    """
    expected, observed = plain(expected), plain(observed)
    if check.expected is not None or check.relation not in ("same", "close"):
        return None
    if not (isinstance(expected, list) and isinstance(observed, list)) or len(expected) <= MOST_ITEMS:
        return None
    shorter = min(len(expected), len(observed))
    first = next((place for place in range(shorter) if not _agree(check, expected[place], observed[place])), shorter)
    start = max(0, first - PART // 2)
    return slice(start, start + PART)


def _agree(check: Check, left: Any, right: Any) -> bool:
    both = all(isinstance(each, (int, float)) and math.isfinite(each) for each in (left, right))
    if check.relation == "close" and both:
        return bool(abs(left - right) <= check.tolerance * max(check.scale, abs(left)))
    return bool(left == right) or (_has_nan(left) and repr(left) == repr(right))


def literal(value: Any) -> str:
    """Source of a JSON-like value, a long list on several lines."""
    value = plain(value)
    return layout.sequence(value) if isinstance(value, list) else layout.value(value)


def plain(value: Any) -> Any:
    """A value as it comes back from JSON: lists for tuples, texts for keys; NaN and infinities stay."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return float(value) if isinstance(value, float) else repr(value)


def is_plain(value: Any) -> bool:
    """Whether a value comes back from JSON as it is."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _has_nan(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_nan, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_has_nan, value))
    return isinstance(value, float) and math.isnan(value)


def _has_odd(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_has_odd, value))
    return value is None or (isinstance(value, float) and not math.isfinite(value))
