"""What people see in a terminal: a live line while a session goes on, then a table, then each violation."""

from __future__ import annotations

import math
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import IO, Any, Self

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from trainer_props.engine import coverage, events
from trainer_props.engine.events import EngineEvent, Finding, Moment, Replayed, Result, Violation
from trainer_props.engine.ledger import Key
from trainer_props.engine.replaying import Replay
from trainer_props.keeper import Kept
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.properties import PROPERTIES
from trainer_props.regressions import Skipped, violation_id
from trainer_props.reports import headline

_PLAIN_SECONDS = 10.0
_PLAIN_WIDTH = 120
_MOST_SHOWN = 12
_MOST_BEFORE = 2
_BAR_WIDTH = 28
_ALL_BUT_THE_BAR = 92
_STYLES = {events.FAILING: "bold red", events.KNOWN: "yellow", events.FIXED: "green", events.CANNOT_RUN: "bold yellow"}
_COUNTS = (("evaluated", "eval"), ("not applicable", "n/a"), ("violated", "viol"), ("known bugs", "known"))


class PlainConsole(Console):
    """A console for a reader that may go away, as `head` does, or a disk that may be full: the program goes on, and its exit code still
    counts.
    """

    def _check_buffer(self) -> None:
        try:
            super()._check_buffer()
        except OSError:  # of these rich itself knows the broken pipe alone
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Say nothing more."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


def make_console(file: IO[str] | None = None) -> Console:
    """A console on standard output, or on a file. What is no terminal gets lines of any length, and tables of a fixed width."""
    shown = sys.stdout if file is None else file
    # colours may be forced on a file, as on the logs of CI; what moves is for those who look at it
    moves = shown.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    console = PlainConsole(file=file, highlight=False, force_interactive=moves)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PLAIN_WIDTH
    return console


class Live:
    """Shows the progress of a session: a bar in a terminal, a line every ten seconds elsewhere. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Bar | None = None
        self._first = True
        if console.is_interactive:
            # Without a thread of its own: workers are forked while it shows.
            self._bar = Bar(
                TextColumn("{task.description}"), BarColumn(bar_width=max(4, min(_BAR_WIDTH, console.width - _ALL_BUT_THE_BAR))),
                TextColumn("{task.percentage:>3.0f}%"), TextColumn("{task.fields[numbers]}"), TimeElapsedColumn(), console=console,
                transient=True, auto_refresh=False,
            )
            self._task = self._bar.add_task("getting ready", total=1.0, numbers="")
        self._last_line = -math.inf

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: Text) -> None:
        """Print a line."""
        line(self._console, text)

    def __call__(self, event: EngineEvent) -> None:
        """Show an event of the engine."""
        if isinstance(event, events.Progress):
            numbers = f"{event.runs} runs, {event.evaluations} evaluations"
            if self._bar is not None:
                self._bar.update(self._task, completed=event.share, description=event.activity, numbers=numbers, refresh=True)
            elif event.seconds - self._last_line >= _PLAIN_SECONDS:
                self._last_line = event.seconds
                line(self._console, Text(f"{event.seconds:5.0f} s  {event.share:4.0%}  {numbers}  {event.activity}"))
        elif isinstance(event, events.Replayed):
            if event.status not in (events.FIXED, events.KNOWN):
                reason = f": {' '.join(event.reason.split())}" if event.reason else ""
                line(self._console, Text.assemble(status(event.status), f" {Path(event.id).stem}{reason}"))
        elif isinstance(event, events.FirstSeen):
            finding = event.finding
            what = f": {finding.quantity} {finding.symptom}"
            line(self._console, Text.assemble((finding.verdict, "bold red"), (f" {finding.property}", "bold"), what))
            if self._first:  # at once, and as it is: shrinking comes after exploring
                self._first = False
                for label, text in _facts(finding):
                    _fact(self._console, label, text)
        elif isinstance(event, events.Shrunk):
            line(self._console, Text(f"shrunk {event.violation.finding.property} in {event.violation.seconds:.1f} s", style="dim"))


def print_result(
    console: Console, result: Result, subject: str, hint: str = "", kept: Mapping[Key, Kept] | None = None, option: str = "",
    still_there: int = 0,
) -> None:
    """Print everything that stands at the end of a session.

    Args:
        hint: what may explain violations of this subject.
        kept: what is on disk, by the key of a violation as it was first seen.
        option: is added to commands, as they need it to find the examples.
        still_there: of how many violations an earlier start had told already.
    """
    console.print(properties_table(result, console.width))
    console.print()
    if result.known_seen:
        _print_known_bugs(console, result)
    for violation in result.violations:
        print_violation(console, violation, (kept or {}).get(violation.first.key), option)
    if hint and result.violations:
        line(console, Text(hint, style="yellow"))
    for text in _lost_coverage(result):
        line(console, Text(text, style="yellow"))
    if result.coverage:
        line(console, Text(_covered(result), style="dim"))
    found = headline.found(len(result.violations), still_there)
    verdict = Text(found, style="bold red" if result.violations else "bold green")
    rate = result.runs / result.seconds if result.seconds else 0.0
    facts = (
        f" in {subject}: {result.runs} runs, {result.evaluations} evaluations of {len(result.properties)} properties"
        f" in {result.seconds:.0f} s ({rate:.0f} runs/s), seed {result.seed}"
    )
    if result.replayed:
        line(console, Text(f"replayed {count_of(result.replayed)}"))
    line(console, Text.assemble(verdict, facts, (", interrupted" if result.interrupted else "", "bold yellow")))


def status(text: str) -> Text:
    """What became of a replayed case, in its colour."""
    return Text(text, style=_STYLES[text])


def count_of(replayed: Sequence[Replayed]) -> str:
    """How many cases were replayed, and what became of them."""
    times = Counter(each.status for each in replayed)
    cases = "case" if len(replayed) == 1 else "cases"
    return f"{len(replayed)} {cases} of earlier failures: " + ", ".join(f"{times[each]} {each}" for each in _STYLES if times[each])


def starting_with(replay: Replay) -> Text:
    """That a case is judged first, since it ran when a session was killed."""
    return Text(f"starting with what ran when an earlier session was killed: {replay.case!r}")


def print_skipped(console: Console, skipped: Sequence[Skipped]) -> None:
    """Name the files that were not read, and say why."""
    for each in skipped:
        copied(console, Text.assemble(("skipped ", "bold yellow"), shown(each.path), f": {each.reason}"))


def shown(path: Path) -> str:
    """A path as the user would type it: relative to where they stand, if it is below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def copied(console: Console, text: Text) -> None:
    """Print a line to copy from, which is never broken."""
    console.print(text, soft_wrap=True)


