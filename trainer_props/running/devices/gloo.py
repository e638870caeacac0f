"""A resident pool of processes with one gloo group: real ranks, on any machine.

They are forked from this process, which has imported everything, so that they know the subject whatever it is. A rank that dies, or a
group that does not move, is told in the records of the run; the pool is ended then, and the next run starts another.
"""

from __future__ import annotations

import atexit
import contextlib
import mmap
import multiprocessing
import os
import pickle
import re
import signal
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path, PurePath
from typing import Any, Final

import torch

from trainer_props import serialization
from trainer_props.record import Failure, Record
from trainer_props.running.clock import Clock
from trainer_props.running.devices.errand import Errand
from trainer_props.running.devices.kinds import NoSuchDevices
from trainer_props.running.devices.rank import READY, SHOW_STACK, Place, stack_file, work
from trainer_props.running.output import output_directory
from trainer_props.scenario import MOST_DEVICES, Scenario
from trainer_props.subjects import Subject, SubjectError

SILENCE_SECONDS: Final = 7.0
"""A group that comes to no further event for so long is stuck: a step of the largest model takes a tenth of a second."""
GRACE_SECONDS: Final = 1.0
"""What the others get to end by themselves once a rank died, or ended by an exception: they may wait for it for ever."""
_STACK_SECONDS: Final = 0.5
_FRAMES: Final = 8
_OUR_RUN: Final = "running/run.py"


def run(scenario: Scenario, subject: Subject, errand: Errand, directory: str, cards: int = 0) -> list[Record]:
    """Do the errand on `scenario.devices.count` ranks that share an output directory; their records, in order.

    Args:
        cards: GPUs that the ranks have, one each or shared; 0: they run on processors.

    Raises:
        NoSuchDevices: this machine has no gloo, or can't fork, or that many are too many.
        SubjectError: the subject gave no Trainer.
    """
    size = scenario.devices.count
    if not 1 <= size <= MOST_DEVICES or not torch.distributed.is_available() or "fork" not in multiprocessing.get_all_start_methods():
        raise NoSuchDevices(f"no {size} processes with gloo: 1 to {MOST_DEVICES}, where torch has gloo and the system can fork")
    asked = {"scenario": scenario.to_json(), "errand": serialization.to_data(errand), "directory": directory}
    return _pool(subject, size, cards).run(asked)


