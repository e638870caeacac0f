"""Learning-rate schedules: worked values, bounds that their documentation promises, and torch's own plateau."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer_props.oracles import adaptive_schedules, schedules
from trainer_props.scenario import Scenario

LR = 0.5
KWARGS: dict[str, dict[str, Any]] = {
    "cosine_with_min_lr": {"min_lr": 0.1},
    "cosine_warmup_with_min_lr": {"min_lr_rate": 0.2},
    "warmup_stable_decay": {"num_decay_steps": 3},
}


def factors(name: str, total: int, warmup: int, **kwargs: Any) -> list[float]:
    return [schedules.factor(name, step, total, warmup, kwargs or KWARGS.get(name, {}), LR) for step in range(total + 1)]


HALF = math.sqrt(0.5)
WORKED = [
    ("constant", 3, 2, {}, [1, 1, 1, 1]),
    ("constant_with_warmup", 4, 2, {}, [0, 0.5, 1, 1, 1]),
    ("linear", 4, 0, {}, [1, 0.75, 0.5, 0.25, 0]),
    ("linear", 6, 2, {}, [0, 0.5, 1, 0.75, 0.5, 0.25, 0]),
    ("linear", 2, 4, {}, [0, 0.25, 0.5]),
    ("cosine", 4, 0, {}, [1, (1 + HALF) / 2, 0.5, (1 - HALF) / 2, 0]),
    ("cosine", 4, 0, {"num_cycles": 1.0}, [1, 0.5, 0, 0.5, 1]),
    ("cosine_with_restarts", 4, 0, {"num_cycles": 2}, [1, 0.5, 1, 0.5, 0]),
    ("polynomial", 2, 0, {"power": 2.0, "lr_end": 0.1}, [1, (0.4 * 0.25 + 0.1) / 0.5, 0.2]),
    ("polynomial", 2, 2, {"lr_end": 0.1}, [0, 0.5, 0.2]),
    ("inverse_sqrt", 8, 2, {}, [0, 0.5, 1, math.sqrt(2 / 3), HALF, math.sqrt(2 / 5), math.sqrt(1 / 3), math.sqrt(2 / 7), 0.5]),
    ("inverse_sqrt", 3, 0, {"timescale": 1}, [1, HALF, math.sqrt(1 / 3), 0.5]),
    ("inverse_sqrt", 1, 0, {}, [1, math.sqrt(10_000 / 10_001)]),
    ("cosine_with_min_lr", 2, 0, {"min_lr": 0.1}, [1, 0.6, 0.2]),
    ("cosine_with_min_lr", 3, 1, {"min_lr_rate": 0.5}, [0, 1, 0.75, 0.5]),
    ("cosine_warmup_with_min_lr", 4, 2, {"min_lr_rate": 0.2}, [0.5, 1, 0.6, 0.2, 0.6]),
    ("cosine_warmup_with_min_lr", 4, 3, {"min_lr_rate": 0.2, "warmup_lr_rate": 0.1}, [0.1, 0.55, 1, 0.2, 1]),
    ("warmup_stable_decay", 6, 2, {"num_decay_steps": 2}, [0, 0.5, 1, 1, 1, 0.5, 0]),
    ("warmup_stable_decay", 6, 2, {"num_decay_steps": 2, "num_stable_steps": 1, "min_lr_ratio": 0.5}, [0.5, 0.75, 1, 1, 0.75, 0.5, 0.5]),
    ("warmup_stable_decay", 4, 2, {"num_decay_steps": 2, "warmup_type": "1-sqrt", "decay_type": "1-sqrt"}, [0, 1 - HALF, 1, 1 - HALF, 0]),
    ("warmup_stable_decay", 4, 2, {"num_decay_steps": 2, "warmup_type": "cosine", "decay_type": "linear"}, [0, 0.5, 1, 0.5, 0]),
]


@pytest.mark.parametrize(("name", "total", "warmup", "kwargs", "expected"), WORKED)
def test_worked_values(name: str, total: int, warmup: int, kwargs: dict[str, Any], expected: list[float]) -> None:
    assert [schedules.factor(name, step, total, warmup, kwargs, LR) for step in range(total + 1)] == pytest.approx(expected, abs=1e-15)


@given(st.sampled_from(schedules.CLOSED_FORMS), st.integers(1, 15), st.data())
def test_any_warmup_gives_factors_between_none_and_all_of_the_learning_rate(name: str, total: int, data: st.DataObject) -> None:
    warmup = data.draw(st.integers(0, 2 * total))
    found = factors(name, total, warmup)
    assert all(0 <= each <= 1 + 1e-15 for each in found)
    climb = found[: min(warmup, total)]
    if name != "constant":
        assert climb == sorted(set(climb))
    if name != "warmup_stable_decay" and 0 < warmup < total:  # its decay is as long as asked, and may cut the warmup short
        assert max(found) == pytest.approx(1)
        assert found[warmup - 1 if name == "cosine_warmup_with_min_lr" else warmup] == pytest.approx(1)


@given(st.sampled_from(["linear", "cosine", "cosine_with_restarts", "polynomial", "cosine_with_min_lr"]), st.integers(2, 15), st.data())
def test_schedules_end_where_they_promise(name: str, total: int, data: st.DataObject) -> None:
    last = factors(name, total, data.draw(st.integers(0, total - 1)))[-1]
    assert last == pytest.approx({"polynomial": 1e-7 / LR, "cosine_with_min_lr": 0.2}.get(name, 0), abs=1e-15)


def test_the_learning_rates_of_a_run() -> None:
    run = Scenario(arguments={"learning_rate": 0.1, "warmup_steps": 2})
    assert schedules.learning_rates(run, 4) == pytest.approx([0, 0.05, 0.1, 0.05], abs=1e-17)
    assert schedules.learning_rates(run.with_arguments(lr_scheduler_type="constant"), 2) == [0.1, 0.1]
    assert schedules.learning_rates(Scenario(), 0) == []


@pytest.mark.parametrize(("warmup", "total", "steps"), [(0, 9, 0), (0.0, 9, 0), (3, 9, 3), (20, 9, 20), (0.07, 100, 7), (0.5, 9, 5)])
def test_warmup_steps(warmup: float, total: int, steps: int) -> None:
    assert schedules.warmup_steps(Scenario(arguments={"warmup_steps": warmup}), total) == steps


settings = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from(["min", "max"]), "factor": st.sampled_from([0.5, 0.1]), "patience": st.integers(0, 3),
        "threshold": st.sampled_from([0.0, 0.1]), "threshold_mode": st.sampled_from(["rel", "abs"]), "cooldown": st.integers(0, 2),
        "min_lr": st.sampled_from([0.0, 0.02]), "eps": st.sampled_from([1e-8, 0.01]),
    },
)
scores = st.lists(st.sampled_from([-0.2, 0.1, 0.2, 0.3, math.inf, math.nan]), max_size=12)


@given(settings, scores)
def test_plateau_is_torchs(kwargs: dict[str, Any], values: list[float]) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05)
    torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **kwargs)
    expected = [0.05]
    for value in values:
        torchs.step(value)
        expected.append(optimizer.param_groups[0]["lr"])
    metrics = list(enumerate(values, start=1))
    found = adaptive_schedules.learning_rates("reduce_lr_on_plateau", 0.05, kwargs, len(values) + 1, metrics)
    assert found == expected


def test_an_evaluation_acts_from_the_next_update_on() -> None:
    arguments = {"lr_scheduler_type": "reduce_lr_on_plateau", "learning_rate": 0.1, "lr_scheduler_kwargs": {"patience": 0, "factor": 0.5}}
    found = schedules.learning_rates(Scenario(arguments=arguments), 6, [(2, 1.0), (4, 1.0), (6, 1.0)])
    assert found == [0.1, 0.1, 0.1, 0.1, 0.05, 0.05]


def greedy(values: list[float], **kwargs: Any) -> list[float]:
    kwargs = {"factor": 0.5, "patience": 1, "min_lr": 0.0, **kwargs}
    return adaptive_schedules.learning_rates("greedy", 0.25, kwargs, len(values) + 1, list(enumerate(values, start=1)))


@pytest.mark.parametrize(
    ("values", "kwargs", "expected"),
    [
        ([5, 4, 3, 2, 1], {}, [0.25, 0.25, 0.5, 0.5, 1.0, 1.0]),
        ([5, 4, 3, 2, 1], {"warmup": 1}, [0.25, 0.25, 0.5, 0.5, 0.5, 1.0]),
        ([5, 5, 5, 5, 5], {}, [0.25, 0.25, 0.25, 0.125, 0.125, 0.0625]),
        ([5, 5, 5, 5, 5, 5], {"cooldown": 1}, [0.25, 0.25, 0.25, 0.125, 0.125, 0.125, 0.0625]),
        ([1, 2, 3], {"mode": "max", "max_lr": 0.375}, [0.25, 0.25, 0.375, 0.375]),
        ([1, 2, 2], {"min_lr": 0.2, "patience": 0, "max_lr": 0.25}, [0.25, 0.25, 0.2, 0.2]),
        ([1, 2, 2, 0.5], {"min_lr": 0.2, "patience": 0, "max_lr": 0.25, "reset_start": 2}, [0.25, 0.25, 0.2, 0.25, 0.25]),
        ([4, 6, 2, 2], {"smooth": True, "window_size": 2, "patience": 0}, [0.25, 0.5, 0.25, 0.125, 0.25]),
    ],
)
def test_greedy(values: list[float], kwargs: dict[str, Any], expected: list[float]) -> None:
    assert greedy(values, **kwargs) == expected


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(KeyError, match="steep"):
        schedules.factor("steep", 0, 1, 0, {}, LR)
