"""Measures that work something out, against oracles or by example."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer_props.measures import arguments, early_stopping
from trainer_props.oracles import best_model
from trainer_props.record import Evaluation, Record
from trainer_props.scenario import Components, EarlyStopping, Scenario

TOTAL = 100
numbers = st.integers(-3, 3).map(float) | st.just(float("nan")) | st.just(float("inf"))


def evaluated(values: list[float], *, at_start: bool) -> Record:
    """A run that was evaluated after each update, and before the first one if `at_start`."""
    steps = range(0 if at_start else 1, len(values) + 1)
    return Record(
        evaluations=[
            Evaluation(step, "eval", {"eval_score": value}, [], None, None, 0, torch.zeros(1), None)
            for step, value in zip(steps, values, strict=False)
        ]
    )


@given(st.lists(numbers, max_size=8), st.booleans(), st.integers(1, 3), st.sampled_from([0.0, 1.0, 1.5]), st.booleans())
def test_patience_is_spent_where_the_oracle_says(values: list[float], greater: bool, patience: int, threshold: float, start: bool) -> None:
    scenario = Scenario(
        arguments={"metric_for_best_model": "score", "greater_is_better": greater},
        components=Components(early_stopping=EarlyStopping(patience=patience, threshold=threshold)),
    )
    counted = values[1:] if start else values
    index = best_model.early_stopping(scenario, counted)
    measured = early_stopping.updates_until_patience_is_spent(
        evaluated(values, at_start=start), "eval_score", greater, patience, threshold, TOTAL
    )
    assert measured.value == (TOTAL if index is None else index + 1)


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("warmup_steps", True), ("warmup_steps is bad", True), ("what of `warmup_steps`?", True), ("xwarmup_steps warmup_steps", True),
        ("", False), ("warmup_stepsize", False), ("no_warmup_steps", False), ("warmup_stepswarmup_steps", False), ("warmup steps", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("kinds", "fitting"), [(["ValueError"], True), (["Mine", "TypeError"], True), (["KeyError"], False)])
def test_a_bad_value_is_refused_by_its_name(message: str, named: bool, kinds: list[str], fitting: bool) -> None:
    bad: dict[str, Any] = {"field": "warmup_steps", "value": -1, "error": {"kinds": kinds, "message": message}}
    assert arguments.bad_value_is_refused_by_name(Record(results={"bad": bad})).value is (named and fitting)


def test_a_bad_value_that_is_accepted_is_not_refused() -> None:
    bad = {"field": "warmup_steps", "value": -1, "error": None}
    assert arguments.bad_value_is_refused_by_name(Record(results={"bad": bad})).value is False
