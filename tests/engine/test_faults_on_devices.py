"""What goes wrong on several devices is found there, and its smallest case is small: two devices, a handful of samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from trainer_props import subjects
from trainer_props.engine import Plan, Session
from trainer_props.faults import FAULTS
from trainer_props.running.devices import gloo

NAMES: Final = (
    "data-of-rank-zero-everywhere", "gradients-added-up", "gradients-stay-on-their-rank", "schedule-stepped-for-each-device",
    "labels-counted-on-each-rank-alone", "padding-kept-in-predictions",
)  # fmt: skip
"""Rank 0's data everywhere, a forgotten mean (twice), a double step of the schedule, local counts of tokens, padding that is kept."""
MOST_SAMPLES: Final = 8


@pytest.fixture(autouse=True)
def _pools_end() -> Iterator[None]:
    yield
    gloo.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_on_several_devices_becomes_small(name: str) -> None:
    fault = FAULTS[name]
    plan = Plan(["train_in_processes"], [fault.property], max_examples=200, seed=1, first_failure=True, shrink_seconds=20.0)
    result = Session(subjects.wrap(fault.make(), "transformers:Trainer"), plan).run()
    violation = next(each for each in result.violations if each.finding.known_bug is None)
    scenario = violation.finding.case.scenario
    assert scenario.devices.count == 2
    assert max(scenario.data.n, scenario.data.n_eval) <= MOST_SAMPLES
