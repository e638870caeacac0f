"""Deadlines of a process that is frozen for a while, and of one that is only slow."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trainer_props.running import clock, watchdog
from trainer_props.running.watchdog import Stuck, wall_clock


class Times:
    """What a clock looks at, set by hand."""

    def __init__(self) -> None:
        self.passed = self.worked = 50.0

    def monotonic(self) -> float:
        return self.passed

    def process_time(self) -> float:
        return self.worked


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    found = Times()
    monkeypatch.setattr(clock, "time", found)
    return found


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let this process, as far as its clocks can tell, have been frozen for 1,000 seconds."""
    gone = [0.0]
    times = SimpleNamespace(monotonic=lambda: time.monotonic() + gone[0], process_time=time.process_time, sleep=time.sleep)
    for module in (clock, watchdog):
        monkeypatch.setattr(module, "time", times)
    monkeypatch.setattr(watchdog, "_instance", None)

    def freeze() -> None:
        gone[0] += 1000.0

    return freeze


def _hangs(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("passed", "worked", "counted"),
    [
        (0.5, 0.0, 0.5),
        (1.9, 0.0, 1.9),  # a slice that is late by less than a second counts in full
        (600.0, 0.0, clock.GAP_SECONDS),
        (600.0, 0.9, clock.GAP_SECONDS),
        (600.0, 590.0, 590.0),  # awake, and Python's lock was held
        (600.0, 5000.0, 600.0),  # by many threads
    ],
)
def test_what_counts_between_two_looks(times: Times, passed: float, worked: float, counted: float) -> None:
    tried = clock.Clock()
    times.passed, times.worked = times.passed + passed, times.worked + worked
    assert tried.now() == pytest.approx(counted)
    times.passed += 0.25
    assert tried.now() == pytest.approx(counted + 0.25)


def test_a_deadline_comes_however_late_each_look_is(times: Times) -> None:
    tried, looks = clock.Clock(), 0
    while tried.now() < 60:
        looks += 1
        times.passed += 100
    assert looks == 60 / clock.GAP_SECONDS


def test_who_waits_looks_often_enough(times: Times) -> None:
    tried = clock.Clock()
    assert tried.slice(60.0) == clock.SLICE_SECONDS <= clock.GAP_SECONDS - 1
    assert tried.slice(0.25) == 0.25
    times.passed += 1
    assert tried.slice(0.25) == 0.0


def test_a_frozen_process_has_not_taken_long(frozen: Callable[[], None]) -> None:
    with wall_clock(30.0):
        time.sleep(0.2)
        frozen()
        time.sleep(0.2)  # the watchdog looks


def test_what_hangs_is_found_after_the_thaw(frozen: Callable[[], None]) -> None:
    threading.Timer(0.2, frozen).start()
    with pytest.raises(Stuck, match=r"not finished after 2\.5 s"), wall_clock(2.5):
        _hangs(60.0)


def test_the_limit_of_each_run_is_told_and_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "_told", [])
    told: list[float] = []
    watchdog.tell(told.append)
    with wall_clock(30.0):
        assert told == [30.0]
    with watchdog.at_most(0.05), pytest.raises(Stuck), wall_clock(30.0):
        _hangs(60.0)
    assert told == [30.0, 0.0, 0.05, 0.0]


def _runs(connection: Any, thawed: Path) -> None:
    """A run that waits for something, within a limit."""
    clock.GAP_SECONDS = 0.5
    watchdog._instance = None
    try:
        with wall_clock(2.5):
            connection.send("begun")
            while not thawed.exists():
                time.sleep(0.05)
        connection.send("done")
    except Stuck as error:
        connection.send(str(error))


def test_a_process_that_is_stopped_and_goes_on_is_not_stuck(tmp_path: Path) -> None:
    ours, theirs = get_context("fork").Pipe()
    process = get_context("fork").Process(target=_runs, args=(theirs, tmp_path / "thawed"))
    process.start()
    try:
        assert ours.recv() == "begun"
        os.kill(process.pid or 0, signal.SIGSTOP)
        time.sleep(3.0)
        os.kill(process.pid or 0, signal.SIGCONT)
        time.sleep(0.3)  # its watchdog looks before the run ends
        (tmp_path / "thawed").touch()
        assert ours.poll(60.0)
        assert ours.recv() == "done"
    finally:
        process.kill()
        process.join()
