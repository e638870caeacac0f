"""The experiment that resumes with other arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.measures import resume as measures
from trainer_props.oracles import accounting
from trainer_props.properties import PROPERTIES
from trainer_props.record import Runs
from trainer_props.running import prepared
from trainer_props.scenario import Data, Scenario

NAME = "resume_changed"
SUBJECT = subjects.load(subjects.DEFAULT)
MINE = [each for each in PROPERTIES.values() if NAME in each.experiments]


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def case(at: int, before: dict[str, Any], **arguments: Any) -> Case:
    usual = {"per_device_train_batch_size": 2, "num_train_epochs": 2, "lr_scheduler_type": "constant"}
    scenario = Scenario(arguments={**usual, **arguments}, data=Data(n=8, n_eval=2))
    return Case(experiment=NAME, scenario=scenario, parameters={"interrupt_at": at, "before": before})


def runs_of(given_case: Case) -> Runs:
    runs = EXPERIMENTS[NAME].run(given_case, SUBJECT)
    assert isinstance(runs, Runs)
    return runs


def test_the_first_part_has_the_arguments_of_before_and_the_others_those_of_now() -> None:
    runs = runs_of(case(3, {"logging_steps": 1}, logging_steps=4))
    assert list(runs) == ["baseline", "part 1", "part 2"]
    assert [runs[name].state["logging_steps"] for name in ("baseline", "part 1")] == [4, 1]
    assert measures.arguments_before(runs) == ["logging_steps"]
    assert measures.first_steps(runs).value == [3]


@pytest.mark.parametrize(
    "given_case",
    [
        case(4, {"max_steps": 4}, max_steps=7),
        case(4, {"num_train_epochs": 1}),
        case(2, {"eval_strategy": "epoch"}),
        case(2, {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 1}),
    ],
    ids=str,
)
def test_what_is_trained_stays_the_same(given_case: Case) -> None:
    judged = judge(given_case, SUBJECT, MINE)
    assert (judged.findings, judged.errors) == ((), ())
    assert {
        "resume.ends_at_the_same_step", "resume.samples_go_on_where_they_were", "resume.weights_go_on_where_they_were",
        "resume_changed.logs_go_by_the_arguments", "resume_changed.evaluations_go_by_the_arguments",
    } <= set(judged.holds)  # fmt: skip


@pytest.mark.parametrize("before", [{"per_device_train_batch_size": 4}, {"gradient_accumulation_steps": 2}], ids=str)
def test_with_other_batches_steps_go_on_and_nothing_is_said_of_samples(before: dict[str, Any]) -> None:
    judged = judge(case(2, before), SUBJECT, MINE)
    assert judged.findings == ()
    assert {"resume.ends_at_the_same_step", "resume.resumes_from_the_last_save"} <= set(judged.holds)
    assert {"resume.samples_go_on_where_they_were", "resume.weights_go_on_where_they_were"} <= {name for name, _ in judged.not_applicable}


def test_a_schedule_that_goes_by_the_length_is_not_compared() -> None:
    judged = judge(case(4, {"max_steps": 4}, max_steps=7, lr_scheduler_type="linear"), SUBJECT, MINE)
    assert judged.findings == ()
    assert "resume.weights_go_on_where_they_were" in dict(judged.not_applicable)


def test_cases_are_resumed_within_their_first_part() -> None:
    @settings(max_examples=60, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS[NAME].cases(Held(arguments={"seed": 7, "save_steps": 2}, forbidden=["weight_decay"])))
    def check(drawn: Case) -> None:
        before = drawn.parameters["before"]
        assert not {"seed", "save_steps", "weight_decay"} & set(before)
        assert (drawn.scenario.argument("seed"), drawn.scenario.argument("weight_decay")) == (7, 0.0)
        assert 1 <= drawn.parameters["interrupt_at"] <= max(1, accounting.total_updates(drawn.scenario.with_arguments(**before)))
        assert not drawn.scenario.components.scores
        assert Case.from_json(drawn.to_json()) == drawn

    check()
