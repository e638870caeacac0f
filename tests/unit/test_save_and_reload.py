"""The experiment that saves a model and loads it again: what it compares, and that a difference is seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from trainer_props import subjects, zoo
from trainer_props.case import Case
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS
from trainer_props.faults import FAULTS
from trainer_props.properties import PROPERTIES
from trainer_props.record import Record
from trainer_props.running import parameters, prepared
from trainer_props.scenario import Data, Model, Scenario
from trainer_props.scripts.verifying import shows
from trainer_props.scripts.writing import script
from trainer_props.zoo import MODELS

SUBJECT = subjects.load(subjects.DEFAULT)
MINE = [each for each in PROPERTIES.values() if "save_and_reload" in each.experiments]


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def case(model: str, **given_parameters: Any) -> Case:
    arguments = {"max_steps": 1, "learning_rate": 0.1}
    if given_parameters:
        arguments |= {"save_strategy": "steps", "save_steps": 1}
    data = Data(kind=MODELS[model].data_kinds[0], n=4)
    return Case(
        experiment="save_and_reload",
        scenario=Scenario(arguments=arguments, data=data, model=Model(name=model)),
        parameters=given_parameters,
    )


def test_what_differs_is_named() -> None:
    one, two = (zoo.build_model(Model(name="regression"), Data()) for _ in range(2))
    assert parameters.differing(one, two) == []
    with torch.no_grad():
        two.get_parameter("b").add_(1e-15)
    assert parameters.differing(one, two) == ["b"]
    assert parameters.differing(one, zoo.build_model(Model(name="regression", dtype="float32"), Data())) == ["a", "b"]
    assert parameters.differing(one, torch.nn.Linear(1, 1)) == ["a", "b", "bias", "weight"]


def test_tied_weights_are_one_tensor_before_and_after() -> None:
    record = EXPERIMENTS["save_and_reload"].run(case("gpt2"), SUBJECT)
    assert isinstance(record, Record)
    tied = [["transformer.wte.weight", "lm_head.weight"]]
    assert record.results == {"differing": [], "shared": {"trained": tied, "reloaded": tied}}


@pytest.mark.parametrize("model", ["regression_pretrained", "gpt2", "t5"])
@pytest.mark.parametrize("given_parameters", [{}, {"checkpoint": True}], ids=str)
def test_the_trainer_saves_what_it_trained(model: str, given_parameters: dict[str, Any]) -> None:
    judged = judge(case(model, **given_parameters), SUBJECT, MINE)
    assert (judged.findings, judged.errors) == ((), ())
    assert set(judged.holds) == {each.id for each in MINE}


@pytest.mark.parametrize("name", ["saved-in-half-precision", "weights-saved-under-another-name"])
def test_scripts_do_the_same(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    faulty = subjects.wrap(FAULTS[name].make(), "transformers:Trainer")
    finding = next(each for each in judge(case("regression_pretrained"), faulty, MINE).findings if each.property == FAULTS[name].property)
    text = script(finding, SUBJECT)
    code, output = _executed(text, capsys)
    assert code == 0, output  # the Trainer itself does not do it
    code, output = _executed(text, capsys, Trainer=FAULTS[name].make())
    assert shows(text, code, output), output


def _executed(text: str, capsys: pytest.CaptureFixture[str], **names: Any) -> tuple[int, str]:
    namespace: dict[str, Any] = {"__name__": "script", **names}
    text = text.replace(" Trainer, TrainingArguments", " TrainingArguments") if names else text
    exec(compile(text, "script.py", "exec"), namespace)  # noqa: S102  what a script is for
    capsys.readouterr()
    return namespace["main"](), capsys.readouterr().out
