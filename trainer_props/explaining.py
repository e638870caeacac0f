"""What `trainer-props explain` prints of a property."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from trainer_props.engine import Finding, Plan, Session
from trainer_props.faults import FAULTS, Fault
from trainer_props.properties import Property
from trainer_props.reports.terminal import explain_finding
from trainer_props.subjects import wrap

_EXPLORE_SECONDS = 3.0
_SHRINK_SECONDS = 1.5


def explain(each: Property, console: Console) -> None:
    """Print a property: its text, source, preconditions, tolerance, the faults that were written for it, and how a failure looks.

    Raises:
        KeyboardInterrupt: Ctrl-C while a sample failure was made.
    """
    faults = faults_for(each)
    _say(console, Text(each.id, style="bold"))
    _say(console, each.text)
    console.print()
    for label, text in facts(each):
        _say(console, f"{label:<13}{text}")
    for fault in faults:
        _say(console, f"{'kills':<13}{fault.id}: {fault.sentence}")
    for fault in faults:
        finding = sample(each, fault)
        if finding is not None:
            console.print()
            _say(console, Text(f"a failure, of the planted fault {fault.id}:", style="bold"))
            _say(console, explain_finding(finding))
            return
    if faults:
        console.print()
        _say(console, f"its faults showed no failure within {_EXPLORE_SECONDS:g} s each")


def facts(each: Property) -> list[tuple[str, str]]:
    """What is declared of a property, as (label, text)."""
    found = [
        ("source", each.source),
        ("experiments", ", ".join(each.experiments)),
        ("tolerance", "exact" if not each.tolerance else f"{each.tolerance:g} of max(1, |expected|)"),
        *[("needs", f"{need.name}; else not applicable: {need.reason}") for need in each.needs],
    ]
    if not each.needs:
        found.append(("needs", "nothing"))
    if each.catalogue:
        found.append(("covers", f"{', '.join(map(str, each.catalogue))} of the catalogue of invariants"))
    return found


def faults_for(each: Property) -> list[Fault]:
    """The planted faults that were written for a property."""
    return [fault for fault in FAULTS.values() if fault.property == each.id]


def sample(each: Property, fault: Fault) -> Finding | None:
    """A failure of a property, shrunk, made by a planted fault in a few seconds.

    None if there is none within that time, or if the fault does not fit the installed transformers.

    Raises:
        KeyboardInterrupt: Ctrl-C while it was made.
    """
    try:
        subject = wrap(fault.make(), fault.id)
    except LookupError:  # the installed version lacks the line that the fault changes
        return None
    plan = Plan(
        experiments=each.experiments, properties=(each.id,), seconds=_EXPLORE_SECONDS, first_failure=True, shrink_seconds=_SHRINK_SECONDS,
    )
    result = Session(subject, plan).run()
    if result.interrupted:
        raise KeyboardInterrupt
    return result.violations[0].finding if result.violations else None


def _say(console: Console, text: str | Text) -> None:
    console.print(Text(text) if isinstance(text, str) else text, soft_wrap=not console.is_terminal)
