"""Interrupting a run after a chosen update, and going on where it stopped."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Any, Final

import numpy as np
from transformers import TrainerCallback

STOP: Final = "stop"
EXCEPTION: Final = "exception"
EVENTS: Final = (
    "on_save", "on_step_begin", "on_step_end", "on_optimizer_step", "on_pre_optimizer_step", "on_epoch_end", "on_log", "on_evaluate",
    "on_substep_end", "on_epoch_begin", "on_prediction_step",
)  # fmt: skip
"""The events that an exception may come from."""


class Interrupted(RuntimeError):
    """The exception that interrupts a run on purpose."""


class Interruption(TrainerCallback):
    """Saves a checkpoint after chosen updates, and ends the run after one of them.

    Args:
        saves: updates after which a checkpoint is asked for.
        at: the update after which the run ends; None: it does not.
        how: `stop` (the control flag is set right after that update, together with the one that saves) or `exception` (one is raised at
            the next `event` from then on).
        event: one of EVENTS.
        counted_on: `saves` and `at` count from where the run begins.

    Attributes:
        happened: whether the run was ended.
        draws: after each update numbers of Python and numpy are drawn, as augmentation does: training itself draws none of these.
    """

    def __init__(
        self, saves: Collection[int], at: int | None = None, how: str = STOP, event: str = EVENTS[0], *, counted_on: bool = False
    ) -> None:
        self.happened = self.draws = False
        self._saves, self._at, self._how, self._event = frozenset(saves), at, how, event
        self._armed, self._counted_on = False, counted_on

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Learn where the run begins."""
        if self._counted_on:
            self._saves = frozenset(state.global_step + update for update in self._saves)
            self._at = None if self._at is None else state.global_step + self._at

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask for what is due."""
        if self.draws:
            random.random(), np.random.random()  # noqa: NPY002  the global generators, and nothing but their state
        self._maybe_raise("on_step_end")
        if state.global_step in self._saves:
            control.should_save = True
        if state.global_step == self._at and self._how == STOP:
            control.should_training_stop = self.happened = True
        self._armed = self._armed or (state.global_step == self._at and self._how == EXCEPTION)

    def _maybe_raise(self, event: str) -> None:
        if self._armed and event == self._event:
            self.happened = True
            raise Interrupted(f"interrupted in {event} after update {self._at}")


def _handler(event: str) -> Callable[..., None]:
    def handle(self: Interruption, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._maybe_raise(event)

    handle.__name__ = event
    return handle


for _event in EVENTS:
    if _event != "on_step_end":
        setattr(Interruption, _event, _handler(_event))
