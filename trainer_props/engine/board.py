"""The board: what sessions that share their work know of each other, so that no two of them do the same."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec

Number = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class DamagedBoard(ValueError):
    """A file that holds no notes; the message is one line that names it."""


@dataclass
class Mask:
    """What a known bug hides of an experiment.

    Attributes:
        cases: drawn in its region.
        judged: those of them that were run and judged.
        shown: those of them that showed it.
        hidden: evaluations of properties that it explained, and that so said nothing of anything else.
    """

    cases: Number = 0
    judged: Number = 0
    shown: Number = 0
    hidden: Number = 0


@dataclass
class Tally:
    """What was spent on an experiment, and what came of it.

    Attributes:
        slices: how often it was its turn.
        examples: cases drawn.
        judged: cases judged.
        spent: seconds; while a slice runs, those that it was given.
        evaluated: property id -> how often it was evaluated here.
        before: of the seconds, those spent before the present round.
        news: what was never seen before, of late: the longer ago, the less it counts.
        watched: seconds in which that was seen, which count less in the same way; 0 where nobody looks for news.
        masks: by the id of the known bug, what it hides. Only a hunt behind known bugs counts it, as the next two.
        drawn: cases drawn in such hunts.
        crowded: those of them that lay in the region of a bug whose cases are thinned out.
    """

    slices: Number = 0
    examples: Number = 0
    judged: Number = 0
    spent: Seconds = 0.0
    evaluated: dict[str, Number] = field(default_factory=dict)
    before: Seconds = 0.0
    news: Seconds = 0.0
    watched: Seconds = 0.0
    masks: dict[str, Mask] = field(default_factory=dict)
    drawn: Number = 0
    crowded: Number = 0


@dataclass
class Notes:
    """What stands on a board.

    Attributes:
        tallies: by the name of the experiment.
        taken: what was taken, and the number of the session that took it.
    """

    tallies: dict[str, Tally] = field(default_factory=dict)
    taken: dict[str, Number] = field(default_factory=dict)


class Board:
    """The board of one session, which has it to itself."""

    def __init__(self) -> None:
        self._notes = Notes()
        self._closed = False

    @contextlib.contextmanager
    def opened(self) -> Iterator[Notes]:
        """The notes, to be read and changed; meanwhile nobody else does."""
        yield self._notes

    def take(self, what: str, session: int) -> bool:
        """Whether this session is the one that does it: the first that asked, or one that goes on in its place."""
        with self.opened() as notes:
            return notes.taken.setdefault(what, session) == session

    def begin_round(self) -> None:
        """Forget what is taken, and let all experiments begin with the same claim on time; what is known of them stays."""
        with self.opened() as notes:
            notes.taken.clear()
            for tally in notes.tallies.values():
                tally.before = tally.spent

    def close(self) -> None:
        """Nobody is to explore any more."""
        self._closed = True

    @property
    def closed(self) -> bool:
        """Whether somebody has closed it."""
        return self._closed


class SharedBoard(Board):
    """A board that processes share: those that are forked after it was made.

    A session that is killed at any instant leaves the notes whole, and its lock falls with it.

    Args:
        file: where the notes are. What stands there is gone on with.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file, self._lock = file, file.with_suffix(".lock")
        self._flag = mmap.mmap(-1, 1)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Notes]:
        """The notes in the file, to be read and changed; meanwhile no other process does.

        Raises:
            DamagedBoard: the file holds something else.
        """
        with _opened(self._lock, os.O_RDWR | os.O_CREAT) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                notes = self._read()
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise DamagedBoard(f"{self._file}: no board of a campaign ({' '.join(str(error).split())})") from None
            yield notes
            path = self._file.with_suffix(".new")
            with _opened(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as new:
                new.write(msgspec.json.encode(notes))
            path.replace(self._file)

    def _read(self) -> Notes:
        try:
            with _opened(self._file, os.O_RDONLY) as file:
                return msgspec.json.decode(file.read(), type=Notes)
        except FileNotFoundError:
            return Notes()

    def close(self) -> None:
        """Nobody is to explore any more, in any of the processes."""
        self._flag[0] = 1

    @property
    def closed(self) -> bool:
        """Whether one of the processes has closed it."""
        return bool(self._flag[0])


def _opened(path: Path, flags: int) -> BinaryIO:
    """A file, through no link; a pipe is not waited for."""
    handle = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    return os.fdopen(handle, "rb" if flags == os.O_RDONLY else "r+b")
