"""Runs on real GPUs: mixed precision, DataParallel and ranks on what is there, and agreement with the processor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import judge
from trainer_props.properties import PROPERTIES
from trainer_props.record import Record
from trainer_props.running import Errand, prepared, run, run_on_devices
from trainer_props.running.devices import gloo
from trainer_props.scenario import Data, Devices, Model, Scenario
from trainer_props.zoo import MODELS

pytestmark = pytest.mark.cuda

SUBJECT = subjects.load(subjects.DEFAULT)
DEVICES = [each for each in PROPERTIES.values() if each.chapter == "devices"]
ARGUMENTS = {
    "per_device_train_batch_size": 4, "per_device_eval_batch_size": 4, "num_train_epochs": 2, "logging_steps": 1, "learning_rate": 0.01,
    "optim": "sgd", "max_grad_norm": 0.0,
}  # fmt: skip
HUGE_SCALE = 2.0**126
"""Where float32 ends at 2^128: a gradient above 4, as the first one is, overflows."""
STEPS = 16
CHEAP = [name for name, kind in MODELS.items() if kind.family == "regression"]


@pytest.fixture(scope="module", autouse=True)
def _prepared_once() -> Iterator[None]:
    with prepared():
        yield


@pytest.fixture(autouse=True)
def _pools_end() -> Iterator[None]:
    yield
    gloo.close()


def scenario(
    devices: int = 0, kind: str = "cuda_data_parallel", model: str = "regression", dtype: str = "float64", **more: Any
) -> Scenario:
    """A small run, on the processor unless it has devices."""
    on = Devices(kind=kind, count=devices) if devices else Devices()
    return Scenario(arguments={**ARGUMENTS, **more}, data=Data(n=16, n_eval=8), model=Model(name=model, dtype=dtype), devices=on)


def on_one_card(**changes: Any) -> Record:
    record = run_on_devices(scenario(1, **changes), SUBJECT, Errand()).first
    assert record.failure is None
    assert record.stuck is None
    return record


def weights(record: Record) -> list[list[float]]:
    return [update.weights.tolist() for update in record.updates]


def holds(kind: str, model: str) -> None:
    """Two cards, or one twice: every property of several devices holds, or a known bug explains what it says."""
    experiment = {"cuda_processes": "train_in_processes", "cuda_data_parallel": "train_on_devices"}[kind]
    result = judge(Case(experiment=experiment, scenario=scenario(2, kind, model), parameters={"predict": 3}), SUBJECT, DEVICES)
    assert result.errors == ()
    assert [f"{each.property}: {each.expected} {each.observed}" for each in result.findings if each.known_bug is None] == []
    assert "devices.first_gradient_is_that_of_one_device" in result.holds


@pytest.mark.parametrize("model", ["regression", "regression_kwargs", "regression_layers"])
def test_two_ranks_are_one_device_with_both_batches(model: str) -> None:
    """It stands first: ranks are forked, which is possible as long as this process does not use a GPU itself."""
    if torch.cuda.is_initialized():
        pytest.skip("this process uses a GPU already, and can't be forked: run this test alone (-k two_ranks)")
    holds("cuda_processes", model)


@pytest.mark.parametrize("model", ["regression", "regression_kwargs", "regression_layers"])
def test_data_parallel_is_one_device_with_both_batches(model: str) -> None:
    holds("cuda_data_parallel", model)


@pytest.mark.parametrize("model", CHEAP)
def test_float64_is_the_same_on_a_card(model: str) -> None:
    card, processor = on_one_card(model=model), run(scenario(model=model), SUBJECT)
    assert len(card.updates) == len(processor.updates) == 8
    for one, other in zip(weights(card), weights(processor), strict=True):
        assert one == pytest.approx(other, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("precision", ["fp16", pytest.param("bf16", marks=pytest.mark.needs("bf16"))])
def test_reduced_precision_stays_near(precision: str) -> None:
    reduced, exact = on_one_card(dtype="float32", **{precision: True}), run(scenario(), SUBJECT)
    assert reduced.global_step == exact.global_step
    assert weights(reduced)[-1] == pytest.approx(weights(exact)[-1], rel=0.05, abs=0.05)


def test_the_scaler_skips_updates_that_overflow() -> None:
    """The scale of fp16 is halved where gradients are infinite, and no update is made; as soon as they are not, it is."""
    scales: list[float] = []

    def body(trainer: Any, record: Record, parts: Any) -> None:
        class Scales(TrainerCallback):
            def on_step_end(self, *_: Any, **__: Any) -> None:
                scales.append(trainer.accelerator.scaler.get_scale())

        trainer.add_callback(Scales())
        trainer.accelerator.scaler = torch.amp.GradScaler("cuda", init_scale=HUGE_SCALE)
        trainer.train()

    on_card = scenario(1, dtype="float32", fp16=True).with_arguments(use_cpu=False, max_steps=STEPS)
    record = run(on_card, SUBJECT, body)
    assert record.failure is None
    assert scales[0] == HUGE_SCALE / 2
    assert 0 < len(record.updates) < STEPS  # the optimizer is not called where gradients are infinite
    assert scales[-1] == HUGE_SCALE / 2 ** (STEPS - len(record.updates))


@pytest.mark.needs("tf32")
def test_tf32_is_switched_on_and_stays_near() -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    try:
        reduced = on_one_card(model="regression_layers", dtype="float32", tf32=True)
        exact = run(scenario(model="regression_layers"), SUBJECT)
        assert torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    assert weights(reduced)[-1] == pytest.approx(weights(exact)[-1], rel=0.01, abs=0.01)
