"""The case on disk before it runs, so that a run which takes its whole process tree with it leaves word of what it was."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from trainer_props import serialization
from trainer_props.case import Case
from trainer_props.properties import PROPERTIES
from trainer_props.regressions.cases import check_plain, read_case
from trainer_props.regressions.example import one_line
from trainer_props.regressions.reading import Unreadable, describe, open_regular, read_bytes
from trainer_props.regressions.store import Skipped

FORMAT: Final = 1

_NAME: Final = re.compile(r"\.running-[0-9a-f]{16}\.json")
_NEWBORN_SECONDS: Final = 60.0


class Pending:
    """Notes the case that is about to run, in a file `.running-<random>.json` that exists while the writer lives.

    The file is opened once and locked (flock). The lock belongs to the open file, not to the process: a worker that is forked later
    shares it and may call `note`, and it falls when the last process of the tree that has the file open has died, however it died.
    Close-on-exec keeps it from programs that a run starts and that may outlive it. What is written survives the death of processes at
    once, and a power cut after the seconds in which the system writes its cache: waiting for the disk would cost more than most runs.

    Attributes:
        reason: why nothing is noted, in one line, or None: a folder that can't be written to is no reason not to run.
    """

    def __init__(self, folder: Path) -> None:
        self.reason: str | None = None
        self._handle: int | None = None
        self._path = folder / f".running-{secrets.token_hex(8)}.json"
        self._owner = os.getpid()
        self._made: list[Path] = []
        try:
            self._made = _make(folder)
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (OSError, ValueError) as error:
            self.reason = one_line(f"cases are not noted before they run: {folder}: {describe(error)}")
            self.close()

    def note(self, case: Case, subject: str, property: str | None = None) -> None:
        """Say what is about to run: one write in place of what stood there.

        Args:
            case: what runs.
            subject: on what, as `module:attribute`.
            property: whose violation is looked at, if it is one alone.
        """
        if self._handle is None:
            return
        running = {"format": FORMAT, "case": case.to_json(), "subject": subject, "property": property}
        text = serialization.dumps(running)
        # up to the newline: what a longer case left behind it is not read. The digest tells a torn line from a whole one.
        try:
            os.pwrite(self._handle, f'{{"digest": "{_digest(text)}", "running": {text}}}\n'.encode(), 0)
        except OSError as error:
            self.reason = one_line(f"cases are not noted before they run: {self._path.parent}: {describe(error)}")
            self.clear()  # better no word than that of an earlier case
            self.close()

    def case(self) -> Case | None:
        """What was noted last, or None. This process or a child wrote it: nothing is asked of it but to be whole."""
        if self._handle is None:
            return None
        try:
            return Case.from_json(_running(self._handle)["case"])
        except serialization.InvalidData:
            return None

    def clear(self) -> None:
        """Nothing runs, for now."""
        if self._handle is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, 0)

    def close(self) -> None:
        """Nothing runs any more: remove the file, and the folders that were made for it if they are empty. Twice is once.

        In a forked child the file is only let go of: it is the maker's.
        """
        if self._handle is None and not self._made:
            return
        if os.getpid() == self._owner:
            # removed while it is locked, so that nobody takes it for one of the dead
            if self._handle is not None:
                with contextlib.suppress(OSError):
                    self._path.unlink()
            for folder in self._made:
                with contextlib.suppress(OSError):
                    folder.rmdir()
        if self._handle is not None:
            os.close(self._handle)
        self._handle, self._made = None, []


class Claim:
    """The lock on the file of a dead writer."""

    def __init__(self, handle: int) -> None:
        self.handle: int | None = handle

    def release(self) -> None:
        """Let go of it. Twice is once."""
        handle, self.handle = self.handle, None
        if handle is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_UN)  # processes that were forked meanwhile have it open too
            os.close(handle)

    def __del__(self) -> None:
        if self.handle is not None:
            os.close(self.handle)  # not unlocked: this may be the copy in a forked process


@dataclass(frozen=True)
class Left:
    """What was running when its processes died. It is claimed: nobody else adopts it while this value lives.

    Attributes:
        case: what ran.
        subject: on what.
        path: the file.
        property: whose violation was looked at, or None.
        claim: the hold on the file.
    """

    case: Case
    subject: str
    path: Path
    property: str | None = None
    claim: Claim = field(repr=False, compare=False, kw_only=True)


def adopt(folder: Path) -> tuple[Left, ...]:
    """What ran in processes that died, each case once. Files of the living are left alone, and so are damaged ones (see `damaged`)."""
    left: dict[tuple[str, str], Left] = {}
    for path, claim in _of_the_dead(folder):
        try:
            found = _read(path, claim)
        except serialization.InvalidData:
            found = None
        if found is None:
            claim.release()
        elif (found.case.key, found.subject) in left:
            discard(found)
        else:
            left[found.case.key, found.subject] = found
    return tuple(left.values())


def damaged(folder: Path) -> tuple[Skipped, ...]:
    """Files of dead writers that can't be read, and why. They are left as they are."""
    skipped = []
    for path, claim in _of_the_dead(folder):
        try:
            _read(path, claim)
        except serialization.InvalidData as error:
            skipped.append(Skipped(path, one_line(str(error))))
        finally:
            claim.release()
    return tuple(skipped)


def discard(left: Left) -> None:
    """It has run: remove its file."""
    with contextlib.suppress(OSError):
        left.path.unlink()
    left.claim.release()


def _of_the_dead(folder: Path) -> Iterator[tuple[Path, Claim]]:
    """Files whose writers are dead, each with the claim to it, which whoever takes it releases."""
    try:
        names = sorted(path.name for path in folder.iterdir() if _NAME.fullmatch(path.name))
    except (OSError, ValueError):
        return
    for path in (folder / name for name in names):
        try:
            handle = open_regular(path, os.O_RDONLY)
        except Unreadable:
            continue
        claim = Claim(handle)
        status = os.fstat(handle)
        if status.st_size == 0 and time.time() - status.st_mtime < _NEWBORN_SECONDS:
            continue  # its maker may be between making and locking it
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        if status.st_size:
            yield path, claim
        else:
            with contextlib.suppress(OSError):  # nothing ran when it died
                path.unlink()


def _read(path: Path, claim: Claim) -> Left:
    assert claim.handle is not None
    running = _running(claim.handle)
    subject, named = running.get("subject"), running.get("property")
    if not isinstance(subject, str):
        raise serialization.InvalidData("it names no subject")
    case = read_case(running.get("case"))
    return Left(case, subject, path, named if isinstance(named, str) and named in PROPERTIES else None, claim=claim)


def _running(handle: int) -> dict[str, Any]:
    """The note in an open file, if it is whole."""
    try:
        data: Any = serialization.loads(read_bytes(handle).partition(b"\n")[0])
    except Unreadable as error:
        raise serialization.InvalidData(str(error)) from None
    if not isinstance(data, dict) or not isinstance(data.get("running"), dict):
        raise serialization.InvalidData("it is no note of a case")
    running: dict[str, Any] = data["running"]
    check_plain(running)
    if data.get("digest") != _digest(serialization.dumps(running)):
        raise serialization.InvalidData("it was torn while it was written, or changed")
    if running.get("format") != FORMAT:
        raise serialization.InvalidData(f"format {running.get('format')!r} is unknown: this version reads format {FORMAT}")
    return running


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _make(folder: Path) -> list[Path]:
    """Make a folder and what is missing above it; returns what was made, innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing
