"""What the commands share: exit codes, mistakes in one line, where things are, how a subject is loaded."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

OK: Final = 0
NEW_VIOLATIONS: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130


class UsageError(Exception):
    """What was asked can't be done; the message is one line: the value, the place, the nearest valid one."""


def refuse(message: str) -> int:
    """Say in one line on standard error what is wrong; returns the exit code."""
    with contextlib.suppress(OSError):  # nobody reads it: the exit code says so all the same
        print(f"trainer-props: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return USAGE


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Turn a package that is missing, or broken, into one line; meanwhile a terminal shows that something goes on."""
    seen = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    if seen:
        print("importing transformers ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    except ImportError as error:
        raise UsageError(f"can't import {error.name or 'a package'}: {error}") from None
    finally:
        if seen:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)


def writable(path: Path, option: str) -> None:
    """Make sure before the work that its result can be written.

    Raises:
        UsageError: it can't.
    """
    if path.is_dir():
        raise UsageError(f"{option} {path}: it is a folder")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{option} {path}: the folder {path.parent} can't be written to")


@contextlib.contextmanager
def writing(path: Path, option: str) -> Iterator[None]:
    """Turn a file that can't be written after all into one line."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror or error}") from None


def html_at_hand() -> None:
    """Make sure before the work that a page can be made of its result.

    Raises:
        UsageError: a package is missing.
    """
    from trainer_props.reports import html

    try:
        html.require()
    except html.MissingExtraError as error:
        raise UsageError(str(error)) from None


def regressions_folder(option: Path | None) -> Path:
    """The folder of regression examples: of the option, of pyproject.toml, or the default.

    Raises:
        UsageError: it can't be one.
    """
    from trainer_props import regressions

    try:
        folder = regressions.regressions_folder(option)
    except regressions.InvalidFolder as error:
        raise UsageError(str(error)) from None
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--regressions {folder}: it is no folder")
    return folder


def load_subject(name: str) -> Subject:
    """The subject of that name, found from where the user stands.

    Raises:
        UsageError: it can't be loaded.
    """
    with importing():
        from trainer_props import subjects
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does: the user's module is found from where they stand
    try:
        return subjects.load(name)
    except subjects.SubjectError as error:
        raise UsageError(str(error)) from None
    except SystemExit as error:
        remedy = "guard that by `if __name__ == '__main__'`"
        raise UsageError(f"subject {name!r}: importing it ends the program (sys.exit({error.code!r})): {remedy}") from None
