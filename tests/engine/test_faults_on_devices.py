"""What goes wrong on several devices is found there, and its smallest case is small: two devices, a handful of samples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest

from trainer_props import subjects
from trainer_props.engine import Plan, Session
from trainer_props.experiments import Held
from trainer_props.faults import FAULTS
from trainer_props.running.devices import gloo

NAMES: Final = (
    "data-of-rank-zero-everywhere", "gradients-added-up", "gradients-stay-on-their-rank", "schedule-stepped-for-each-device",
    "labels-counted-on-each-rank-alone", "padding-kept-in-predictions",
)  # fmt: skip
"""Rank 0's data everywhere, a forgotten mean (twice), a double step of the schedule, local counts of tokens, padding that is kept."""
SHARDED: Final = (
    "ranks-counted-from-the-end", "last-rank-ends-a-row-early", "every-second-batch-is-the-one-before", "logs-of-the-first-rank-alone",
    "workers-seeded-without-their-rank", "items-added-up-once-more", "tokens-of-the-own-rank",
    "prepared-loaders-keep-short-batches",
)  # fmt: skip
RESUMED: Final = (
    "random-state-demanded-of-every-rank", "tokens-counted-anew-by-other-ranks", "ranks-change-places-on-resume",
    "optimizer-not-loaded-in-several-processes", "random-state-of-the-rank-before", "checkpoint-of-several-processes-passed-over",
)  # fmt: skip
FOUND_IN: Final = {
    **dict.fromkeys(NAMES, "train_in_processes"), **dict.fromkeys(SHARDED, "shard_data"), **dict.fromkeys(RESUMED, "resume_in_processes"),
}  # fmt: skip
_SHORT: Final = {"max_steps": 2, "per_device_train_batch_size": 1}
# Short runs, where those that a fault needs are: each is one of several processes.
HELD: Final = {
    **dict.fromkeys(
        ("items-added-up-once-more", "logs-of-the-first-rank-alone", "workers-seeded-without-their-rank",
         "prepared-loaders-keep-short-batches"),
        _SHORT,
    ),
    **dict.fromkeys(RESUMED, _SHORT | {"max_steps": 3}),
    "tokens-of-the-own-rank": {"include_num_input_tokens_seen": "all"},
    "tokens-counted-anew-by-other-ranks": {"include_num_input_tokens_seen": "all"},
}  # fmt: skip
MOST_SAMPLES: Final = 8


@pytest.fixture(autouse=True)
def _pools_end() -> Iterator[None]:
    yield
    gloo.close()


@pytest.mark.parametrize("name", FOUND_IN)
def test_a_fault_on_several_devices_becomes_small(name: str) -> None:
    fault = FAULTS[name]
    held = Held(arguments=HELD.get(name, {}))
    plan = Plan([FOUND_IN[name]], [fault.property], max_examples=200, seed=1, first_failure=True, shrink_seconds=100.0, held=held)
    result = Session(subjects.wrap(fault.make(), "transformers:Trainer"), plan).run()
    violation = next(each for each in result.violations if each.finding.known_bug is None)
    scenario = violation.finding.case.scenario
    assert scenario.devices.count == 2
    assert max(scenario.data.n, scenario.data.n_eval) <= MOST_SAMPLES


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gradients-added-up", r"^confirmed: 2 devices of kind gloo(, with \d+ samples,)? show it too$"),
        ("batch-size-without-devices", r"^not confirmed: .* do not show it, so it is about devices of kind data_parallel"),
    ],
)
def test_what_an_emulation_shows_is_tried_in_processes(name: str, sentence: str) -> None:
    fault = FAULTS[name]
    plan = Plan(["train_on_devices"], [fault.property], max_examples=100, seed=1, first_failure=True, shrink_seconds=5.0)
    result = Session(subjects.wrap(fault.make(), "transformers:Trainer"), plan).run()
    violation = next(each for each in result.violations if each.finding.known_bug is None)
    assert re.search(sentence, violation.notes[0])
