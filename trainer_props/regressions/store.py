"""The store: a folder of regression examples, one file each, that several processes may add to at once."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainer_props import serialization
from trainer_props.arguments import nearest
from trainer_props.engine.ledger import size
from trainer_props.regressions.example import Example, InvalidExample, one_line
from trainer_props.regressions.reading import Unreadable, describe, read_json

_TEMPORARY: Final = re.compile(r"\.adding-[0-9a-f]{16}\.tmp")
_ABANDONED_SECONDS: Final = 3600.0
_PATIENCE_SECONDS: Final = 10.0
_UNCHANGED: Final = ("found", "via", "versions")


@dataclass(frozen=True)
class Stored:
    """An example and its file."""

    path: Path
    example: Example


@dataclass(frozen=True)
class Skipped:
    """A file that was not read, and why, in one line."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return one_line(f"{self.path}: {self.reason}")


@dataclass(frozen=True)
class Contents:
    """What a folder holds, both sorted by the name of the file."""

    examples: tuple[Stored, ...] = ()
    skipped: tuple[Skipped, ...] = ()


class NoSuchExample(LookupError):
    """Nothing, or more than one example, goes by that name; the message is one line."""


def read_example(path: Path) -> Example:
    """The example in a file.

    Raises:
        InvalidExample: the file can't be read, or holds no example; the message does not name it.
    """
    try:
        return Example.from_json(read_json(path))
    except Unreadable as error:
        raise InvalidExample(str(error)) from None


class Store:
    """The examples in a folder, which need not exist before the first is added.

    Attributes:
        folder: where the files are.
        made: files that were begun here, and not by anybody else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: set[Path] = set()

    def read(self) -> Contents:
        """All examples, and by name whatever else looks like one. Nothing that the folder may hold raises, and nothing is changed."""
        try:
            names = sorted(path.name for path in self.folder.iterdir() if path.name.endswith(".json") and not path.name.startswith("."))
        except FileNotFoundError:
            return Contents()
        except (OSError, ValueError) as error:
            return Contents(skipped=(Skipped(self.folder, describe(error)),))
        examples, skipped = [], []
        for path in (self.folder / name for name in names):
            try:
                examples.append(Stored(path, read_example(path)))
            except InvalidExample as error:
                skipped.append(Skipped(path, str(error)))
        return Contents(tuple(examples), tuple(skipped))

    def add(self, example: Example, *, guards: Collection[Path] = ()) -> Path:
        """Store an example, whole or not at all; returns the file that now holds it, or a smaller one of the same id and subject.

        Args:
            guards: files that stay as they are, whatever they hold: what they show is fixed, so this is something else.

        Raises:
            InvalidExample: it could not be read back, so it is not written.
            OSError: it can't be written.
        """
        text = serialization.dumps(example.to_json(), indent=2) + "\n"
        Example.from_json(serialization.loads(text))
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked() as alone:
            self._remove_leftovers(alone)
            examples = (each for each in self.read().examples if each.path not in guards)
            stored = next((each for each in examples if _same_violation(each.example, example)), None)
            if stored is None:
                path = self._free_name(example.id)
            elif _worth_it(example, stored.example):
                path = stored.path
            else:
                return stored.path
            self._write(path, text)
            if stored is None:
                self.made.add(path)
        return path

    def add_script(self, path: Path, text: str) -> Path:
        """Write a script beside an example, whole or not at all; returns its file.

        Args:
            path: of the example.

        Raises:
            OSError: it can't be written.
        """
        script = path.with_suffix(".py")
        with self._locked():
            self._write(script, text)
        return script

    def find(self, text: str) -> Stored:
        """The example of that id, file name, unique beginning of either, or path.

        Raises:
            NoSuchExample: there is none, or more than one.
            InvalidExample: it is the path of a file that holds no example.
        """
        path = Path(text)
        if path.suffix == ".json" and (os.sep in text or os.path.lexists(path)):
            return Stored(path, read_example(path))
        examples = self.read().examples
        for matching in (
            [each for each in examples if text in (each.path.name, each.path.stem)],
            [each for each in examples if text == each.example.id],
            [each for each in examples if text and (each.path.stem.startswith(text) or each.example.id.startswith(text))],
        ):
            if len(matching) == 1:
                return matching[0]
            if matching:
                raise NoSuchExample(one_line(f"{text!r} could be {', '.join(each.path.stem for each in matching)}"))
        hint = nearest(text, [each.path.stem for each in examples])
        raise NoSuchExample(one_line(f"there is no example {text!r} in {self.folder}{hint}"))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[bool]:
        """Alone in the folder among those that add. False if there are no locks here, or somebody kept it for too long.

        Without it nothing can be torn, only a race for one name be lost.
        """
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            alone = _lock(handle)
            try:
                yield alone
            finally:
                if alone:
                    # closing would do, were it not for processes that were forked meanwhile and have the descriptor too
                    fcntl.flock(handle, fcntl.LOCK_UN)
        finally:
            os.close(handle)

    def _remove_leftovers(self, alone: bool) -> None:
        # whoever made one had the lock: if it is ours now, he is done or dead
        for path in self.folder.iterdir():
            if _TEMPORARY.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    if alone or time.time() - path.lstat().st_mtime > _ABANDONED_SECONDS:
                        path.unlink()

    def _free_name(self, stem: str) -> Path:
        number, path = 1, self.folder / f"{stem}.json"
        while os.path.lexists(path):
            number += 1
            path = self.folder / f"{stem}-{number}.json"
        return path

    def _write(self, path: Path, text: str) -> None:
        temporary = self.folder / f".adding-{secrets.token_hex(8)}.tmp"
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(handle)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(OSError):  # some file systems can't, and then nobody can do better
                os.fsync(folder)
        finally:
            os.close(folder)


def _same_violation(one: Example, other: Example) -> bool:
    return one.id == other.id and one.subject == other.subject


def _worth_it(new: Example, stored: Example) -> bool:
    """Whether the new example says more: by a smaller case, or by other findings on the same one. A later day alone is no news."""
    if new.case.key != stored.case.key:
        return size(new.case) < size(stored.case)
    first, second = ({key: value for key, value in each.to_json().items() if key not in _UNCHANGED} for each in (new, stored))
    return serialization.dumps(first) != serialization.dumps(second)


def _lock(handle: int) -> bool:
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES) or time.monotonic() > end:
                return False
            time.sleep(0.01)
        else:
            return True
