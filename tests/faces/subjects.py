"""Trainers to test the faces on. They are loaded by name, as a user's are."""

from __future__ import annotations

import os
import signal
import time
import weakref
from pathlib import Path
from typing import Any, ClassVar

import torch
import transformers


class Late(transformers.Trainer):
    """Never takes the last update."""

    def set_initial_training_values(self, *args: Any) -> Any:
        *values, max_steps = super().set_initial_training_values(*args)
        return (*values, max(1, max_steps - 1))


class Refusing(transformers.Trainer):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError("not today")


class Remembers(transformers.Trainer):
    """Its history goes on from one Trainer of a process to the next: what is seen of it depends on what was run before."""

    history: ClassVar[list[dict[str, Any]]] = []

    def _init_training_state(self, *args: Any, **kwargs: Any) -> Any:
        found = super()._init_training_state(*args, **kwargs)
        self.state.log_history = self.history
        return found


class Slow(transformers.Trainer):
    """Says by a file that it has begun, and takes its time."""

    def train(self, *args: Any, **kwargs: Any) -> Any:
        Path(os.environ["TEST_MARKER"]).touch()
        time.sleep(0.05)
        return super().train(*args, **kwargs)


class SlowAndLate(Slow, Late):
    pass


class SlowToCollect(Late):
    """What it leaves to the garbage collector takes its time, where Python drops what is raised."""

    def train(self, *args: Any, **kwargs: Any) -> Any:
        found = super().train(*args, **kwargs)
        weakref.finalize(Trash(), _takes_its_time)
        time.sleep(300)
        return found


class Trash:
    pass


def _takes_its_time() -> None:
    Path(os.environ["TEST_MARKER"]).touch()
    time.sleep(2)


class Deadly(transformers.Trainer):
    """Where there is weight decay it ends its process; the first time, as the file says, the one above it too, and so the whole check."""

    def train(self, *args: Any, **kwargs: Any) -> Any:
        if self.args.weight_decay > 0:
            if not (begun := Path(os.environ["TEST_MARKER"])).exists():
                begun.touch()
                os.kill(os.getppid(), signal.SIGKILL)
            os._exit(7)
        return super().train(*args, **kwargs)


class WantsEvaluation(transformers.Trainer):
    """Takes no scenario without evaluation data."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs["eval_dataset"] is None:
            raise ValueError("evaluation data are wanted")
        super().__init__(*args, **kwargs)


class Net(torch.nn.Module):
    """In float32, with inputs and parameters of other names than any model of ours."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.layer(x).squeeze(-1)
        return {"loss": ((y - labels) ** 2).mean(), "y": y}


def own_data(output_dir: str, n: int, **training_arguments: Any) -> transformers.Trainer:
    """A plain factory, with a model and data of its own."""
    rows = [{"x": torch.tensor([index, 1.0, -index]), "labels": torch.tensor(index / 2)} for index in range(max(n, 5))]
    arguments = transformers.TrainingArguments(output_dir, **training_arguments)
    return transformers.Trainer(Net(), arguments, train_dataset=rows[:n], eval_dataset=rows[:5])


def not_a_trainer(parts: Any, output_dir: str) -> Any:
    return os.path.join(output_dir, "no trainer")  # noqa: PTH118


NUMBER = 3
