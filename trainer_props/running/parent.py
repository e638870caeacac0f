"""A process that ends with the one that started it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


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
