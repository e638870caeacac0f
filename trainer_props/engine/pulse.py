"""What a worker is at, as its supervisor can see, and how long that may last.

It is told in shared memory: a message costs more, and what a run forks has no pipe of its own.
"""

from __future__ import annotations

import mmap

from trainer_props.running.clock import Clock


class Pulse:
    """Counts when runs begin and end, in a worker and in all that it forks; made before the worker is started."""

    def __init__(self) -> None:
        self._numbers = memoryview(mmap.mmap(-1, 16)).cast("d")  # two of eight bytes, so that neither is seen half written

    def beat(self, limit: float) -> None:
        """Say that a run begins, which may take so many seconds; or by 0 that it has ended."""
        self._numbers[1] = limit
        self._numbers[0] += 1

    def read(self) -> tuple[float, float]:
        """How many beats there were, and the limit of the run that goes on; 0 between runs."""
        return self._numbers[0], self._numbers[1]


class Patience:
    """How long a worker may go without a sign of life: a message, or a run that begins or ends.

    Args:
        pulse: of the worker.
        silence: seconds that it may be silent between runs; in a run, half of them beyond the limit of that.

    Attributes:
        seconds: how long it may be silent now.
    """

    def __init__(self, pulse: Pulse, silence: float) -> None:
        self._pulse, self._silence, self.seconds = pulse, silence, silence
        self._clock, self._last, self._seen = Clock(), 0.0, pulse.read()
        self._final = False

    def look(self) -> None:
        """See whether a run has begun or ended."""
        if not self._final and self._seen != (seen := self._pulse.read()):
            self._seen, limit = seen, seen[1]
            self.seconds = limit + self._silence / 2 if limit else self._silence
            self.renew()

    def renew(self) -> None:
        """There was a sign of life."""
        if not self._final:
            self._last = self._clock.now()

    def end_in(self, seconds: float) -> None:
        """Have no more than so much, whatever the worker says."""
        self._last, self.seconds, self._final = self._clock.now(), seconds, True

    @property
    def silent(self) -> float:
        """Seconds without a sign of life."""
        return self._clock.now() - self._last

    @property
    def is_over(self) -> bool:
        """Whether it has been silent for too long."""
        return self.silent >= self.seconds

    def slice(self) -> float:
        """How long to wait before looking again."""
        return self._clock.slice(self._last + self.seconds)
