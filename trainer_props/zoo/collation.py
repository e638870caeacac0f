"""The collator of scenarios whose rows differ in length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trainer_props.scenario import Scenario
from trainer_props.zoo.kinds import Registry
from trainer_props.zoo.rows import Row, padded


class PaddingCollator:
    """Makes one batch of rows: columns are stacked, shorter rows are filled up on the right, labels with -100 and the rest with 0."""

    def __call__(self, features: Sequence[Row]) -> Row:
        """One batch of these rows."""
        return padded(features)


_COLLATORS: Registry[Callable[[], PaddingCollator | None]] = Registry("collator", {"default": lambda: None, "padding": PaddingCollator})


def collator(scenario: Scenario) -> PaddingCollator | None:
    """The data collator of a scenario; None where the Trainer is to use its own.

    Raises:
        UnknownName: no such collator.
    """
    return _COLLATORS[scenario.components.collator]()
