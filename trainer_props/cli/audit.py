"""`trainer-props audit`: planted faults against properties."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Annotated

import typer

from trainer_props.cli.choosing import named
from trainer_props.cli.common import INTERRUPTED, NEW_VIOLATIONS, OK, UsageError, importing, writable, writing


def audit(
    fault: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only these faults.")] = None,
    property: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only faults that were written for these properties.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Most time for each fault, until its property kills it.")] = 30.0,
    healthy_seconds: Annotated[float, typer.Option(min=0.0, help="Time for the stock Trainer, which must survive.")] = 60.0,
    jobs: Annotated[int, typer.Option(min=1, help="Faults that are tried side by side.")] = os.cpu_count() or 1,
    seed: Annotated[int | None, typer.Option(help="All draws follow from it; the clock decides how many (random, printed).")] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the matrix there.")] = None,
) -> int:
    """Plant every fault and see which properties kill it; exits 1 if one survives its property, or the stock Trainer does not survive."""
    if json is not None:
        writable(json, "--json")
    with importing():
        from trainer_props import auditing, serialization
        from trainer_props.faults import FAULTS
        from trainer_props.reports import audit as report
        from trainer_props.reports import terminal
    properties = named(property, sorted({each.property for each in FAULTS.values()}), "property")
    names = [name for name in named(fault, list(FAULTS), "fault") if FAULTS[name].property in properties]
    if not names:
        raise UsageError("no fault of these was written for a property of these")
    if seed is None:
        seed = random.SystemRandom().randrange(2**32)
    console = terminal.make_console()
    console.print(f"auditing {len(names)} faults, seed {seed}", soft_wrap=True)
    with report.Live(console, len(names) + bool(healthy_seconds)) as live:
        result = auditing.audit(names, seed=seed, seconds=seconds, healthy_seconds=healthy_seconds, jobs=jobs, told=live)
    report.print_audit(console, result)
    if json is not None:
        with writing(json, "--json"):
            json.write_text(serialization.dumps(serialization.plain(report.to_data(result)), indent=2) + "\n", encoding="utf-8")
    if result.interrupted:
        return INTERRUPTED
    return OK if result.green else NEW_VIOLATIONS
