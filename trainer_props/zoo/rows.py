"""Rows as tensors: what data sets are made from."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from trainer_props.scenario import Data
from trainer_props.zoo.content import IGNORED, NUMBERS, PAD, SPLITS, Content
from trainer_props.zoo.kinds import ModelKind

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

    Attributes:
        columns: the content of the rows by column, as plain numbers and lists of tokens.

    Raises:
        ValueError: no such split, or more rows than can be told apart.
    """

    def __init__(self, data: Data, kind: ModelKind, split: str, n: int, dtype: torch.dtype) -> None:
        if split not in SPLITS:
            raise ValueError(f"there is no split {split!r}: there are {', '.join(SPLITS)}")
        self.main_input_name = kind.main_input_name
        content = Content(kind.family, split, **content_of(data, kind))
        if not 0 <= n <= content.capacity():
            raise ValueError(f"{n} rows: between 0 and {content.capacity()} rows of this kind can be told apart")
        numbers = kind.family in NUMBERS
        self._dimensions = 1 if numbers else 2
        self.columns = content.columns(n)
        tensors = [
            torch.tensor(column, dtype=dtype).unbind() if numbers else [torch.tensor(value) for value in column]
            for column in self.columns.values()
        ]
        self._rows: list[Row] = [dict(zip(self.columns, row, strict=True)) for row in zip(*tensors, strict=True)]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Row:
        """The row at a position. Raises IndexError beyond the last."""
        return self._rows[index]

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


def content_of(data: Data, kind: ModelKind) -> dict[str, Any]:
    """The arguments of `Content` beside family and split."""
    if kind.family in NUMBERS:
        return {"seed": data.seed, "alike": data.alike}
    ignored = data.ignored_every if kind.token_labels else 0
    return {
        "seed": data.seed, "length": data.length, "ignored_every": ignored, "dynamic": data.kind == "dynamic",
        "attention_mask": kind.attention_mask, "alike": data.alike,
    }  # fmt: skip
