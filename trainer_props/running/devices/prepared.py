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

    Each is prepared twice, unless that is the same: as the options say, and so that every rank reads for itself (`dispatch_batches=False`).

    Args:
        n: rows of the data, numbered from 0.
        size: the batch size of the loaders.
    """
    found = {}
    kinds: dict[str, Any] = {"map": list(range(n)), "stream": Numbers(n)}
    config = trainer.accelerator.dataloader_config
    said = config.dispatch_batches
    for dispatch in (said, False) if said is not False else (said,):
        config.dispatch_batches = dispatch
        for kind, data in kinds.items():
            for drop_last in (False, True):
                loader = trainer.accelerator.prepare(DataLoader(data, batch_size=size, drop_last=drop_last))
                length = len(loader) if kind == "map" else None
                batches = [batch.tolist() for batch in loader]
                name = kind + (", drop_last" if drop_last else "") + (", read by each" if dispatch != said else "")
                found[name] = {"batches": batches, "length": length}
    config.dispatch_batches = said
    return found
