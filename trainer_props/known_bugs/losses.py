"""Known bugs of losses: how they are scaled under gradient accumulation, counted and logged."""

from __future__ import annotations

import math

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.oracles import accounting, plans
from trainer_props.record import Record
from trainer_props.scenario import Components, Data, Model, Scenario
from trainer_props.zoo import MODELS

_TOLERANCE = 1e-4


def swallows(scenario: Scenario) -> bool:
    """The model takes `num_items_in_batch` by its **kwargs and ignores it, and some window holds several micro-batches."""
    ignored = MODELS[scenario.model.name].swallows_num_items and scenario.components.loss == "model"
    return ignored and min(int(scenario.argument("gradient_accumulation_steps")), accounting.batches_per_epoch(scenario)) > 1


def _filters(scenario: Scenario) -> bool:
    return bool(scenario.components.poisoned) and bool(scenario.argument("logging_nan_inf_filter"))


def upstream_logs(record: Record, scenario: Scenario) -> tuple[list[float], float]:
    """The logged losses and the training loss as 5.23.0 adds them up from the losses of the micro-batches.

    A loss that forward is taken to have divided by the items of its window is not divided by the micro-batches again, whether or not it was; a
    loss that is not finite is replaced by what the sum has so far, over one more than the updates since the last log.
    """
    divided = MODELS[scenario.model.name].swallows_num_items or MODELS[scenario.model.name].loss_reduction == "sum_over_items" or scenario.components.loss != "model"
    total = accounting.total_updates(scenario)
    due = set(plans.log_steps(scenario, total))
    logs, everything, running, last, position = [], 0.0, 0.0, 0, 0
    windows = accounting.windows(scenario, len(record.updates))
    for step, window in enumerate(windows, 1):
        for batch in record.batches[position : position + window.batches]:
            share = math.nan if batch.loss is None else batch.loss / (1 if divided else window.batches)
            if math.isfinite(share) or not scenario.argument("logging_nan_inf_filter"):
                running += share
            else:
                running += running / (step - last)
        position += window.batches
        if step in due:
            logs.append(running / (step - last))
            everything, running, last = everything + running, 0.0, step
    return logs, (everything + running) / max(1, len(windows))


def _logs_as_upstream(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    predicted, _ = upstream_logs(record, scenario)
    observed = [entry["loss"] for entry in record.log_history if "loss" in entry]
    return len(observed) == len(predicted) and all(_close(left, right) for left, right in zip(predicted, observed, strict=True))


def _inflated(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    logs, training_loss = upstream_logs(record, scenario)
    if judgement.quantity == "training_loss":
        return record.training_loss is not None and _close(training_loss, record.training_loss)
    return _logs_as_upstream(judgement, record, scenario)


def _close(left: float, right: float) -> bool:
    return (math.isnan(left) and math.isnan(right)) or math.isclose(left, right, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


known_bug(KnownBug(
    id="accumulation-inflates-loss",
    verdict="bug",
    sentence="The loss and gradient of every head whose forward takes **kwargs and ignores num_items_in_batch (most classifiers, masked language models, encoder-decoders) are gradient_accumulation_steps times too large.",
    link="https://github.com/huggingface/transformers/issues/47688",
    versions=">=5.0",
    properties=("logs.logged_loss_is_the_mean_since_the_last_log", "logs.train_loss_is_the_mean_of_all_updates", "loss.reported_loss_averages_updates"),
    region=swallows,
    symptom=_inflated,
    example=Case(
        scenario=Scenario(
            arguments={"gradient_accumulation_steps": 2, "per_device_train_batch_size": 1, "max_steps": 1, "logging_steps": 1}, data=Data(n=2),
            model=Model(name="regression_kwargs_unaware"),
        ),
    ),
))

known_bug(KnownBug(
    id="nan-filter-wrong-average",
    verdict="bug",
    sentence="logging_nan_inf_filter replaces a NaN loss by the sum so far over one update too many: losses 1.0 and NaN are logged as 0.75.",
    link="https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments.logging_nan_inf_filter",
    versions=">=4.46",
    properties=("logs.filtered_loss_is_the_mean_of_the_finite_ones",),
    region=_filters,
    symptom=_logs_as_upstream,
    example=Case(
        scenario=Scenario(
            arguments={"per_device_train_batch_size": 1, "max_steps": 2, "logging_steps": 2}, data=Data(n=2), components=Components(poisoned=((1, math.nan),))
        ),
    ),
))
