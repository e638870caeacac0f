"""Preconditions of properties, as data: each has a name, the reason that is reported when it fails, and a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from trainer_props.oracles import accounting, plans
from trainer_props.record import Record
from trainer_props.scenario import Scenario

Met = Callable[[Any, Scenario], bool]
"""Of a record; of the records of several runs where an experiment returns those."""


@dataclass(frozen=True)
class Need:
    """A precondition.

    Attributes:
        name: short, for `explain`.
        reason: the sentence that is reported when it is not met.
        met: the test.
    """

    name: str
    reason: str
    met: Met


def _once(met: Met) -> Met:
    """The test, asked once a record: dozens of properties share a need, and judging has to stay cheap beside running."""
    last: tuple[Any, Scenario, bool] | None = None

    def remembered(record: Any, scenario: Scenario) -> bool:
        nonlocal last
        if last is None or last[0] is not record or last[1] is not scenario:
            last = (record, scenario, met(record, scenario))
        return last[2]

    return remembered


FINISHED: Final = Need("finished", "the run did not finish", lambda record, scenario: record.finished)
IDENTIFIED: Final = Need("identified", "samples could not be identified", lambda record, scenario: record.identified)
SIZED: Final = Need("sized", "the data set has no length", lambda record, scenario: scenario.data.kind != "stream")
MAP_STYLE: Final = Need(
    "map_style", "the data set is a stream", lambda record, scenario: scenario.data.kind not in ("stream", "sized_stream")
)
OUR_DATA: Final = Need(
    "our_data", "the subject brings evaluation data of its own", lambda record, scenario: not record.own_data or not record.evaluations
)
SINGLE_DEVICE: Final = Need("single_device", "several devices", lambda record, scenario: scenario.devices.count == 1)
SOME_BATCH: Final = Need(
    "some_batch", "the data give no batch at all", _once(lambda record, scenario: accounting.batches_per_epoch(scenario) > 0)
)
NO_BATCH: Final = Need("no_batch", "the data give at least one batch", lambda record, scenario: accounting.batches_per_epoch(scenario) == 0)
SOME_UPDATE: Final = Need(
    "some_update", "the arguments ask for no update", _once(lambda record, scenario: accounting.total_updates(scenario) > 0)
)
NO_UPDATE: Final = Need(
    "no_update", "the arguments ask for at least one update", lambda record, scenario: accounting.total_updates(scenario) == 0
)
STARTED: Final = Need("started", "the run did not begin", lambda record, scenario: bool(record.events))


@_once
def _whole_windows(record: Record, scenario: Scenario) -> bool:
    seen, expected = 0, []
    for window in accounting.windows(scenario, len(record.updates)):
        seen += window.batches
        expected.append(seen)
    return [update.batches for update in record.updates] == expected


WHOLE_WINDOWS: Final = Need(
    "whole_windows", "the windows are not those of the arguments (steps.updates_close_windows says so)", _whole_windows
)
DELAY_KNOWN: Final = Need(
    "delay_known", "eval_delay counts epochs of a stream whose length nobody knows", lambda record, scenario: plans.delay_is_known(scenario)
)


@_once
def _intervals_known(record: Record, scenario: Scenario) -> bool:
    total = accounting.total_updates(scenario)
    if record.state.get("max_steps") != total:
        return False
    ratios = [(name, scenario.argument(name)) for name in ("logging_steps", "eval_steps", "save_steps")]
    return all(
        record.state[name] == accounting.resolve_steps(value, total) for name, value in ratios if value is not None and 0 < value < 1
    )


INTERVALS_KNOWN: Final = Need(
    "intervals_known",
    (
        "the length of the run or an interval is not that of the arguments (steps.state_knows_max_steps or steps.state_resolves_ratios "
        "says so)"
    ),
    _intervals_known,
)
NO_EARLY_STOP: Final = Need(
    "no_early_stop", "a callback may stop the run", lambda record, scenario: scenario.components.early_stopping is None
)
