"""Loaders of one's own that the trainer's accelerator prepares, as a Trainer with a `get_train_dataloader` of its own has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, IterableDataset
from transformers import Trainer


class Numbers(IterableDataset[int]):
    """A stream of the numbers from 0."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.n))


def prepared_loaders(trainer: Trainer, n: int, size: int) -> dict[str, dict[str, Any]]:
    """What this rank gets of prepared loaders: the rows of each batch, and the length that a loader tells; None where it has none.

    Args:
        n: rows of the data, numbered from 0.
        size: the batch size of the loaders.
    """
    found = {}
    kinds: dict[str, Any] = {"map": list(range(n)), "stream": Numbers(n)}
    for name, data in kinds.items():
        for drop_last in (False, True):
            loader = trainer.accelerator.prepare(DataLoader(data, batch_size=size, drop_last=drop_last))
            length = len(loader) if name == "map" else None
            batches = [batch.tolist() for batch in loader]
            found[f"{name}, drop_last" if drop_last else name] = {"batches": batches, "length": length}
    return found
