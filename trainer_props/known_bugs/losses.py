"""Known bugs of losses: how they are scaled under gradient accumulation, counted and logged."""

from __future__ import annotations

import math
import re

from trainer_props import zoo
from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs._pairs import in_each_run
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.oracles import accounting
from trainer_props.properties._gradients import explained_by
from trainer_props.properties._prediction import items_of_window, prediction, spans
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

    A loss that forward is taken to have divided by the items of its window is not divided by the micro-batches again, whether or not it
    was; a loss that is not finite is replaced by what the sum has so far, over one more than the updates since the last log.
    """
    divided = (
        MODELS[scenario.model.name].swallows_num_items
        or MODELS[scenario.model.name].loss_reduction == "sum_over_items"
        or scenario.components.loss != "model"
    )
    due = {entry["step"] for entry in record.log_history if "loss" in entry}  # when to log is a question of its own
    logs, everything, running, last = [], 0.0, 0.0, 0
    for step, span in enumerate(spans(record), 1):  # as they were: a callback may have ended an epoch before its short window
        for batch in record.batches[span.first : span.end]:
            share = math.nan if batch.loss is None else batch.loss / (1 if divided else span.end - span.first)
            if math.isfinite(share) or not scenario.argument("logging_nan_inf_filter"):
                running += share
            else:
                running += running / (step - last)
        if step in due:
            logs.append(running / (step - last))
            everything, running, last = everything + running, running - running, step
    return logs, (everything + running) / max(1, len(record.updates))


def _logs_as_upstream(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    predicted, _ = upstream_logs(record, scenario)
    observed = [entry["loss"] for entry in record.log_history if "loss" in entry]
    return len(observed) == len(predicted) and all(_close(left, right) for left, right in zip(predicted, observed, strict=True))


def _inflated(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    _, training_loss = upstream_logs(record, scenario)
    if judgement.quantity == "training_loss":
        return record.training_loss is not None and _close(training_loss, record.training_loss)
    return _logs_as_upstream(judgement, record, scenario)


def _close(left: float, right: float) -> bool:
    return (math.isnan(left) and math.isnan(right)) or math.isclose(left, right, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def _times_accumulation(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """Every gradient is as many times too large as its window has micro-batches; reported losses likewise."""
    if judgement.quantity in ("logged loss", "training_loss", "reported loss"):
        return _inflated(judgement, record, scenario)
    return explained_by(record, scenario, [float(span.end - span.first) for span in spans(record)])


def _nameless_loss(scenario: Scenario) -> bool:
    """A causal language model whose class is not named ...ForCausalLM: transformers goes by the name, and does not know that labels are
    shifted.
    """
    kind = MODELS[scenario.model.name]
    return kind.labels_shifted and kind.loss_reduction == "sum_over_items" and "ForCausalLM" not in zoo.class_name(kind.name)


def _unshifted_share(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """The number of items is that of all labels, the first of each row included; losses and gradients are smaller by that share."""
    rows = zoo.build_dataset(scenario.data, "train", model=scenario.model).rows
    factors = []
    for span in spans(record):
        batches = [rows(list(batch.samples or ())) for batch in record.batches[span.first : span.end]]
        every = sum(int((batch["labels"] != -100).sum()) for batch in batches)
        predicted = items_of_window(scenario, batches)
        seen = {batch.items for batch in record.batches[span.first : span.end]} - {None}
        if seen not in ({float(every)}, set()):
            return False
        factors.append(predicted / every)
    if judgement.quantity == "num_items_in_batch":
        return True
    if judgement.quantity in ("loss of a micro-batch", "reported loss"):
        return _smaller_losses(judgement, record, scenario, factors)
    return explained_by(record, scenario, factors)


def _smaller_losses(judgement: Violated, record: Record, scenario: Scenario, factors: list[float]) -> bool:
    """The loss that differs is the predicted one times the share of its update."""
    updates = prediction(record, scenario).updates
    place = [int(number) for number in re.findall(r"\d+", judgement.divergence)]
    if judgement.quantity == "loss of a micro-batch":
        return _close(judgement.expected * factors[place[0] - 1], judgement.observed)
    logged = sorted({0} | {int(entry["step"]) for entry in record.log_history if "loss" in entry})
    first = max(step for step in logged if step < place[0])
    losses = [update.loss * factor for update, factor in zip(updates[first : place[0]], factors[first : place[0]], strict=True)]
    return _close(sum(losses) / len(losses), judgement.observed)


known_bug(
    KnownBug(
        id="accumulation-inflates-loss",
        verdict="bug",
        sentence=(
            "The loss and gradient of every head whose forward takes **kwargs and ignores num_items_in_batch (most classifiers, masked "
            "language models, encoder-decoders) are gradient_accumulation_steps times too large."
        ),
        link="https://github.com/huggingface/transformers/issues/47688",
        versions=">=5.0",
        properties=(
            "logs.logged_loss_is_the_mean_since_the_last_log",
            "logs.train_loss_is_the_mean_of_all_updates",
            "loss.reported_loss_averages_updates",
            "flags.logged_losses_are_of_updates",
            "flags.train_loss_is_of_updates",
            "optimization.gradient_averages_own_micro_batches",
            "optimization.logged_grad_norm_is_before_clipping",
            "optimization.weights_match_reference",
            "optimization.applied_gradient_is_clipped",
            "regroup.gradients_are_the_same",
            "regroup.weights_are_the_same",
            "regroup.logged_losses_are_the_same",
            "regroup.gradient_norms_are_the_same",
            "regroup.identical_samples_give_identical_gradients",
        ),
        region=swallows,
        symptom=in_each_run(_times_accumulation),
        example=Case(
            scenario=Scenario(
                arguments={"gradient_accumulation_steps": 2, "per_device_train_batch_size": 1, "max_steps": 1, "logging_steps": 1},
                data=Data(n=2),
                model=Model(name="regression_kwargs_unaware"),
            ),
        ),
    )
)

known_bug(
    KnownBug(
        id="causal-lm-counts-first-label",
        verdict="bug",
        sentence=(
            "For a causal language model whose class is not named ...ForCausalLM (GPT2LMHeadModel) num_items_in_batch counts the first "
            "label of each row, which is never predicted: loss and gradient are too small."
        ),
        link="https://github.com/huggingface/transformers/pull/46204",
        versions=">=5.0",
        properties=(
            "loss.num_items_count_labels_of_window",
            "loss.micro_batch_losses_are_the_models",
            "loss.reported_loss_averages_updates",
            "loss.label_smoothing",
            "optimization.gradient_averages_own_micro_batches",
            "optimization.logged_grad_norm_is_before_clipping",
            "optimization.weights_match_reference",
            "optimization.applied_gradient_is_clipped",
        ),
        region=_nameless_loss,
        symptom=_unshifted_share,
        example=Case(
            experiment="train_hub_models",
            scenario=Scenario(
                arguments={"per_device_train_batch_size": 1, "max_steps": 1}, data=Data(kind="tokens", n=1), model=Model(name="gpt2")
            ),
        ),
    )
)

known_bug(
    KnownBug(
        id="nan-stays-in-the-log",
        verdict="bug",
        sentence=(
            "Without logging_nan_inf_filter one NaN or infinite loss makes every later logged loss NaN: the running sum is reset by "
            "subtracting it from itself."
        ),
        link="https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments.logging_nan_inf_filter",
        versions=">=4.46",
        properties=(
            "logs.logged_loss_is_the_mean_since_the_last_log",
            "logs.train_loss_is_the_mean_of_all_updates",
            "loss.reported_loss_averages_updates",
        ),
        region=lambda scenario: bool(scenario.components.poisoned) and not scenario.argument("logging_nan_inf_filter"),
        symptom=_inflated,
        example=Case(
            scenario=Scenario(
                arguments={"per_device_train_batch_size": 1, "max_steps": 2, "logging_steps": 1, "logging_nan_inf_filter": False},
                data=Data(n=2),
                components=Components(poisoned=((0, math.nan),)),
            ),
        ),
    )
)

known_bug(
    KnownBug(
        id="nan-filter-wrong-average",
        verdict="bug",
        sentence=(
            "logging_nan_inf_filter replaces a NaN loss by the sum so far over one update too many: losses 1.0 and NaN are logged as "
            "0.75."
        ),
        link="https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments.logging_nan_inf_filter",
        versions=">=4.46",
        properties=("logs.filtered_loss_is_the_mean_of_the_finite_ones",),
        region=_filters,
        symptom=_logs_as_upstream,
        example=Case(
            scenario=Scenario(
                arguments={"per_device_train_batch_size": 1, "max_steps": 2, "logging_steps": 2},
                data=Data(n=2),
                components=Components(poisoned=((1, math.nan),)),
            ),
        ),
    )
)

known_bug(
    KnownBug(
        id="nan-filter-logs-zero",
        verdict="bug",
        sentence=(
            "Where logging_nan_inf_filter has left no loss since the last log, as with logging_steps=1, the logged loss is 0: a step that "
            "diverges looks perfect."
        ),
        link="https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments.logging_nan_inf_filter",
        versions=">=4.46",
        properties=("logs.a_log_without_a_finite_loss_makes_none_up",),
        region=_filters,
        symptom=lambda judgement, record, scenario: bool(judgement.observed == 0.0),
        example=Case(
            scenario=Scenario(
                arguments={"per_device_train_batch_size": 1, "max_steps": 2, "logging_steps": 1},
                data=Data(n=2),
                components=Components(poisoned=((0, math.nan),)),
            ),
        ),
    )
)
