"""Runs on several devices as source code for standalone scripts."""

from __future__ import annotations

from trainer_props.case import Case
from trainer_props.experiments.registry import Body, Wanted, train_body


def body(case: Case, wanted: Wanted) -> Body:
    return train_body(case, wanted)
