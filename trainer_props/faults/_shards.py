"""Faults in how the rows of a pass are shared out to several processes."""

from __future__ import annotations

from typing import Any


def shards(trainer: Any, loader: Any) -> Any:
    """The batch sampler that gives each rank its batches, or None on one."""
    sampler = getattr(loader, "batch_sampler", None)
    return sampler if trainer.args.world_size > 1 and hasattr(sampler, "process_index") else None


def with_batches(change: Any) -> Any:
    """A Trainer class in which each of several ranks goes through other batches: what `change` makes of its own, given the sampler."""
    from transformers import Trainer

    class OtherBatches(Trainer):
        def get_train_dataloader(self) -> Any:
            loader = super().get_train_dataloader()
            sampler = shards(self, loader)
            if sampler is not None:
                usual: Any = type(sampler)

                class Other(usual):
                    def __iter__(self) -> Any:
                        yield from change(list(usual.__iter__(self)), self)

                sampler.__class__ = Other
            return loader

    return OtherBatches
