"""A rank: a process of a pool, with the process group that it joins once and the runs that it is asked for."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import pickle
import random
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import torch
from transformers import TrainerCallback

from trainer_props import serialization
from trainer_props.record import Record
from trainer_props.running.devices.errand import OWN_DIRECTORY, Errand
from trainer_props.running.parent import end_with
from trainer_props.running.process import prepared
from trainer_props.running.run import run
from trainer_props.scenario import Scenario
from trainer_props.subjects import Parts, Subject, SubjectError

SHOW_STACK: Final = signal.SIGUSR1
READY: Final = b"ready"
_INHERITED: Final = (signal.SIGINT, signal.SIGTTOU, signal.SIGUSR2)
"""Signals that the process above may handle, and a rank does not: Ctrl-C is heard above."""
_TIMEOUT: Final = timedelta(hours=1)
"""Of collectives: the pool is much sooner to see that nothing moves, and knows of time in which nothing could."""
_BEAT: Final = 8


@dataclass(frozen=True)
class Place:
    """What a rank is told when it begins.

    Attributes:
        rank, size: its number, and how many there are.
        connection: to the pool.
        others: what it inherits and has nothing to do with: ends of other ranks' pipes.
        beats: shared memory, eight bytes a rank, in which it counts what it has come to.
        folder: of the pool.
        parent: the process to end with.
        cards: GPUs that all ranks have together; 0: none.
    """

    rank: int
    size: int
    connection: Connection
    others: Sequence[Connection]
    beats: Any
    folder: Path
    parent: int
    cards: int = 0

    @property
    def stack(self) -> Path:
        """The file for stacks."""
        return stack_file(self.folder, self.rank)


def stack_file(folder: Path, rank: int) -> Path:
    """Where a rank writes its stack when it is asked for it by SHOW_STACK, or when it crashes."""
    return folder / f"stack-{rank}.txt"


def work(place: Place, subject: Subject) -> None:
    """The body of the process. Does not return: a fork must not run its parent's exit handlers."""
    end_with(place.parent)
    for number in _INHERITED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for each in place.others:
        each.close()
    _silence()
    status = 1
    with place.stack.open("w") as stacks, prepared(), contextlib.suppress(EOFError, OSError):
        faulthandler.enable(stacks)
        faulthandler.register(SHOW_STACK, file=stacks, all_threads=True)
        _join(place)
        place.connection.send_bytes(READY)
        while text := place.connection.recv_bytes():
            place.connection.send_bytes(_answer(serialization.loads(text.decode()), place, subject))
        status = 0
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def _silence() -> None:
    """Let nothing be printed: torch writes a warning a run and rank that no filter of Python sees."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for each in (1, 2):
        os.dup2(nowhere, each)
    os.close(nowhere)


def _join(place: Place) -> None:
    """Become a rank: the environment that a launcher would give, and the process group."""
    local = place.rank % place.cards if place.cards else place.rank  # it says which card is used
    os.environ |= {
        "RANK": str(place.rank), "LOCAL_RANK": str(local), "WORLD_SIZE": str(place.size), "LOCAL_WORLD_SIZE": str(place.size),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    if sys.platform == "linux":
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # otherwise that of the host's name, which may not resolve
    backend = "nccl" if place.cards >= place.size else "gloo"
    store = f"file://{place.folder}/store"
    torch.distributed.init_process_group(backend, init_method=store, rank=place.rank, world_size=place.size, timeout=_TIMEOUT)


def _answer(asked: dict[str, Any], place: Place, subject: Subject) -> bytes:
    """The record of a run; the message of a SubjectError as a text."""
    scenario, errand = serialization.from_data(asked["scenario"], Scenario), serialization.from_data(asked["errand"], Errand)
    directory = f"{asked['directory']}/{OWN_DIRECTORY}{place.rank}" if errand.apart else asked["directory"]
    Path(directory).mkdir(exist_ok=True)
    random.seed(0)
    torch.manual_seed(0)  # the same on all ranks, whatever they did before

    def body(trainer: Any, record: Record, parts: Parts) -> None:
        trainer.add_callback(_Beating(place))
        errand.body(trainer, record, parts)

    try:
        return _dumps(run(scenario, subject, body, directory=directory))
    except SubjectError as error:
        return _dumps(str(error))


class _Beating(TrainerCallback):
    """Counts events, so that the pool sees that the run moves."""

    def __init__(self, place: Place) -> None:
        self._beats, self._at, self._count = place.beats, place.rank * _BEAT, 0

    def _beat(self, *_: Any, **__: Any) -> None:
        self._count += 1
        self._beats[self._at : self._at + _BEAT] = self._count.to_bytes(_BEAT, "little")

    on_train_begin = on_step_begin = on_substep_end = on_step_end = on_epoch_end = on_prediction_step = on_evaluate = on_save = _beat


class _Pickler(pickle.Pickler):
    """Writes tensors as arrays: their own way of being written costs more than the run."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is torch.Tensor and value.dtype != torch.bfloat16:
            return torch.from_numpy, (value.numpy(),)
        return NotImplemented


def _dumps(value: Any) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()
