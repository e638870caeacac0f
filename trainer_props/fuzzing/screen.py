"""What people see of a campaign: a screen in a terminal, a line a minute elsewhere, and at the end what known bugs mask."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from trainer_props.engine.board import Mask
from trainer_props.engine.events import Finding, FirstSeen, Shrunk
from trainer_props.engine.turns import ENOUGH
from trainer_props.fuzzing.campaign import Event, FixedUpstream, Standing
from trainer_props.fuzzing.state import Seen, State, shares
from trainer_props.reports import terminal

PLAIN_SECONDS: Final = 60.0
_LAST: Final = 5
_REDRAWN_SECONDS: Final = 0.5


class Screen:
    """Shows a campaign while it goes on. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines = terminal.Live(console) if not console.is_interactive else None
        # Without a thread of its own: workers are forked while it shows.
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_interactive else None
        self._last: deque[Finding] = deque(maxlen=_LAST)
        self._shown = -math.inf

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Show what happened."""
        if isinstance(event, Standing):
            self._stand(event)
            return
        if isinstance(event, FixedUpstream):
            print_fixed(self._console, event.bug)
            return
        if isinstance(event, FirstSeen):
            self._last.append(event.finding)
        if self._lines is not None:
            self._lines(event)
        elif isinstance(event, Shrunk):
            terminal.line(self._console, Text(f"shrunk {event.violation.finding.property}", style="dim"))

    def _stand(self, standing: Standing) -> None:
        seconds = standing.progress.seconds
        if seconds - self._shown < (_REDRAWN_SECONDS if self._live is not None else PLAIN_SECONDS):
            return
        self._shown = seconds
        if self._live is not None:
            self._live.update(self._table(standing), refresh=True)
        else:
            facts = ", ".join(f"{name} {text}" for name, text in [*_facts(standing), ("at work", standing.progress.activity)])
            terminal.line(self._console, Text(f"{standing.progress.share:4.0%}  {facts}"))

    def _table(self, standing: Standing) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in _facts(standing):
            table.add_row(name, text)
        for number, activity in enumerate(standing.progress.workers or (standing.progress.activity,), start=1):
            table.add_row(f"worker {number}", activity)
        for finding in self._last:
            table.add_row(Text(finding.verdict, style="bold red"), f"{finding.property}: {finding.quantity} {finding.symptom}")
        return table


def _facts(standing: Standing) -> list[tuple[str, str]]:
    progress = standing.progress
    rate = progress.runs / progress.seconds if progress.seconds > 0 else 0.0
    return [
        ("left", length(standing.left)),
        ("runs", f"{progress.runs} ({rate:.0f}/s)"),
        ("evaluations", f"{progress.evaluations}"),
        (f"properties below {ENOUGH}", f"{standing.rare}"),
        ("seen", f"{standing.seen} pairs"),
        ("violations", f"{standing.violations}"),
    ]


def length(seconds: float) -> str:
    """A length of time as `1:02:03`."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"


def print_fixed(console: Console, bug: str) -> None:
    """Say that a known bug is fixed in the installed version."""
    terminal.line(console, Text.assemble(("fixed upstream", "bold green"), f" {bug}: its example shows it no more"))


def print_end(console: Console, state: State, still_there: Sequence[Seen], repeat: str) -> None:
    """Print what all starts of a campaign have done, and how to go on.

    Args:
        still_there: violations that earlier starts had found.
        repeat: the command that goes on.
    """
    for each in still_there:
        since = each.first_seen.partition("T")[0]
        terminal.line(console, Text.assemble(("still there ", "bold yellow"), f"{each.key[0]}, found by an earlier start on {since}"))
    done = f"{state.rounds} round{'s' if state.rounds != 1 else ''} ({length(state.seconds)})"
    console.print(f"in all {state.runs} runs, {state.evaluations} evaluations in {done}; to go on: {repeat}", soft_wrap=True)


def print_known_bugs(console: Console, masks: Mapping[str, tuple[Mask, int, int]], fixed: Sequence[str]) -> None:
    """Print what known bugs mask, and which of them are fixed in the installed version."""
    print_masks(console, masks)
    for bug in fixed:
        print_fixed(console, bug)


def print_masks(console: Console, masks: Mapping[str, tuple[Mask, int, int]]) -> None:
    """Print how much of the space known bugs mask, the most first."""
    found = shares(masks)
    if not found:
        return
    console.print(Text("what known bugs mask, of the experiments that meet them: cases in the region, evaluations hidden", style="bold"))
    for name, (cases, hidden) in sorted(found.items(), key=lambda item: item[1], reverse=True):
        terminal.line(console, Text.assemble(f"{cases:>7.1%} {hidden:>8.3%}  ", (name, "yellow")))
    console.print()
