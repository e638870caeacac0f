"""What a run says to its console, kept from ours; and a prediction in the middle of training."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import transformers
from transformers import Trainer, TrainerCallback


@contextlib.contextmanager
def hidden_console() -> Iterator[None]:
    """Keep from the console what is printed, and put back the verbosity that a Trainer sets for the whole process."""
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.disable_default_handler()  # it writes to the stream that was the process's when it was made
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            yield
        finally:
            transformers.logging.set_verbosity(verbosity)
            transformers.logging.enable_default_handler()


class Prediction(TrainerCallback):
    """Predicts a data set after an update.

    Args:
        at: the update, counted from 1.
    """

    def __init__(self, trainer: Trainer, dataset: Any, at: int) -> None:
        self._trainer, self._dataset, self._at = trainer, dataset, at

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Predict, if it is time."""
        if state.global_step == self._at:
            self._trainer.predict(self._dataset)
