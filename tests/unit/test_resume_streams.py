"""Runs on streams that are interrupted and resumed, and what is known to be wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from transformers import Trainer

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS
from trainer_props.faults import FAULTS
from trainer_props.faults._source import rewritten
from trainer_props.known_bugs import _passes
from trainer_props.measures import resume as measures
from trainer_props.properties import PROPERTIES
from trainer_props.record import Runs
from trainer_props.running import prepared
from trainer_props.scenario import Data, Scenario

SUBJECT = subjects.load(subjects.DEFAULT)
MINE = [each for each in PROPERTIES.values() if "resume" in each.experiments]
BUG = "resume-beyond-the-first-pass-of-a-stream"
SKIPS = "skip_first_batches(train_dataloader, steps_trained_in_current_epoch)"


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def case(*at: int, n: int = 8, kind: str = "stream", **arguments: Any) -> Case:
    usual = {"per_device_train_batch_size": 2, "max_steps": 6, "optim": "sgd", "logging_steps": 1}
    return Case(
        experiment="resume", scenario=Scenario(arguments={**usual, **arguments}, data=Data(kind=kind, n=n)), parameters={"interrupt_at": at}
    )


def found(given: Case, subject: Any = SUBJECT) -> set[tuple[str, str | None]]:
    judged = judge(given, subject, MINE)
    assert judged.errors == ()
    return {(finding.property.removeprefix("resume."), finding.known_bug) for finding in judged.findings}


def skipping(text: str) -> Any:
    class Skips(Trainer):
        _run_epoch = rewritten(Trainer, "_run_epoch", SKIPS, text)

    return subjects.wrap(Skips, "skips")


@pytest.mark.parametrize("at", [1, 3, 4])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_run_goes_on_within_the_first_pass(at: int, accumulation: int) -> None:
    given = case(at, n=8 * accumulation, gradient_accumulation_steps=accumulation)
    assert found(given) == set()


@pytest.mark.parametrize("at", [1, 4, 5])
def test_a_run_on_a_stream_with_a_length_goes_on_anywhere(at: int) -> None:
    assert found(case(at, kind="sized_stream")) == set()


def test_beyond_the_first_pass_it_goes_on_with_the_first_batch() -> None:
    given = case(5)
    assert {bug for _, bug in found(given)} == {BUG}
    runs = EXPERIMENTS["resume"].run(given, SUBJECT)
    assert isinstance(runs, Runs)
    assert (measures.samples_of_the_baseline(runs).value[5], measures.samples(runs).value[5]) == ([[2, 3]], [[0, 1]])


def test_the_same_samples_may_come_in_another_pass() -> None:
    assert found(case(4, n=4)) == {
        (name, BUG) for name in ("epochs_go_on_where_they_were", "log_history_has_the_same_entries", "the_state_is_the_same")
    }


def test_a_window_that_is_left_over_is_lost_beyond_the_first_pass() -> None:
    given = case(4, n=10, gradient_accumulation_steps=2)
    first, second = (_passes.first_updates(given.scenario, begun, 3) for begun in (0, 4))
    assert [update.batches for update in first] == [(0, 1), (2, 3), (4, 0, 1)]
    assert [update.batches for update in second] == [(0, 1), (2, 3), (4, 0, 1)]
    assert [update.epoch for update in second] == [1 + 1 / 6, 1 + 2 / 6, 2 + 1 / 6]
    assert {bug for _, bug in found(given)} == {BUG}


@pytest.mark.parametrize("given", [case(2), case(2, kind="sized_stream"), case(5, kind="sized_stream")], ids=["first", "sized", "later"])
def test_outside_the_region_a_fault_is_new(given: Case) -> None:
    faulty = subjects.wrap(FAULTS["batches-of-streams-not-skipped"].make(), "faulty")
    assert ("samples_go_on_where_they_were", None) in found(given, faulty)


@pytest.mark.parametrize(
    "text",
    [
        "skip_first_batches(train_dataloader, steps_trained_in_current_epoch % 3)",
        "skip_first_batches(train_dataloader, steps_trained_in_current_epoch - 2)",
    ],
)
def test_in_the_region_another_fault_is_new(text: str) -> None:
    assert ("samples_go_on_where_they_were", None) in found(case(5), skipping(text))


def test_a_run_that_was_over_trains_on_whatever_a_pass_is() -> None:
    assert found(case(4, n=8, max_steps=4)) >= {("ends_at_the_same_step", "resume-of-a-finished-run-trains-on")}


def test_what_is_left_of_a_pass_is_in_the_log_at_its_end() -> None:
    given = case(1, n=14, max_steps=4, gradient_accumulation_steps=3, logging_strategy="epoch", per_device_train_batch_size=2)
    assert found(given) == {("logged_losses_are_the_same", "resume-log-window")}
