"""Training a second time, and the settings of the process that `full_determinism` changes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch
from transformers import Trainer, TrainerCallback

from trainer_props.record import Record
from trainer_props.running.recorder import Recorder
from trainer_props.running.run import train
from trainer_props.subjects import Parts


def train_from_the_beginning(trainer: Trainer, record: Record, parts: Parts) -> None:
    """Train once; `results` has the weights with which that begins."""
    beginning = Beginning()
    trainer.add_callback(beginning)
    train(trainer, record, parts)
    record.results["weights at the beginning"] = beginning.weights


def train_again(trainer: Trainer, record: Record, parts: Parts) -> None:
    """Train twice with one Trainer; the record is that of the second time."""
    trainer.train()
    recorder = next(each for each in trainer.callback_handler.callbacks if isinstance(each, Recorder))
    train_from_the_beginning(trainer, recorder.begin_again(), parts)


class Beginning(TrainerCallback):
    """Keeps the weights with which a training begins, in a row."""

    weights: torch.Tensor

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Keep them."""
        self.weights = torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


@contextlib.contextmanager
def settings_restored() -> Iterator[None]:
    """Put back what `full_determinism` sets for the whole process: torch's algorithms and variables of the environment."""
    environment = dict(os.environ)
    algorithms, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms, warn_only=warns)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update(environment)