def properties_table(result: Result, width: int) -> Table:
    """The table at the end: chapter, property, times evaluated, not applicable, violated, known bugs seen.

    Args:
        width: of the console, in characters: where it is too narrow for a column of chapters, they become headings.
    """
    chapters = max((len(each.partition(".")[0]) for each in result.properties), default=0)
    names = max((len(each.partition(".")[2]) for each in result.properties), default=0)
    wide = width >= chapters + names + sum(len(long) for long, _ in _COUNTS) + 2 * (len(_COUNTS) + 1)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    if wide:
        table.add_column("chapter", no_wrap=True)
    table.add_column("property", overflow="fold")
    for long, short in _COUNTS:
        table.add_column(long if wide else short, justify="right", no_wrap=True)
    shown = ""
    for identifier, count in sorted(result.properties.items()):
        chapter, _, name = identifier.partition(".")
        style = "bold red" if count.violated else ("yellow" if count.known else ("dim" if not count.evaluated else ""))
        numbers = (str(count.evaluated), str(count.not_applicable), str(count.violated or ""), str(count.known or ""))
        if wide:
            table.add_row(chapter if chapter != shown else "", name, *numbers, style=style)
        else:
            if chapter != shown:
                table.add_row(Text(chapter, style="bold"))
            table.add_row(f"  {name}", *numbers, style=style)
        shown = chapter
    return table


def print_violation(console: Console, violation: Violation, kept: Kept | None = None, option: str = "") -> None:
    """Print one violation: the statement, expected and observed, where they part, the smallest case, and what to type next.

    Lines to copy are never broken.
    """
    finding = violation.finding
    known = PROPERTIES.get(finding.property)
    line(console, Text.assemble((finding.verdict, "bold red"), " ", (violation_id(finding), "bold")))
    if known is not None:
        console.print(Padding(Text(known.statement), (0, 0, 0, 2)))
        _fact(console, "source", known.source)
    if finding.known_bug is not None:
        _fact(console, "known bug", finding.known_bug)
    for label, text in _facts(finding):
        _fact(console, label, text)
    for note in violation.notes:
        _fact(console, "note", note)
    if violation.timeline:
        console.print(Padding(timeline_table(violation.timeline), (0, 0, 0, 2)))
    if not violation.complete:
        _fact(console, "shrunk", f"not to the end: stopped after {violation.seconds:.1f} s" if violation.runs else "not at all")
    if kept is not None and kept.regression is not None:
        _fact(console, "stored", shown(kept.regression))
        print_next(console, kept.regression.stem, option)
    elif kept is not None and kept.reason:
        line(console, Text(f"  {kept.reason}", style="yellow"))
    console.print()


def print_next(console: Console, name: str, option: str = "") -> None:
    """Print what to type about an example."""
    _fact(console, "again", f"trainer-props replay {name}{option}")
    _fact(console, "script", f"trainer-props script {name}{option}")


