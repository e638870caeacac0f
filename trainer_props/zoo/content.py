"""The content of rows as plain numbers: made from a seed, a split and a position, and told apart by what they hold."""

from __future__ import annotations

import functools
import random
from typing import Any, Final

SPLITS: Final = ("train", "eval", "test")
PAD: Final = 0
IGNORED: Final = -100
FIRST_TOKEN: Final = 3
TOKENS: Final = 29
CLASSES: Final = 2
NUMBERS: Final = ("regression", "two_labels", "target", "positions", "unlabelled")
"""The families of models of numbers."""

_PAIRS: Final = TOKENS * TOKENS
_TRIPLES: Final = _PAIRS * (TOKENS - 1)
_NUMBER_BITS: Final = 20


class Content:
    """What the rows of a split hold. All rows of all splits that share a seed differ in their main input, unless they
    are alike.

    Args:
        family: of the model that the rows are for (`ModelKind.family`).
        split: `train`, `eval` or `test`.
        seed: what the values are made from.
        length: tokens in a row; for rows of tokens.
        ignored_every: every so-manieth label is -100; 0: none.
        dynamic: rows have different lengths, `length` at most.
        attention_mask: rows of tokens have one.
        alike: all rows are the first one.
    """

    def __init__(
        self,
        family: str,
        split: str,
        *,
        seed: int,
        length: int = 0,
        ignored_every: int = 0,
        dynamic: bool = False,
        attention_mask: bool = False,
        alike: bool = False,
    ) -> None:
        self.family, self.split, self.seed = family, SPLITS.index(split), seed
        self.length, self.ignored_every, self.dynamic, self.attention_mask = length, ignored_every, dynamic, attention_mask
        self.alike = alike

    def capacity(self) -> int:
        """The number of rows that can be told apart."""
        if self.family in NUMBERS:
            return (1 << _NUMBER_BITS) // len(SPLITS)
        return (_PAIRS + (_TRIPLES if self.length > 2 else 0)) // len(SPLITS)

    def columns(self, n: int) -> dict[str, list[Any]]:
        """The first `n` rows by column: a number, or a list of tokens, for each row. Without rows there are no columns."""
        places = [0 if self.alike else index for index in range(n)]
        rows = [self.number(place) if self.family in NUMBERS else self.text(place) for place in places]
        return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}

    def code(self, index: int) -> int:
        """A number that no other row of any split has."""
        return index * len(SPLITS) + self.split

    def number(self, index: int) -> dict[str, Any]:
        """A row of numbers: binary fractions, exact in float32 and float64."""
        x = Permutation(1 << _NUMBER_BITS, f"numbers {self.seed}")(self.code(index)) / (1 << (_NUMBER_BITS - 2)) - 2
        names = {"regression": ("labels",), "two_labels": ("labels_a", "labels_b"), "target": ("target",), "unlabelled": ()}
        labels = zip(names.get(self.family, ("start_positions", "end_positions")), (2 * x + 3, 3 * x + 2), strict=False)
        return {"input_x": x, **dict(labels)}

    def text(self, index: int) -> dict[str, Any]:
        """A row of tokens, which repeats its own few."""
        pattern = self.pattern(self.code(index))
        length = self.row_length(index, len(pattern))
        text = [pattern[place % len(pattern)] for place in range(length)]
        row: dict[str, Any] = {"input_ids": text}
        if self.attention_mask:
            row["attention_mask"] = [1] * length
        if self.family == "classification":
            row["labels"] = pattern[0] % CLASSES
        elif self.family == "causal_lm":
            row["labels"] = self.some_ignored(index, text)
        elif self.family == "next_token":
            row["labels"] = self.some_ignored(index, [*text[1:], pattern[length % len(pattern)]])
        else:
            # One token shorter than the text, so that the two lengths can't be mistaken for each other.
            row["labels"] = self.some_ignored(index, text[::-1][: max(2, length - 1)])
            row["decoder_input_ids"] = [PAD, *(PAD if token == IGNORED else token for token in row["labels"][:-1])]
        return row

    def pattern(self, code: int) -> list[int]:
        """The tokens that a row repeats: two, and three once all pairs are used up (the third is not the first, which tells them apart)."""
        if code < _PAIRS:
            digits = divmod(Permutation(_PAIRS, f"pairs {self.seed}")(code), TOKENS)
            return [FIRST_TOKEN + digit for digit in digits]
        pair, step = divmod(Permutation(_TRIPLES, f"triples {self.seed}")(code - _PAIRS), TOKENS - 1)
        first, second = divmod(pair, TOKENS)
        return [FIRST_TOKEN + digit for digit in (first, second, (first + 1 + step) % TOKENS)]

    def row_length(self, index: int, shortest: int) -> int:
        """The number of tokens in a row."""
        if not self.dynamic:
            return self.length
        noise = Permutation(1 << 32, f"lengths {self.seed} {self.split}")(index) >> 8
        return shortest + noise % (self.length - shortest + 1)

    def some_ignored(self, index: int, labels: list[int]) -> list[int]:
        """The labels, one in `ignored_every` of them -100, scattered so that counts differ by row; the second of a row always stays."""
        if not self.ignored_every:
            return labels
        scatter = Permutation(1 << 32, f"ignored {self.seed} {self.split}")
        return [
            IGNORED if place != 1 and (scatter(index << 8 | place) >> 8) % self.ignored_every == 0 else label
            for place, label in enumerate(labels)
        ]


class Permutation:
    """A scattered order of `range(size)` that a text determines, computed number by number.

    Multiplications by odd numbers and shifts to the right permute the numbers below a power of two; walking on until a number falls
    below `size` restricts that to `range(size)`.
    """

    __slots__ = ("_added", "_bits", "_odd", "_size")

    def __init__(self, size: int, text: str) -> None:
        self._size, self._bits = size, max(2, (size - 1).bit_length())
        self._odd, self._added = constants(text)

    def __call__(self, number: int) -> int:
        """Where `number` (0 <= number < size) is sent."""
        while True:
            number = self._mix(self._mix(number))
            if number < self._size:
                return number

    def _mix(self, number: int) -> int:
        number = (number * self._odd + self._added) & ((1 << self._bits) - 1)
        return number ^ (number >> (self._bits // 2))


@functools.lru_cache(maxsize=256)
def constants(text: str) -> tuple[int, int]:
    """An odd number, and a number to be added, that a text determines."""
    source = random.Random(text)
    return source.getrandbits(40) | 1, source.getrandbits(40)
