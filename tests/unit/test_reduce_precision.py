"""Reduced precision: what the arguments ask for, and that the stock Trainer does it."""

from __future__ import annotations

from typing import Any

import pytest

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import judge
from trainer_props.properties import PROPERTIES
from trainer_props.properties.precision import full, mixed
from trainer_props.scenario import Data, Model, Scenario

JUDGED_BY = [each for each in PROPERTIES.values() if "reduce_precision" in each.experiments]


def judged(model: str, **arguments: Any) -> Any:
    short = {"max_steps": 2, "per_device_train_batch_size": 2, "eval_strategy": "epoch"}
    kind = "tokens" if model == "lstm" else "regression"
    scenario = Scenario(arguments={**short, **arguments}, data=Data(kind=kind, n=3, n_eval=3), model=Model(name=model, dtype="float32"))
    case = Case(experiment="reduce_precision", scenario=scenario, parameters={"train": True})
    return judge(case, subjects.load(subjects.DEFAULT), JUDGED_BY)


@pytest.mark.parametrize(
    ("arguments", "inside", "weights"),
    [
        ({}, "as it is", "torch.float64"),
        ({"bf16": True}, "torch.bfloat16", "torch.float64"),
        ({"fp16": True}, "torch.float16", "torch.float64"),
        ({"bf16_full_eval": True}, "as it is", "torch.bfloat16"),
        ({"fp16_full_eval": True}, "as it is", "torch.float16"),
    ],
)
def test_what_is_asked_for(arguments: dict[str, Any], inside: str, weights: str) -> None:
    scenario = Scenario(arguments=arguments)
    assert (mixed(scenario), full(scenario)) == (inside, weights)


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("regression_layers", {}), ("regression_layers", {"bf16": True}), ("lstm", {"bf16": True, "bf16_full_eval": True}),
        ("lstm", {"fp16_full_eval": True}), ("regression", {"bf16_full_eval": True}),
    ],
)  # fmt: skip
def test_the_stock_trainer_holds(model: str, arguments: dict[str, Any]) -> None:
    found = judged(model, **arguments)
    assert not found.findings
    silent = 1 if model == "regression" else 0
    assert len(found.holds) == len(JUDGED_BY) - silent


def test_the_processor_has_no_fp16() -> None:
    assert {each.known_bug for each in judged("regression_layers", fp16=True).findings} == {"fp16-ignored-on-the-processor"}
