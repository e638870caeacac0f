"""The choices of a case, all of one draw."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")

_BYTES: Final = st.binary(min_size=32, max_size=32)


class Pick:
    """The choices of a case, a byte for each, all of one draw: one for each would cost more than to run the case, and Hypothesis makes
    later cases of parts of earlier ones, in which the same choices meet again and again. Bytes shrink each by itself.
    """

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._bytes: Iterator[int] = iter(())

    def integer(self, low: int, high: int) -> int:
        """An integer between both bounds; `low` is the simplest."""
        byte = next(self._bytes, None)
        if byte is None:
            self._bytes = iter(self._draw(_BYTES))
            byte = next(self._bytes)
        return low + (byte * (high - low + 1) >> 8)

    def choose(self, options: Sequence[T]) -> T:
        """One of the options; the first is the simplest."""
        return options[self.integer(0, len(options) - 1)]

    def content(self) -> random.Random:
        """What values are made from."""
        return random.Random(self.integer(0, 255))
