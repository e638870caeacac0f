"""Work in children of a process that has imported what takes seconds to import, and has done nothing else."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from trainer_props.scripts.verifying import Verified, shows
from trainer_props.scripts.writing import FILE


class Lost(RuntimeError):
    """A child that ended without an answer; the message says how."""


def apart(function: Callable[..., Any], *args: Any, timeout: float = 300.0) -> Any:
    """What a function returns in a forked child, or raises there.

    Raises:
        Lost: the child was ended by a signal, or took longer than `timeout` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="tp-", ignore_cleanup_errors=True) as folder:
        answer = Path(folder, "answer")

        def work() -> int:
            try:
                value = (True, function(*args))
            except Exception as error:  # noqa: BLE001  it is raised again where somebody waits
                value = (False, RuntimeError(f"{type(error).__name__}: {error}"))
            answer.write_bytes(pickle.dumps(value))
            return 0

        code = _forked(work, folder, timeout)
        if not answer.exists():
            raise Lost("it took too long" if code is None else f"it ended with {code}")
        fine, value = pickle.loads(answer.read_bytes())  # noqa: S301  our own child wrote it
    if not fine:
        raise value
    return value


def verify(text: str, *, timeout: float = 120.0) -> Verified:
    """Like `verifying.verify`, in a forked child."""
    with tempfile.TemporaryDirectory(prefix="tp-", ignore_cleanup_errors=True) as folder:
        code = _forked(lambda: _run(text), folder, timeout)
        output = Path(folder, "output").read_text(encoding="utf-8", errors="replace")
    return Verified(shows(text, code, output), code, output)


def _run(text: str) -> int:
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv = [FILE]
    multiprocessing.current_process().name = "MainProcess"  # as in a process of its own
    try:
        exec(compile(text, FILE, "exec"), module.__dict__)  # noqa: S102  what a script is for
    except SystemExit as error:
        return _code(error)
    except BaseException as error:  # noqa: BLE001  the hook of the script says what comes of it, as the interpreter would have it
        try:
            sys.excepthook(type(error), error, error.__traceback__)
        except SystemExit as ending:
            return _code(ending)
        return 1
    return 0


def _code(ending: SystemExit) -> int:
    return ending.code if isinstance(ending.code, int) else int(ending.code is not None)


def _forked(work: Callable[[], int], folder: str, timeout: float) -> int | None:
    """The exit code of a child that works in a folder and prints into its file `output`, negative for a signal; None if it was too slow."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.setsid()
            _redirect(folder)
            code = work()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _redirect(folder: str) -> None:
    os.chdir(folder)
    tempfile.tempdir = folder
    os.environ.update(HOME=folder, HF_HOME=folder, TMPDIR=folder)
    file = os.open("output", os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), line_buffering=True)
    sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", closefd=False), line_buffering=True)


@contextlib.contextmanager
def environment(paths: Sequence[str]) -> Iterator[None]:
    """As scripts find it: modules in these folders can be imported, one thread, nothing asked of the network."""
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    before, sys.path[:0] = dict(os.environ), paths
    os.environ.update(quiet)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        del sys.path[: len(paths)]
