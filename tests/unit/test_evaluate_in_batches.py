"""The experiment that evaluates in two ways: what it runs, what is measured of it, and how it is judged."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from transformers import Trainer

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.experiments.evaluate_in_batches import _SUMS, BASELINE, OTHER, Sums
from trainer_props.faults import FAULTS
from trainer_props.measures import evaluation_batches as measures
from trainer_props.properties import PROPERTIES
from trainer_props.record import Record, Runs
from trainer_props.running import prepared
from trainer_props.scenario import Components, Data, Model, Scenario
from trainer_props.scripts.verifying import shows
from trainer_props.scripts.writing import script

NAME = "evaluate_in_batches"
SUBJECT = subjects.load(subjects.DEFAULT)
MINE = [each for each in PROPERTIES.values() if NAME in each.experiments]


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def case(n_eval: int = 5, model: str = "regression", arguments: dict[str, Any] | None = None, **other: Any) -> Case:
    kind = {"lstm": "dynamic", "regression_double": "two_labels"}.get(model, "regression")
    components = Components(collator="padding" if kind == "dynamic" else "default")
    usual = {"per_device_eval_batch_size": 2}
    scenario = Scenario(
        arguments={**usual, **(arguments or {})}, data=Data(kind=kind, n=1, n_eval=n_eval), model=Model(name=model), components=components
    )
    return Case(experiment=NAME, scenario=scenario, parameters=other)


def runs_of(given_case: Case) -> Runs:
    runs = EXPERIMENTS[NAME].run(given_case, SUBJECT)
    assert isinstance(runs, Runs)
    assert list(runs) == [BASELINE, OTHER]
    return runs


def test_the_other_run_has_the_other_settings() -> None:
    runs = runs_of(case(per_device_eval_batch_size=3, eval_accumulation_steps=1))
    sizes = [[[batch.size for batch in each.batches] for each in record.evaluations] for record in runs.values()]
    assert sizes == [[[2, 2, 1]] * 2, [[3, 2]] * 2]
    assert [record.results["settings"]["eval_accumulation_steps"] for record in runs.values()] == [None, 1]


@pytest.mark.parametrize("model", ["regression", "regression_double", "regression_dict", "lstm", "bert_classifier"])
@pytest.mark.parametrize(
    "other",
    [
        {"per_device_eval_batch_size": 1}, {"per_device_eval_batch_size": 8}, {"eval_accumulation_steps": 1},
        {"eval_accumulation_steps": 2}, {"batch_eval_metrics": True}, {"eval_do_concat_batches": False},
        {"eval_do_concat_batches": False, "eval_accumulation_steps": 1},
        {"prediction_loss_only": True}, {"batch_eval_metrics": True, "per_device_eval_batch_size": 3}, {},
    ],
    ids=str,
)  # fmt: skip
def test_the_trainer_holds(model: str, other: dict[str, Any]) -> None:
    given_case = case(model=model, **other) if model != "bert_classifier" else _classifier(other)
    judged = judge(given_case, SUBJECT, MINE)
    assert (judged.findings, judged.errors) == ((), ())
    expected = {"any_batches_come_to_an_end", "only_the_loss_is_returned", "weights_and_their_type_stay"}
    if "prediction_loss_only" not in other:
        expected |= {"sums_do_not_depend_on_batches", "predictions_do_not_depend_on_batches", "labels_do_not_depend_on_batches",
                     "batches_are_put_together_or_kept_apart"}  # fmt: skip
    if model != "lstm":
        expected.add("the_loss_does_not_depend_on_batches")
    assert {f"evaluation_batches.{name}" for name in expected} <= set(judged.holds)


def _classifier(other: dict[str, Any]) -> Case:
    scenario = Scenario(
        arguments={"per_device_eval_batch_size": 2}, data=Data(kind="classification", n=1, n_eval=3), model=Model(name="bert_classifier")
    )
    return Case(experiment=NAME, scenario=scenario, parameters=other)


def test_what_ends_in_one_way_only_is_a_violation() -> None:
    class Refuses(Trainer):
        def evaluate(self, *args: Any, **kwargs: Any) -> Any:
            if self.args.eval_accumulation_steps:
                raise RuntimeError("not in steps")
            return super().evaluate(*args, **kwargs)

    judged = judge(case(eval_accumulation_steps=1), subjects.wrap(Refuses, "refuses"), MINE)
    assert [(each.property, each.verdict) for each in judged.findings] == [("evaluation_batches.any_batches_come_to_an_end", "crashed")]
    assert judge(case(arguments={"eval_accumulation_steps": 1}), subjects.wrap(Refuses, "refuses"), MINE).findings == ()


OUTPUTS = torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0], [64.0, 128.0, 256.0]])
LABELS = torch.tensor([[3, -100, 5], [7, 11, -100], [-100, -100, 13]])
WHOLE = {"rows": 3, "labels": 39.0, "outputs": 285.0}


def both_sums() -> list[Any]:
    namespace: dict[str, Any] = {}
    exec(_SUMS, namespace)  # noqa: S102  what scripts have of it
    return [Sums(), namespace["Sums"]()]


@pytest.mark.parametrize("which", [0, 1])
def test_sums_come_to_the_same_in_any_way(which: int) -> None:
    sums = both_sums()[which]

    def given_to(outputs: Any, labels: Any, **more: Any) -> dict[str, float]:
        found: dict[str, float] = sums(SimpleNamespace(predictions=outputs, label_ids=labels), **more)
        return found

    assert given_to(OUTPUTS, LABELS) == WHOLE
    assert given_to(OUTPUTS.numpy(), LABELS.numpy()) == WHOLE
    assert given_to([OUTPUTS[:2].numpy(), OUTPUTS[2:].numpy()], [LABELS[:2].numpy(), LABELS[2:].numpy()]) == WHOLE
    assert given_to(OUTPUTS[:1], LABELS[:1], compute_result=False) == {}
    assert given_to(OUTPUTS[1:], LABELS[1:], compute_result=True) == WHOLE
    assert given_to((OUTPUTS, OUTPUTS), (LABELS, LABELS)) == {"rows": 3, "labels": 78.0, "outputs": 570.0}
    assert given_to((), LABELS) == {"rows": 3, "labels": 0.0, "outputs": 0.0}


def runs_with(**results: Any) -> Runs:
    return Runs(x=Record(results={"predictions": None, "label_ids": None, "evaluate": {}, "seen": [], **results}))


def test_rows_are_measured_in_whatever_they_are_kept() -> None:
    array = np.array([[1, 2, -100], [3, 4, 5]])
    whole, apart = runs_with(label_ids=array), runs_with(label_ids=[array[:1, :2], array[1:]])
    for runs in (whole, apart):
        assert [measures.row(runs, "x", "label_ids", 0, index, length).value for index, length in ((0, 2), (1, 3), (2, 1))] == [
            [1, 2], [3, 4, 5], []
        ]  # fmt: skip
        assert measures.number_of_rows(runs, "x", "label_ids", 0).value == 2
        assert measures.wrong_padding(runs, "x", [2, 3]).value == []
    assert measures.wrong_padding(whole, "x", [1, 2]).value == [2, 5]
    assert measures.rows_that_are_kept(whole, "x", "label_ids").value == [2]
    assert measures.rows_that_are_kept(apart, "x", "label_ids").value == ["each", 1, 1]
    several = runs_with(predictions=[(array, array), (array,)])
    assert measures.numbers_of_outputs(several, "x", "predictions").value == [1, 2]
    assert measures.number_of_rows(several, "x", "predictions", 1).value == 2


def test_what_metrics_were_given_is_measured() -> None:
    def seen(*calls: Any) -> Runs:
        return runs_with(seen=[SimpleNamespace(inputs=inputs, losses=losses) for inputs, losses in calls])

    array = np.array([[1, 2, 0], [3, 4, 5]])
    assert measures.inputs_given_to_metrics(seen((array, None)), "x", [2, 3]).value == [[1, 2], [3, 4, 5]]
    assert measures.inputs_given_to_metrics(seen(([array[:1], array[1:]], None)), "x", [2, 3]).value == [[1, 2], [3, 4, 5]]
    assert measures.inputs_given_to_metrics(seen((array[:1], None), (array[1:], None)), "x", [2, 3]).value == [[1, 2], [3, 4, 5]]
    assert measures.inputs_given_to_metrics(seen(({"input_ids": array, "labels": array}, None)), "x", [2, 3]).value == (
        "a mapping of input_ids, labels"
    )
    assert measures.inputs_given_to_metrics(seen((None, None)), "x", [2, 3]).value == "none"
    assert measures.losses_given_to_metrics(seen((None, np.array([1.0, 2.0])), (None, np.array([6.0]))), "x").value == [3, 3.0]
    assert measures.losses_given_to_metrics(seen((None, [np.array([1.0]), np.array([3.0])])), "x").value == [2, 2.0]
    assert measures.losses_given_to_metrics(seen((None, None)), "x").value == [0, 0.0]


def test_a_script_has_both_settings(capsys: pytest.CaptureFixture[str]) -> None:
    fault = "short-batch-counts-as-a-full-one"
    findings = judge(case(per_device_eval_batch_size=3), subjects.wrap(FAULTS[fault].make(), "transformers:Trainer"), MINE).findings
    found = next(each for each in findings if each.property == FAULTS[fault].property)
    text = script(found, SUBJECT)
    for name, size in ((BASELINE, 2), (OTHER, 3)):
        assert f'"{name}": run(output_dir, per_device_eval_batch_size={size})' in text
    code, output = _executed(text, capsys)
    assert code == 0, output
    code, output = _executed(text.replace("PrinterCallback, Trainer,", "PrinterCallback,"), capsys, Trainer=FAULTS[fault].make())
    assert shows(text, code, output)


def _executed(text: str, capsys: pytest.CaptureFixture[str], **names: Any) -> tuple[int, str]:
    namespace: dict[str, Any] = {"__name__": "script", **names}
    exec(compile(text, "script.py", "exec"), namespace)  # noqa: S102  what a script is for
    capsys.readouterr()
    return namespace["main"](), capsys.readouterr().out


def test_cases_are_those_of_two_evaluations() -> None:
    @settings(max_examples=60, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS[NAME].cases(Held()))
    def check(drawn: Case) -> None:
        assert drawn.scenario.data.n_eval
        assert all(drawn.scenario.argument(name) != value for name, value in drawn.parameters.items())
        assert not (drawn.scenario.argument("bf16_full_eval") and drawn.scenario.argument("fp16_full_eval"))
        assert Case.from_json(drawn.to_json()) == drawn

    check()


def test_what_is_held_stays() -> None:
    held = {"per_device_eval_batch_size": 3, "batch_eval_metrics": True}

    @settings(max_examples=30, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS[NAME].cases(Held(arguments=held, forbidden=["eval_do_concat_batches"], models=["lstm"])))
    def check(drawn: Case) -> None:
        assert drawn.scenario.model.name == "lstm"
        assert not {*held, "eval_do_concat_batches"} & drawn.parameters.keys()
        assert {name: drawn.scenario.argument(name) for name in held} == held

    check()
