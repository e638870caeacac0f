"""The content of data sets: rows that depend on a seed, a split and their position, and are told apart by what they hold."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from trainer_props.scenario import Data
from trainer_props.zoo.kinds import TOKEN_LABELS, ModelKind

SPLITS: Final = ("train", "eval", "test")
PAD: Final = 0
IGNORED: Final = -100
FIRST_TOKEN: Final = 3
TOKENS: Final = 29
CLASSES: Final = 2

_PAIRS: Final = TOKENS * TOKENS
_TRIPLES: Final = _PAIRS * (TOKENS - 1)
_NUMBER_BITS: Final = 20

Row = dict[str, Tensor]


def padded(rows: Sequence[Mapping[str, Tensor]]) -> Row:
    """One batch of rows: columns are stacked; shorter rows are filled up on the right, labels with -100 and everything else with 0.

    Shapes: columns of shape () become [rows], columns of shape [length] become [rows, longest]. Without rows there are no columns.
    """
    names = rows[0] if rows else ()
    return {name: _stack([row[name] for row in rows], IGNORED if name.startswith("labels") else PAD) for name in names}


def _stack(values: Sequence[Tensor], filling: int) -> Tensor:
    if values[0].dim() == 0 or len({len(value) for value in values}) == 1:
        return torch.stack(list(values))
    batch = values[0].new_full((len(values), max(len(value) for value in values)), filling)
    for line, value in zip(batch, values, strict=True):
        line[: len(value)] = value
    return batch


class Rows:
    """The first `n` rows of a split.

    A row does not depend on `n`. All rows of all splits that share a seed differ in their main input (numbers are binary fractions,
    exact in float32 and float64), so that whoever sees the main input of a batch knows which rows it holds.

    Args:
        data: its seed, length and `ignored_every` count; its `kind` only where rows differ in length.
        kind: the kind of model that the rows are for.
        split: `train`, `eval` or `test`.
        n: number of rows.
        dtype: of the columns of numbers; tokens are int64.

    Raises:
        ValueError: no such split, or more rows than can be told apart.
    """

    def __init__(self, data: Data, kind: ModelKind, split: str, n: int, dtype: torch.dtype) -> None:
        if split not in SPLITS:
            raise ValueError(f"there is no split {split!r}: there are {', '.join(SPLITS)}")
        self.main_input_name = kind.main_input_name
        self._data, self._kind, self._split, self._dtype = data, kind, SPLITS.index(split), dtype
        self._dimensions = 1 if self.main_input_name == "input_x" else 2
        capacity = self._capacity()
        if not 0 <= n <= capacity:
            raise ValueError(f"{n} rows: between 0 and {capacity} rows of this kind can be told apart")
        self._rows: list[Row] = self._numbers(n) if self.main_input_name == "input_x" else [self._tokens(index) for index in range(n)]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Row:
        """The row at a position, as a dict of its own. Raises IndexError beyond the last."""
        return dict(self._rows[index])

    def batch(self, ids: Iterable[int]) -> Row:
        """The rows at these positions as one batch, padded where they differ in length."""
        return padded([self._rows[index] for index in ids])

    def identify(self, inputs: Mapping[str, Tensor]) -> tuple[int, ...] | None:
        """The positions of the rows in a batch, told from its main input; None if there is none, or a row is not of this data set."""
        main = inputs.get(self.main_input_name)
        if main is None or main.dim() != self._dimensions:
            return None
        values = main.tolist()
        find = self._positions.get
        found = [find(value) for value in values] if self._dimensions == 1 else [find(tuple(filter(None, value))) for value in values]
        return None if None in found else tuple(found)  # type: ignore[arg-type]

    @functools.cached_property
    def _positions(self) -> dict[object, int]:
        contents = (row[self.main_input_name].tolist() for row in self._rows)
        return {tuple(content) if isinstance(content, list) else content: index for index, content in enumerate(contents)}

    def _capacity(self) -> int:
        if self.main_input_name == "input_x":
            return (1 << _NUMBER_BITS) // len(SPLITS)
        return (_PAIRS + (_TRIPLES if self._data.length > 2 else 0)) // len(SPLITS)

    def _code(self, index: int) -> int:
        """A number that no other row of any split has."""
        return index * len(SPLITS) + self._split

    def _numbers(self, n: int) -> list[Row]:
        scatter = Permutation(1 << _NUMBER_BITS, f"numbers {self._data.seed}")
        values = [scatter(self._code(index)) / (1 << (_NUMBER_BITS - 2)) - 2 for index in range(n)]
        lines = {"labels": (2, 3)} if self._kind.family == "regression" else {"labels_a": (2, 3), "labels_b": (3, 2)}
        columns = {"input_x": values, **{name: [a * x + b for x in values] for name, (a, b) in lines.items()}}
        tensors = {name: torch.tensor(column, dtype=self._dtype).unbind() for name, column in columns.items()}
        return [dict(zip(tensors, row, strict=True)) for row in zip(*tensors.values(), strict=True)]

    def _tokens(self, index: int) -> Row:
        pattern = self._pattern(self._code(index))
        length = self._length(index, len(pattern))
        text = [pattern[place % len(pattern)] for place in range(length)]
        row = {"input_ids": torch.tensor(text)}
        if self._kind.attention_mask:
            row["attention_mask"] = torch.ones_like(row["input_ids"])
        match self._kind.family:
            case "classification":
                row["labels"] = torch.tensor(pattern[0] % CLASSES)
            case "causal_lm":
                row["labels"] = torch.tensor(self._some_ignored(index, text))
            case "next_token":
                row["labels"] = torch.tensor(self._some_ignored(index, [*text[1:], pattern[length % len(pattern)]]))
            case _:
                # One token shorter than the text, so that the two lengths can't be mistaken for each other.
                target = self._some_ignored(index, text[::-1][: max(2, length - 1)])
                row["labels"] = torch.tensor(target)
                row["decoder_input_ids"] = torch.tensor([PAD, *(PAD if token == IGNORED else token for token in target[:-1])])
        return row

    def _pattern(self, code: int) -> list[int]:
        """The tokens that a row repeats: two, and three once all pairs are used up (the third is not the first, which tells them apart)."""
        if code < _PAIRS:
            digits = divmod(Permutation(_PAIRS, f"pairs {self._data.seed}")(code), TOKENS)
            return [FIRST_TOKEN + digit for digit in digits]
        pair, step = divmod(Permutation(_TRIPLES, f"triples {self._data.seed}")(code - _PAIRS), TOKENS - 1)
        first, second = divmod(pair, TOKENS)
        return [FIRST_TOKEN + digit for digit in (first, second, (first + 1 + step) % TOKENS)]

    def _length(self, index: int, shortest: int) -> int:
        if self._data.kind != "dynamic":
            return self._data.length
        noise = Permutation(1 << 32, f"lengths {self._data.seed} {self._split}")(index) >> 8
        return shortest + noise % (self._data.length - shortest + 1)

    def _some_ignored(self, index: int, labels: list[int]) -> list[int]:
        """The labels, one in `ignored_every` of them -100, scattered so that counts differ by row; the second of a row always stays."""
        if not self._data.ignored_every or self._kind.family not in TOKEN_LABELS:
            return labels
        scatter = Permutation(1 << 32, f"ignored {self._data.seed} {self._split}")
        return [
            IGNORED if place != 1 and (scatter(index << 8 | place) >> 8) % self._data.ignored_every == 0 else label
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
        self._odd, self._added = _constants(text)

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
def _constants(text: str) -> tuple[int, int]:
    source = random.Random(text)
    return source.getrandbits(40) | 1, source.getrandbits(40)
