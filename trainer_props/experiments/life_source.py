"""The life of a job as source code for a standalone script."""

from __future__ import annotations

from trainer_props.case import Case
from trainer_props.experiments.registry import Body, Wanted


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source: `run(output_dir, step, updates, event)` makes one run, `main` reads as a diary."""
    return Body([])
