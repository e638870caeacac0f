"""The experiment that resumes with callbacks that have states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.properties import PROPERTIES
from trainer_props.running import prepared
from trainer_props.scenario import Data, Scenario

NAME = "resume_callbacks"
SUBJECT = subjects.load(subjects.DEFAULT)
MINE = [each for each in PROPERTIES.values() if NAME in each.experiments]
STATES, ORDER = "resume_callbacks.each_callback_gets_its_state_back", "resume_callbacks.callbacks_keep_their_order"


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def case(*sizes: int, restoring: bool = True) -> Case:
    arguments: dict[str, Any] = {"per_device_train_batch_size": 2, "num_train_epochs": 1}
    arguments |= {"restore_callback_states_from_checkpoint": True} if restoring else {}
    scenario = Scenario(arguments=arguments, data=Data(n=8))
    return Case(experiment=NAME, scenario=scenario, parameters={"interrupt_at": 3, "counters": list(sizes)})


def test_each_run_says_what_its_callbacks_have_counted() -> None:
    runs = EXPERIMENTS[NAME].run(case(1, 10), SUBJECT)
    assert isinstance(runs, dict)
    assert [each.results["totals"] for each in runs.values()][:2] == [[[1, 4], [10, 40]], [[1, 3], [10, 30]]]
    assert runs["baseline"].results["order"] == ["counter of 1", "listener", "counter of 10"]


def test_one_callback_of_a_class_gets_its_state_back() -> None:
    judged = judge(case(1), SUBJECT, MINE)
    assert STATES in judged.holds
    assert {each.known_bug for each in judged.findings} <= {"resume-reorders-callbacks"}


def test_what_is_not_restored_is_not_judged() -> None:
    assert {STATES, ORDER} == set(dict(judge(case(1, 10, restoring=False), SUBJECT, MINE).not_applicable))


def test_states_are_restored_unless_that_is_held() -> None:
    @settings(max_examples=20, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS[NAME].cases(Held()), EXPERIMENTS[NAME].cases(Held(forbidden=["restore_callback_states_from_checkpoint"])))
    def check(free: Case, held: Case) -> None:
        assert free.scenario.argument("restore_callback_states_from_checkpoint") is True
        assert held.scenario.argument("restore_callback_states_from_checkpoint") is False

    check()
