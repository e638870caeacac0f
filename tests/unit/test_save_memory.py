"""The experiment that trains again with less memory: its runs, its cases, and how its runs are judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import Judged, judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.faults import FAULTS
from trainer_props.measures import save_memory as measures
from trainer_props.measures.pairs import BASELINE, CHANGED
from trainer_props.properties import PROPERTIES
from trainer_props.record import Record, Runs, Update
from trainer_props.regressions.cases import read_case
from trainer_props.running import prepared
from trainer_props.scenario import Data, EarlyStopping, Model, Scenario

SUBJECT = subjects.load(subjects.DEFAULT)
MINE = [each for each in PROPERTIES.values() if "save_memory" in each.experiments]
CHECKPOINTED = {each.id for each in MINE if "checkpointed_layers" in each.id}
ROUNDED = {"save_memory.first_gradient_is_close_in_bf16", "save_memory.weights_stay_close_in_bf16"}
EXACT = {"save_memory.weights_are_the_same_where_nothing_is_rounded"}
FACTS = {each.id for each in MINE} - CHECKPOINTED - ROUNDED - EXACT
REENTRANT = {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"use_reentrant": True}}


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def case(model: str = "regression_layers", dtype: str = "float32", arguments: dict[str, Any] | None = None, **change: Any) -> Case:
    usual = {"per_device_train_batch_size": 2, "max_steps": 3, "learning_rate": 0.001, "optim": "sgd", "logging_steps": 1}
    data = Data(kind="tokens" if model == "llama" else "regression", n=6, n_eval=2)
    scenario = Scenario(arguments={**usual, **(arguments or {})}, data=data, model=Model(name=model, dtype=dtype))
    return Case(experiment="save_memory", scenario=scenario, parameters={"change": change} if change else {})


def judged(given_case: Case) -> Judged:
    found = judge(given_case, SUBJECT, MINE)
    assert found.errors == ()
    return found


def test_bf16_rounds_what_is_in_single_precision_and_keeps_the_weights_so() -> None:
    runs = EXPERIMENTS["save_memory"].run(case(bf16=True), SUBJECT)
    assert isinstance(runs, Runs)
    first, second = (runs[name].updates[0] for name in (BASELINE, CHANGED))
    assert not torch.equal(first.gradient, second.gradient)  # type: ignore[arg-type]
    assert second.weights.dtype == torch.float32
    found = judged(case(bf16=True))
    assert found.findings == ()
    assert set(found.holds) == FACTS | ROUNDED


def test_bf16_leaves_double_precision_alone() -> None:
    found = judged(case(dtype="float64", bf16=True))
    assert found.findings == ()
    assert set(found.holds) == FACTS | ROUNDED | EXACT


def test_an_emptied_cache_changes_nothing() -> None:
    found = judged(case(torch_empty_cache_steps=1))
    assert found.findings == ()
    assert set(found.holds) == FACTS | EXACT


@pytest.mark.parametrize("change", [{"activation_checkpointing": True}, REENTRANT])
def test_activations_that_are_computed_again_are_the_same(change: dict[str, Any]) -> None:
    found = judged(case("llama", **change))
    assert found.findings == ()
    assert set(found.holds) == FACTS | CHECKPOINTED


def test_large_steps_and_adaptive_optimizers_are_not_judged_by_their_weights() -> None:
    weights = "save_memory.weights_stay_close_in_bf16"
    for arguments, reason in (({"learning_rate": 0.1}, "not small"), ({"optim": "adamw_torch"}, "adaptive")):
        found = judged(case(arguments=arguments, bf16=True))
        assert reason in dict(found.not_applicable)[weights]
        assert "save_memory.first_gradient_is_close_in_bf16" in found.holds


def test_a_run_that_goes_by_its_evaluations_may_go_another_way() -> None:
    follows = case(arguments={"eval_strategy": "steps", "eval_steps": 1, "metric_for_best_model": "loss"}, bf16=True)
    stopping = follows.scenario.components.replace(early_stopping=EarlyStopping())
    found = judged(follows.replace(scenario=follows.scenario.replace(components=stopping)))
    assert found.findings == ()
    assert "goes by its evaluations" in dict(found.not_applicable)["save_memory.ends_at_the_same_step"]


def test_offloading_without_an_accelerator_is_known() -> None:
    offloads = {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"offload": True}}
    found = judged(case("llama", **offloads)).findings
    assert torch.accelerator.is_available() or [each.known_bug for each in found] == ["offload-needs-an-accelerator"]


def test_types_are_those_of_weights_and_gradients() -> None:
    weights, gradient = torch.zeros(1, dtype=torch.bfloat16), torch.zeros(1)
    record = Record(updates=[Update(1, 1, (0.1,), gradient, weights, None), Update(2, 2, (0.1,), None, weights, None)])
    assert measures.types_of_weights(Runs({CHANGED: record}), CHANGED).value == ["torch.bfloat16", "torch.float32"]


@pytest.mark.parametrize(
    ("fault", "model", "dtype", "change"),
    [
        ("model-cast-to-bf16", "regression_layers", "float32", {"bf16": True}),
        ("gradients-kept-in-bf16", "regression_layers", "float64", {"bf16": True}),
        ("weights-go-through-bf16", "regression_layers", "float32", {"bf16": True}),
        ("checkpointed-layers-detached", "llama", "float64", {"activation_checkpointing": True}),
    ],
)
def test_bounds_tell_rounding_from_mistakes(fault: str, model: str, dtype: str, change: dict[str, Any]) -> None:
    faulty = subjects.wrap(FAULTS[fault].make(), fault)
    found = judge(case(model, dtype, **change), faulty, [PROPERTIES[FAULTS[fault].property]])
    assert [each.property for each in found.findings] == [FAULTS[fault].property]


def test_cases_change_what_they_say_and_can_be_read_from_files() -> None:
    @settings(max_examples=60, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS["save_memory"].cases(Held()))
    def check(drawn: Case) -> None:
        change = drawn.parameters["change"]
        assert any(drawn.scenario.argument(name) != value for name, value in change.items())
        assert "activation_checkpointing" not in change or drawn.scenario.model.name in ("llama", "gpt2", "bert_classifier", "t5")
        assert not drawn.scenario.components.poisoned
        assert read_case(drawn.to_json()) == drawn

    check()


def test_what_is_held_stays() -> None:
    held = Held(arguments={"learning_rate": 0.5, "bf16": True}, forbidden=["torch_empty_cache_steps"], models=["regression", "lstm"])

    @settings(max_examples=20, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS["save_memory"].cases(held))
    def check(drawn: Case) -> None:
        assert drawn.parameters == {}
        assert drawn.scenario.argument("learning_rate") == 0.5
        assert drawn.scenario.model.name in ("regression", "lstm")

    check()
