"""How long a worker may be silent: as long as its runs may take, and no freeze of all processes counts."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from transformers import Trainer

from trainer_props.engine import Plan, pulse
from trainer_props.engine.pulse import Patience, Pulse
from trainer_props.engine.supervisor import supervise
from trainer_props.properties import PROPERTIES
from trainer_props.running import clock, prepared
from trainer_props.subjects import wrap

RUNS = sys.modules["trainer_props.running.run"]  # the package shows the function of this name


@pytest.fixture(scope="module", autouse=True)
def _prepared_once() -> Iterator[None]:
    """The imports of a first run take seconds, which count for the limits of a run."""
    with prepared():
        yield


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A run may take five seconds."""
    monkeypatch.setattr(RUNS, "WALL_CLOCK_SECONDS", 5.0)
    monkeypatch.setattr(RUNS, "_SECONDS_A_MICRO_BATCH", 0.0)
    return monkeypatch


def plan(experiment: str = "train_once") -> Plan:
    mine = tuple(name for name, each in PROPERTIES.items() if experiment in each.experiments)
    return Plan(experiments=(experiment,), properties=mine, max_examples=1, seed=3, shrink_seconds=None)


class Watched:
    """A clock set by hand."""

    passed = 0.0

    def now(self) -> float:
        return self.passed

    def slice(self, end: float) -> float:
        return min(1.0, max(0.0, end - self.passed))


def test_patience_follows_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    watched, told = Watched(), Pulse()
    monkeypatch.setattr(pulse, "Clock", lambda: watched)
    patience = Patience(told, 120.0)
    assert (patience.seconds, patience.slice()) == (120.0, 1.0)
    for limit, allowed in ((63.0, 123.0), (0.0, 120.0), (600.0, 660.0), (600.0, 660.0), (10.0, 70.0)):
        told.beat(limit)
        patience.look()
        watched.passed += allowed - 1
        patience.look()
        assert (patience.seconds, patience.silent, patience.is_over) == (allowed, allowed - 1, False)
    watched.passed += 1
    assert patience.is_over
    patience.renew()
    assert not patience.is_over
    patience.end_in(3.0)
    watched.passed += 3
    told.beat(63.0)
    patience.look()
    patience.renew()
    assert patience.is_over


def test_several_slow_runs_of_a_case_do_not_hang(limits: pytest.MonkeyPatch) -> None:
    """Each is within its limit; together they are silent for longer than any of them may be."""

    class Slow(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            time.sleep(1.5)
            return super().train(*args, **kwargs)

    limits.setattr(RUNS, "WALL_CLOCK_SECONDS", 30.0)
    result = supervise(wrap(Slow), plan("resume"), silence=2.0)
    assert (result.violations, result.errors) == ([], [])
    assert result.seconds > 3.0  # there were several


def test_a_run_may_take_what_it_may_take(limits: pytest.MonkeyPatch) -> None:
    class Slow(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            time.sleep(2.5)
            return super().train(*args, **kwargs)

    limits.setattr(RUNS, "WALL_CLOCK_SECONDS", 30.0)
    result = supervise(wrap(Slow), plan(), silence=2.0)
    assert (result.violations, result.errors) == ([], [])


def test_a_later_run_that_hangs_in_native_code_is_found(limits: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class SecondHangs(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            with (tmp_path / "runs").open("a") as file:
                file.write(".")
            if (tmp_path / "runs").stat().st_size == 2:
                ctypes.PyDLL(None).sleep(600)  # with Python's lock held: no watchdog in the process can end it
            return super().train(*args, **kwargs)

    limits.setattr(RUNS, "WALL_CLOCK_SECONDS", 2.0)
    result = supervise(wrap(SecondHangs), plan("resume"), silence=4.0)
    assert [(each.finding.verdict, each.finding.observed.splitlines()[0]) for each in result.violations] == [("hung", "silent for 4 s")]


def _supervised(connection: Any, folder: Path) -> None:
    class Waits(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            if not (folder / "thawed").exists():
                (folder / "worker.part").write_text(str(os.getpid()))
                (folder / "worker.part").rename(folder / "worker")
                while not (folder / "thawed").exists():
                    time.sleep(0.05)
            return super().train(*args, **kwargs)

    connection.send(supervise(wrap(Waits), plan(), silence=1.0))


def test_a_freeze_of_all_processes_is_no_hang(limits: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limits.setattr(RUNS, "WALL_CLOCK_SECONDS", 2.5)
    limits.setattr(clock, "GAP_SECONDS", 0.5)
    limits.setattr("trainer_props.engine.supervisor._BEAT_SECONDS", 0.1)
    ours, theirs = get_context("fork").Pipe()
    process = get_context("fork").Process(target=_supervised, args=(theirs, tmp_path))
    process.start()
    theirs.close()
    supervisor = process.pid or 0
    try:
        while not (tmp_path / "worker").exists():
            assert process.is_alive()
            time.sleep(0.01)
        worker = int((tmp_path / "worker").read_text())
        for number in (signal.SIGSTOP, signal.SIGCONT):
            os.kill(supervisor, number)
            os.kill(worker, number)
            time.sleep(3.5 if number == signal.SIGSTOP else 0.3)  # frozen; then both look
        (tmp_path / "thawed").touch()
        assert ours.poll(60.0)
        result = ours.recv()
    finally:
        process.kill()
        process.join()
    assert (result.violations, result.errors) == ([], [])
    assert result.experiments["train_once"].examples >= 1
