"""Runs on several devices: the emulated DataParallel, the pool of ranks, and what becomes of both afterwards."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import TrainerCallback, TrainingArguments

from trainer_props import subjects
from trainer_props.measures import devices as measures
from trainer_props.record import Runs
from trainer_props.running import Errand, clock, prepared, run_on_devices
from trainer_props.running.devices import gloo
from trainer_props.running.devices.data_parallel import emulated, gather, replica, scatter
from trainer_props.running.devices.kinds import NoSuchDevices
from trainer_props.scenario import Data, Devices, Model, Scenario
from trainer_props.subjects import Subject

SUBJECT = subjects.load(subjects.DEFAULT)
ARGUMENTS = {"per_device_train_batch_size": 2, "logging_steps": 1, "optim": "sgd", "learning_rate": 0.01, "num_train_epochs": 2}


@pytest.fixture(scope="module", autouse=True)
def _prepared_once() -> Iterator[None]:
    with prepared():
        yield


def scenario(kind: str, count: int, *, n: int = 12, model: str = "regression", **arguments: Any) -> Scenario:
    return Scenario(arguments={**ARGUMENTS, **arguments}, data=Data(n=n), model=Model(name=model), devices=Devices(kind=kind, count=count))


def alone(given: Scenario) -> Scenario:
    size = given.devices.count * given.argument("per_device_train_batch_size")
    return given.with_arguments(per_device_train_batch_size=size).replace(devices=Devices())


@pytest.mark.parametrize(
    "given",
    [
        scenario("data_parallel", 2),
        scenario("data_parallel", 3, model="regression_layers", gradient_accumulation_steps=2),
        scenario("gloo", 2, gradient_accumulation_steps=2),
        scenario("gloo", 3, model="regression_kwargs"),
    ],
    ids=str,
)
def test_several_devices_are_one_with_a_larger_batch(given: Scenario) -> None:
    one, several = run_on_devices(alone(given), SUBJECT, Errand()), run_on_devices(given, SUBJECT, Errand())
    assert [each.failure for each in several.values()] == [None] * len(several)
    for record in several.values():
        assert record.global_step == one.first.global_step
        assert record.final_weights is not None
        torch.testing.assert_close(record.final_weights, one.first.final_weights, rtol=0, atol=1e-12)
    runs = Runs({"one device": one.first, **several})
    assert measures.samples_of_updates(runs).value == measures.samples_of_updates_on_one_device(runs).value
    assert measures.logged(runs, "loss").value == pytest.approx(measures.logged_on_one_device(runs, "loss").value, abs=2e-6)


def _fail() -> None:
    with emulated(2):
        raise LookupError


def test_emulation_leaves_no_trace() -> None:
    usual, made = nn.DataParallel, TrainingArguments.__post_init__
    with pytest.raises(LookupError):
        _fail()
    with emulated(3):
        assert nn.DataParallel is not usual
        assert issubclass(nn.DataParallel, usual)
    assert nn.DataParallel is usual
    assert TrainingArguments.__post_init__ is made


def test_scatter_cuts_as_torch_does() -> None:
    rows = torch.arange(5)
    shares = scatter(((), {"x": rows, "flag": True, "pair": [rows, 2]}), 2)
    assert [kwargs["x"].tolist() for _, kwargs in shares] == [[0, 1, 2], [3, 4]]
    assert [(kwargs["flag"], kwargs["pair"][1], args) for args, kwargs in shares] == [(True, 2, ()), (True, 2, ())]
    assert len(scatter((torch.arange(1),), 4)) == 1


def test_replicas_give_their_gradients_back() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.LSTM(2, 2))
    copies = [replica(model), replica(model)]
    outputs = gather([copy(torch.ones(3, 1))[0] for copy in copies])
    assert outputs.shape == (6, 2)
    outputs.sum().backward()
    twice = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    model(torch.ones(3, 1))[0].sum().backward()
    torch.testing.assert_close([each / 2 for each in twice], [parameter.grad for parameter in model.parameters()])


def test_losses_of_replicas_stand_in_a_row() -> None:
    gathered = gather([{"loss": torch.tensor(1.0), "rows": torch.ones(2)}, {"loss": torch.tensor(2.0), "rows": torch.ones(1)}])
    assert gathered["loss"].tolist() == [1.0, 2.0]
    assert gathered["rows"].shape == (3,)
    with pytest.raises(TypeError, match="str can't be gathered"):
        gather(["a", "b"])


@pytest.mark.parametrize("devices", [Devices(kind="gluon", count=2), Devices(kind="gloo", count=9)], ids=str)
def test_devices_that_nobody_has_are_refused(devices: Devices) -> None:
    with pytest.raises(NoSuchDevices, match="gloo"):
        run_on_devices(Scenario(devices=devices), SUBJECT, Errand())


def test_the_environment_is_that_of_one_process() -> None:
    run_on_devices(scenario("gloo", 2), SUBJECT, Errand())
    assert not {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"} & set(os.environ)
    assert not torch.distributed.is_initialized()


def test_ranks_live_on_and_end_with_their_pool() -> None:
    run_on_devices(scenario("gloo", 2), SUBJECT, Errand())
    pids = gloo.pids(2)
    run_on_devices(scenario("gloo", 2, n=5), SUBJECT, Errand())
    assert gloo.pids(2) == pids
    gloo.close()
    assert gloo.pids(2) == []
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def _with(callback: TrainerCallback) -> Subject:
    def make(parts: Any, output_dir: str) -> Any:
        from transformers import Trainer

        trainer = Trainer(**parts.trainer_kwargs(output_dir))
        trainer.add_callback(callback)
        return trainer

    return subjects.wrap(make, "tests:make")


class _Dies(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 1 and args.process_index == 1:
            os.kill(os.getpid(), signal.SIGKILL)


class _Raises(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if args.process_index == 1:
            raise LookupError("nothing there")


class _Sleeps(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if args.process_index == 1 and args.num_train_epochs > 1:
            time.sleep(600)


def _cause(found: Runs) -> str:
    return str(measures.cause(Runs({"one device": found.first, **found})).value)


def test_a_rank_that_dies_is_named_and_the_next_run_works() -> None:
    found = run_on_devices(scenario("gloo", 2), _with(_Dies()), Errand())
    assert _cause(found) == "RankDied: the process of rank 1 was ended by SIGKILL"
    assert all(each.finished for each in run_on_devices(scenario("gloo", 2), SUBJECT, Errand()).values())


def test_an_exception_of_a_rank_is_the_cause() -> None:
    found = run_on_devices(scenario("gloo", 2), _with(_Raises()), Errand())
    assert _cause(found) == "LookupError: nothing there"
    assert all(each.failure is not None for each in found.values())


def test_a_rank_that_is_stuck_shows_where(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = _with(_Sleeps())
    run_on_devices(scenario("gloo", 2, num_train_epochs=1), subject, Errand())  # the limit is that of the start of a pool, too
    monkeypatch.setattr(gloo, "SILENCE_SECONDS", 3.0)
    found = run_on_devices(scenario("gloo", 2), subject, Errand())
    assert {each.stuck for each in found.values()} == {f"rank {rank} did not move for 3 s" for rank in (0, 1)}
    assert "on_step_end (unit/test_devices.py" in found["rank 1"].ended_at
    assert "all_gather" in found["rank 0"].ended_at  # of the losses, to log them


class _SlowOnce(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if args.process_index == 1 and state.global_step == 1 and args.num_train_epochs > 1:
            time.sleep(3.0)


def test_a_freeze_of_all_processes_is_no_stuck_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = _with(_SlowOnce())
    run_on_devices(scenario("gloo", 2, num_train_epochs=1), subject, Errand())
    thaw = time.monotonic() + 1.5  # before that, 1,000 seconds pass at once

    def monotonic() -> float:
        return (now := time.monotonic()) + 1000.0 * (now > thaw)

    for module in (clock, gloo):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=monotonic, process_time=time.process_time, sleep=time.sleep))
    found = run_on_devices(scenario("gloo", 2), subject, Errand())
    assert all(each.finished for each in found.values())
    assert time.monotonic() > thaw


def test_a_kill_from_outside_is_a_verdict() -> None:
    long = scenario("gloo", 2, num_train_epochs=300)
    run_on_devices(scenario("gloo", 2), SUBJECT, Errand())
    beats = gloo._pools[2, 0]._beats
    before = beats[:]

    def kill_once_it_runs() -> None:
        while beats[:] == before:
            time.sleep(0.001)
        os.kill(gloo.pids(2)[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_once_it_runs, daemon=True)
    killer.start()
    found = run_on_devices(long, SUBJECT, Errand())
    killer.join()
    assert _cause(found) == "RankDied: the process of rank 0 was ended by SIGKILL"
    assert all(each.finished for each in run_on_devices(scenario("gloo", 2), SUBJECT, Errand()).values())


def test_a_subject_that_makes_no_trainer_is_told_so() -> None:
    nothing = subjects.wrap(lambda parts, output_dir: None, "tests:nothing")
    with pytest.raises(subjects.SubjectError, match="not a transformers"):
        run_on_devices(scenario("gloo", 2), nothing, Errand())
