"""Reduced precision: where a model computes in it, and where not."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from trainer_props import zoo
from trainer_props.judgement import Judgement, close, holds_for_all, not_applicable, same
from trainer_props.measures import precision as measures
from trainer_props.properties import sources
from trainer_props.properties._prediction import has_own_model, is_smoothed, items_of_window, loss_reduction, spans
from trainer_props.properties.needs import FINISHED, Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario
from trainer_props.zoo import MODELS

EXPERIMENTS: Final = ("reduce_precision",)
TRAINING: Final = ("training", "evaluation during training")
AFTER: Final = ("evaluation",)
EVERYWHERE: Final = (*TRAINING, *AFTER)
AS_IT_IS: Final = "as it is"
CLOSE: Final = 1e-6
"""The same operations on the same numbers in the same process give the same; this is room for another order of sums in float32."""

LAYERED: Final = Need(
    "layered", "the model has no layer in which casts could be seen",
    lambda record, scenario: any(call["inside"] for call in record.results["calls"]),
)  # fmt: skip
OWN_LOSS: Final = Need(
    "models_loss", "the loss is another than the model's",
    lambda record, scenario: (
        scenario.components.loss == "model" and not is_smoothed(scenario) and record.loss_reduction is None
        and not has_own_model(record, scenario)
    ),
)  # fmt: skip


def mixed(scenario: Scenario) -> str:
    """What layers cast to where the arguments ask for mixed precision; else that they leave it."""
    return "torch.bfloat16" if scenario.argument("bf16") else "torch.float16" if scenario.argument("fp16") else AS_IT_IS


def full(scenario: Scenario) -> str:
    """The type of weights in evaluations outside training."""
    half = "torch.bfloat16" if scenario.argument("bf16_full_eval") else "torch.float16" if scenario.argument("fp16_full_eval") else None
    return half or f"torch.{scenario.model.dtype}"


@trainer_property(source=sources.docs("TrainingArguments.bf16"), experiments=EXPERIMENTS, needs=[FINISHED, LAYERED], catalogue=[45])
def layers_compute_in_mixed_precision(record: Record, scenario: Scenario) -> Judgement:
    """With `bf16` layers run under autocast to bfloat16, with `fp16` to float16, in training and in every evaluation; without, never."""
    return holds_for_all("what layers cast to", [
        same("what layers cast to", expected=[mixed(scenario)], observed=observed, symptom="another type", at=when)
        for when in EVERYWHERE
        if (observed := measures.types_inside(record, [when])).value
    ])  # fmt: skip


@trainer_property(source=sources.docs("TrainingArguments.bf16_full_eval"), experiments=EXPERIMENTS, needs=[FINISHED], catalogue=[45])
def weights_are_in_half_precision_in_evaluation_alone(record: Record, scenario: Scenario) -> Judgement:
    """With `bf16_full_eval` or `fp16_full_eval` the weights are in that type whenever the model is evaluated outside training; in training,
    its evaluations among it, and without these arguments, they keep their own.
    """
    own = f"torch.{scenario.model.dtype}"
    return holds_for_all("type of weights", [
        same("type of weights", expected=[full(scenario) if when in AFTER else own], observed=observed, symptom="another type", at=when)
        for when in EVERYWHERE
        if (observed := measures.types_of_weights(record, [when])).value
    ])  # fmt: skip


@trainer_property(source=sources.AUTOCAST_OUTPUTS, experiments=EXPERIMENTS, needs=[FINISHED], catalogue=[45])
def outputs_come_in_full_precision(record: Record, scenario: Scenario) -> Judgement:
    """What a model returns is not in half precision, unless its weights are: mixed precision ends with its forward pass."""
    whole = EVERYWHERE if full(scenario) == f"torch.{scenario.model.dtype}" or mixed(scenario) != AS_IT_IS else TRAINING
    observed = measures.half_precision_outputs(record, list(whole))
    return same("types of outputs in half precision", expected=[], observed=observed, symptom="half precision")


@trainer_property(
    source=sources.docs("TrainingArguments.bf16"), experiments=EXPERIMENTS, needs=[FINISHED, OWN_LOSS], tolerance=CLOSE, catalogue=[39, 45]
)
def losses_are_those_of_the_precision(record: Record, scenario: Scenario) -> Judgement:
    """The loss of each batch, in training and in evaluation, is the one that the model has on these samples in the precision asked for."""
    if any(batch.samples is None for batch in (*record.batches, *(batch for each in record.evaluations for batch in each.batches))):
        return not_applicable("samples could not be identified")
    return holds_for_all("loss of a batch", [*_training(record, scenario), *_evaluations(record, scenario)])


def _training(record: Record, scenario: Scenario) -> Iterator[Judgement]:
    divided = loss_reduction(scenario) == "sum_over_items"
    rows = _rows(scenario, "train")
    for number, span in enumerate(spans(record), 1):
        weights = record.initial_weights if number == 1 else record.updates[number - 2].weights
        batches = record.batches[span.first : span.end]
        inputs = [rows(batch.samples or ()) for batch in batches]
        items = _items(scenario, inputs) if divided else None
        for index, given in zip(range(span.first, span.end), inputs, strict=True):
            expected = _loss(scenario, weights, scenario.model.dtype, given, items, training=True)
            observed = measures.training_loss_of_batch(record, index)
            yield close("loss of a micro-batch", expected=expected, observed=observed, tolerance=CLOSE, at=f"update {number}",
                        scale=max(1.0, abs(expected)))  # fmt: skip


def _evaluations(record: Record, scenario: Scenario) -> Iterator[Judgement]:
    divided = loss_reduction(scenario) == "sum_over_items"
    rows = _rows(scenario, "eval")
    outside = len(record.evaluations) - 2
    for number, evaluation in enumerate(record.evaluations):
        kind = full(scenario).removeprefix("torch.") if number >= outside else scenario.model.dtype
        for index, batch in enumerate(evaluation.batches):
            given = rows(batch.samples or ())
            items = _items(scenario, [given]) if divided else None
            expected = _loss(scenario, evaluation.weights, kind, given, items, training=False)
            observed = measures.evaluation_loss_of_batch(record, number, index)
            yield close("loss of an evaluation batch", expected=expected, observed=observed, tolerance=CLOSE,
                        at=f"evaluation {number}, batch {index}", scale=max(1.0, abs(expected)))  # fmt: skip


def _items(scenario: Scenario, inputs: list[dict[str, Tensor]]) -> int:
    """The labels that count: what `num_items_in_batch` is."""
    return items_of_window(scenario, inputs) if MODELS[scenario.model.name].token_labels else sum(len(each["labels"]) for each in inputs)


def _rows(scenario: Scenario, split: str) -> Any:
    return zoo.build_dataset(scenario.data, split, model=scenario.model).rows


def _loss(
    scenario: Scenario, weights: Any, kind: str, inputs: Mapping[str, Tensor], items: int | None, *, training: bool
) -> float:
    """The loss of a batch in the precision asked for."""
    module = _module(scenario.model.replace(frozen=()), scenario.data, kind)
    with torch.no_grad():
        nn.utils.vector_to_parameters(weights.to(getattr(torch, kind)), module.parameters())
        module.train(training)
        extra = {} if items is None else {"num_items_in_batch": torch.tensor(items)}
        cast = mixed(scenario).removeprefix("torch.")
        enabled = cast != AS_IT_IS
        with torch.autocast("cpu", dtype=getattr(torch, cast) if enabled else None, enabled=enabled):
            outputs = module(**inputs, **extra)
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs[0]
        return float(loss.float() if loss.dtype in (torch.bfloat16, torch.float16) else loss)


@functools.lru_cache(maxsize=8)
def _module(model: Any, data: Any, kind: str) -> nn.Module:
    # Its weights are set before each use.
    return zoo.build_model(model, data).to(getattr(torch, kind))

