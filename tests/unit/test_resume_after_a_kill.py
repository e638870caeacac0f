"""The experiment that kills a run and resumes it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.experiments.resume_after_a_kill import _EVENTS
from trainer_props.faults import FAULTS
from trainer_props.properties import PROPERTIES
from trainer_props.record import Runs
from trainer_props.running import killing, prepared
from trainer_props.scenario import Data, Scenario
from trainer_props.scripts.writing import script

NAME = "resume_after_a_kill"
SUBJECT = subjects.load(subjects.DEFAULT)
MINE = [each for each in PROPERTIES.values() if NAME in each.experiments]
GOES_ON, OUTLIVES = "resume_after_a_kill.a_killed_run_goes_on_or_refuses", "resume_after_a_kill.a_finished_save_outlives_a_kill"
FILES = ["model.safetensors", "training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"]


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def case(**parameters: Any) -> Case:
    arguments = {
        "per_device_train_batch_size": 2, "num_train_epochs": 1, "learning_rate": 0.1, "save_strategy": "steps", "save_steps": 2,
    }  # fmt: skip
    return Case(experiment=NAME, scenario=Scenario(arguments=arguments, data=Data(n=12)), parameters=parameters)


def runs_of(given_case: Case) -> Runs:
    runs = EXPERIMENTS[NAME].run(given_case, SUBJECT)
    assert isinstance(runs, Runs)
    return runs


@pytest.mark.parametrize("number", range(1, len(FILES) + 1))
def test_a_save_is_cut_off_at_any_file(number: int) -> None:
    for half in (False, True):
        runs = runs_of(case(write=len(FILES) + number, half=half))
        assert (runs["part 2"].results["saved"], runs["part 2"].results["begun"]) == ([2], [2, 4])
        assert runs["part 2"].failure is not None  # the checkpoint of step 4 is taken, and is not whole
    assert GOES_ON in judge(case(write=len(FILES) + number), SUBJECT, MINE).holds


@pytest.mark.parametrize(("event", "count", "saved"), [("on_step_end", 3, [2]), ("on_save", 2, [2, 4]), ("on_step_begin", 6, [2, 4])])
def test_a_run_that_is_killed_between_saves_goes_on(event: str, count: int, saved: list[int]) -> None:
    runs = runs_of(case(event=event, count=count))
    assert runs["part 2"].results["saved"] == saved
    assert runs["part 2"].events[0].step == saved[-1]
    judged = judge(case(event=event, count=count), SUBJECT, MINE)
    assert judged.findings == ()
    assert {GOES_ON, OUTLIVES} <= set(judged.holds)


def test_a_run_that_is_killed_before_it_saves_leaves_nothing_to_resume() -> None:
    assert list(runs_of(case(event="on_step_end", count=1))) == ["baseline"]


def test_another_process_does_what_it_is_told_and_says_what_it_has_saved() -> None:
    def work(telling: int) -> None:
        os.write(telling, killing._STEP.pack(7))
        killing.die()

    assert killing.elsewhere(work) == [7]
    assert killing.elsewhere(lambda telling: None) == []


def test_the_events_are_those_that_kill() -> None:
    assert set(_EVENTS) <= set(killing.EVENTS)


@pytest.mark.parametrize("parameters", [{"write": 5}, {"write": 4, "half": True}], ids=str)  # the schedule is not written
def test_scripts_kill_at_the_same_moment(parameters: dict[str, Any]) -> None:
    subject = subjects.wrap(FAULTS["state-saved-before-the-rest"].make(), "transformers:Trainer")
    findings = judge(case(**parameters), subject, MINE).findings
    text = script(findings[0], SUBJECT)
    assert "os.fork()" in text
    compile(text, "script.py", "exec")


def test_cases_can_be_written_down() -> None:
    @settings(max_examples=40, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS[NAME].cases(Held(arguments={"save_steps": 3})))
    def check(drawn: Case) -> None:
        assert ("write" in drawn.parameters) != ("event" in drawn.parameters)
        assert drawn.scenario.argument("save_steps") == 3
        assert Case.from_json(drawn.to_json()) == drawn

    check()
