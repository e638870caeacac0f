"""Losses: of micro-batches, as reported, divided by the items of a window, with smoothed labels."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

from trainer_props import zoo
from trainer_props.judgement import Judgement, close, holds_for_all, not_applicable, same
from trainer_props.measures import loss as measures
from trainer_props.oracles import label_smoothing as smoothing
from trainer_props.properties._gradients import same_gradients
from trainer_props.properties._prediction import Log, Updates, is_smoothed, judge_logs, logs_of_losses, loss_reduction, prediction, spans
from trainer_props.properties._vectors import exactness
from trainer_props.properties.needs import SINGLE_DEVICE, SOME_UPDATE
from trainer_props.properties.registry import trainer_property
from trainer_props.properties.sources import docs, pull_request
from trainer_props.record import MicroBatch, Record
from trainer_props.scenario import Scenario
from trainer_props.subjects import Parts

REPORTED = 1e-5
"""The tolerance for reported losses: the Trainer adds them up in float32, whatever the dtype of the model."""

LARGEST = 1e30
"""Losses beyond this size come near the end of what float32 can hold."""

SMOOTHED = 1e-6
"""The tolerance for gradients of smoothed labels, whose uniform part is summed in float32."""


@trainer_property(source=docs("Trainer.compute_loss"), needs=[SINGLE_DEVICE], tolerance=1e-12, catalogue=[39])
def micro_batch_losses_are_the_models(record: Record, scenario: Scenario) -> Judgement:
    """The loss of each micro-batch is what the model, or the loss function, makes of its samples with the weights of that moment.

    Where a loss is divided by `num_items_in_batch`, by the one that was given: whether that is right is another property's affair.
    """
    predicted = prediction(record, scenario)
    if not predicted.updates:
        return not_applicable(predicted.reason)
    divided = loss_reduction(scenario) == "sum_over_items"
    judgements = []
    for number, (update, span) in enumerate(zip(predicted.updates, predicted.spans, strict=True), 1):
        batches = record.batches[span.first : span.end]
        for index, (expected, batch) in enumerate(zip(update.losses, batches, strict=True)):
            if batch.loss is None:
                return not_applicable("the loss was not seen")
            tolerance, value = exactness(scenario), expected
            if divided and batch.items and batch.items != (items := predicted_items(scenario, batches)):
                tolerance, value = REPORTED, expected * items / batch.items
            observed = measures.loss_of_batch(record, span.first + index)
            at = f"update {number}, micro-batch {index + 1}"
            judgements.append(close("loss of a micro-batch", expected=value, observed=observed, tolerance=tolerance, at=at))
    return holds_for_all("loss of a micro-batch", judgements)


@trainer_property(source=pull_request(34191), needs=[SINGLE_DEVICE, SOME_UPDATE], tolerance=1e-5, catalogue=[35, 39])
def reported_loss_averages_updates(record: Record, scenario: Scenario) -> Judgement:
    """The `loss` of a log is the mean, over the updates since the log before, of the losses whose gradients these updates used."""
    predicted = prediction(record, scenario)

    def is_judged(log: Log) -> bool:
        losses = [update.loss for update in predicted.updates[log.before : log.step]]
        return log.before < log.step <= len(predicted.updates) and not max(losses) > LARGEST

    def judge(updates: Updates, log: Log) -> Judgement:
        losses = [update.loss for update in updates[log.before : log.step]]
        return close(
            "reported loss", expected=sum(losses) / len(losses), observed=measures.reported_loss(record, log.entry), tolerance=REPORTED,
            scale=max(1.0, *losses), at=f"log of step {log.step}",
        )

    return judge_logs("reported loss", record, scenario, list(itertools.takewhile(is_judged, logs_of_losses(record))), judge)


@trainer_property(source=pull_request(46204), needs=[SINGLE_DEVICE], catalogue=[37])
def num_items_count_labels_of_window(record: Record, scenario: Scenario) -> Judgement:
    """`num_items_in_batch` counts the labels of all micro-batches of the update that are predicted.

    Those are the labels that are not -100 and, where labels are shifted, not the first of a row.
    """
    if "labels" not in zoo.MODELS[scenario.model.name].label_names:
        return not_applicable("the labels have other names")
    # a trainer with a loss of its own need not hand the number on
    wanted = loss_reduction(scenario) == "sum_over_items" and record.loss_reduction is None
    judgements = []
    for number, span in enumerate(spans(record), 1):
        batches = record.batches[span.first : span.end]
        if any(batch.samples is None for batch in batches):
            return not_applicable("samples could not be identified")
        if wanted or any(batch.items is not None for batch in batches):
            expected = predicted_items(scenario, batches)
            judgements += [
                same(
                    "num_items_in_batch", expected=expected, observed=measures.items_of_batch(record, index),
                    at=f"update {number}, micro-batch {index - span.first + 1}",
                )
                for index in range(span.first, span.end)
            ]
    return holds_for_all("num_items_in_batch", judgements)


def predicted_items(scenario: Scenario, batches: Sequence[MicroBatch]) -> float:
    """The labels of some micro-batches that are predicted."""
    counts = _label_counts(scenario.data, scenario.model)
    return float(sum(counts[sample] for batch in batches for sample in batch.samples or ()))


@functools.lru_cache(maxsize=64)
def _label_counts(data: Any, model: Any) -> list[int]:
    """Of each training sample, the labels that are predicted."""
    kind = zoo.MODELS[model.name]
    if not kind.token_labels:
        return [1] * data.n
    dataset = Parts(Scenario(data=data, model=model)).train_dataset()
    return [smoothing.count_items(dataset.rows([sample])["labels"], shift=kind.labels_shifted) for sample in range(data.n)]


@trainer_property(source=docs("TrainingArguments.label_smoothing_factor"), needs=[SINGLE_DEVICE], tolerance=SMOOTHED, catalogue=[40])
def label_smoothing(record: Record, scenario: Scenario) -> Judgement:
    """With `label_smoothing_factor` the label keeps 1 - factor of the target, and the factor is spread evenly over all classes.

    The gradient is that of (1 - factor) times the cross entropy plus factor times its mean over all classes; ignored labels (-100) count in
    neither part.
    """
    if not is_smoothed(scenario):
        return not_applicable("labels are not smoothed")
    return same_gradients(record, scenario, max(SMOOTHED, exactness(scenario)))
