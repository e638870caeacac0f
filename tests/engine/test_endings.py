"""A run that crashes or never ends: where that is, and that looking for the smallest such case takes no minutes."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from transformers import Trainer

from trainer_props.engine import Plan, Progress, Session
from trainer_props.engine.supervisor import supervise
from trainer_props.reports import terminal
from trainer_props.running import prepared
from trainer_props.scripts.verifying import verify
from trainer_props.subjects import wrap

Run = Callable[..., Session]
RUNS = sys.modules["trainer_props.running.run"]  # the package shows the function of this name
FINISHES = "steps.run_finishes"
HERE = "in train (engine/test_endings.py, line "


class Endless(Trainer):
    def train(self, *args: Any, **kwargs: Any) -> Any:
        while self.args.gradient_accumulation_steps > 1:
            time.sleep(0.001)
        return super().train(*args, **kwargs)


class Crashes(Trainer):
    def train(self, *args: Any, **kwargs: Any) -> Any:
        time.sleep(0.0 / (self.args.gradient_accumulation_steps - 2))
        return super().train(*args, **kwargs)


@pytest.fixture(scope="module", autouse=True)
def _prepared_once() -> None:
    """The imports of a first run take seconds, which count for the limits of a run."""
    with prepared():
        pass


def test_a_crash_tells_the_line_of_the_subject(session: Run) -> None:
    (violation,) = session(Crashes, experiments=["train_once"], properties=[FINISHES], max_examples=20).result.violations
    assert violation.finding.verdict == "crashed"
    assert violation.finding.divergence.startswith(HERE)


def test_a_hang_tells_the_line_of_the_subject_and_the_next_ones_are_found_sooner(session: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RUNS, "WALL_CLOCK_SECONDS", 3.0)
    monkeypatch.setattr(RUNS, "_SECONDS_A_MICRO_BATCH", 0.0)
    monkeypatch.setattr("trainer_props.engine.session._LEAST_PATIENCE", 0.5)
    monkeypatch.setattr("trainer_props.engine.session._PATIENCE", 0.0)
    done = session(Endless, experiments=["train_once"], properties=[FINISHES], max_examples=12, shrink_seconds=1.0)
    (violation,) = done.result.violations
    assert violation.finding.verdict == "hung"
    assert violation.finding.divergence.startswith(HERE)
    assert done.result.properties[FINISHES].violated > 1
    assert violation.first.observed == "not finished after 3 s"
    assert violation.finding.observed == "not finished after 0.5 s"


def test_one_long_run_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RUNS, "WALL_CLOCK_SECONDS", 2.0)
    monkeypatch.setattr(RUNS, "_SECONDS_A_MICRO_BATCH", 0.0)
    monkeypatch.setattr("trainer_props.engine.supervisor._BEAT_SECONDS", 0.2)
    monkeypatch.setattr("trainer_props.engine.supervisor._LONG_SECONDS", 0.5)
    told: list[str] = []

    def listen(event: Any) -> None:
        if isinstance(event, Progress):
            told.append(event.activity)

    plan = Plan(experiments=("train_once",), properties=(FINISHES,), max_examples=4, seed=3, shrink_seconds=None)
    result = supervise(wrap(Endless), plan, listen)
    assert [each.finding.verdict for each in result.violations] == ["hung"]
    assert sum(", one run for " in activity for activity in told) > 1


def test_a_script_is_killed_when_that_is_asked_for() -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    assert verify("import time\ntime.sleep(60)\n", stop=stop).code is None


@pytest.mark.parametrize(
    ("expected", "observed", "alike"),
    [([1] * 20, [1] * 15 + [2], 13), ([1] * 5, [2] * 5, 0), ([1] * 20, [2] * 20, 0), ("a" * 20, "a" * 30, 0), (1, [1] * 20, 0)],
)
def test_long_lists_are_shown_from_where_they_part(expected: Any, observed: Any, alike: int) -> None:
    assert terminal.alike(expected, observed) == alike
    shown = terminal.show_from(alike, observed)
    assert shown == ("[... 13 alike, 1, 1, 2]" if alike else terminal.show(observed))
