"""Evaluating and predicting outside training: rows, their order, names of metrics, repeatability."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from trainer_props import zoo
from trainer_props.judgement import HOLDS, Judgement, Violated, close, holds_for_all, is_true, not_applicable, same
from trainer_props.measures import prediction as measures
from trainer_props.properties import sources
from trainer_props.properties.needs import FINISHED, Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario
from trainer_props.zoo import MODELS

EXPERIMENTS = ("evaluate_and_predict",)
PREDICTED = Need(
    "predicted", "no predictions were asked for or kept", lambda record, scenario: record.results.get("predictions") is not None
)
_NOTHING = np.empty(0)
_TOLERANCES = {"float64": 1e-9, "float32": 1e-4}


@trainer_property(source=sources.docs("Trainer.predict"), experiments=EXPERIMENTS, needs=[FINISHED, PREDICTED], catalogue=[57])
def one_row_a_sample(record: Record, scenario: Scenario) -> Judgement:
    """`predict` returns one row for each sample of its data set, and as many rows of labels."""
    length = _asked(record)
    judgement = same("rows of predictions", expected=length, observed=measures.number_of_rows(record, "predictions"))
    if isinstance(judgement, Violated) or record.results["label_ids"] is None or not MODELS[scenario.model.name].label_names:
        return judgement
    return same("rows of labels", expected=length, observed=measures.number_of_rows(record, "label_ids"))


@trainer_property(
    source=sources.docs("Trainer.predict"), experiments=EXPERIMENTS, needs=[FINISHED, PREDICTED], tolerance=1e-9, catalogue=[57, 60]
)
def rows_belong_to_their_samples(record: Record, scenario: Scenario) -> Judgement:
    """Row i of the predictions is the model's output on sample i of the data set; rows of a batch narrower than others are padded on the
    right with -100.
    """
    rows = list(rows_of(record.results["predictions"]))
    if len(rows) != _asked(record):
        return not_applicable("not one row a sample (another property says so)")
    widths = _widths(record)
    for index, (row, expected) in enumerate(zip(rows, outputs_of(record, scenario, len(rows)), strict=True)):
        # between its own length and the width of its batch stands what the model makes of padding
        rest = row[widths[index] :] if expected.ndim == 2 else _NOTHING
        if not is_output(row, expected, scenario):
            content = measures.row_of_predictions(record, index, list(expected.shape))
            judgement = close("row of predictions", expected=expected.reshape(-1).tolist(), observed=content,
                              tolerance=_tolerance(scenario), symptom="another sample's or output's")
        elif rest.size:
            judgement = is_true("padding of predictions", measures.row_is_padded(record, index, widths[index]), expected=measures.PADDING,
                                observed=rest.tolist(), symptom="different")
        else:
            continue
        if isinstance(judgement, Violated):
            return _placed(f"row {index}", judgement)
    return HOLDS


@trainer_property(source=sources.docs("Trainer.predict"), experiments=EXPERIMENTS, needs=[FINISHED, PREDICTED], catalogue=[57, 60])
def labels_belong_to_their_samples(record: Record, scenario: Scenario) -> Judgement:
    """Row i of `label_ids` holds the labels of sample i, padded on the right with -100."""
    labels = record.results["label_ids"]
    if labels is None:
        return not_applicable("no labels")
    if isinstance(labels, tuple):
        return not_applicable("several label columns")
    rows = list(rows_of(labels))
    if len(rows) != _asked(record):
        return not_applicable("not one row a sample (another property says so)")
    dataset = zoo.build_dataset(scenario.data, "test", model=scenario.model, n=len(rows))
    name = MODELS[scenario.model.name].label_names[0]
    for index in range(len(rows)):
        expected = dataset.rows([index])[name][0].tolist()
        observed = measures.row_of_labels(record, index, len(expected) if isinstance(expected, list) else None)
        judgement = same("row of labels", expected=expected, observed=observed, symptom="another sample's")
        if isinstance(judgement, Violated):
            return _placed(f"row {index}", judgement)
    return HOLDS


@trainer_property(source=sources.docs("Trainer.predict"), experiments=EXPERIMENTS, needs=[FINISHED, PREDICTED], catalogue=[59])
def prediction_metrics_have_their_prefix(record: Record, scenario: Scenario) -> Judgement:
    """The metrics of a prediction begin with the metric key prefix that was asked for, and hold the loss where there are labels."""
    prefix = next(iter(record.results["lengths"]))
    metrics = record.results["metrics"]
    return holds_for_all("metrics", [
        is_true(
            "names of metrics", measures.metrics_begin_with(record, f"{prefix}_"), expected=f"all begin with {prefix}_",
            observed=[name for name in metrics if not name.startswith(f"{prefix}_")], symptom="without prefix",
        ),
        is_true(
            "metrics", measures.metrics_include(record, f"{prefix}_loss"), expected=f"{prefix}_loss among them", observed=sorted(metrics),
            symptom="incomplete",
        ),
    ])


@trainer_property(source=sources.docs("Trainer.evaluate"), experiments=EXPERIMENTS, needs=[FINISHED], catalogue=[61])
def evaluating_twice_gives_the_same(record: Record, scenario: Scenario) -> Judgement:
    """Two evaluations in a row give the same metrics, but for the clock and for a metric that is drawn to change."""
    once, again = (measures.timeless_metrics(record, name, list(record.ignored_metrics)) for name in ("evaluate", "evaluate_again"))
    return same("metrics of two evaluations", expected=once, observed=again)


@trainer_property(source=sources.docs("Trainer.evaluate"), experiments=EXPERIMENTS, needs=[FINISHED], catalogue=[59])
def several_data_sets_are_told_apart(record: Record, scenario: Scenario) -> Judgement:
    """Of several data sets each is evaluated by itself, its metrics named `eval_<name>_...`, and all are returned together."""
    metrics = record.results.get("several")
    if metrics is None:
        return not_applicable("one data set")
    wanted = [name for name in record.results["lengths"] if name.startswith("eval_")]
    missing = [name for name in wanted if f"{name}_loss" not in metrics or f"{name}_runtime" not in metrics]
    complete = measures.several_metrics_include(record, [f"{name}_{each}" for name in wanted for each in ("loss", "runtime")])
    lengths = {name: record.results["lengths"][name] for name in wanted}
    return holds_for_all("several data sets", [
        is_true("metrics of several data sets", complete, expected=[f"{name}_loss" for name in wanted], observed=sorted(metrics),
                symptom="incomplete", at=", ".join(missing)),
        same("samples of each data set", expected=lengths, observed=measures.samples_by_prefix(record, wanted)),
    ])


@trainer_property(source=sources.docs("Trainer.predict"), experiments=EXPERIMENTS, needs=[FINISHED], catalogue=[61])
def evaluating_and_predicting_leave_the_weights(record: Record, scenario: Scenario) -> Judgement:
    """Evaluating and predicting change no weight, bit for bit."""
    if record.updates and scenario.argument("load_best_model_at_end"):
        return not_applicable("the best model is loaded in between")
    before = record.updates[-1].weights if record.updates else record.initial_weights
    assert before is not None
    assert record.final_weights is not None
    if before.equal(record.final_weights):
        return HOLDS
    expected, observed = measures.weights_after_training(record), measures.final_weights(record)
    return _placed("", same("weights", expected=expected, observed=observed, symptom="changed"))


def is_output(row: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], scenario: Scenario) -> bool:
    """Whether a row of predictions begins with this output of the model."""
    tolerance = _tolerance(scenario)
    content = row[tuple(slice(0, size) for size in expected.shape)]
    return content.shape == expected.shape and bool(np.allclose(content, expected, rtol=tolerance, atol=tolerance))


def _asked(record: Record) -> int:
    return int(next(iter(record.results["lengths"].values())))


rows_of = measures.rows_of


def _tolerance(scenario: Scenario) -> float:
    return _TOLERANCES[scenario.model.dtype] if MODELS[scenario.model.name].architecture is None else 1e-4


def _placed(place: str, judgement: Judgement) -> Judgement:
    """The judgement of a whole, not of its first element that differs."""
    return replace(judgement, divergence=place) if isinstance(judgement, Violated) else judgement


def _widths(record: Record) -> list[int]:
    """The width of the batch that each predicted sample was in."""
    return [batch.width for batch in record.evaluations[-1].batches for _ in range(batch.size)]


def outputs_of(record: Record, scenario: Scenario, n: int) -> Iterator[np.ndarray[Any, Any]]:
    """The model's first output on each sample alone, with the weights that the run ended with."""
    model = zoo.build_model(scenario.model, scenario.data)
    assert record.final_weights is not None
    position = 0
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(record.final_weights[position : position + parameter.numel()].view_as(parameter))
            position += parameter.numel()
        model.eval()
        dataset = zoo.build_dataset(scenario.data, "test", model=scenario.model, n=n)
        accepted = MODELS[scenario.model.name]
        for index in range(n):
            inputs = {name: value for name, value in dataset.rows([index]).items() if name not in accepted.label_names}
            outputs = model(**_known(model, inputs))
            first = next(value for key, value in outputs.items() if key != "loss") if isinstance(outputs, dict) else outputs[0]
            yield first[0].numpy()


def _known(model: torch.nn.Module, inputs: dict[str, Any]) -> dict[str, Any]:
    import inspect

    names = inspect.signature(model.forward).parameters
    return {name: value for name, value in inputs.items() if name in names}