class Pool:
    """Ranks that wait for runs.

    Args:
        subject: the trainer under test, as this process knows it.
        size: number of ranks.
        cards: GPUs that they have; 0: none.
    """

    def __init__(self, subject: Subject, size: int, cards: int = 0) -> None:
        self.subject, self.size, self.owner = subject, size, os.getpid()
        self._stack = contextlib.ExitStack()
        self._folder = Path(self._stack.enter_context(output_directory()))
        self._beats = mmap.mmap(-1, 8 * size)
        context = multiprocessing.get_context("fork")
        pipes = [context.Pipe() for _ in range(size)]
        self._connections = [ours for ours, _ in pipes]
        self._processes = []
        for rank, (_, theirs) in enumerate(pipes):
            others = [end for pair in pipes for end in pair if end is not theirs]
            place = Place(rank, size, theirs, others, self._beats, self._folder, os.getpid(), cards)
            process = context.Process(target=work, args=(place, subject), daemon=True, name=f"rank {rank}")
            process.start()
            self._processes.append(process)
        for _, theirs in pipes:
            theirs.close()
        self.alive = self._begun()

    @property
    def pids(self) -> list[int]:
        """The processes of the ranks, in order."""
        return [process.pid or 0 for process in self._processes]

    @property
    def is_whole(self) -> bool:
        """Whether it can be asked for a run: no rank has ended meanwhile."""
        return self.alive and all(process.is_alive() for process in self._processes)

    def _begun(self) -> bool:
        """Whether every rank has come so far that it can run something."""
        clock = Clock()
        for connection in self._connections:
            with contextlib.suppress(EOFError, OSError):
                while not (ready := connection.poll(clock.slice(SILENCE_SECONDS))) and clock.now() < SILENCE_SECONDS:
                    pass
                if ready and connection.recv_bytes() == READY:
                    continue
            return False
        return True

    def run(self, asked: Mapping[str, Any]) -> list[Record]:
        """The records of a run, in order of the ranks, whatever happens to these.

        Raises:
            SubjectError: the subject gave no Trainer.
        """
        message = serialization.dumps(asked).encode()
        for connection in self._connections:
            with contextlib.suppress(OSError):  # a rank that is no more is seen where its answer is missed
                connection.send_bytes(message)
        answers, dead, silent = self._answers()
        if len(answers) < self.size or any(isinstance(each, str) or not each.finished for each in answers.values()):
            stacks = self._stacks([rank for rank in range(self.size) if rank not in answers], dead)
            self.close()
            answers |= self._verdicts(dead, silent, stacks)
        for each in answers.values():
            if isinstance(each, str):
                raise SubjectError(each)
        return [answers[rank] for rank in range(self.size)]

    def _answers(self) -> tuple[dict[int, Any], list[int], bool]:
        """What the ranks answer, which of them died instead, and whether nothing moved for too long."""
        answers: dict[int, Any] = {}
        dead: list[int] = []
        waiting: dict[Connection, int] = {connection: rank for rank, connection in enumerate(self._connections)}
        clock = Clock()
        end, beats = SILENCE_SECONDS, self._beats[:]
        failed = False
        while waiting:
            now = clock.now()
            if beats != self._beats[:] and not failed:
                end, beats = now + SILENCE_SECONDS, self._beats[:]
            if now >= end:
                return answers, dead, not failed
            for ready in wait(list(waiting), clock.slice(end)):
                assert isinstance(ready, Connection)
                rank = waiting.pop(ready)
                try:
                    answers[rank] = pickle.loads(ready.recv_bytes())  # noqa: S301  of our own child, by a pipe that nobody else has
                except (EOFError, OSError):
                    dead.append(rank)
                if not failed and (rank in dead or isinstance(answers[rank], str) or not answers[rank].finished):
                    failed, end = True, clock.now() + GRACE_SECONDS
        return answers, dead, False

    def _verdicts(self, dead: Sequence[int], silent: bool, stacks: Mapping[int, Sequence[str]]) -> dict[int, Record]:
        """Records for the ranks that gave none. Call it when all processes have ended."""
        found = {}
        for rank, frames in stacks.items():
            at = frames[0] if frames else ""
            if rank in dead:
                code = self._processes[rank].exitcode or 0
                how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
                died = Failure("train", "RankDied", f"the process of rank {rank} was ended by {how}", tuple(frames))
                found[rank] = Record(failure=died, ended_at=at)
            elif silent:
                found[rank] = Record(stuck=f"rank {rank} did not move for {SILENCE_SECONDS:g} s", ended_at="\n".join(frames))
            else:
                why = f"rank {rank} waited for ranks that had ended" + (f", {at}" if at else "")
                found[rank] = Record(failure=Failure("train", "RankLost", why, tuple(frames)), ended_at=at)
        return found

    def _stacks(self, ranks: Sequence[int], dead: Sequence[int]) -> dict[int, list[str]]:
        """Where ranks are, or were when they crashed: the innermost frames first; none if the system ended it."""
        for rank in set(ranks) - set(dead):
            with contextlib.suppress(OSError):
                os.kill(self.pids[rank], SHOW_STACK)
        end, texts = time.monotonic() + _STACK_SECONDS, [""]
        while time.monotonic() < end:
            time.sleep(0.05)
            before, texts = texts, [stack_file(self._folder, rank).read_text(encoding="utf-8") for rank in ranks]
            if texts == before and all(text or rank in dead for text, rank in zip(texts, ranks, strict=True)):
                break
        return {rank: innermost(text) for rank, text in zip(ranks, texts, strict=True)}

    def close(self) -> None:
        """End all processes, whatever they do, and remove what they left."""
        if self.owner != os.getpid():  # a fork has the object, and not the processes
            return
        self.alive = False
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
        for connection in self._connections:
            connection.close()
        self._stack.close()


def innermost(text: str) -> list[str]:
    """The innermost frames of the deepest stack that faulthandler wrote, without the folders of this machine."""
    threads = [re.findall(r'File "(.+)", line (\d+) in (.+)', part) for part in text.split("\n\n")]
    deepest = [("/".join(PurePath(file).parts[-2:]), line, name) for file, line, name in max(threads, key=len, default=[])]
    ours = next((index for index, (file, _, _) in enumerate(deepest) if file == _OUR_RUN), _FRAMES)
    return [f"in {name} ({file}, line {line})" for file, line, name in deepest[: min(ours, _FRAMES)]]


_pools: dict[tuple[int, int], Pool] = {}


def _pool(subject: Subject, size: int, cards: int) -> Pool:
    """The pool of that size for this subject; another is started where there is none, or where it ended."""
    pool = _pools.get((size, cards))
    if pool is None or pool.owner != os.getpid() or pool.subject is not subject or not pool.is_whole:
        if pool is not None:
            pool.close()
        if cards and torch.cuda.is_initialized():
            raise NoSuchDevices("this process uses a GPU already, and ranks that use one can't be forked from it: run them alone, or first")
        pool = _pools[size, cards] = Pool(subject, size, cards)
        if not pool.alive:
            pool.close()
            raise NoSuchDevices(f"{size} processes with gloo did not find each other within {SILENCE_SECONDS:g} s")
    return pool


def pids(size: int) -> list[int]:
    """The processes of the ranks of the pool of a size, in order; none if there is no such pool."""
    return _pools[size, 0].pids if (size, 0) in _pools else []


def close() -> None:
    """End all pools of this process."""
    for pool in _pools.values():
        pool.close()
    _pools.clear()


atexit.register(close)
