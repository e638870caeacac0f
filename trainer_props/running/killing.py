"""Ending a run by SIGKILL, in a process of its own, at a moment that is always the same."""

from __future__ import annotations

import builtins
import os
import signal
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from transformers import TrainerCallback, modeling_utils

EVENTS: Final = ("on_step_end", "on_save", "on_step_begin", "on_epoch_end", "on_log", "on_train_end")
"""The events at which a run may be killed."""
_STEP: Final = struct.Struct("q")


class Death(TrainerCallback):
    """Kills the process that it is in; says before which saves were finished.

    Args:
        event, count: the event, one of EVENTS, and how often it comes until the process dies; None: it does not die of an event.
        told: a file descriptor that the step of each finished save is written to.
    """

    def __init__(self, event: str | None, count: int, told: int) -> None:
        self._event, self._left, self._told = event, count, told

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A save is finished."""
        os.write(self._told, _STEP.pack(state.global_step))
        self._seen("on_save")

    def _seen(self, event: str) -> None:
        if event == self._event:
            self._left -= 1
            if self._left == 0:
                die()


def _handler(event: str) -> Callable[..., None]:
    def handle(self: Death, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._seen(event)

    handle.__name__ = event
    return handle


for _event in EVENTS:
    if _event != "on_save":
        setattr(Death, _event, _handler(_event))


def die() -> None:
    """End this process by SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_write(number: int, *, half: bool) -> None:
    """Let this process die when a file is written into a checkpoint.

    Nothing is put back: this is for a process that has nothing else to do.

    Args:
        number: of the file, counted from 1 over all checkpoints.
        half: it dies when the first half of the file is on disk (of a file that is opened for writing: nothing); otherwise before.
    """
    left = number

    def watched(write: Callable[..., Any]) -> Callable[..., Any]:
        def watching(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            path = next((Path(each) for each in args if isinstance(each, (str, Path)) and "checkpoint-" in str(each)), None)
            reads = write is _open and not set("wax") & set(str(args[1] if len(args) > 1 else kwargs.get("mode", "r")))
            if path is None or reads:
                return write(*args, **kwargs)
            left -= 1
            if left == 0 and not half:
                die()
            written = write(*args, **kwargs)
            if left == 0:
                os.truncate(path, path.stat().st_size // 2)
                die()
            return written

        return watching

    _open = builtins.open
    builtins.open = watched(builtins.open)
    for module, name in ((torch, "save"), (safetensors.torch, "save_file"), (modeling_utils, "safe_save_file")):
        if hasattr(module, name):
            setattr(module, name, watched(getattr(module, name)))


def elsewhere(work: Callable[[int], None]) -> list[int]:
    """Do something in a forked process, which may die of it.

    Args:
        work: is given a file descriptor that takes the steps of finished saves (`Death`).

    Returns:
        The steps of the saves that were finished.
    """
    told, telling = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.close(told)
            work(telling)
        finally:
            os._exit(0)  # neither exit handlers nor what stands above are this process's to run
    os.close(telling)
    with os.fdopen(told, "rb") as file:
        data = file.read()
    os.waitpid(process, 0)
    return [step for (step,) in _STEP.iter_unpack(data[: len(data) // _STEP.size * _STEP.size])]
