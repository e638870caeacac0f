"""The collators that are handed to a Trainer: for rows of different length, and one that draws random numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch

from trainer_props.scenario import Scenario
from trainer_props.zoo.kinds import Registry
from trainer_props.zoo.rows import Row, padded


class PaddingCollator:
    """Makes one batch of rows: columns are stacked, shorter rows are filled up on the right, labels with -100 and the rest with 0."""

    def __call__(self, features: Sequence[Row]) -> Row:
        """One batch of these rows."""
        return padded(features)


class NoisyCollator:
    """Makes one batch of rows, and adds to each label a number that it draws from torch's global generator, as augmentation does."""

    def __call__(self, features: Sequence[Row]) -> Row:
        """One batch of these rows."""
        return noisy(features)


def noisy(rows: Sequence[Row]) -> Row:
    """One batch of rows, whose labels have noise between 0 and 1 from torch's global generator: one number of double precision a row."""
    batch = padded(rows)
    batch["labels"] = batch["labels"] + torch.rand(len(rows), dtype=torch.float64).to(batch["labels"].dtype)
    return batch


Collator = PaddingCollator | NoisyCollator
_COLLATORS: Final[Registry[Callable[[], Collator | None]]] = Registry(
    "collator", {"default": lambda: None, "padding": PaddingCollator, "noise": NoisyCollator}
)


def collator(scenario: Scenario) -> Collator | None:
    """The data collator of a scenario; None where the Trainer is to use its own.

    Raises:
        UnknownName: no such collator.
    """
    return _COLLATORS[scenario.components.collator]()
