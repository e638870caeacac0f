"""What `trainer-props explain` prints of a property."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from trainer_props.properties import Property


def explain(each: Property, console: Console) -> None:
    """Print a property: its text, source, preconditions, tolerance and the faults that were written for it."""
    from trainer_props.faults import FAULTS

    console.print(Text(each.id, style="bold"))
    console.print(each.text)
    console.print(f"\nsource       {each.source}")
    console.print(f"experiments  {', '.join(each.experiments)}")
    console.print(f"tolerance    {'exact' if not each.tolerance else f'{each.tolerance:g} of max(1, |expected|)'}")
    console.print(f"needs        {', '.join(need.name for need in each.needs) or 'nothing'}")
    if each.catalogue:
        console.print(f"covers       {', '.join(map(str, each.catalogue))} of the catalogue of invariants")
    for fault in FAULTS.values():
        if fault.property == each.id:
            console.print(f"kills        {fault.id}: {fault.sentence}")
