"""What people see of examples that were judged again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trainer_props.engine import events
from trainer_props.engine.events import Replayed
from trainer_props.reports.terminal import copied, count_of, explain_finding, line, print_next, show, status

_LONGEST_SIDE: Final = 60
_LEAST_REASON: Final = 40


def print_replayed(console: Console, replayed: Sequence[Replayed]) -> None:
    """Print a row for each replayed case: what became of it, its name, and why. A name is never broken."""
    rows = []
    for each in replayed:
        reason = " ".join(each.reason.split())
        if each.status == events.FAILING and each.finding is not None:
            reason += f": expected {_short(show(each.finding.expected))}, observed {_short(show(each.finding.observed))}"
        rows.append((status(each.status), Path(each.id).stem, reason))
    first, second = (max((len(each[column]) for each in rows), default=0) + 2 for column in (0, 1))
    if console.width - first - second < _LEAST_REASON:
        for state, name, reason in rows:
            copied(console, Text.assemble(state, " " * (first - len(state)), name))
            if reason:
                console.print(Padding(Text(reason), (0, 0, 0, first)))
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("status", "example"):
        table.add_column(heading, no_wrap=True)
    table.add_column("reason", overflow="fold")
    for state, name, reason in rows:
        table.add_row(state, name, Text(reason))
    console.print(table)


def print_failing(console: Console, replayed: Sequence[Replayed], option: str = "", *, full: bool) -> None:
    """Print what to know, and to type, about the examples that fail, and how many of each kind there are.

    Args:
        option: is added to commands, as they need it to find the examples.
        full: explain each; otherwise say how.
    """
    failing = [each for each in replayed if each.status == events.FAILING]
    for each in failing if full else ():
        console.print()
        if each.finding is not None:
            line(console, Text(explain_finding(each.finding)))
        print_next(console, Path(each.id).stem, option)
    console.print()
    if failing and not full:
        copied(console, Text(f"trainer-props replay {Path(failing[0].id).stem}{option} explains it", style="dim"))
    if replayed:
        line(console, Text(f"replayed {count_of(replayed)}"))


def _short(text: str) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= _LONGEST_SIDE else f"{line[: _LONGEST_SIDE - 3]}..."
