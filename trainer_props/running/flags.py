"""A callback that sets control flags at chosen events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

from transformers import TrainerCallback

EVENTS: Final = (
    "on_train_begin", "on_epoch_begin", "on_step_begin", "on_substep_end", "on_pre_optimizer_step", "on_optimizer_step", "on_step_end",
    "on_epoch_end", "on_prediction_step", "on_evaluate", "on_log", "on_save",
)  # fmt: skip
"""The events at which it may set flags."""


class SetFlags(TrainerCallback):
    """Sets control flags.

    Args:
        plan: (event, which of the events of that name, from 1, flag) of each.
    """

    def __init__(self, plan: Iterable[tuple[str, int, str]]) -> None:
        self._plan = list(plan)
        self._sent: Counter[str] = Counter()

    def _set(self, event: str, control: Any) -> None:
        self._sent[event] += 1
        for name, at, flag in self._plan:
            if (name, at) == (event, self._sent[event]):
                setattr(control, flag, True)


def _handler(event: str) -> Callable[..., None]:
    def handle(self: SetFlags, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._set(event, control)

    handle.__name__ = event
    return handle


for _event in EVENTS:
    setattr(SetFlags, _event, _handler(_event))
