"""A process that ends with the one that started it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_BEGIN: Final = f"""
import ctypes, os, sys
ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, {int(signal.SIGKILL)})
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


def end_with(parent: int, how: signal.Signals = signal.SIGKILL) -> None:
    """Be sent a signal when the parent is gone, where the system can do that: what is stuck would not notice.

    Args:
        parent: its number, asked for before this process was started: it may be gone already.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, how)
    if os.getppid() != parent:
        os._exit(1)


def ending_with_this(command: Sequence[str]) -> list[str]:
    """The words that start a command which is killed when this process, or the thread that starts it, is gone; where the system can't do
    that, the command itself.

    A process that has threads can't set that safely between fork and exec: an interpreter of its own does, and becomes the command.
    """
    return [sys.executable, "-I", "-S", "-c", _BEGIN, str(os.getpid()), *command] if sys.platform == "linux" else list(command)
