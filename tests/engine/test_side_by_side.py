"""Work in forked processes: what each gives, what becomes of those that end, and that none is left."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from trainer_props.engine.side_by_side import Lost, side_by_side


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fail() -> None:
    raise ValueError("no")


def _sleep(file: Path) -> None:
    file.write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(60)


def test_each_gives_what_it_gives() -> None:
    work: dict[str, Any] = {str(number): functools.partial(pow, number, 2) for number in range(5)}
    assert dict(side_by_side(work, 2)) == {"0": 0, "1": 1, "2": 4, "3": 9, "4": 16}
    assert dict(side_by_side({"own process": os.getpid}, 1))["own process"] != os.getpid()
    assert dict(side_by_side({}, 2)) == {}
    assert dict(side_by_side({"None": lambda: None}, 2)) == {"None": None}


def test_what_is_lost_is_said() -> None:
    done = dict(side_by_side({"dies": _die, "fails": _fail, "leaves": functools.partial(os._exit, 3), "stays": lambda: 1}, 2))
    assert done == {
        "dies": Lost("its process ended with SIGKILL"), "fails": Lost("ValueError: no"), "leaves": Lost("its process ended with 3"),
        "stays": 1,
    }  # fmt: skip


def test_whoever_stops_listening_ends_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    ready = {"first": lambda: [time.sleep(0.01) for _ in range(6000) if not file.exists() or not file.read_text(encoding="utf-8")] and 1}
    found = side_by_side({"sleeps": functools.partial(_sleep, file), **ready, "never": functools.partial(_sleep, tmp_path / "other")}, 2)
    assert next(found)[0] == "first"
    found.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(int(file.read_text(encoding="utf-8")), 0)
    assert not (tmp_path / "other").exists()


def test_an_interrupt_ends_all(tmp_path: Path) -> None:
    file, killer = tmp_path / "pid", os.getpid()

    def interrupt() -> None:
        while not file.exists() or not file.read_text(encoding="utf-8"):
            time.sleep(0.01)
        os.kill(killer, signal.SIGINT)
        time.sleep(60)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever other tests have left
    try:
        with pytest.raises(KeyboardInterrupt):
            list(side_by_side({"sleeps": functools.partial(_sleep, file), "interrupts": interrupt}, 2))
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int(file.read_text(encoding="utf-8")), 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_nothing_outlives_a_kill(tmp_path: Path) -> None:
    file = tmp_path / "pid"

    def parent() -> None:
        list(side_by_side({"sleeps": functools.partial(_sleep, file)}, 1))

    killed = multiprocessing.get_context("fork").Process(target=parent)
    killed.start()
    while not file.exists() or not file.read_text(encoding="utf-8"):
        time.sleep(0.01)
    sleeper = int(file.read_text(encoding="utf-8"))
    killed.kill()
    killed.join()
    end = time.monotonic() + 20
    while time.monotonic() < end and _runs(sleeper):
        time.sleep(0.01)
    assert not _runs(sleeper)


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"  # whoever inherits it may take its time to collect it
