"""Known bugs of evaluations that are put together from batches."""

from __future__ import annotations

import math
from typing import Any

import torch

from trainer_props import zoo
from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.oracles import accounting
from trainer_props.record import Record, Runs
from trainer_props.scenario import Data, Model, Scenario
from trainer_props.zoo import MODELS

_HALF = {"bf16_full_eval": torch.bfloat16, "fp16_full_eval": torch.float16}


def _in_half_precision(scenario: Scenario) -> bool:
    return any(scenario.argument(name) for name in _HALF)


def _cast(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """The weights of each run are left in half precision, rounded, and nothing else has become of them."""
    half = next(kind for name, kind in _HALF.items() if scenario.argument(name))
    weights = [(record.initial_weights, record.final_weights) for record in runs.values()]
    return all(
        before is not None and after is not None and after.dtype == half and torch.equal(before.to(half), after)
        for before, after in weights
    )  # fmt: skip


known_bug(
    KnownBug(
        id="half-precision-evaluation-casts-the-model",
        verdict="bug",
        sentence=(
            "fp16_full_eval and bf16_full_eval, which are to apply during evaluation only, cast the model itself: after evaluate() or "
            "predict() its weights stay rounded, in half precision."
        ),
        link="https://github.com/huggingface/transformers/pull/10268",
        versions=">=4.46",
        properties=("evaluation_batches.weights_and_their_type_stay",),
        region=_in_half_precision,
        symptom=_cast,
        example=Case(experiment="evaluate_in_batches", scenario=Scenario(arguments={"bf16_full_eval": True}, data=Data(n=1, n_eval=1))),
    )
)


def _asks_for_inputs(scenario: Scenario) -> bool:
    return "inputs" in scenario.argument("include_for_metrics")


def _all_inputs(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """A run with metrics batch by batch was given all inputs, as a mapping."""
    settings = runs[judgement.divergence.partition(",")[0]].results["settings"]
    return bool(settings["batch_eval_metrics"]) and str(judgement.observed).startswith("a mapping of ")


known_bug(
    KnownBug(
        id="batch-metrics-get-all-inputs",
        verdict="bug",
        sentence=(
            "With include_for_metrics=['inputs'] compute_metrics is given the main input as an array, but with batch_eval_metrics a "
            "mapping of all inputs."
        ),
        link="https://github.com/huggingface/transformers/issues/37683",
        versions=">=4.46",
        properties=("evaluation_batches.metrics_get_what_they_ask_for",),
        region=_asks_for_inputs,
        symptom=_all_inputs,
        example=Case(
            experiment="evaluate_in_batches",
            scenario=Scenario(arguments={"batch_eval_metrics": True, "include_for_metrics": ["inputs"]}, data=Data(n=1, n_eval=1)),
        ),
    )
)


def _gathers_several_columns(scenario: Scenario) -> bool:
    return bool(scenario.argument("eval_use_gather_object")) and len(MODELS[scenario.model.name].label_names) > 1


def _columns_are_cut(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """Of the last batch, if it is short, only as many columns of labels are kept as it has rows; so of all that is put together with it."""
    names = MODELS[scenario.model.name].label_names
    dataset = zoo.build_dataset(scenario.data, "eval", model=scenario.model)
    labels = dataset.rows(range(scenario.data.n_eval))
    asked = [record for record in runs.values() if "eval_labels" in record.results["evaluate"]]  # the others for the loss alone
    return bool(asked) and all(
        math.isclose(record.results["evaluate"]["eval_labels"], _sum_of_labels([labels[name] for name in names], record, scenario))
        for record in asked
    )


def _sum_of_labels(columns: list[Any], record: Record, scenario: Scenario) -> float:
    settings, n = record.results["settings"], scenario.data.n_eval
    size = int(settings["per_device_eval_batch_size"])
    last = n % size
    if scenario.data.kind in accounting.STREAMS:  # any last batch of theirs is cut as if it were short
        last = last or size
    apart = settings["batch_eval_metrics"] or not settings["eval_do_concat_batches"]
    whole = n if last == 0 or last >= len(columns) else n - last if apart else 0
    return float(sum((column if number < (last or n) else column[:whole]).sum() for number, column in enumerate(columns)))


known_bug(
    KnownBug(
        id="gather-object-cuts-columns",
        verdict="bug",
        sentence=(
            "With eval_use_gather_object the first evaluation of a Trainer cuts several columns of outputs or labels as if they were rows: "
            "of a short last batch, and of all that is put together with it, only as many columns are kept as it has rows."
        ),
        link="https://github.com/huggingface/transformers/pull/43395",
        versions=">=4.46",
        properties=("evaluation_batches.predicting_says_what_evaluating_says", "evaluation_batches.sums_do_not_depend_on_batches"),
        region=_gathers_several_columns,
        symptom=_columns_are_cut,
        example=Case(
            experiment="evaluate_in_batches",
            scenario=Scenario(
                arguments={"eval_use_gather_object": True},
                data=Data(kind="two_labels", n=1, n_eval=1),
                model=Model(name="regression_double"),
            ),
        ),
    )
)
