"""Work side by side: each piece in a process of its own, forked from one that has imported everything."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final

from trainer_props.running.parent import end_with

_GRACE_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Lost:
    """A piece of work that gave nothing; the message says why."""

    message: str


def side_by_side(work: Mapping[str, Callable[[], Any]], jobs: int) -> Iterator[tuple[str, Any]]:
    """What each piece of work gives, by its name, as soon as it is there; `Lost` where it raised or its process ended.

    What a piece gives has to be picklable. Ended early, by whatever reason, it ends the processes that are left: by SIGTERM, which lets a
    session finish in order, and some seconds later by SIGKILL. If this process is killed, they get the SIGTERM all the same.

    Args:
        jobs: pieces at a time.
    """
    waiting = list(work)
    running: dict[Connection, tuple[str, BaseProcess]] = {}
    context = multiprocessing.get_context("fork")
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                receiver, sender = context.Pipe(duplex=False)
                process: BaseProcess = context.Process(target=_do, args=(work[name], sender, os.getpid()))
                process.start()
                sender.close()
                running[receiver] = name, process
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                name, process = running.pop(ready)
                yield name, _received(ready, process)
    finally:
        _end([process for _, process in running.values()])


def _do(piece: Callable[[], Any], sender: Connection, parent: int) -> None:
    end_with(parent, signal.SIGTERM)
    # Ctrl-C reaches all processes of a terminal: the first one decides, a session within counts it for itself
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        answer: Any = piece()
    except BaseException as error:  # noqa: BLE001  who waits wants to know
        answer = Lost(f"{type(error).__name__}: {error}")
    sender.send(answer)
    sender.close()


def _received(receiver: Connection, process: BaseProcess) -> Any:
    try:
        answer = receiver.recv()
    except (EOFError, OSError):
        answer = None
    process.join()
    receiver.close()
    code = process.exitcode or 0
    if answer is None and code:
        return Lost(f"its process ended with {signal.Signals(-code).name if code < 0 else code}")
    return answer


def _end(processes: list[BaseProcess]) -> None:
    for process in processes:
        with contextlib.suppress(OSError):
            os.kill(process.pid or 0, signal.SIGTERM)
    for process in processes:
        process.join(_GRACE_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
