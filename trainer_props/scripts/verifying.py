"""Verifying a script: it is run in a fresh process, and has to fail as the finding says."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trainer_props.running.output import PREFIX
from trainer_props.running.parent import ending_with_this
from trainer_props.scripts import heading
from trainer_props.scripts.writing import FILE

_KEPT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT", "LANG", "LC_ALL")
_OBSERVED: Final = "observed:"
_IS_SO: Final = "is so:"
_OWN_LIMIT: Final = "faulthandler.dump_traceback_later("
_LOOK_SECONDS: Final = 0.2
_TOLERANCE: Final = 1e-6
"""Relative: the same run on another machine."""


@dataclass(frozen=True)
class Verified:
    """What came of running a script.

    Attributes:
        shows: it failed as the finding says.
        code: its exit code, negative if a signal ended it; None if it ran out of time.
        output: what it printed.
    """

    shows: bool
    code: int | None
    output: str


def verify(
    text: str,
    *,
    python: str = sys.executable,
    timeout: float = 120.0,
    path: Sequence[str] = (),
    stop: threading.Event | None = None,
) -> Verified:
    """Run a script in a fresh process, in an empty directory that is removed afterwards, without the user's tokens and settings.
    Where the system can do that, it is killed with this process.

    It shows the finding if it exits with 1 and prints the observed value that its head states: a script that fails for another reason
    does not. One whose finding is that the run ends its process or hangs shows it by a signal, or by its own time limit.

    Args:
        python: the interpreter.
        timeout: seconds after which it is killed, with all processes that it started.
        path: folders in which the subject's module may be found, if that is not installed.
        stop: once it is set, the script is killed as if its time were over.
    """
    # by this name a later start finds it, should this very process be killed
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", ignore_cleanup_errors=True) as folder:
        file = Path(folder, FILE)
        file.write_text(text, encoding="utf-8")
        code, output = _run([python, str(file)], folder, timeout, path, stop or threading.Event())
    return Verified(shows(text, code, output), code, output)


def _run(command: list[str], folder: str, timeout: float, path: Sequence[str], stop: threading.Event) -> tuple[int | None, str]:
    process = subprocess.Popen(  # noqa: S603  our own text, run by the interpreter that was asked for
        ending_with_this(command), cwd=folder, env=_environment(folder, path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + timeout
    try:
        while not stop.is_set() and time.monotonic() < end:
            with contextlib.suppress(subprocess.TimeoutExpired):
                output, _ = process.communicate(timeout=min(_LOOK_SECONDS, max(0.0, end - time.monotonic())))
                return process.returncode, output.decode(errors="replace")
    except BaseException:
        _kill(process)
        process.communicate()
        raise
    _kill(process)
    output, _ = process.communicate()
    return None, output.decode(errors="replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _environment(folder: str, path: Sequence[str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    if path:
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, [*path, kept.get("PYTHONPATH", "")]))
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": ""}
    return {**kept, **quiet, "HOME": folder, "HF_HOME": folder, "TMPDIR": folder, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}


def shows(text: str, code: int | None, output: str) -> bool:
    """Whether a script that exited and printed so failed as its head says."""
    if _OWN_LIMIT in text:
        return code is not None and (code < 0 or (code == 1 and "Timeout (" in output))
    if code != 1:
        return False
    found = _last(output, _IS_SO)
    if found is not None:
        return found == "false"
    found = _last(output, _OBSERVED)
    if found is None:
        return False
    try:
        return _alike(heading.stated(text), heading.brief(json.loads(found)))
    except ValueError:
        return False


def says_otherwise(verified: Verified) -> bool:
    """Whether a script that does not show its finding came to its end, and says that something else was observed."""
    return not verified.shows and verified.code == 1 and _last(verified.output, _OBSERVED) is not None


def varies(text: str, runs: Sequence[Verified]) -> bool:
    """Whether each of several runs of a script fails as its head says, but for the numbers, which differ between them.

    Then the same happens each time, and no numbers that a head could state are those of the next run.
    """
    if not all(map(says_otherwise, runs)):
        return False
    try:
        stated, *printed = heading.stated(text), *(heading.brief(json.loads(_last(each.output, _OBSERVED) or "")) for each in runs)
    except ValueError:
        return False
    same_form = all(_alike(_form(stated), _form(each)) for each in printed)
    return same_form and not any(_alike(one, other) for one, other in itertools.combinations(printed, 2))


def _form(value: Any) -> Any:
    """A JSON value with one number in the place of all."""
    if isinstance(value, list):
        return list(map(_form, value))
    if isinstance(value, dict):
        return {key: _form(item) for key, item in value.items()}
    return 0.0 if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _last(output: str, label: str) -> str | None:
    """What the last line with this label says."""
    found = [line for line in output.splitlines() if line.startswith(label)]
    return found[-1].removeprefix(label).strip() if found else None


def _alike(stated: Any, printed: Any) -> bool:
    """Whether two JSON values are the same, numbers up to what machines differ by."""
    if isinstance(stated, list) and isinstance(printed, list):
        return len(stated) == len(printed) and all(map(_alike, stated, printed))
    if isinstance(stated, dict) and isinstance(printed, dict):
        return stated.keys() == printed.keys() and all(_alike(stated[key], printed[key]) for key in stated)
    numbers = (int, float)
    if isinstance(stated, numbers) and isinstance(printed, numbers) and not isinstance(stated, bool) and not isinstance(printed, bool):
        both_nan = math.isnan(stated) and math.isnan(printed)
        return both_nan or math.isclose(stated, printed, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    return type(stated) is type(printed) and bool(stated == printed)
