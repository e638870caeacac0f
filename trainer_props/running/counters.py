"""Callbacks that have a state, several of one class, beside one that has none."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState


class Counter(TrainerCallback, ExportableState):
    """Adds its size to its total after each update."""

    def __init__(self, size: int) -> None:
        self.size, self.total = size, 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count."""
        self.total += self.size

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"args": {"size": self.size}, "attributes": {"total": self.total}}


class Listener(TrainerCallback):
    """Does nothing, and has no state."""


def given(sizes: list[int]) -> list[TrainerCallback]:
    """The callbacks of a run: one of each size, and after the first the one without a state."""
    first, *others = (Counter(size) for size in sizes)
    return [first, Listener(), *others]


def totals(trainer: Any) -> list[list[int]]:
    """Size and total of each counter of a Trainer, by size."""
    return sorted([each.size, each.total] for each in trainer.callback_handler.callbacks if isinstance(each, Counter))


def order(trainer: Any) -> list[str]:
    """The callbacks of this module, in the order in which they are called."""
    ours = [each for each in trainer.callback_handler.callbacks if isinstance(each, (Counter, Listener))]
    return [f"counter of {each.size}" if isinstance(each, Counter) else "listener" for each in ours]
