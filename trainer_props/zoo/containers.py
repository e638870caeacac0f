"""The forms in which rows reach a Trainer: map-style, streams with and without a length, and tables of the `datasets` package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from trainer_props.scenario import Data, Model
from trainer_props.zoo import kinds
from trainer_props.zoo.numbered import NumberedRows, numbers
from trainer_props.zoo.rows import Row, Rows

DTYPES: kinds.Registry[torch.dtype] = kinds.Registry("dtype", {"float64": torch.float64, "float32": torch.float32})


class Identified(Protocol):
    """Any data set of the zoo."""

    source: Rows | NumberedRows

    def rows(self, ids: Iterable[int]) -> Row:
        """The rows at these positions as one batch, made without any collator of transformers."""
        ...


class MapDataset(Dataset[Row]):
    """Rows fetched by position."""

    def __init__(self, source: Rows | NumberedRows) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Row:
        return dict(self.source[index])  # a collator may take something out of a row

    def rows(self, ids: Iterable[int]) -> Row:
        """The rows at these positions as one batch, made without any collator of transformers."""
        return self.source.batch(ids)


class Stream(IterableDataset[Row]):
    """Rows in their order, without a length. Worker processes of a loader take turns, so that each row comes once."""

    def __init__(self, source: Rows) -> None:
        self.source = source

    def __iter__(self) -> Iterator[Row]:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        return (dict(self.source[index]) for index in range(first, len(self.source), step))

    def rows(self, ids: Iterable[int]) -> Row:
        """The rows at these positions of a pass as one batch, made without any collator of transformers."""
        return self.source.batch(ids)


class SizedStream(Stream):
    """Rows in their order, with a length."""

    def __len__(self) -> int:
        return len(self.source)


def table(source: Rows, dtype: torch.dtype) -> Any:
    """A `datasets.Dataset` in torch format with the columns of the rows and a column `unused` that no model knows.

    Raises:
        kinds.MissingPackage: the `datasets` package is not installed.
    """
    try:
        import datasets
    except ImportError:
        raise kinds.MissingPackage("data set 'table' needs the package 'datasets': pip install 'trainer-props[datasets]'") from None
    batch = source.batch(range(len(source)))
    columns = {name: column.tolist() for name, column in batch.items()}
    made = datasets.Dataset.from_dict({**columns, "unused": list(range(len(source)))})
    # The format turns floats into float32 unless it is told otherwise; told a dtype, it applies that to every column.
    made = made.with_format("torch", dtype=dtype) if source.main_input_name == "input_x" else made.with_format("torch")
    made.source, made.rows = source, source.batch
    return made


def build_dataset(data: Data, split: str, *, model: Model, n: int | None = None) -> Any:
    """A data set from its description: rows in the form that the model takes.

    Args:
        data: what is wanted.
        split: `train`, `eval` or `test`; rows of different splits differ.
        model: the model that will see it.
        n: number of rows; by default `data.n` for training and `data.n_eval` otherwise.

    Returns:
        A data set with `rows(ids)`, which gives the rows at these positions as one batch (a dict of tensors).

    Raises:
        kinds.UnknownName: the kind of data or model, or the dtype, does not exist.
        ValueError: the model can't train on such data, or so many different rows do not exist.
        kinds.MissingPackage: an optional package is not installed.
    """
    model_kind, data_kind = kinds.check(model, data)
    dtype = DTYPES[model.dtype]
    if n is None:
        n = data.n if split == "train" else data.n_eval
    if data_kind.lazy:
        return MapDataset(NumberedRows(**numbers(data.seed, split, n, dtype)))
    source = Rows(data, model_kind, split, n, dtype)
    if data_kind.package is not None:
        return table(source, dtype)
    if data_kind.map_style:
        return MapDataset(source)
    return SizedStream(source) if data_kind.sized else Stream(source)


def identify(dataset: Any, inputs: Mapping[str, Tensor]) -> tuple[int, ...] | None:
    """The positions in the data set of the rows of a batch, told from the content that reached the model.

    Padding does not matter, nor which other columns are there.

    Returns:
        One position a row, or None if the main input is missing or a row is not of this data set.
    """
    source: Rows | NumberedRows = dataset.source
    return source.identify(inputs)
