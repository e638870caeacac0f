"""Trainers to test the faces on. They are loaded by name, as a user's are."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import transformers


class Late(transformers.Trainer):
    """Never takes the last update."""

    def set_initial_training_values(self, *args: Any) -> Any:
        *values, max_steps = super().set_initial_training_values(*args)
        return (*values, max(1, max_steps - 1))


class Refusing(transformers.Trainer):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError("not today")


class Slow(transformers.Trainer):
    """Says by a file that it has begun, and takes its time."""

    def train(self, *args: Any, **kwargs: Any) -> Any:
        Path(os.environ["TEST_MARKER"]).touch()
        time.sleep(0.05)
        return super().train(*args, **kwargs)


class SlowAndLate(Slow, Late):
    pass


def not_a_trainer(parts: Any, output_dir: str) -> Any:
    return os.path.join(output_dir, "no trainer")  # noqa: PTH118


NUMBER = 3
