"""A clock for deadlines: time in which this process could not do anything does not pass on it.

A process may be frozen with all that it started (by SIGSTOP, a paused container, a scheduler that suspends its job), or not come to run
for seconds where memory is short. What it waits for was no slower for that, and must not be found late.
"""

from __future__ import annotations

import time
from typing import Final

SLICE_SECONDS: Final = 1.0
"""Whoever waits by this clock looks at it at least so often."""
GAP_SECONDS = 2.0
"""Where nobody looked for longer, this process did not run: no more than this counts, nor than the time of processors that it took."""


class Clock:
    """Seconds for which this process was awake, as far as those who look often can tell."""

    def __init__(self) -> None:
        self._awake, self._looked, self._worked = 0.0, time.monotonic(), time.process_time()

    def now(self) -> float:
        """Seconds since the clock was made."""
        looked, worked = time.monotonic(), time.process_time()
        # who holds Python's lock keeps those who would look from it, and is awake
        self._awake += min(looked - self._looked, max(GAP_SECONDS, worked - self._worked))
        self._looked, self._worked = looked, worked
        return self._awake

    def slice(self, end: float) -> float:
        """How long to wait now for what is due at `end`, before the next look."""
        return min(SLICE_SECONDS, max(0.0, end - self.now()))
