"""The errand: what is done with a trainer on its devices. It travels to other processes as JSON."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from transformers import Trainer, TrainerCallback

from trainer_props.record import Record
from trainer_props.running.devices.prepared import prepared_loaders
from trainer_props.scenario import Value
from trainer_props.subjects import Parts

OWN_DIRECTORY: Final = "of-rank-"
"""What the directory of a rank begins with, where each has its own."""


class Errand(Value, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, eq=False):
    """Train; then, if asked to, evaluate, predict, and go through loaders of one's own.

    Attributes:
        evaluate: evaluate after training, on the scenario's evaluation data.
        predict: predict so many rows after that; 0: none.
        workers: before all that, ask for the seeds that so many workers of the training loader would have; 0: not.
        resume: a checkpoint to begin from; empty: none.
        draws: at the beginning of each update draw random numbers, on each rank more than on the one before, and keep the last of them.
        prepared: at the end go through loaders of so many rows that the trainer's accelerator prepares; 0: not.
        prepared_batch: the batch size of these loaders.
        apart: every rank has an output directory of its own, as on machines that share none, and says which files it wrote there.
    """

    evaluate: bool = False
    predict: int = 0
    workers: int = 0
    resume: str = ""
    draws: bool = False
    prepared: int = 0
    prepared_batch: int = 1
    apart: bool = False

    def body(self, trainer: Trainer, record: Record, parts: Parts) -> None:
        """Do it, and keep what the trainer returned."""
        results = record.results
        results["train_batch_size"] = trainer.args.train_batch_size
        results["eval_batch_size"] = trainer.args.eval_batch_size
        results["world_size"] = trainer.args.world_size
        if self.workers:
            results["worker_seeds"] = worker_seeds(trainer, self.workers)
        if self.draws:
            trainer.add_callback(Draws(results))
        if self.resume:
            results["resumed_from"] = int(self.resume.rpartition("-")[2])
        output = trainer.train(resume_from_checkpoint=self.resume) if self.resume else trainer.train()
        record.global_step, record.training_loss, record.metrics = output.global_step, output.training_loss, dict(output.metrics)
        if self.evaluate:
            results["evaluate"] = dict(trainer.evaluate())
        if self.apart:
            results["own_files"] = checkpoint_files(str(trainer.args.output_dir))
        if self.predict:
            results["predicted"] = self.predict
            parts.expect_test(self.predict)
            predicted = trainer.predict(parts.test_dataset(self.predict))
            results["predictions"] = _rows(predicted.predictions)
            results["label_ids"] = _rows(predicted.label_ids)
        if self.prepared:
            results["prepared_from"] = [self.prepared, self.prepared_batch]
            results["prepared"] = prepared_loaders(trainer, self.prepared, self.prepared_batch)


def checkpoint_files(directory: str) -> dict[str, list[str]]:
    """The names of the files of each checkpoint in a directory, or in those of the ranks in it together, by its name."""
    found: dict[str, set[str]] = {}
    for pattern in ("checkpoint-*", f"{OWN_DIRECTORY}*/checkpoint-*"):
        for folder in Path(directory).glob(pattern):
            found.setdefault(folder.name, set()).update(each.name for each in folder.iterdir())
    return {name: sorted(found[name]) for name in sorted(found)}


class Draws(TrainerCallback):
    """Draws random numbers as often as the rank says, as a user's own code may do, so that no two ranks are in the same state."""

    def __init__(self, results: dict[str, Any]) -> None:
        self.found = results["draws"] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """An update begins: of torch, Python and numpy keep the last number."""
        for _ in range(args.process_index + 1):
            numbers = [torch.rand(()).item(), random.random(), float(np.random.random())]
        self.found.append([state.global_step, *numbers])


def worker_seeds(trainer: Trainer, count: int) -> list[list[int]]:
    """What each of so many workers of the training loader starts its random numbers from: those of torch, and of Python and numpy.

    A worker of torch begins with the number that its process drew for all, plus its own number, and calls the function of the loader.
    """
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()
    usual = trainer.args.dataloader_num_workers
    trainer.args.dataloader_num_workers = count
    loader = trainer.get_train_dataloader()
    trainer.args.dataloader_num_workers = usual
    begun, found = int(torch.empty((), dtype=torch.int64).random_().item()), []
    for worker in range(count):
        torch.manual_seed(begun + worker)
        random.seed(begun + worker)
        if loader.worker_init_fn is not None:
            loader.worker_init_fn(worker)
        found.append([torch.initial_seed() % 2**32, random.getrandbits(32), int(np.random.randint(2**31))])
    random.setstate(kept[0])
    np.random.set_state(kept[1])
    torch.set_rng_state(kept[2])
    return found


def _rows(arrays: Any) -> Any:
    """Arrays of rows as lists; several as a list of those."""
    if isinstance(arrays, (tuple, list)):
        return [_rows(each) for each in arrays]
    return None if arrays is None else arrays.tolist()
