"""The state machine of lives: it finds what a life shows, shrinks it, stores it as a case, and passes where there is nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from transformers import Trainer

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.checking import ViolationError, Violations
from trainer_props.engine.judging import judge
from trainer_props.properties import PROPERTIES
from trainer_props.regressions import Store
from trainer_props.running import prepared
from trainer_props.scenario import Data, Scenario
from trainer_props.stateful import Failing, job_machine

SHORT = settings(max_examples=6, stateful_step_count=5, deadline=None, database=None, suppress_health_check=list(HealthCheck))
RUN = Scenario(arguments={"max_steps": 3, "per_device_train_batch_size": 2, "save_strategy": "no"}, data=Data(n=4, n_eval=2))


class Refusing(Trainer):
    """Never resumes."""

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        if resume_from_checkpoint:
            raise ValueError("not again")
        return super().train(resume_from_checkpoint, *args, **kwargs)


def test_a_failing_job_becomes_a_stored_case(tmp_path: Path) -> None:
    machine = job_machine(Refusing, scenario=RUN, regressions=tmp_path, shrink_seconds=60.0)
    with prepared(), pytest.raises(Violations) as raised:
        run_state_machine_as_test(machine, settings=settings(SHORT, max_examples=20))
    (error,) = raised.value.exceptions
    assert isinstance(error, ViolationError)
    assert error.finding.property == "life.runs_end_as_asked"
    assert "trainer-props replay life.runs_end_as_asked--" in str(error)
    (stored,) = Store(tmp_path).read().examples
    steps = stored.example.case.parameters["life"]
    assert len(steps) == len(error.finding.case.parameters["life"]) == 2  # what saves, and what would resume
    assert [each.property for each in judge(stored.example.case, subjects.wrap(Refusing), list(PROPERTIES.values())).findings] == [
        "life.runs_end_as_asked"
    ]


def test_a_job_without_fault_passes(tmp_path: Path) -> None:
    with prepared():
        run_state_machine_as_test(job_machine("transformers:Trainer", scenario=RUN, regressions=tmp_path), settings=SHORT)
    assert not list(tmp_path.iterdir())


def test_time_for_shrinking_is_limited() -> None:
    long, short, other = (
        Case(experiment="life", scenario=RUN, parameters={"life": steps})
        for steps in ([["train", 1], ["finish"]], [["train", 1]], [["finish"]])
    )
    failing = Failing(0.0)
    assert not failing.is_over(other)
    failing.add(long)
    assert [failing.is_over(each) for each in (long, short, other)] == [False, False, True]


def test_what_a_machine_cannot_judge_is_refused() -> None:
    with pytest.raises(ValueError, match="matches none"):
        job_machine(Trainer, properties=["steps.*"])

    def make(output_dir: str, n: int, **arguments: Any) -> Trainer:
        raise NotImplementedError

    with pytest.raises(ValueError, match="brings its own data"):
        job_machine(make)
