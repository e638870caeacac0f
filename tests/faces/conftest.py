"""What the tests of the faces share: snapshots of texts that people read."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from trainer_props.reports import terminal

SNAPSHOTS = Path(__file__).parent / "snapshots"
UPDATE = "TRAINER_PROPS_UPDATE_SNAPSHOTS"


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What rich reads from the environment of whoever runs the tests."""
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def snapshot() -> Callable[[str, str], None]:
    """Compare a text with the one that is stored under a name; with the environment variable above, store it instead."""

    def compare(name: str, text: str) -> None:
        path = SNAPSHOTS / f"{name}.txt"
        text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
        if os.environ.get(UPDATE):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), f"set {UPDATE}=1 and look at the difference in git"

    return compare


@pytest.fixture
def console() -> Callable[[int], Console]:
    """A console of a width that writes into memory, as to a file."""

    def make(width: int) -> Console:
        made = terminal.make_console(io.StringIO())
        made.width = width
        return made

    return make