def timeline_table(timeline: Sequence[Moment]) -> Table:
    """What a run did: its windows of batches, the update after each, and what followed that."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("update", "epoch"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("samples", "losses"):
        table.add_column(name, overflow="fold")
    for name in ("learning rate", "gradient norm"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("then", overflow="fold")
    for moment in timeline[:_MOST_SHOWN]:
        samples = " ".join(
            show(list(batch)) if batch is not None else f"({size})" for batch, size in zip(moment.batches, moment.sizes, strict=False)
        )
        losses = " ".join(_number(loss) for loss in moment.losses)
        then = [f"log {_number(moment.loss)}" if each == "log" and moment.loss is not None else each for each in moment.happened]
        table.add_row(
            str(moment.update) if moment.update else "", str(moment.epoch), samples, losses, _number(moment.learning_rate),
            _number(moment.gradient_norm), ", ".join(then),
        )
    if len(timeline) > _MOST_SHOWN:
        table.add_row("...", "", f"{len(timeline)} updates in all")
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def show(value: Any) -> str:
    """A compared value in few characters: long sequences are cut, floats have as many digits as tell them apart."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        items = [f"{key}: {show(item)}" for key, item in list(value.items())[:_MOST_SHOWN]]
        return f"{{{', '.join(items + _and_more(value))}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join([show(item) for item in value[:_MOST_SHOWN]] + _and_more(value))}]"
    return str(value)


def alike(expected: Any, observed: Any) -> int:
    """How many items at the beginning of two lists go without saying: where the lists part would not be seen otherwise."""
    if not all(isinstance(each, Sequence) and not isinstance(each, str) for each in (expected, observed)):
        return 0
    if max(len(expected), len(observed)) <= _MOST_SHOWN:
        return 0
    pairs = enumerate(zip(expected, observed, strict=False))
    first = next((place for place, (one, other) in pairs if one != other), min(len(expected), len(observed)))
    return first - _MOST_BEFORE if first >= _MOST_SHOWN else 0


def show_from(start: int, value: Any) -> str:
    """The compared value without so many items at its beginning."""
    return f"[... {start} alike, {show(value[start:])[1:]}" if start else show(value)


def _and_more(value: Sized) -> list[str]:
    return [f"... ({len(value)} in all)"] if len(value) > _MOST_SHOWN else []


def explain_finding(finding: Finding) -> str:
    """A violation as plain text, for exceptions and logs."""
    known = PROPERTIES.get(finding.property)
    lines = [f"{finding.verdict} {finding.property}", *([f"  {known.statement}"] if known is not None else [])]
    return "\n".join(lines + [f"  {label:<10}{_indented(text)}" for label, text in _facts(finding)])


def _facts(finding: Finding) -> list[tuple[str, str]]:
    same = alike(finding.expected, finding.observed)
    sides = [(label, show_from(same, side)) for label, side in (("expected", finding.expected), ("observed", finding.observed))]
    facts = [("what", f"{finding.quantity} {finding.symptom}"), *sides]
    if finding.divergence:
        facts.append(("first at", finding.divergence))
    return [*facts, ("case", repr(finding.case))]


def _fact(console: Console, label: str, text: str) -> None:
    # Without line breaks of ours, so that addresses and cases can be copied; a terminal wraps what it can't show.
    console.print(Text.assemble((f"  {label:<10}", "dim"), _indented(text)), soft_wrap=True)


def _indented(text: str) -> str:
    return text.replace("\n", "\n" + " " * 12)


def line(console: Console, text: Text) -> None:
    """Print a line, which only a terminal breaks."""
    console.print(text, soft_wrap=not console.is_terminal)


def _print_known_bugs(console: Console, result: Result) -> None:
    console.print(Text("known bugs seen", style="bold"))
    for identifier, times in sorted(result.known_seen.items()):
        bug = KNOWN_BUGS[identifier]
        line(console, Text.assemble(f"{times:>6}  ", (identifier, "yellow")))
        console.print(Padding(Text(bug.sentence), (0, 0, 0, 8)))
        console.print(Text(" " * 8 + bug.link, style="dim"), soft_wrap=True)
    console.print()


def _covered(result: Result) -> str:
    """How much of the scenario space was tried; which parts were not is in the JSON and the HTML."""
    arguments, together = len(coverage.never_tried(result.coverage)), len(coverage.pairs_never_tried(result.coverage))
    missing = f"{arguments} of {coverage.DRAWN_ARGUMENTS} drawn arguments and {together} of {coverage.DRAWN_PAIRS} pairs of them"
    return f"never tried: {missing}"


def _lost_coverage(result: Result) -> list[str]:
    lines = []
    for word, counts in (("were refused by the subject", result.refusals), ("could not run here", result.impossible)):
        if counts:
            number, most = sum(counts.values()), max(counts, key=lambda text: counts[text])
            lines.append(f"{number} of {result.runs} cases {word}, most often: {' '.join(most.split())}")
    nothing = [each.name for each in result.experiments.values() if not each.examples and (each.refused or each.could_not_run)]
    if nothing:
        lines.append(f"not one case was judged in {', '.join(nothing)}")
    return lines
