"""Plans of logs, evaluations and checkpoints, against lists by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer_props.oracles import plans
from trainer_props.oracles.plans import Moment
from trainer_props.scenario import Data, Scenario


def scenario(n: int = 6, kind: str = "regression", **arguments: Any) -> Scenario:
    # With six rows, three updates an epoch.
    return Scenario(arguments={"per_device_train_batch_size": 2, **arguments}, data=Data(kind=kind, n=n, n_eval=2))


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        ({"logging_steps": 2}, [2, 4, 6]),
        ({"logging_steps": 2, "logging_first_step": True}, [1, 2, 4, 6]),
        ({"logging_steps": 1, "logging_first_step": True}, [1, 2, 3, 4, 5, 6, 7]),
        ({"logging_steps": 0.4}, [3, 6]),
        ({}, []),
        ({"logging_strategy": "no"}, []),
        ({"logging_strategy": "no", "logging_first_step": True}, [1]),
        ({"logging_strategy": "epoch"}, [3, 6, 7]),
        ({"logging_strategy": "epoch", "logging_first_step": True}, [1, 3, 6, 7]),
    ],
)
def test_log_steps(arguments: dict[str, Any], steps: list[int]) -> None:
    assert plans.log_steps(scenario(**arguments), 7) == steps


def test_an_update_is_logged_once() -> None:
    assert plans.log_steps(scenario(n=2, logging_strategy="epoch", logging_first_step=True), 3) == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "points"),
    [
        ({}, []),
        ({"eval_on_start": True}, [0]),
        ({"eval_strategy": "steps", "eval_steps": 2}, [2, 4, 6, 7]),
        ({"eval_strategy": "steps", "eval_steps": 2, "eval_on_start": True}, [0, 2, 4, 6, 7]),
        ({"eval_strategy": "steps", "eval_steps": 0.4}, [3, 6, 7]),
        ({"eval_strategy": "steps", "logging_steps": 3}, [3, 6, 7]),
        ({"eval_strategy": "steps", "eval_steps": 2, "eval_delay": 4}, [4, 6, 7]),
        ({"eval_strategy": "steps", "eval_steps": 2, "eval_delay": 8}, []),
        ({"eval_strategy": "epoch"}, [3, 6, 7]),
        ({"eval_strategy": "epoch", "eval_delay": 2}, [6, 7]),
        ({"eval_strategy": "epoch", "eval_delay": 2.4}, []),
        ({"eval_strategy": "epoch", "eval_delay": 2.3}, [7]),
    ],
)
def test_evaluation_points(arguments: dict[str, Any], points: list[int]) -> None:
    assert plans.evaluation_points(scenario(**arguments), 7) == points


@pytest.mark.parametrize(
    ("arguments", "points"),
    [
        ({"save_strategy": "no"}, []),
        ({"save_strategy": "steps", "save_steps": 3}, [3, 6, 7]),
        ({"save_strategy": "steps"}, [7]),
        ({"save_strategy": "steps", "save_steps": 0.15}, [2, 4, 6, 7]),
        ({"save_strategy": "epoch"}, [3, 6, 7]),
        ({"save_strategy": "best", "eval_strategy": "epoch"}, None),
    ],
)
def test_save_points(arguments: dict[str, Any], points: list[int] | None) -> None:
    assert plans.save_points(scenario(**arguments), 7) == points


def test_ratios_are_of_all_updates_and_exact() -> None:
    run = scenario(20, eval_strategy="steps", eval_steps=0.07, save_strategy="steps", save_steps=0.29, logging_steps=0.14)
    assert plans.evaluation_points(run, 100)[:2] == [7, 14]
    assert plans.save_points(run, 100) == [29, 58, 87, 100]
    assert plans.log_steps(run, 100)[:2] == [14, 28]


def test_moments_are_in_order_and_an_unfinished_epoch_ends() -> None:
    run = scenario(logging_steps=4, eval_strategy="epoch", save_strategy="steps", save_steps=3)
    assert plans.moments(run, 4) == [
        Moment(1, False, log=False, evaluate=False, save=False),
        Moment(2, False, log=False, evaluate=False, save=False),
        Moment(3, False, log=False, evaluate=False, save=True),
        Moment(3, True, log=False, evaluate=True, save=False),
        Moment(4, False, log=True, evaluate=False, save=True),
        Moment(4, True, log=False, evaluate=True, save=False),
    ]


def test_nothing_trained_has_no_moments() -> None:
    assert plans.moments(scenario(eval_strategy="epoch", save_strategy="epoch"), 0) == []


def test_the_delay_of_a_stream_in_epochs_is_unknown() -> None:
    by_epoch = {"eval_strategy": "epoch", "eval_delay": 1}
    assert not plans.delay_is_known(scenario(kind="stream", **by_epoch))
    assert plans.delay_is_known(scenario(kind="sized_stream", **by_epoch))
    assert plans.delay_is_known(scenario(kind="stream", eval_strategy="epoch"))
    assert plans.delay_is_known(scenario(kind="stream", eval_strategy="steps", eval_delay=1))


@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 5), st.sampled_from(["steps", "epoch"]))
def test_moments_by_brute_force(n: int, total: int, interval: int, strategy: str) -> None:
    arguments: dict[str, Any] = {}
    for kind in ("logging", "eval", "save"):
        arguments |= {f"{kind}_strategy": strategy, f"{kind}_steps": interval}
    run = scenario(n, **arguments)
    per_epoch = (n + 1) // 2
    ends = [step for step in range(1, total + 1) if step % per_epoch == 0 or step == total]
    due = [step for step in range(1, total + 1) if step % interval == 0]
    found = plans.moments(run, total)
    assert [moment.step for moment in found if moment.ends_epoch] == ends
    assert [moment.step for moment in found if not moment.ends_epoch] == list(range(1, total + 1))
    assert plans.log_steps(run, total) == (due if strategy == "steps" else ends)
    assert plans.evaluation_points(run, total) == plans.save_points(run, total) == (sorted({*due, total}) if strategy == "steps" else ends)
