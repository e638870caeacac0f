"""One process plays one rank of any number: torch's fake process group, in which collectives come back without having met anybody.

It shows what a rank can know by itself: its share of the data, steps, epochs, sizes of batches, what it logs and saves and under which
names. It shows nothing of what ranks exchange: gradients, losses and metrics are those of this rank alone, or nobody's.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, Final

import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch.nn.parallel import DistributedDataParallel
from transformers import Trainer, TrainerCallback

from trainer_props.record import Record
from trainer_props.running.devices.kinds import NoSuchDevices
from trainer_props.running.run import run
from trainer_props.scenario import MOST_RANKS, Scenario
from trainer_props.subjects import Parts, Subject

PLACE: Final = ("process_index", "local_process_index", "world_size", "should_log", "should_save")
"""What a rank's arguments say of its place, as `record.results` keeps it."""
_SINGLETONS: Final = (PartialState, AcceleratorState, GradientState)
_SPARE: Final = 16

_warned: Final = [False]


def play(
    scenario: Scenario, subject: Subject, rank: int, *, per_node: int | None = None, until: int | None = None, directory: str | None = None
) -> Record:
    """Train as one rank of `scenario.devices.count`, and return its record.

    Args:
        rank: which one, from 0.
        per_node: processes of a node; default: all.
        until: a callback ends the run after so many updates.
        directory: an output directory that is left as it is afterwards.

    Raises:
        NoSuchDevices: there is no such rank, this torch has no fake process group, or the process belongs to a group already.
        SubjectError: the subject gave no Trainer.
    """
    def body(trainer: Trainer, record: Record, parts: Parts) -> None:
        record.results |= {name: getattr(trainer.args, name) for name in PLACE}
        record.results |= {"until": until, "local_rank": rank % on_a_node(scenario.devices.count, per_node)}
        record.results["is_world_process_zero"] = trainer.is_world_process_zero()
        trainer.add_callback(OneRank(trainer, until))
        output = trainer.train()
        record.global_step, record.training_loss, record.metrics = output.global_step, output.training_loss, dict(output.metrics)

    accumulation = int(scenario.argument("gradient_accumulation_steps"))
    budget = None if until is None else _SPARE + 2 * until * accumulation
    with as_rank(rank, scenario.devices.count, per_node), contextlib.nullcontext() if _warned[0] else _silence():
        record = run(scenario, subject, body, directory=directory, budget=budget)
    _warned[0] = _warned[0] or len(record.batches) > 1
    return record


class OneRank(TrainerCallback):
    """Lets a rank train without the others, and ends the run early where that is asked for.

    DistributedDataParallel waits for what a collective gives back, which of a fake one is nothing; a hook gives it its own gradients.
    """

    def __init__(self, trainer: Trainer, until: int | None) -> None:
        self._trainer, self.until = trainer, until

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Keep the gradients, once the model is wrapped."""
        model = self._trainer.model_wrapped
        if isinstance(model, DistributedDataParallel):
            model.register_comm_hook(None, lambda state, bucket: own_gradients(bucket))  # torch reads annotations

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """End the run."""
        if self.until is not None and state.global_step >= self.until:
            control.should_training_stop = True


def own_gradients(bucket: Any) -> torch.futures.Future[torch.Tensor]:
    """The gradients that a rank has, as if they had come back from all."""
    done: torch.futures.Future[torch.Tensor] = torch.futures.Future()
    done.set_result(bucket.buffer())
    return done


def on_a_node(size: int, per_node: int | None) -> int:
    """Processes of a node: all, unless a number is given."""
    return size if per_node is None else per_node


@contextlib.contextmanager
def as_rank(rank: int, size: int, per_node: int | None = None) -> Iterator[None]:
    """Be that rank: environment, process group and what accelerate remembers of them are put back afterwards.

    Raises:
        NoSuchDevices: there is no such rank, this torch has no fake process group, or the process belongs to a group already.
    """
    per_node = on_a_node(size, per_node)
    if not (1 <= size <= MOST_RANKS and 0 <= rank < size and per_node >= 1):
        raise NoSuchDevices(f"no rank {rank} of {size}, {per_node} on a node: there are 1 to {MOST_RANKS}, counted from 0")
    if not torch.distributed.is_available():
        raise NoSuchDevices("this torch is built without torch.distributed")
    if torch.distributed.is_initialized():
        raise NoSuchDevices("this process belongs to a process group already: it can't play a rank of another")
    try:
        from torch.testing._internal.distributed.fake_pg import FakeStore  # registers the backend
    except ImportError:
        raise NoSuchDevices("this torch has no fake process group") from None
    with _environment(rank, size, per_node), _singletons():
        torch.distributed.init_process_group("fake", rank=rank, world_size=size, store=FakeStore())
        try:
            yield
        finally:
            torch.distributed.destroy_process_group()


@contextlib.contextmanager
def _environment(rank: int, size: int, per_node: int) -> Iterator[None]:
    """What a launcher tells a process, for as long as it is that rank."""
    told = {
        "RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank % per_node, "LOCAL_WORLD_SIZE": min(per_node, size),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 0, "OMP_NUM_THREADS": 1,
    }  # fmt: skip
    before = {name: os.environ.get(name) for name in told}
    os.environ.update({name: str(value) for name, value in told.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _singletons() -> Iterator[None]:
    """Put back what accelerate keeps for the whole process."""
    before = [dict(each._shared_state) for each in _SINGLETONS]  # noqa: SLF001  it has no other place
    try:
        yield
    finally:
        for each, state in zip(_SINGLETONS, before, strict=True):
            each._shared_state.clear()  # noqa: SLF001
            each._shared_state.update(state)  # noqa: SLF001


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Let nothing be printed on stderr: torch writes a warning, once a process, that no filter of Python sees."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
