"""Scenario and subject in, record out."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from transformers import PrinterCallback, Trainer
from transformers.utils import logging

from trainer_props import compat
from trainer_props.record import Failure, Record
from trainer_props.running.devices import cards
from trainer_props.running.devices.data_parallel import emulated
from trainer_props.running.interrupt import pass_on
from trainer_props.running.output import NO_ROOM, is_for_want_of_room, output_directory
from trainer_props.running.place import place
from trainer_props.running.process import freeze_again, is_prepared
from trainer_props.running.recorder import Recorder
from trainer_props.running.watchdog import Stuck, wall_clock
from trainer_props.scenario import Scenario
from trainer_props.subjects import Parts, Subject, SubjectError
from trainer_props.zoo.kinds import draws_random_numbers

WALL_CLOCK_SECONDS = 60.0
"""A run takes some ten milliseconds, one of a tiny Hub model a few hundred: a minute is not slowness."""
_SECONDS_A_MICRO_BATCH = 0.1
"""On top of that, for long runs: a hundred times what the smallest model needs."""

Body = Callable[[Trainer, Record, Parts], None]


class _Observed:
    """Forwards to the recorder, which can only be made once the parts are."""

    def __init__(self) -> None:
        self.recorder: Recorder | None = None

    def saw_loss(self, loss: Any, items: Any) -> None:
        if self.recorder is not None:
            self.recorder.saw_loss(loss, items)

    def saw_metrics(self, predictions: Any, label_ids: Any) -> None:
        if self.recorder is not None:
            self.recorder.saw_metrics(predictions, label_ids)


def train(trainer: Trainer, record: Record, parts: Parts) -> None:
    """The usual body of a run: train once, keep what `train()` returned."""
    output = trainer.train()
    record.global_step, record.training_loss, record.metrics = output.global_step, output.training_loss, dict(output.metrics)


def run(
    scenario: Scenario,
    subject: Subject,
    body: Body = train,
    *,
    directory: str | None = None,
    prints: bool = False,
    budget: int | None = None,
) -> Record:
    """Build the scenario's trainer, do `body` with it, and return the record; an exception of the run is part of the record.

    Args:
        directory: an output directory that is left as it is afterwards, for runs that share one; default: one of its own.
        prints: what the Trainer brings to print what it logs stays.
        budget: training micro-batches after which the run is ended as stuck; default: what its arguments can ask for, and some.

    Raises:
        SubjectError: the subject gave no Trainer.
        compat.Unsupported: the installed transformers lacks an argument.
        zoo.MissingPackage: a package that the data needs is not installed.
    """
    with _directory(directory) as output_dir, _devices(scenario), _verbosity():
        trainer: Trainer | None = None
        observed = _Observed()
        where, ended_at = "construction", ""
        failure: Failure | None = None
        stuck: str | None = None
        poisoned = dict(scenario.components.poisoned)

        parts = Parts(scenario, observed)
        identify = (lambda inputs, training: None) if subject.own_data else parts.identify
        try:
            budget = batch_budget(scenario) if budget is None else budget
            with wall_clock(WALL_CLOCK_SECONDS + _SECONDS_A_MICRO_BATCH * budget):
                trainer = subject.make(parts, output_dir)
                _silence(trainer, prints)
                observed.recorder = Recorder(identify, poisoned, budget, keep_random=draws_random_numbers(scenario))
                observed.recorder.attach(trainer)
                where = "train"
                body(trainer, observed.recorder.record, parts)
        except Stuck as error:
            stuck, ended_at = str(error), place(error) if error.by_the_clock else ""
        except SubjectError:
            raise
        except BaseException as error:
            from trainer_props import zoo

            if isinstance(error, (compat.Unsupported, zoo.MissingPackage)):
                raise
            pass_on(error)
            # the directory has another name in each run, and a reader can do nothing with it
            message, *lines = (text.replace(output_dir, "output_dir") for text in (str(error), *traceback.format_exception(error)[-6:]))
            kind = NO_ROOM if is_for_want_of_room(error, output_dir) else type(error).__name__
            failure, ended_at = Failure(where, kind, message, tuple(lines)), place(error)
        _end_workers(trainer, scenario)
        record = observed.recorder.finish() if observed.recorder is not None else Record()
        record.failure, record.stuck, record.ended_at = failure, stuck, ended_at
        declared = subject.declaration
        record.own_data, record.loss_reduction, record.ignored_metrics = (
            subject.own_data,
            declared.loss_reduction,
            (
                *declared.ignore_metrics,
                *declared.cumulative_metrics,
            ),
        )
        record.expected_steps = declared.expected_steps(scenario) if declared.expected_steps is not None else None
        if is_prepared():
            compat.forget_loaders()
            freeze_again()
        return record


@contextmanager
def _verbosity() -> Iterator[None]:
    """Put back what a Trainer sets for the whole process: `log_level`, or `log_level_replica` where it takes itself for a later rank."""
    verbosity = logging.get_verbosity()
    try:
        yield
    finally:
        if logging.get_verbosity() != verbosity:
            logging.set_verbosity(verbosity)


def _silence(trainer: Trainer, prints: bool) -> None:
    if not prints:
        trainer.remove_callback(PrinterCallback)


def _directory(path: str | None) -> AbstractContextManager[str]:
    return output_directory() if path is None else nullcontext(path)


def _devices(scenario: Scenario) -> AbstractContextManager[None]:
    """What makes this process have the scenario's devices; a rank of several has them already."""
    if scenario.devices.kind == cards.DATA_PARALLEL:
        return cards.data_parallel(scenario.devices.count)
    return emulated(scenario.devices.count) if scenario.devices.kind == "data_parallel" else nullcontext()


def _end_workers(trainer: Trainer | None, scenario: Scenario) -> None:
    """Let go of worker processes that outlive their epoch. If the garbage collector ends them, torch waits five seconds for each."""
    if not scenario.argument("dataloader_persistent_workers"):
        return
    handler = getattr(trainer, "callback_handler", None)
    kept = getattr(trainer, "_eval_dataloaders", {}).values()
    for loader in (getattr(handler, "train_dataloader", None), getattr(handler, "eval_dataloader", None), *kept):
        for each in (loader, getattr(loader, "base_dataloader", None)):
            if getattr(each, "_iterator", None) is not None:
                each._iterator = None  # type: ignore[union-attr]  # noqa: SLF001  torch has no other way


def batch_budget(scenario: Scenario) -> int:
    """Training micro-batches after which a run is surely stuck: twice what its arguments can ask for, and some."""
    size, attempts = max(1, scenario.argument("per_device_train_batch_size")), 1
    if scenario.argument("auto_find_batch_size"):  # it may begin again with each smaller batch size
        size, attempts = 1, size
    devices = max(1, scenario.devices.count)  # one process sees the micro-batch of each
    per_epoch = math.ceil(scenario.data.n / size) + devices - 1
    by_steps = max(0, scenario.argument("max_steps")) * scenario.argument("gradient_accumulation_steps") * devices
    by_epochs = math.ceil(scenario.argument("num_train_epochs")) * per_epoch if scenario.argument("max_steps") < 0 else 0
    return 16 + 2 * attempts * int(max(by_steps, by_epochs))
