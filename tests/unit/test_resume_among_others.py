"""The experiment that trains and resumes where something lies already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.experiments.resume_among_others import FILES, FOLDERS, HOW, PIECES
from trainer_props.measures import resume as measures
from trainer_props.properties import PROPERTIES
from trainer_props.record import Runs
from trainer_props.running import prepared
from trainer_props.scenario import Data, Scenario

NAME = "resume_among_others"
SUBJECT = subjects.load(subjects.DEFAULT)
MINE = [each for each in PROPERTIES.values() if NAME in each.experiments]
REFUSED = "resume_among_others.a_damaged_checkpoint_is_not_half_used"


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def case(at: int = 2, *, arguments: dict[str, Any] | None = None, **parameters: Any) -> Case:
    usual = {"per_device_train_batch_size": 2, "num_train_epochs": 2, "learning_rate": 0.1}
    scenario = Scenario(arguments={**usual, **(arguments or {})}, data=Data(n=8))
    return Case(experiment=NAME, scenario=scenario, parameters={"interrupt_at": at, **parameters})


def runs_of(given_case: Case) -> Runs:
    runs = EXPERIMENTS[NAME].run(given_case, SUBJECT)
    assert isinstance(runs, Runs)
    return runs


def test_an_older_run_was_another_one_and_lies_there() -> None:
    runs = runs_of(case(older=[1, 5], by="path"))
    assert list(runs) == ["baseline", "part 1", "part 2"]
    assert runs["part 1"].folders == ("checkpoint-1", "checkpoint-2", "checkpoint-5")
    assert measures.first_steps(runs).value == [2]
    assert measures.steps_of_others(runs) == [1, 5]


def test_what_lies_there_is_made() -> None:
    runs = runs_of(case(lies=[*FOLDERS, *FILES], by="path"))
    assert set(runs["part 2"].results["entries"]) >= {*FOLDERS, *FILES, "checkpoint-2"}


@pytest.mark.parametrize("parameters", [{"older": [1]}, {"older": [3], "by": "path"}, {"lies": ["notes.txt", "checkpoint-1000"]}], ids=str)
def test_a_run_among_others_is_the_run_in_an_empty_directory(parameters: dict[str, Any]) -> None:
    judged = judge(case(**parameters), SUBJECT, MINE)
    assert (judged.findings, judged.errors) == ((), ())
    assert {
        "resume_among_others.a_run_that_is_not_resumed_begins_anew", "resume.weights_go_on_where_they_were",
        "resume.resumes_from_the_last_save",
    } <= set(judged.holds)  # fmt: skip


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("piece", PIECES)
def test_a_damaged_checkpoint_is_refused_unless_a_piece_is_gone_that_is_not_asked_for(piece: str, how: str) -> None:
    judged = judge(case(broken=[piece, how]), SUBJECT, MINE)
    if how == "missing" and piece in ("optimizer.pt", "scheduler.pt"):
        assert [(each.property, each.known_bug) for each in judged.findings] == [(REFUSED, "resume-without-a-missing-piece")]
    else:  # nothing is drawn at random here: without random states it goes on as usual
        assert judged.findings == ()
        assert REFUSED in judged.holds


def test_an_empty_folder_with_the_highest_number_is_no_checkpoint() -> None:
    runs = runs_of(case(lies=["checkpoint-99"]))
    assert runs["part 2"].failure is not None
    assert judge(case(lies=["checkpoint-99"]), SUBJECT, MINE).findings == ()


@pytest.mark.parametrize("parameters", [{"broken": ["../x", "missing"]}, {"broken": ["optimizer.pt", "gone"]}, {"lies": ["../x"]}], ids=str)
def test_names_are_those_that_are_known(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"broken=|lies="):
        runs_of(case(**parameters))


def test_cases_can_be_written_down() -> None:
    @settings(max_examples=40, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS[NAME].cases(Held(forbidden=["weight_decay"])))
    def check(drawn: Case) -> None:
        assert len({"lies", "older", "broken"} & set(drawn.parameters)) == 1
        assert drawn.scenario.argument("weight_decay") == 0.0
        assert Case.from_json(drawn.to_json()) == drawn

    check()
