"""What is said of a smallest case: that nothing plainer fails, which of its settings matter, and what its run did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from trainer_props import strategies, subjects
from trainer_props.case import Case
from trainer_props.engine import varying
from trainer_props.engine.events import Finding, Moment
from trainer_props.engine.judging import Judged
from trainer_props.engine.ledger import size
from trainer_props.engine.plainer import plainer
from trainer_props.engine.timeline import MOST_MOMENTS, timeline
from trainer_props.running import run
from trainer_props.scenario import Components, Data, Model, Scenario

PROPERTY = "steps.global_step_counts_updates"


def case(*, n: int = 1, **arguments: Any) -> Case:
    return Case(scenario=Scenario(arguments=arguments, data=Data(n=n)))


def finding(smallest: Case) -> Finding:
    return Finding(PROPERTY, "violated", "global_step", "too small", 2, 1, "", None, smallest)


def judging(fails: Callable[[Case], bool | None]) -> Callable[[Case], Judged]:
    """A judge by a condition; None: the property is not applicable."""

    def judge(each: Case) -> Judged:
        outcome = fails(each)
        if outcome is None:
            return Judged(each, not_applicable=((PROPERTY, "no reason"),))
        return Judged(each, findings=(finding(each),)) if outcome else Judged(each, holds=(PROPERTY,))

    return judge


DRAWN = [
    case(n=n, gradient_accumulation_steps=steps, optim=name) for n, steps, name in ((1, 1, "sgd"), (4, 2, "adagrad"), (9, 3, "rmsprop"))
]


def test_a_value_that_does_not_matter_is_said_not_to() -> None:
    smallest = case(gradient_accumulation_steps=4)
    note, *_ = varying.notes(finding(smallest), DRAWN, judging(lambda each: each.scenario.data.n > 0 or None))
    assert note == "every other gradient_accumulation_steps tried fails too: 3, 2, 1"


def test_a_value_that_matters_is_said_to() -> None:
    smallest = case(gradient_accumulation_steps=2)
    note, *_ = varying.notes(finding(smallest), DRAWN, judging(lambda each: each.scenario.argument("gradient_accumulation_steps") == 2))
    assert note == ("gradient_accumulation_steps=2 matters: no violation with 1, 3")


def test_a_value_that_matters_in_part_is_described() -> None:
    smallest = case(gradient_accumulation_steps=2)
    note, *_ = varying.notes(finding(smallest), DRAWN, judging(lambda each: each.scenario.argument("gradient_accumulation_steps") > 1))
    assert note == ("gradient_accumulation_steps may also be 3, but not 1")


def test_nothing_is_said_of_values_that_could_not_be_judged() -> None:
    smallest = case(optim="sgd", gradient_accumulation_steps=2)
    assert varying.notes(finding(smallest), DRAWN, judging(lambda each: None)) == ()


def test_what_is_held_stays_as_it_is() -> None:
    smallest = case(n=5, gradient_accumulation_steps=2, optim="sgd")
    asked: list[Case] = []

    def judge(each: Case) -> Judged:
        asked.append(each)
        return judging(lambda _: True)(each)

    varying.notes(finding(smallest), DRAWN, judge, held=["optim"])
    others = [*asked, *plainer(smallest, held=["optim"])]
    assert len(others) > 3
    assert {each.scenario.argument("optim") for each in others} == {"sgd"}


@given(strategies.saving_scenarios())
def test_plainer_is_not_larger_and_differs(scenario: Scenario) -> None:
    whole = Case(experiment="train_and_save", scenario=scenario)
    for less in plainer(whole):
        assert less != whole
        assert size(less)[:2] <= size(whole)[:2]


def test_numbers_and_sequences_get_smaller() -> None:
    whole = Case(scenario=Scenario(arguments={"max_steps": 6}, data=Data(n=4), components=Components(scores=(0.5, 1.0))))
    less = list(plainer(whole))
    assert {each.scenario.argument("max_steps") for each in less} == {6, 5, 3, 1}
    assert {each.scenario.data.n for each in less} == {4, 3, 2, 1}
    assert {each.scenario.components.scores for each in less} == {(0.5, 1.0), (0.5,), ()}


def test_timeline_of_a_run() -> None:
    scenario = Scenario(
        arguments={
            "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "num_train_epochs": 1, "eval_strategy": "steps",
            "eval_steps": 2, "logging_steps": 1, "train_sampling_strategy": "sequential", "eval_on_start": True, "learning_rate": 0.1,
        },
        data=Data(n=3, n_eval=2), model=Model(),
    )  # fmt: skip
    start, first, second = timeline(run(scenario, subjects.load(subjects.DEFAULT)))
    assert (start.update, start.batches, start.happened) == (0, (), ("evaluate",))
    assert (first.update, first.epoch, first.batches, first.sizes, first.happened) == (1, 0, ((0,), (1,)), (1, 1), ("log",))
    assert (second.update, second.batches, second.happened) == (2, ((2,),), ("log", "evaluate", "end of epoch", "end"))
    assert first.learning_rate == pytest.approx(0.1)
    assert second.learning_rate == pytest.approx(0.05)
    assert first.loss == pytest.approx(sum(first.losses) / 2)  # type: ignore[arg-type]
    assert second.loss == pytest.approx(second.losses[0])
    assert second.gradient_norm is not None


def test_timeline_of_a_long_run_is_cut() -> None:
    scenario = Scenario(arguments={"max_steps": MOST_MOMENTS + 5, "per_device_train_batch_size": 1}, data=Data(n=1))
    moments = timeline(run(scenario, subjects.load(subjects.DEFAULT)))
    assert [moment.update for moment in moments] == list(range(1, MOST_MOMENTS + 1))
    assert all(isinstance(moment, Moment) for moment in moments)
