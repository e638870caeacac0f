"""What people see of an audit: a line for each fault while it goes on, then what each property kills, and what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainer_props.properties import PROPERTIES
from trainer_props.reports.counting import CountingBar
from trainer_props.reports.terminal import line

if TYPE_CHECKING:
    from trainer_props.auditing import Audit, Audited

FORMAT: Final = 1
_MOST_NAMED: Final = 3


class Live(CountingBar):
    """Shows how far an audit is: a line for each fault, and a bar in a terminal. Use as a context manager.

    Args:
        number: of what is to be tried.
    """

    def __init__(self, console: Console, number: int) -> None:
        super().__init__(console, "trying faults", number, width=20)
        self._console = console

    def __call__(self, audited: Audited | None, done: int) -> None:
        """Show what became of a fault; None stands for the stock Trainer."""
        if audited is not None:
            line(self._console, _of(audited))
        self.move(done)


def _of(audited: Audited) -> Text:
    killed = audited.killed
    if killed is None:
        why = f": {audited.errors[0]}" if audited.errors else ""
        others = f"; killed by {_named([kill.property for kill in audited.kills])}" if audited.kills else ""
        seen = f" {audited.written_for} in {audited.runs} runs{others}{why}"
        return Text.assemble(("SURVIVES ", "bold red"), (audited.fault, "bold"), seen)
    others = _named([kill.property for kill in audited.kills if kill.property != audited.written_for])
    return Text.assemble(
        ("killed ", "green"), (audited.fault, "bold"), f" by {audited.written_for} after {_runs(killed.runs)}, {killed.seconds:.1f} s",
        f"; also by {others}" if others else "",
        (f"\n    {'' if audited.complete else 'at most '}{audited.case!r}" if audited.case is not None else "", "dim"),
    )  # fmt: skip


def print_audit(console: Console, result: Audit) -> None:
    """Print what each property kills, and the verdict."""
    console.print(_properties(result))
    console.print()
    for each in result.survivors:
        line(console, _of(each))
    for name in result.toothless:
        line(console, Text.assemble((name, "bold"), " kills no fault"))
    for name in result.healthy:
        command = f"trainer-props check --property {name}"
        line(console, Text.assemble(("the stock Trainer violates ", "bold red"), (name, "bold"), f": {command}"))
    verdict = Text("every fault is killed", style="bold green") if result.green else Text("the audit is not green", style="bold red")
    tried = len({each.written_for for each in result.faults})
    healthy = f"; the stock Trainer survived {_runs(result.healthy_runs)}" if result.healthy_runs and not result.healthy else ""
    interrupted = (", interrupted" if result.interrupted else "", "bold yellow")
    killed = len(result.faults) - len(result.survivors)
    line(console, Text.assemble(verdict, f": {killed} of {len(result.faults)} faults, {tried} properties{healthy}", interrupted))


def _properties(result: Audit) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("property", overflow="fold")
    for name in ("kills", "alone", "misses", "median runs"):
        table.add_column(name, justify="right")
    table.add_column("kills alone", overflow="fold")
    for name in sorted(PROPERTIES):
        killed, only, median = result.killed_by(name), result.only_by(name), result.median_runs(name)
        if killed or any(each.written_for == name for each in result.faults):
            style = "" if killed else "bold red"
            table.add_row(
                Text(name, style=style), str(len(killed)), str(len(only)), str(len(result.missed_by(name))),
                "" if median is None else f"{median:g}", _named([each.fault for each in only]),
            )  # fmt: skip
    return table


def to_data(result: Audit) -> dict[str, Any]:
    """The audit as plain data: every fault, and for each the cases after which each property killed it."""
    return {
        "format": FORMAT, "seed": result.seed, "green": result.green, "interrupted": result.interrupted,
        "healthy": {"runs": result.healthy_runs, "violated": list(result.healthy)},
        "faults": [
            {
                "id": each.fault, "property": each.written_for, "killed": each.killed is not None, "runs": each.runs,
                "seconds": round(each.seconds, 3), "kills": {kill.property: kill.runs for kill in each.kills},
                "case": each.case.to_json() if each.case is not None else None, "complete": each.complete, "errors": list(each.errors),
            }
            for each in sorted(result.faults, key=lambda each: each.fault)
        ],
        "properties": {
            name: {
                "kills": [each.fault for each in result.killed_by(name)], "alone": [each.fault for each in result.only_by(name)],
                "misses": [each.fault for each in result.missed_by(name)],
            }
            for name in sorted(PROPERTIES)
        },
    }  # fmt: skip


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return f"{shown} and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else shown


def _runs(number: int) -> str:
    return f"{number} run{'' if number == 1 else 's'}"
