"""Rows that are made when they are fetched: a data set of 10^9 of them costs what one of ten costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils.data import Dataset

from trainer_props.zoo.content import SPLITS, constants
from trainer_props.zoo.rows import Row, padded

BITS: Final = {torch.float64: 32, torch.float32: 20}
"""By type: numbers with so many bits are told apart, and are exact."""


class NumberedRows(Dataset[Row]):
    """`n` rows, each with a number x that no other row has, and the label 2x + 3. Nothing is kept of them.

    The numbers are binary fractions between -2 and 2. Their order is scattered: multiplying by an odd number permutes those below a power
    of two, and can be undone.
    """

    def __init__(self, n: int, split: int, splits: int, odd: int, added: int, bits: int, dtype: torch.dtype) -> None:
        self.n, self.split, self.splits, self.dtype = n, split, splits, dtype
        self.odd, self.added, self.size = odd, added, 1 << bits

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Row:
        """The row at a position. Raises IndexError beyond the last."""
        if not 0 <= index < self.n:
            raise IndexError(index)
        code = (index * self.splits + self.split) * self.odd + self.added
        x = torch.tensor(code % self.size * 4 / self.size - 2, dtype=self.dtype)
        return {"input_x": x, "labels": 2 * x + 3}

    def position(self, x: float) -> int | None:
        """The position of the row with this number, or None."""
        number = (x + 2) * self.size / 4
        if not 0 <= number < self.size or number != int(number):
            return None
        index, split = divmod((int(number) - self.added) * pow(self.odd, -1, self.size) % self.size, self.splits)
        return index if split == self.split and index < self.n else None

    def batch(self, ids: Iterable[int]) -> Row:
        """The rows at these positions as one batch."""
        return padded([self[index] for index in ids])

    def identify(self, inputs: Mapping[str, Tensor]) -> tuple[int, ...] | None:
        """The positions of the rows in a batch; None if there is no number, or a row is not of this data set."""
        main = inputs.get("input_x")
        if main is None or main.dim() != 1:
            return None
        found = [self.position(x) for x in main.tolist()]
        return None if None in found else tuple(found)  # type: ignore[arg-type]


def numbers(seed: int, split: str, n: int, dtype: torch.dtype) -> dict[str, Any]:
    """The arguments of `NumberedRows` for so many rows of a split.

    Raises:
        ValueError: no such split, or more rows than can be told apart.
    """
    if split not in SPLITS:
        raise ValueError(f"there is no split {split!r}: there are {', '.join(SPLITS)}")
    bits = BITS[dtype]
    capacity = (1 << bits) // len(SPLITS)
    if not 0 <= n <= capacity:
        raise ValueError(f"{n} rows: between 0 and {capacity} rows of this kind can be told apart")
    odd, added = constants(f"numbered {seed}")
    size = 1 << bits
    return {
        "n": n, "split": SPLITS.index(split), "splits": len(SPLITS), "odd": odd % size, "added": added % size, "bits": bits, "dtype": dtype,
    }  # fmt: skip
