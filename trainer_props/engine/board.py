"""The board: what sessions that share their work know of each other, so that no two of them do the same."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec


@dataclass
class Tally:
    """What was spent on an experiment, and what came of it.

    Attributes:
        slices: how often it was its turn.
        examples: cases drawn.
        judged: cases judged.
        spent: seconds; while a slice runs, those that it was given.
        evaluated: property id -> how often it was evaluated here.
    """

    slices: int = 0
    examples: int = 0
    judged: int = 0
    spent: float = 0.0
    evaluated: dict[str, int] = field(default_factory=dict)


@dataclass
class Notes:
    """What stands on a board.

    Attributes:
        tallies: by the name of the experiment.
        taken: what was taken, and the number of the session that took it.
    """

    tallies: dict[str, Tally] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)


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
        """The notes in the file, to be read and changed; meanwhile no other process does."""
        with self._lock.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            notes = msgspec.json.decode(self._file.read_bytes(), type=Notes) if self._file.exists() else Notes()
            yield notes
            new = self._file.with_suffix(".new")
            new.write_bytes(msgspec.json.encode(notes))
            new.replace(self._file)

    def close(self) -> None:
        """Nobody is to explore any more, in any of the processes."""
        self._flag[0] = 1

    @property
    def closed(self) -> bool:
        """Whether one of the processes has closed it."""
        return bool(self._flag[0])
