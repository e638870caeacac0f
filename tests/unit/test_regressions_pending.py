"""The case on disk before it runs: it outlives its processes, and nobody else's."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainer_props import serialization
from trainer_props.case import Case
from trainer_props.regressions import Left, Pending, adopt, damaged, discard
from trainer_props.scenario import Data, Scenario

FINISHES = "steps.run_finishes"
SUBJECT = "transformers:Trainer"


def case(n: int) -> Case:
    return Case(scenario=Scenario(data=Data(n=n), arguments={"label_names": ["x" * n]}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "project" / "regressions"


def run(folder: Path, told: int, *, child: bool) -> None:
    """Note two cases; let a forked child note a third, or start a program; tell who that is, and wait."""
    pending = Pending(folder)
    for n in (50, 7):
        pending.note(case(n), "my:Trainer")
    if child:
        other = os.fork()
        if not other:
            pending.note(case(3), "my:Trainer", FINISHES)
            os.write(told, f"{os.getpid()}\n".encode())
    else:
        other = subprocess.Popen(["sleep", "60"], close_fds=False).pid  # noqa: S607
        os.write(told, f"{other}\n".encode())
    time.sleep(60)


@contextlib.contextmanager
def running(folder: Path, *, child: bool) -> Iterator[tuple[multiprocessing.process.BaseProcess, int, int]]:
    """A process that runs a case, the process that it started, and what can be read from once both have ended."""
    reader, told = os.pipe()
    writer = multiprocessing.get_context("fork").Process(target=run, args=(folder, told), kwargs={"child": child})
    writer.start()
    os.close(told)
    other = int(os.read(reader, 20))
    try:
        yield writer, other, reader
    finally:
        writer.kill()
        writer.join()
        with contextlib.suppress(ProcessLookupError):
            os.kill(other, signal.SIGKILL)
        os.close(reader)


def adopted(folder: Path) -> tuple[Left, ...]:
    """What is left, once there is something: a process that dies closes its files one after the other."""
    for _ in range(200):
        if found := adopt(folder):
            return found
        time.sleep(0.05)
    return ()


def test_what_ran_when_all_its_processes_died_is_adopted(folder: Path) -> None:
    with running(folder, child=True) as (writer, child, reader):
        assert adopt(folder) == ()
        writer.kill()
        writer.join()
        assert adopt(folder) == (), "its child still runs the case"
        os.kill(child, signal.SIGKILL)
        assert os.read(reader, 1) == b""  # which ends when the child has
    (left,) = adopted(folder)
    assert (left.case, left.subject, left.property) == (case(3), "my:Trainer", FINISHES)
    assert adopt(folder) == (), "it is claimed"
    assert damaged(folder) == ()
    path = left.path
    del left
    (again,) = adopt(folder)
    assert again.path == path
    discard(again)
    assert list(folder.iterdir()) == []


def test_a_program_that_a_run_started_does_not_keep_it(folder: Path) -> None:
    """Descriptors are closed when another program is executed, so a server that outlives its run does not count as running it."""
    with running(folder, child=False) as (writer, _, _):
        assert adopt(folder) == ()
        writer.kill()
        writer.join()
        assert [left.case for left in adopted(folder)] == [case(7)]


def test_the_last_note_counts_whatever_stood_there(folder: Path) -> None:
    pending = Pending(folder)
    assert pending.reason is None
    assert pending.case() is None
    for n in (5, 90, 2):
        pending.note(case(n), SUBJECT)
        assert pending.case() == case(n)
    pending.clear()
    assert pending.case() is None
    pending.close()


def test_it_goes_with_the_folders_that_were_made_for_it(folder: Path, tmp_path: Path) -> None:
    pending = Pending(folder)
    pending.note(case(1), SUBJECT)
    assert len(list(folder.iterdir())) == 1
    pending.close()
    pending.close()
    pending.note(case(1), SUBJECT)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_used_stays(folder: Path) -> None:
    pending = Pending(folder)
    (folder / "x.json").write_text("{}")
    pending.close()
    assert [path.name for path in folder.iterdir()] == ["x.json"]


def test_a_forked_child_lets_go_and_no_more(folder: Path) -> None:
    pending = Pending(folder)
    pending.note(case(1), SUBJECT)
    child = os.fork()
    if not child:
        pending.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert adopt(folder) == ()
    assert pending.case() == case(1)
    pending.close()


def test_a_folder_that_can_not_be_written_to_is_no_reason_not_to_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    pending = Pending(tmp_path / "file" / "regressions")
    assert pending.reason is not None
    assert pending.reason.endswith("Not a directory")
    assert "\n" not in pending.reason
    pending.note(case(1), SUBJECT)
    pending.clear()
    assert pending.case() is None
    pending.close()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_no_word_of_an_earlier_case(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pending = Pending(folder)
    pending.note(case(1), SUBJECT)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    pending.note(case(2), SUBJECT)
    assert pending.reason is not None
    assert "No space left" in pending.reason
    assert pending.case() is None
    assert not folder.exists()


# ---- files of the dead, without processes ------------------------------------------------------------------------------------


def dead(folder: Path, number: int, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".running-{number:016x}.json"
    path.write_bytes(content)
    return path


def line(n: int, folder: Path) -> bytes:
    """What a writer has written of a case."""
    pending = Pending(folder)
    pending.note(case(n), SUBJECT)
    (path,) = (each for each in folder.glob(".running-*") if each.stat().st_size and int(each.stem[9:], 16) > 99)
    content = path.read_bytes()
    pending.close()
    return content


def test_a_case_that_died_twice_is_run_once(folder: Path) -> None:
    text = line(4, folder)
    dead(folder, 1, text)
    dead(folder, 2, text)
    dead(folder, 3, line(5, folder))
    left = adopt(folder)
    assert [each.case for each in left] == [case(4), case(5)]
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[:50], "not JSON"),
        (lambda text: text.replace(b'"n": 12', b'"n": 13'), "torn"),
        (lambda text: b"\0" * 100, "not JSON"),
        (lambda text: b"\xff\n", "not JSON"),
        (lambda text: b"[]\n", "no note of a case"),
        (lambda text: b'{"running": {}}\n', "torn"),
        (lambda text: b"[" * 50_000, "not JSON"),
        (lambda text: b'{"digest": "", "running": {"case": "\\ud800"}}', "half a character"),
        (lambda text: b"9" * 2_000_000, "more than 1000000 bytes"),
    ],
)
def test_a_torn_or_damaged_one_is_skipped_by_name(folder: Path, change: object, said: str) -> None:
    assert callable(change)
    path = dead(folder, 1, change(line(12, folder)))
    assert adopt(folder) == ()
    (skipped,) = damaged(folder)
    assert skipped.path == path
    assert said in skipped.reason
    assert path.exists()


@pytest.mark.parametrize(
    ("running", "said"),
    [
        ({"format": 2}, "format 2 is unknown"),
        ({"subject": 3}, "names no subject"),
        ({"case": {**case(1).to_json(), "experiment": "x"}}, "no experiment 'x'"),
        ({"case": {**case(1).to_json(), "scenario": {"arguments": {"output_dir": "../x"}}}}, "output_dir can't be set by a file"),
    ],
)
def test_a_note_that_somebody_made_is_not_trusted(folder: Path, running: dict[str, object], said: str) -> None:
    from trainer_props.regressions.pending import _digest

    whole = {"format": 1, "case": case(1).to_json(), "subject": SUBJECT, "property": None, **running}
    text = json.dumps({"digest": _digest(serialization.dumps(whole)), "running": whole})
    dead(folder, 1, text.encode())
    assert adopt(folder) == ()
    assert said in damaged(folder)[0].reason


def test_what_is_no_file_of_ours_is_left_alone(folder: Path, tmp_path: Path) -> None:
    text = line(4, folder)
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_bytes(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f".running-{1:016x}.json").symlink_to(elsewhere)
    (folder / f".running-{2:016x}.json").mkdir()
    (folder / ".running-mine.json").write_bytes(text)
    newborn = dead(folder, 3, b"")
    old = dead(folder, 4, b"")
    os.utime(old, (0, 0))
    assert adopt(folder) == ()
    assert newborn.exists()
    assert not old.exists()
    assert len(list(folder.iterdir())) == 4
    assert adopt(tmp_path / "missing") == ()
    assert damaged(elsewhere) == ()
