"""Which plans fit with loading the best model, by example."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from trainer_props.oracles import fitting, operations
from trainer_props.scenario import Scenario
from trainer_props.strategies import best_model_plans

BY_STEPS = {"load_best_model_at_end": True, "eval_strategy": "steps", "save_strategy": "steps"}


@pytest.mark.parametrize(
    ("more", "fits"),
    [
        ({"eval_steps": 2, "save_steps": 6}, True), ({"eval_steps": 4, "save_steps": 6}, False),
        ({"eval_steps": 6, "save_steps": 2}, False),
        ({"eval_steps": 0.1, "save_steps": 0.3}, True), ({"eval_steps": 0.0053, "save_steps": 0.0159}, True),
        ({"eval_steps": 0.2, "save_steps": 0.3}, False), ({"eval_steps": 0.5, "save_steps": 10}, False),
        ({"logging_steps": 5, "save_steps": 10}, True), ({"logging_steps": 3, "save_steps": 10}, False),
        ({"eval_steps": 3, "save_steps": 10, "load_best_model_at_end": False}, True),
        ({"eval_strategy": "epoch", "save_strategy": "epoch", "eval_steps": 3}, True), ({"save_strategy": "epoch"}, False),
        ({"eval_strategy": "no"}, False), ({"save_strategy": "best"}, None), ({"eval_strategy": "no", "save_strategy": "no"}, None),
    ],
)  # fmt: skip
def test_plans_fit_as_documented(more: dict[str, Any], fits: bool | None) -> None:
    assert fitting.loads_best_model(Scenario(arguments={**BY_STEPS, **more})) is fits


@given(best_model_plans(fixed={"eval_strategy": "steps"}))
def test_what_is_held_stays(plan: dict[str, Any]) -> None:
    assert plan["eval_strategy"] == "steps"
    assert plan.get("save_steps", 500) > 0


def test_six_operations_for_each_weight_and_token() -> None:
    assert operations.of_micro_batches([2, 3], [(10, False), (100, True)], counts=True) == [120, 180]
    assert operations.of_micro_batches([2], [(10, False)], counts=False) == [0]
