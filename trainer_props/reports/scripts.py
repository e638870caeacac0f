"""What people see while the scripts of violations are run, and of what has become of them."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from trainer_props.keeper import NO_SCRIPT, Kept
from trainer_props.regressions import ignored_by_git
from trainer_props.reports.counting import CountingBar
from trainer_props.reports.terminal import copied, shown


class Scripts(CountingBar):
    """Shows how far the running of scripts is: a bar in a terminal, and a line for each script. Use as a context manager.

    Args:
        number: of scripts.
    """

    def __init__(self, console: Console, number: int) -> None:
        super().__init__(console, "running scripts", number)
        self._console, self._done = console, 0

    def __call__(self, kept: Kept | None) -> None:
        """Show what has become of a script; None only moves the clock."""
        if kept is not None:
            self._done += 1
            print_script(self._console, kept)
        self.move(self._done)


def print_script(console: Console, kept: Kept) -> None:
    """Print what has become of the script beside an example."""
    if kept.verified and kept.script is not None:
        copied(console, Text.assemble(("verified ", "green"), shown(kept.script)))
    elif kept.script is not None:
        copied(console, Text.assemble(("not verified ", "bold yellow"), f"{shown(kept.script)}: {kept.reason}"))
    elif kept.regression is not None:
        copied(console, Text.assemble(("no script ", "bold yellow"), kept.regression.stem, f": {kept.reason.removeprefix(NO_SCRIPT)}"))


def print_remedies(console: Console, kept: Iterable[Kept]) -> None:
    """Print what to do so that git keeps the examples, each remedy once."""
    remedies: dict[str, str] = {}
    for each in kept:
        if each.regression is not None and (ignored := ignored_by_git(each.regression)) is not None:
            remedies.setdefault(ignored.partition("; ")[2], ignored)
    for text in remedies.values():
        copied(console, Text(text, style="bold yellow"))
