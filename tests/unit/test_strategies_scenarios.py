"""Strategies for whole runs: what is drawn, what it shrinks to, that it is valid."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from trainer_props import compat, strategies
from trainer_props.arguments import DRAWN, FIELDS, default
from trainer_props.case import Case
from trainer_props.engine import drawing
from trainer_props.oracles import accounting
from trainer_props.scenario import Components, Data, Model, Scenario
from trainer_props.zoo import kinds

SETTINGS = settings(database=None, deadline=None, derandomize=True, phases=[Phase.generate])
FLAVOURS: dict[str, Callable[..., st.SearchStrategy[Scenario]]] = {
    "regression": strategies.regression_scenarios, "saving": strategies.saving_scenarios, "stream": strategies.stream_scenarios,
    "token": strategies.token_scenarios, "optimizer": strategies.optimizer_scenarios, "hub": strategies.hub_scenarios,
    "seq2seq": strategies.seq2seq_scenarios,
    "idle": strategies.idle_scenarios, "random": strategies.random_scenarios,
}  # fmt: skip
ONE = {"num_train_epochs": 1, "per_device_train_batch_size": 1}
SIMPLEST = {
    "regression": Scenario(arguments=ONE, data=Data(n=1)),
    "saving": Scenario(arguments={**ONE, "save_strategy": "epoch"}, data=Data(n=1)),
    "stream": Scenario(arguments={"max_steps": 1, "per_device_train_batch_size": 1}, data=Data(kind="stream", n=1)),
    "token": Scenario(arguments=ONE, data=Data(kind="tokens", n=1), model=Model(name="lstm")),
    "optimizer": Scenario(arguments=ONE, data=Data(n=1)),
    "hub": Scenario(arguments=ONE, data=Data(kind="tokens", n=1), model=Model(name="llama")),
    "seq2seq": Scenario(arguments=ONE, data=Data(kind="seq2seq", n=1), model=Model(name="t5")),
    "idle": Scenario(arguments={**ONE, "num_train_epochs": 0}, data=Data(n=1)),
    "random": Scenario(arguments=ONE, data=Data(n=1), model=Model(name="regression_dropout")),
}


def sample(strategy: st.SearchStrategy[Scenario], size: int) -> list[Scenario]:
    """So many drawn scenarios, always the same."""
    drawn = []

    @settings(SETTINGS, max_examples=size)
    @given(strategy)
    def collect(scenario: Scenario) -> None:
        drawn.append(scenario)

    collect()
    return drawn


def simplest(strategy: st.SearchStrategy[Scenario], condition: Callable[[Scenario], bool]) -> Scenario:
    """What a failure with this condition shrinks to."""
    return find(strategy, condition, settings=settings(database=None, max_examples=5000), random=random.Random(0))


@pytest.fixture(scope="module")
def samples() -> dict[str, list[Scenario]]:
    return {name: sample(scenarios(), 400) for name, scenarios in FLAVOURS.items()}


def test_flavours_and_functions_are_the_same() -> None:
    assert list(FLAVOURS) == list(strategies.FLAVOURS)
    assert all(hasattr(strategies, f"{name}_scenarios") for name in FLAVOURS)


@pytest.mark.parametrize("name", FLAVOURS)
def test_shrinks_to_exactly_its_simplest(name: str) -> None:
    assert simplest(FLAVOURS[name](), lambda scenario: True) == SIMPLEST[name]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (lambda run: accounting.updates_per_epoch(run) >= 4, Scenario(arguments=ONE, data=Data(n=4))),
        (lambda run: run.data.n >= 3 and run.argument("per_device_train_batch_size") == 2, {"per_device_train_batch_size": 2}),
        (lambda run: run.argument("weight_decay") > 0, {"weight_decay": 0.1}),
        (lambda run: run.argument("lr_scheduler_type") == "cosine", {"lr_scheduler_type": "cosine"}),
        (lambda run: run.argument("warmup_steps") >= 2, {"warmup_steps": 2}),
        (lambda run: run.argument("logging_steps") == 2, {"logging_steps": 2}),
        (lambda run: run.argument("gradient_accumulation_steps") == 2, {"gradient_accumulation_steps": 2}),
        (lambda run: run.model.dtype == "float32", Scenario(arguments=ONE, data=Data(n=1), model=Model(dtype="float32"))),
        (
            lambda run: run.components.early_stopping is not None,
            lambda run: set(run.arguments) == {*ONE, "eval_strategy", "metric_for_best_model"},
        ),
        (lambda run: run.argument("dataloader_num_workers"), {"dataloader_num_workers": 1}),
    ],
)
def test_one_cause_shrinks_to_few_arguments(condition: Callable[[Scenario], Any], expected: Any) -> None:
    found = simplest(strategies.regression_scenarios(), condition)
    if callable(expected):
        assert expected(found)
    elif isinstance(expected, Scenario):
        assert found == expected
    else:
        assert {name: value for name, value in found.arguments.items() if name not in ONE or name in expected} == expected
        assert accounting.total_updates(found) <= 2
        assert found.components == Components()


@pytest.mark.parametrize("name", FLAVOURS)
def test_runs_are_valid(name: str, samples: dict[str, list[Scenario]]) -> None:
    for scenario in samples[name][:300]:
        compat.training_arguments(scenario.arguments, "never-written")
        model, data = kinds.check(scenario.model, scenario.data)
        components = scenario.components
        assert data.sized or scenario.argument("max_steps") > 0
        assert (components.collator == "padding") == data.needs_padding
        evaluates = scenario.argument("eval_strategy") != "no" or scenario.argument("eval_on_start")
        evaluates_nothing = evaluates and accounting.evaluation_batches(scenario) == 0
        if name == "idle":
            assert accounting.total_updates(scenario) == 0 or evaluates_nothing
        else:
            assert accounting.batches_per_epoch(scenario) >= 1
            assert not evaluates_nothing
        if (scenario.argument("metric_for_best_model") or "loss").endswith("score"):
            assert components.scores
            assert not scenario.argument("prediction_loss_only")
        if components.early_stopping is not None:
            assert scenario.argument("eval_strategy") != "no"
            assert scenario.argument("metric_for_best_model") is not None
        if scenario.argument("train_sampling_strategy") in ("group_by_length", "batch_rebalance"):
            assert model.main_input_name == "input_ids"
            assert data.map_style


@pytest.mark.parametrize("name", FLAVOURS)
def test_runs_are_small_and_differ(name: str, samples: dict[str, list[Scenario]]) -> None:
    drawn = samples[name]
    forwards = sorted(accounting.number_of_forwards(scenario) for scenario in drawn)
    assert forwards[len(drawn) * 9 // 10] <= 24
    assert sum(scenario.data.n <= 40 for scenario in drawn) >= 0.95 * len(drawn)
    assert len(set(drawn)) >= 0.8 * len(drawn)


@pytest.mark.parametrize("name", FLAVOURS)
def test_what_is_said_differs_from_the_defaults(name: str, samples: dict[str, list[Scenario]]) -> None:
    assert not [scenario for scenario in samples[name] for argument, value in scenario.arguments.items() if value == default(argument)]


@pytest.mark.parametrize("name", ["regression", "saving", "stream", "token"])
def test_at_most_two_per_cent_are_rejected(name: str) -> None:
    rejected = drawing.draw(FLAVOURS[name]().map(lambda scenario: Case(scenario=scenario)), lambda case: None, number=1, max_examples=300)
    assert rejected <= 0.02 * 300


def test_every_drawn_field_is_drawn(samples: dict[str, list[Scenario]]) -> None:
    seen = {argument for drawn in samples.values() for scenario in drawn for argument in scenario.arguments}
    missing = {name for name, field in FIELDS.items() if field.status == DRAWN} - seen
    if missing:
        seen |= {argument for scenario in sample(strategies.regression_scenarios(), 3000) for argument in scenario.arguments}
    assert {name for name, field in FIELDS.items() if field.status == DRAWN} - seen == set()
    assert {name for name in seen if FIELDS[name].status != DRAWN} == set()


def test_every_model_and_kind_of_data_is_drawn(samples: dict[str, list[Scenario]]) -> None:
    drawn = [scenario for each in samples.values() for scenario in each]
    assert {scenario.model.name for scenario in drawn} == set(kinds.MODELS)
    assert {scenario.data.kind for scenario in drawn} >= {
        name for name, kind in kinds.DATASETS.items() if kind.package is None and not kind.lazy
    }


@settings(SETTINGS, max_examples=200)
@given(st.data(), st.sampled_from(sorted(FLAVOURS)))
def test_held_arguments_and_models(data: st.DataObject, name: str) -> None:
    held = {"learning_rate": 0.25, "load_best_model_at_end": True, "gradient_accumulation_steps": 2}
    model = strategies.FLAVOURS[name].models[-1]
    scenario = data.draw(FLAVOURS[name](arguments=held, models=[model]))
    assert {argument: scenario.arguments[argument] for argument in held} == held
    assert scenario.model.name == model
    compat.training_arguments(scenario.arguments, "never-written")


def test_a_run_may_be_left_without_a_batch_only_where_allowed() -> None:
    strategy = strategies.regression_scenarios(arguments={"dataloader_drop_last": True}, allow_empty=True)
    assert accounting.batches_per_epoch(simplest(strategy, lambda scenario: accounting.batches_per_epoch(scenario) == 0)) == 0


def test_any_scenario_comes_from_every_flavour_that_has_the_model() -> None:
    drawn = sample(strategies.scenarios(models=["regression", "t5"]), 400)
    assert {scenario.model.name for scenario in drawn} == {"regression", "t5"}
    assert {scenario.data.kind for scenario in drawn} >= {"regression", "stream", "seq2seq"}
    assert simplest(strategies.scenarios(), lambda scenario: True) in SIMPLEST.values()


@pytest.mark.parametrize(
    ("strategy", "named"),
    [
        (strategies.regression_scenarios(models=["llama"]), "models"),
        (strategies.regression_scenarios(models=["regresion"]), "did you mean 'regression'"),
        (strategies.scenarios(models=[]), "models"),
        (strategies.hub_scenarios(arguments={"max_step": 3}), "arguments.*did you mean 'max_steps'"),
    ],
)
def test_bad_arguments_are_named_when_drawing(strategy: st.SearchStrategy[Scenario], named: str) -> None:
    with pytest.raises(InvalidArgument, match=named):
        find(strategy, lambda value: True, settings=settings(database=None))
