"""What a campaign knows, in a folder: read without trust, written whole, held by one campaign at a time."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from trainer_props import serialization
from trainer_props.case import Case
from trainer_props.engine.board import DamagedBoard, Mask, Notes, Seconds, SharedBoard
from trainer_props.engine.board import Number as Count
from trainer_props.engine.events import Finding, Result
from trainer_props.engine.ledger import Key
from trainer_props.engine.novelty import Bitmap, DamagedBitmap
from trainer_props.keeper import same_subject
from trainer_props.regressions.cases import check_plain, read_case
from trainer_props.regressions.reading import Unreadable, read_json

FORMAT: Final = 1
MOST_VIOLATIONS: Final = 200
"""That are named: the folder of examples has all, and the file stays below what is read of any."""

_STATE: Final = "state.json"
_BOARD: Final = "board.json"
_BITMAP: Final = "seen.bits"
_LOCK: Final = "lock"
_PATIENCE_SECONDS: Final = 3.0
"""Processes of a campaign that was killed may need so long to be gone."""


class StateError(ValueError):
    """The folder can't be used; the message is one line that names it."""


class Judged(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How often a property was evaluated, not applicable, violated by something new, violated by something known."""

    evaluated: Count = 0
    not_applicable: Count = 0
    violated: Count = 0
    known: Count = 0


class Explored(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Cases of an experiment that were judged, refused by the subject, rejected while drawing, impossible here; seconds."""

    examples: Count = 0
    refused: Count = 0
    rejected: Count = 0
    could_not_run: Count = 0
    seconds: Seconds = 0.0


class Seen(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A violation.

    Attributes:
        key: what makes it the same as another.
        case: the smallest that is known, as JSON data.
        example: name of its file in the folder of examples; empty if it could not be stored. Nothing is opened by it.
        first_seen: the moment, as ISO 8601 has it.
        shrunk: whether shrinking came to an end, or to the end of its time.
    """

    key: tuple[str, str, str, str, str | None]
    case: dict[str, Any]
    example: str
    first_seen: str
    shrunk: bool

    @classmethod
    def of(cls, key: Key, finding: Finding, *, example: str, shrunk: bool) -> Seen:
        """A violation that was seen now."""
        moment = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        return cls(key=key, case=finding.case.to_json(), example=example, first_seen=moment, shrunk=shrunk)


class State(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What all starts of a campaign have done so far.

    Attributes:
        subject: its name.
        seed: what is drawn follows from it, from the number of the round, and from the clock.
        rounds: that have come to their end.
        seconds: explored, by the clock.
        runs, evaluations: of all workers. Of a round that was killed, these three have what was counted some seconds before.
        properties, experiments: counts by name.
        known_bugs: how often each was seen.
        violations: those that have not been seen fixed.
    """

    subject: str
    seed: Count
    rounds: Count = 0
    seconds: Seconds = 0.0
    runs: Count = 0
    evaluations: Count = 0
    properties: dict[str, Judged] = msgspec.field(default_factory=dict)
    experiments: dict[str, Explored] = msgspec.field(default_factory=dict)
    known_bugs: dict[str, Count] = msgspec.field(default_factory=dict)
    violations: list[Seen] = msgspec.field(default_factory=list)

    def add(self, result: Result, seconds: float, *, explored: bool) -> None:
        """Count what was done in so many seconds: a round of exploring, or what is judged before the first."""
        self.rounds += explored
        self.seconds += seconds
        self.runs += result.runs
        self.evaluations += result.evaluations
        for identifier, count in result.properties.items():
            _add(self.properties.setdefault(identifier, Judged()), count)
        for name, experiment in result.experiments.items():
            _add(self.experiments.setdefault(name, Explored()), experiment)
        for bug, times in result.known_seen.items():
            self.known_bugs[bug] = self.known_bugs.get(bug, 0) + times

    def note(self, seen: Seen) -> None:
        """Name a violation; of one that is named the moment stays, and that it was shrunk."""
        for each in self.violations:
            if each.key == seen.key:
                each.case, each.example, each.shrunk = seen.case, seen.example or each.example, each.shrunk or seen.shrunk
                return
        if len(self.violations) < MOST_VIOLATIONS:
            self.violations.append(seen)


def _state(data: Any) -> State:
    if not isinstance(data, dict) or type(data.get("format")) is not int:
        raise serialization.InvalidData("no state of a campaign")
    if data["format"] != FORMAT:
        raise serialization.InvalidData(f"format {data['format']} is unknown: this version reads format {FORMAT}")
    check_plain(data)
    return serialization.from_data({key: value for key, value in data.items() if key != "format"}, State)


def _add(total: Judged | Explored, count: Any) -> None:
    for name in total.__struct_fields__:
        setattr(total, name, getattr(total, name) + getattr(count, name))


class StateFolder:
    """The folder of a campaign: `state.json`, the board, the bitmap, and a lock.

    Board and bitmap say where to look next, and nothing that was found: a damaged one is set aside, and another begun.

    Args:
        path: is made if it does not exist.
        tell: is told in a line what was set aside.
    """

    def __init__(self, path: Path, tell: Callable[[str], None] = lambda line: None) -> None:
        self.path, self._tell = path, tell

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else has this folder meanwhile.

        Raises:
            StateError: another campaign has it, or it can't be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise StateError(f"{self.path}: {error.strerror or error}") from None
        try:
            self._lock(handle)
            for leftover in self.path.glob(".state-*.tmp"):
                leftover.unlink(missing_ok=True)
            yield
        finally:
            os.close(handle)

    def _lock(self, handle: int) -> None:
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                # a lock of this process alone: what it forks may outlive a kill of it by a moment, and must not hold the folder
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):  # a file system without locks
                    raise StateError(f"{self.path / _LOCK}: {error.strerror or error}") from None
                if time.monotonic() > end:
                    raise StateError(f"{self.path}: another campaign is at work there") from None
                time.sleep(0.1)
            else:
                return

    def read(self, subject: str, seed: int) -> State:
        """What is known of the campaign, or a new one with this seed.

        Raises:
            StateError: the files are damaged, of a newer version, or of another subject.
        """
        file = self.path / _STATE
        if not file.exists() and not file.is_symlink():
            return State(subject=subject, seed=seed)
        try:
            state = _state(read_json(file))
        except (Unreadable, serialization.InvalidData) as error:
            why = " ".join(str(error).split())
            raise StateError(f"{file}: {why}; remove it to begin anew, or name another folder with --state") from None
        if not same_subject(state.subject, subject):
            raise StateError(f"{file}: a campaign on {state.subject}, not on {subject}: name another folder with --state")
        return state

    def write(self, state: State) -> None:
        """Write what is known, so that at any instant the file is whole.

        Raises:
            StateError: it can't be written.
        """
        text = serialization.dumps({"format": FORMAT, **msgspec.to_builtins(state)}, indent=1)
        temporary = self.path / f".state-{secrets.token_hex(8)}.tmp"
        try:
            with temporary.open("x", encoding="utf-8") as file:
                file.write(f"{text}\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path / _STATE)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StateError(f"{self.path / _STATE}: {error.strerror or error}") from None

    def board(self) -> SharedBoard:
        """The board of a round, with what earlier ones have left.

        Raises:
            StateError: its file can't be read or written.
        """
        file = self.path / _BOARD
        board = SharedBoard(file)
        try:
            try:
                board.begin_round()
            except DamagedBoard as error:
                self._set_aside(file, str(error))
                board.begin_round()
        except OSError as error:
            raise StateError(f"{file}: {error.strerror or error}") from None
        return board

    def bitmap(self) -> Bitmap:
        """What no case has shown before.

        Raises:
            StateError: its file can't be opened, or there is no room for it.
        """
        file = self.path / _BITMAP
        try:
            try:
                return Bitmap(file)
            except DamagedBitmap as error:
                self._set_aside(file, str(error))
                return Bitmap(file)
        except OSError as error:
            raise StateError(f"{file}: {error.strerror or error}") from None

    def _set_aside(self, file: Path, why: str) -> None:
        aside = file.with_name(f"{file.name}.damaged")
        file.replace(aside)
        self._tell(f"{why}: set aside as {aside.name}; what it knew of where to look is found out anew")


def case_of(seen: Seen) -> Case | None:
    """The case of a violation, or None if this version can't run it."""
    try:
        return read_case(serialization.to_data(seen.case))  # infinities are numbers since the file was read
    except serialization.InvalidData:
        return None


def earlier(state: State, keys: Collection[Key], before: Collection[Key]) -> list[Seen]:
    """Those of these violations that the campaign knew before, too: the clock does not say, it may have been set since."""
    return [each for each in state.violations if each.key in keys and each.key in before]


def told(state: State, masked: Mapping[str, tuple[Mask, int, int]], still_there: Sequence[Seen] = ()) -> dict[str, Any]:
    """A campaign as data for reports: what all of its starts have done, the shares that known bugs mask (of cases, of evaluations), and the
    violations that earlier starts had found.
    """
    return {
        "rounds": state.rounds,
        "seconds": round(state.seconds, 3),
        "runs": state.runs,
        "evaluations": state.evaluations,
        "violations": len(state.violations),
        "still_there": [{"property": each.key[0], "since": each.first_seen} for each in still_there],
        "masked": [
            {"known_bug": name, "cases": round(cases, 6), "evaluations": round(evaluations, 6)}
            for name, (cases, evaluations) in sorted(shares(masked).items(), key=lambda item: item[1], reverse=True)
        ],
    }


def shares(masked: Mapping[str, tuple[Mask, int, int]]) -> dict[str, tuple[float, float]]:
    """By the id of a known bug that showed: the share of cases in its region, and of evaluations that it explained."""
    return {name: (mask.cases / drawn, mask.hidden / max(1, evaluated)) for name, (mask, drawn, evaluated) in masked.items() if mask.shown}


def masks(notes: Notes) -> dict[str, tuple[Mask, int, int]]:
    """By the id of a known bug: what it hides of all experiments it was met in, the cases drawn there, and the evaluations made there."""
    found: dict[str, tuple[Mask, int, int]] = {}
    for tally in notes.tallies.values():
        evaluations = sum(tally.evaluated.values())
        for name, mask in tally.masks.items():
            total, drawn, evaluated = found.get(name, (Mask(), 0, 0))
            for each in ("cases", "judged", "shown", "hidden"):
                setattr(total, each, getattr(total, each) + getattr(mask, each))
            found[name] = total, drawn + tally.drawn, evaluated + evaluations
    return found
