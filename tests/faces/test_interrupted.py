"""Real processes of `trainer-props check` that are interrupted, closed or killed: what was found stays, nothing is left behind."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Whoever started these tests by `nohup` has the signal of a closed terminal ignored, also by all that is started from here.
PROGRAM = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); from trainer_props.cli import main; main()"


def started(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1", "TEST_MARKER": str(tmp_path / "begun")}
    arguments = (*arguments, "--regressions", str(tmp_path / "examples"))
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "check", *arguments], cwd=HERE, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for(process: subprocess.Popen[str], text: str) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError("".join(lines) + (process.stderr.read() if process.stderr else ""))


def processes_with(text: str) -> list[str]:
    """Processes that have a text in their environment, and go on having it: who was killed may need a moment to be gone."""
    end = time.monotonic() + 10
    while (found := _processes_with(text)) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def _processes_with(text: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if text.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
def test_sigterm_skips_the_scripts_and_nothing_else(short_tmp_path: Path) -> None:
    result = short_tmp_path / "result.json"
    where = ("--experiment", "train_once", "--property", "steps.glob*", "--max-examples", "20", "--json", str(result))
    process = started(short_tmp_path, "subjects:Late", *where)
    wait_for(process, "Ctrl-C skips that")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (1, "")
    assert "interrupted: the scripts that are left were not run" in out
    assert f"result written to {result}" in out
    assert len(json.loads(result.read_text(encoding="utf-8"))["violations"]) == 1
    assert processes_with(str(short_tmp_path / "tmp")) == []
    assert list((short_tmp_path / "tmp").iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("subject", "code", "number"), [("Slow", 130, signal.SIGINT), ("SlowAndLate", 1, signal.SIGINT), ("SlowAndLate", 1, signal.SIGHUP)]
)
def test_ctrl_c_ends_with_what_was_found_so_far(short_tmp_path: Path, subject: str, code: int, number: int) -> None:
    result = short_tmp_path / "result.json"
    where = ("--experiment", "train_once", "--property", "steps.glob*")
    process = started(short_tmp_path, f"subjects:{subject}", *where, "--seconds", "300", "--json", str(result))
    wait_for(process, "violated " if code == 1 else "getting ready")
    while not (short_tmp_path / "begun").exists():
        time.sleep(0.05)
    time.sleep(3)  # so that some runs are judged
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (code, "")
    assert "interrupted" in out
    assert "global_step_counts_updates" in out
    data = json.loads(result.read_text(encoding="utf-8"))
    assert data["interrupted"] is True
    assert data["runs"] >= 1
    assert bool(data["violations"]) is (code == 1)
    assert list((short_tmp_path / "tmp").iterdir()) == []
    assert processes_with(str(short_tmp_path / "tmp")) == []


def test_ctrl_c_is_heard_where_python_drops_it(short_tmp_path: Path) -> None:
    where = ("--experiment", "train_once", "--property", "steps.glob*")
    process = started(short_tmp_path, "subjects:SlowToCollect", *where, "--seconds", "300")
    wait_for(process, "getting ready")
    while not (short_tmp_path / "begun").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (130, "")
    assert "interrupted" in out
    assert "did not" not in out  # the worker ended by itself, and was not killed


def test_a_terminal_that_is_closed_ends_it_in_order(short_tmp_path: Path) -> None:
    """The terminal is gone by then: what is printed goes nowhere, what is written stays."""
    (short_tmp_path / "tmp").mkdir()
    words = ["check", "subjects:SlowAndLate", "--experiment", "train_once", "--property", "steps.glob*", "--seconds", "300", "--json",
             str(short_tmp_path / "result.json"), "--regressions", str(short_tmp_path / "examples")]  # fmt: skip
    temporary, begun = str(short_tmp_path / "tmp"), str(short_tmp_path / "begun")
    environment = {**os.environ, "TMPDIR": temporary, "OMP_NUM_THREADS": "1", "TEST_MARKER": begun}
    program = [sys.executable, "-c", PROGRAM, *words]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(HERE)
        os.execve(program[0], program, environment)  # noqa: S606
    shown = b""
    while b"violated" not in shown:
        shown += os.read(terminal, 4096)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    data = json.loads((short_tmp_path / "result.json").read_text(encoding="utf-8"))
    assert (data["interrupted"], len(data["violations"])) == (True, 1)
    assert processes_with(temporary) == []
    assert list(Path(temporary).iterdir()) == []


def test_reader_that_goes_away_changes_no_exit_code(short_tmp_path: Path) -> None:
    where = ("--experiment", "train_once", "--property", "steps.global*")
    process = started(short_tmp_path, "subjects:Late", *where, "--max-examples", "3", "--seed", "1")
    wait_for(process, "checking")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(200) == 1
    assert process.stderr.read() == ""
    process.stderr.close()
