"""What people see in a terminal: a live line while a session goes on, then a table, then each violation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress import BarColumn, Progress as Bar, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from trainer_props.engine import events
from trainer_props.engine.events import EngineEvent, Finding, Result, Violation
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.properties import PROPERTIES
from trainer_props.reports.result import violation_id

_PLAIN_SECONDS = 10.0
_MOST_SHOWN = 12


class Live:
    """Shows the progress of a session: a bar in a terminal, a line every ten seconds elsewhere. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Bar | None = None
        if console.is_terminal:
            self._bar = Bar(
                TextColumn("{task.description}"), BarColumn(bar_width=28), TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.fields[numbers]}"), TimeElapsedColumn(), console=console, transient=True,
            )
            self._task = self._bar.add_task("getting ready", total=1.0, numbers="")
        self._last_line = -math.inf

    def __enter__(self) -> Live:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: EngineEvent) -> None:
        """Show an event of the engine."""
        if isinstance(event, events.Progress):
            numbers = f"{event.runs} runs, {event.evaluations} evaluations"
            if self._bar is not None:
                self._bar.update(self._task, completed=event.share, description=event.activity, numbers=numbers)
            elif event.seconds - self._last_line >= _PLAIN_SECONDS:
                self._last_line = event.seconds
                self._console.print(f"{event.seconds:5.0f} s  {event.share:4.0%}  {numbers}  {event.activity}", highlight=False)
        elif isinstance(event, events.FirstSeen):
            finding = event.finding
            self._console.print(Text.assemble((f"{finding.verdict} ", "bold red"), (finding.property, "bold"), f": {finding.quantity} {finding.symptom}, shrinking follows"))
        elif isinstance(event, events.Shrunk):
            finding = event.violation.finding
            self._console.print(Text(f"shrunk {finding.property} in {event.violation.seconds:.1f} s", style="dim"))


def properties_table(result: Result) -> Table:
    """The table at the end: chapter, property, times evaluated, not applicable, violated, known bugs seen."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, side in (("chapter", "left"), ("property", "left"), ("evaluated", "right"), ("not applicable", "right"), ("violated", "right"), ("known bugs", "right")):
        table.add_column(name, justify=side, no_wrap=name == "property")  # type: ignore[arg-type]
    shown = ""
    for identifier, count in sorted(result.properties.items()):
        chapter, _, name = identifier.partition(".")
        style = "bold red" if count.violated else ("yellow" if count.known else ("dim" if not count.evaluated else ""))
        table.add_row(
            chapter if chapter != shown else "", name, str(count.evaluated), str(count.not_applicable), str(count.violated or ""), str(count.known or ""), style=style
        )
        shown = chapter
    return table


def known_bugs_table(result: Result) -> Table:
    """The known bugs that were seen: id, how often, what happens, where it is reported."""
    table = Table(box=None, pad_edge=False, header_style="bold", title="known bugs seen", title_justify="left")
    for name in ("id", "seen", "what happens", "source"):
        table.add_column(name, justify="right" if name == "seen" else "left")
    for identifier, times in sorted(result.known_seen.items()):
        bug = KNOWN_BUGS[identifier]
        table.add_row(identifier, str(times), bug.sentence, bug.link)
    return table


def violation_panel(violation: Violation) -> RenderableType:
    """One violation: the statement, expected and observed, where they part, the smallest case."""
    finding = violation.finding
    known = PROPERTIES.get(finding.property)
    lines: list[RenderableType] = []
    if known is not None:
        lines += [Text(known.statement), Text(f"source: {known.source}", style="dim")]
    if finding.known_bug is not None:
        lines.append(Text(f"known bug: {finding.known_bug}", style="yellow"))
    lines += [
        Text(""),
        Text.assemble(("what      ", "dim"), f"{finding.quantity} {finding.symptom}"),
        Text.assemble(("expected  ", "dim"), show(finding.expected)),
        Text.assemble(("observed  ", "dim"), show(finding.observed)),
    ]
    if finding.divergence:
        lines.append(Text.assemble(("first at  ", "dim"), finding.divergence))
    if not violation.complete:
        lines.append(Text(f"not fully shrunk: stopped after {violation.seconds:.1f} s", style="dim"))
    lines += [Text(""), Syntax(repr(finding.case), "python", word_wrap=True, background_color="default")]
    return Panel(Group(*lines), title=Text(f"{finding.verdict}: {violation_id(finding)}", style="bold red"), title_align="left", border_style="red")


def summary(result: Result, subject: str) -> Group:
    """Everything that is printed at the end of a session."""
    parts: list[RenderableType] = [properties_table(result), Text("")]
    if result.known_seen:
        parts += [known_bugs_table(result), Text("")]
    parts += [violation_panel(violation) for violation in result.violations]
    refused = sum(each.refused for each in result.experiments.values())
    impossible = sum(each.could_not_run for each in result.experiments.values())
    if refused:
        most = max(result.refusals, key=lambda text: result.refusals[text])
        parts.append(Text(f"{refused} cases were refused by the subject, most often: {most}", style="dim"))
    if impossible:
        parts.append(Text(f"{impossible} cases could not run here (a package or an argument is missing)", style="dim"))
    new = len(result.violations)
    verdict = Text(f"{new} violation{'s' if new != 1 else ''}", style="bold red") if new else Text("nothing new", style="bold green")
    rate = result.runs / result.seconds if result.seconds else 0.0
    parts.append(
        Text.assemble(
            verdict, f" in {subject}: {result.runs} runs, {result.evaluations} evaluations of {len(result.properties)} properties"
            f" in {result.seconds:.0f} s ({rate:.0f} runs/s), seed {result.seed}" + (", interrupted" if result.interrupted else ""),
        )
    )
    return Group(*parts)


def show(value: Any) -> str:
    """A compared value in few characters: long sequences are cut, floats have as many digits as tell them apart."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {show(item)}" for key, item in list(value.items())[:_MOST_SHOWN]) + ("" if len(value) <= _MOST_SHOWN else ", ...") + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(show(item) for item in value[:_MOST_SHOWN]) + (f", ... ({len(value)} in all)" if len(value) > _MOST_SHOWN else "") + "]"
    return str(value)


def explain_finding(finding: Finding) -> str:
    """A violation as plain text, for exceptions and logs."""
    at = f" at {finding.divergence}" if finding.divergence else ""
    return (
        f"{finding.property} {finding.verdict}: {finding.quantity} {finding.symptom}{at}\n"
        f"  expected {show(finding.expected)}\n  observed {show(finding.observed)}\n  {finding.case!r}"
    )
