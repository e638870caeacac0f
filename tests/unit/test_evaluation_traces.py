"""What evaluations must leave as it was: how it is taken, by the experiment and by scripts, and evaluation data under several names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from transformers import Trainer

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.events import Finding
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS
from trainer_props.experiments.evaluation_traces import TRACES, plain, source, taken
from trainer_props.faults import FAULTS
from trainer_props.properties import PROPERTIES
from trainer_props.record import Record
from trainer_props.running import prepared
from trainer_props.scenario import Components, Data, Scenario
from trainer_props.scripts.verifying import shows
from trainer_props.scripts.writing import script
from trainer_props.zoo.ready_trainer import regression_trainer

NAME = "evaluate_and_predict"
SUBJECT = subjects.load(subjects.DEFAULT)
MINE = [each for each in PROPERTIES.values() if each.chapter == "evaluation_traces"]
KNOWN = {"evaluation-ends-in-eval-mode", "evaluation-draws-random-numbers"}


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def case(arguments: dict[str, Any] | None = None, components: Components | None = None, **parameters: Any) -> Case:
    usual = {"max_steps": 2, "per_device_train_batch_size": 2, "eval_strategy": "steps", "eval_steps": 1}
    scenario = Scenario(arguments={**usual, **(arguments or {})}, data=Data(n=4, n_eval=3), components=components or Components())
    return Case(experiment=NAME, scenario=scenario, parameters={"predict": 2, **parameters})


def record_of(given_case: Case) -> Record:
    record = EXPERIMENTS[NAME].run(given_case, SUBJECT)
    assert isinstance(record, Record)
    assert record.finished, record.failure
    return record


def test_what_is_plain() -> None:
    value = {"a": torch.tensor([1.0, 2.0]), 3: (None, True), "c": object}
    assert plain(value) == [["a", [1.0, 2.0]], ["3", [None, True]], ["c", repr(object)]]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda trainer: trainer.optimizer.param_groups[0].update(lr=3.0), "optimizer"),
        (lambda trainer: setattr(trainer.lr_scheduler, "last_epoch", 9), "optimizer"),
        (lambda trainer: setattr(trainer.state, "global_step", 9), "state"),
        (lambda trainer: setattr(trainer.control, "should_save", True), "state"),
        (lambda trainer: setattr(trainer.model.a, "grad", torch.zeros(())), "gradients"),
        (lambda trainer: trainer.model.requires_grad_(False), "gradients"),
        (lambda trainer: trainer.model.register_forward_hook(lambda *_: None), "hooks"),
        (lambda trainer: trainer.callback_handler.callbacks.pop(), "hooks"),
        (lambda trainer: trainer.model.eval(), "mode"),
        (lambda trainer: torch.rand(()), "random"),
    ],
)
def test_a_trace_shows_what_changes(change: Any, name: str) -> None:
    trainer = regression_trainer(train_len=2, eval_len=1, max_steps=1, disable_tqdm=True, save_strategy="no")
    trainer.train()
    before = taken(trainer)
    assert taken(trainer) == before
    change(trainer)
    after = taken(trainer)
    assert {each for each in TRACES if after[each] != before[each]} == ({name, "ahead"} if name == "random" else {name})


def test_scripts_take_the_same_traces() -> None:
    trainer = regression_trainer(train_len=2, eval_len=1, disable_tqdm=True)
    namespace: dict[str, Any] = {"Any": Any}
    exec("\n\n\n".join(source(TRACES)), namespace)  # noqa: S102  what scripts have of them
    assert {name: namespace[name](trainer) for name in TRACES} == taken(trainer)
    assert source([]) == []


@pytest.mark.parametrize("parameters", [{}, {"train": True}, {"named": True, "train": True}, {"several": True}], ids=str)
def test_the_trainer_leaves_what_it_should(parameters: dict[str, Any]) -> None:
    judged = judge(case(**parameters), SUBJECT, MINE)
    assert {each.known_bug for each in judged.findings} <= KNOWN
    assert judged.errors == ()
    assert {f"evaluation_traces.{name}_stay" for name in ("optimizer_and_schedule", "state_and_control", "gradients", "hooks")} <= {
        *judged.holds
    }  # fmt: skip
    assert ("evaluation_traces.training_evaluates_as_evaluate_does" in judged.holds) == ("train" in parameters)
    assert ("evaluation_traces.each_evaluation_goes_through_all_names" in judged.holds) == ("named" in parameters)


def test_data_with_names_are_evaluated_during_training_and_after() -> None:
    record = record_of(case(named=True, train=True))
    names = ["eval_first", "eval_second"]
    assert [(each.step, each.prefix) for each in record.evaluations] == [
        *((step, name) for step in (1, 2) for name in names), *[(2, name) for name in names * 2], (2, "test")
    ]  # fmt: skip
    assert [sum(batch.size for batch in each.batches) for each in record.evaluations[:2]] == [3, 2]
    assert {"eval_first_loss", "eval_second_loss"} <= record.results["evaluate"].keys()
    every = [each for each in PROPERTIES.values() if NAME in each.experiments]
    assert {each.known_bug for each in judge(case(named=True, train=True), SUBJECT, every).findings} <= KNOWN


def test_a_metric_of_one_of_the_names_is_followed() -> None:
    arguments = {"metric_for_best_model": "first_loss", "lr_scheduler_type": "reduce_lr_on_plateau"}
    record = record_of(case(arguments, named=True, train=True))
    losses = [each.metrics["eval_first_loss"] for each in record.evaluations if each.prefix == "eval_first"]
    assert record.state["best_metric"] == min(losses)
    assert EXPERIMENTS[NAME].run(case(arguments, train=True), SUBJECT).failure is not None  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["prediction-freezes-the-model", "first-name-only-during-training", "evaluation-steps-the-schedule"])
def test_scripts_show_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    faulty = FAULTS[name].make()
    found = _finding(judge(case(named=True, train=True), subjects.wrap(faulty, "transformers:Trainer"), MINE).findings, name)
    text = script(found, SUBJECT)
    code, output = _executed(text, capsys, Trainer)
    assert code == 0, output
    code, output = _executed(text, capsys, faulty)
    assert shows(text, code, output)


def _finding(findings: tuple[Finding, ...], name: str) -> Finding:
    return next(each for each in findings if each.property == FAULTS[name].property)


def _executed(text: str, capsys: pytest.CaptureFixture[str], trainer: type[Trainer]) -> tuple[int, str]:
    lines = [line.replace(" Trainer,", "") if line.startswith("from transformers import") else line for line in text.splitlines()]
    namespace: dict[str, Any] = {"__name__": "script", "Trainer": trainer}
    exec(compile("\n".join(lines), "script.py", "exec"), namespace)  # noqa: S102  what a script is for
    capsys.readouterr()
    return namespace["main"](), capsys.readouterr().out
