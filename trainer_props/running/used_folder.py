"""An output directory that was used before: checkpoints of an older run, other folders, and times of modification under control."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from transformers import Trainer, TrainerCallback

SPREAD: Final = "spread"
REVERSED: Final = "reversed"
SAME: Final = "same"
TIMES: Final = (SPREAD, REVERSED, SAME)
"""The times of the checkpoints in a directory: a minute apart in the order in which they were written, or in the reversed order, as a copy
of the directory may leave them; or all within a second, as tiny models write them.
"""
_LONG_AGO: Final = 1e9
_SECONDS_APART: Final = 60.0
_AHEAD: Final = 0.5
"""Half a second ahead of the clock is within a second of a save that takes up to one and a half."""


class Times(TrainerCallback):
    """Sets the times of all checkpoints but the one that is being written, so that how fast the machine is decides nothing.

    Args:
        folder: the output directory.
        written: names of the checkpoints that are there, the one that was written first at the head.
        times: one of TIMES.
    """

    def __init__(self, folder: str, written: Iterable[str], times: str) -> None:
        self._folder, self._written, self._times = Path(folder), list(written), times
        self._set()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A checkpoint was written."""
        name = f"checkpoint-{state.global_step}"
        self._written = [each for each in self._written if each != name] + [name]
        self._set()

    def _set(self) -> None:
        ages = self._written[::-1] if self._times == REVERSED else self._written
        for index, name in enumerate(ages):
            if (self._folder / name).exists():
                moment = time.time() + _AHEAD if self._times == SAME else _LONG_AGO + _SECONDS_APART * index
                os.utime(self._folder / name, (moment, moment))


def _again(self: Times, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
    self._set()


for _event in ("on_step_end", "on_epoch_end", "on_log", "on_evaluate"):
    # a save comes right after one of these
    handler: Callable[..., None] = _again
    setattr(Times, _event, handler)


def fill(trainer: Trainer, folder: str, older: Iterable[int], others: Iterable[str]) -> None:
    """Put checkpoints of an older run, with the weights that the model has now, and other folders into a directory.

    Args:
        older: steps of the checkpoints.
        others: names of the folders.
    """
    for step in older:
        path = Path(folder) / f"checkpoint-{step}"
        trainer.save_model(str(path))
        trainer.state.save_to_json(str(path / "trainer_state.json"))
    for name in others:
        (Path(folder) / name).mkdir(exist_ok=True)


def names(folder: str) -> Sequence[str]:
    """The names of everything in a directory, sorted."""
    return sorted(entry.name for entry in Path(folder).iterdir())
