"""What masking may choose, and how many of the tokens: bounds that chance leaves once in ten thousand million times at most."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

CHANCE: Final = 1e-10
"""The probability by which a count of a sound collator leaves its bounds is not above this."""


def _divergence(share: float, probability: float) -> float:
    """Of two coins, by how much each toss tells them apart (Kullback and Leibler, in nats)."""

    def part(left: float, right: float) -> float:
        return 0.0 if left == 0 else math.inf if right == 0 else left * math.log(left / right)

    return part(share, probability) + part(1 - share, 1 - probability)


@functools.lru_cache(maxsize=4096)
def bounds(tosses: int, probability: float, chance: float = CHANCE) -> tuple[int, int]:
    """The least and the most successes of so many tosses that are not too improbable.

    By the bound of Chernoff, a share at least as far from the probability as `share`, on its side, comes up with a probability of
    exp(-tosses * divergence) at most: both sides together are below `chance`.
    """
    limit = math.log(2 / chance)

    def plausible(successes: int) -> bool:
        return tosses * _divergence(successes / tosses, probability) <= limit

    if tosses == 0:
        return 0, 0
    middle = min(tosses, max(0, round(tosses * probability)))
    least, most = middle, middle
    low, high = 0, middle  # the least successes that are plausible lie between these
    while low < high:
        at = (low + high) // 2
        low, high = (low, at) if plausible(at) else (at + 1, high)
    least = high
    low, high = middle, tosses
    while low < high:
        at = (low + high + 1) // 2
        low, high = (at, high) if plausible(at) else (low, at - 1)
    most = low
    return least, most


def all_alike(tosses: int, probability: float) -> float:
    """The probability that two series of so many tosses are the same."""
    return float((probability**2 + (1 - probability) ** 2) ** tosses)


def eligible(special: Sequence[int]) -> list[int]:
    """The columns of a row that may be chosen: those that are not special."""
    return [column for column, each in enumerate(special) if not each]


def words(special: Sequence[int], offsets: Sequence[Sequence[int]]) -> list[list[int]]:
    """The columns of each word of a row: tokens that touch in the text, and no special one between them."""
    found: list[list[int]] = []
    for column, (start, _) in enumerate(offsets):
        if special[column]:
            continue
        touches = column > 0 and not special[column - 1] and offsets[column - 1][1] == start
        if touches:
            found[-1].append(column)
        else:
            found.append([column])
    return found


def spans(length: int, longest: int, probability: float) -> tuple[int, int]:
    """The least and the most tokens of a row that permutation language modeling chooses, where none is special.

    Contexts follow each other, each of as many tokens as its span is the given share of (rounded down), and the last one may reach
    beyond the row, with its span inside or outside of it.
    """
    share = Fraction(probability).limit_denominator(1000)
    contexts = {span: int(Fraction(span) / share) for span in range(1, longest + 1)}

    @functools.cache
    def within(left: int) -> tuple[int, int]:
        if left <= 0:
            return 0, 0
        reached = []
        for span, context in contexts.items():
            least, most = within(left - context)
            # what of the span may lie inside what is left of the row
            reached.append((least + max(0, span - max(0, context - left)), most + min(span, left)))
        return min(least for least, _ in reached), max(most for _, most in reached)

    return within(length)
