"""Optimization: gradients and their clipping, the optimizer's rule, weight decay, frozen parameters, learning rates."""

from __future__ import annotations

import itertools
from typing import Final

import torch
from torch import Tensor

from trainer_props.judgement import HOLDS, Judgement, Violated, close, holds_for_all, is_true, not_applicable, same
from trainer_props.oracles import optimizers, reference, schedules
from trainer_props.oracles.accounting import total_updates
from trainer_props.oracles.adaptive_schedules import NAMES as METRIC_DRIVEN
from trainer_props.oracles.best_model import greater_is_better
from trainer_props.oracles.clipping import EPSILON
from trainer_props.oracles.weight_decay import is_decayed
from trainer_props.properties._gradients import gradients, same_gradients
from trainer_props.properties._prediction import (
    elements,
    is_smoothed,
    metrics_of_schedule,
    predicted_learning_rates,
    prediction,
    rule_of,
)
from trainer_props.properties._vectors import close_rows, exactness, exactness_of, flat_rows
from trainer_props.properties.needs import SINGLE_DEVICE, SOME_UPDATE
from trainer_props.properties.registry import trainer_property
from trainer_props.properties.sources import docs, torch_docs
from trainer_props.record import Record
from trainer_props.scenario import Scenario

ADAPTIVE: Final = 1e-8
"""The tolerance for weights that an adaptive optimizer made of predicted gradients: where a gradient is next to nothing, dividing by its
size makes a visible step of its rounding."""

BLOG: Final = "https://huggingface.co/blog/gradient_accumulation"
"""What an update is to average over."""
_NOISE: Final = 1e-11
"""Below this a gradient may be the rounding of one that is zero."""
FROM_ZERO: Final = ("linear", "cosine", "cosine_with_restarts", "polynomial", "constant_with_warmup", "inverse_sqrt", "cosine_with_min_lr")
"""The schedules whose warmup rises from 0 to the learning rate."""


@trainer_property(source=BLOG, needs=[SINGLE_DEVICE], tolerance=1e-12, catalogue=[35, 36, 39])
def gradient_averages_own_micro_batches(record: Record, scenario: Scenario) -> Judgement:
    """The gradient of an update is that of the mean loss over its own micro-batches, however few, and of nothing before them.

    Where clipping acts, only the direction is compared: its length is another property's affair. A model or loss function that divides by
    `num_items_in_batch` averages over the labels of all micro-batches of the update, any other over the micro-batches.
    """
    if is_smoothed(scenario):
        return not_applicable("labels are smoothed: loss.label_smoothing judges these")
    return same_gradients(record, scenario, exactness(scenario))


@trainer_property(source=docs("TrainingArguments.max_grad_norm"), needs=[SINGLE_DEVICE], tolerance=1e-6, catalogue=[29, 30])
def applied_gradient_is_clipped(record: Record, scenario: Scenario) -> Judgement:
    """No optimizer step uses a gradient whose norm exceeds `max_grad_norm`; a longer one is scaled down to it, and no further."""
    maximum = float(scenario.argument("max_grad_norm") or 0.0)
    if maximum <= 0:
        return not_applicable("clipping is off")
    gradients = [update.gradient for update in record.updates if update.gradient is not None]
    norms: list[float] = torch.stack(gradients).norm(dim=1).tolist() if gradients else []
    predicted = prediction(record, scenario).updates

    def judge(index: int, norm: float) -> Judgement:
        at = f"update {index + 1}"
        if norm > maximum * (1 + 1e-5):
            return is_true("norm of the applied gradient", False, expected=f"<= {maximum}", observed=norm, symptom="too large", at=at)
        before = predicted[index].gradient_norm if index < len(predicted) else 0.0
        if before <= maximum:
            return HOLDS
        # How far below the maximum clipping ends (EPSILON) depends on the norm before it, which is not judged here.
        slack = 1e-5 + 2 * EPSILON / maximum
        return close("norm of the applied gradient", expected=maximum, observed=norm, tolerance=slack, scale=maximum, at=at)

    finite = [(index, norm) for index, norm in enumerate(norms) if norm < float("inf")]
    return holds_for_all("norm of the applied gradient", (judge(index, norm) for index, norm in finite))


@trainer_property(source=docs("TrainingArguments.max_grad_norm"), needs=[SINGLE_DEVICE], tolerance=1e-12, catalogue=[29])
def logged_grad_norm_is_before_clipping(record: Record, scenario: Scenario) -> Judgement:
    """The logged `grad_norm` is the total norm of the last update's gradient before clipping, whether or not clipping is on."""
    predicted = prediction(record, scenario)
    entries = [entry for entry in record.log_history if "loss" in entry and 0 < entry["step"] <= len(predicted.updates)]
    tolerance = 1e-5 if is_smoothed(scenario) else exactness(scenario)
    if not entries:
        return not_applicable(predicted.reason if not predicted.updates else "no loss was logged")
    return holds_for_all("grad_norm", (
        close("grad_norm", expected=predicted.updates[entry["step"] - 1].gradient_norm, observed=entry.get("grad_norm"),
              tolerance=tolerance, at=f"log of step {entry['step']}")
        for entry in entries
    ))


@trainer_property(source=docs("TrainingArguments.optim"), tolerance=1e-12, catalogue=[42])
def optimizer_follows_its_rule(record: Record, scenario: Scenario) -> Judgement:
    """From the gradients, learning rates and weight decay it was given, the optimizer makes the weights that torch documents.

    Nothing but the optimizer changes the weights between one update and the next.
    """
    try:
        rule = rule_of(scenario)
    except optimizers.NoClosedForm as why:
        return not_applicable(str(why))
    parameters = record.parameters
    updates = record.updates
    if record.initial_weights is None or not updates or any(update.gradient is None for update in updates):
        return not_applicable("no update, or one without a gradient")
    tolerance = exactness_of(record.initial_weights)  # of the model that was trained: a factory may bring its own
    # Where decay and gradient nearly cancel, their rounding is all that is left, and an adaptive optimizer divides it by its own size.
    enlarged = scenario.argument("optim") != "sgd" and record.initial_weights.dtype != torch.float64
    if tolerance is None or enlarged:
        return not_applicable("the model is in neither float64 nor float32, or in float32 and its optimizer enlarges rounding")
    if any(len(set(update.learning_rates)) != 1 for update in updates):
        return not_applicable("the learning rate differs among parameters")
    gradients = torch.stack([update.gradient for update in updates if update.gradient is not None])
    after = torch.stack([update.weights for update in updates])
    before = torch.cat([record.initial_weights.unsqueeze(0), after[:-1]])
    judged = _used_parameters(record, gradients)
    limit = _sane_rows(before, gradients)
    if not limit or not any(judged):
        return not_applicable("no parameter that was used in every update, with finite weights")
    rates = [update.learning_rates[0] for update in updates[:limit]]
    decay = [each.weight_decay or None for each in parameters]
    if gradients.shape[1] == len(parameters):
        rows = [[part if use else None for part, use in zip(row, judged, strict=True)] for row in gradients[:limit].tolist()]
        made = reference.apply(rows, before[:limit].tolist(), reference.Plan(rule, rates, 0.0, decay))
        expected = torch.tensor(made, dtype=torch.float64)
    else:
        chosen = elements(judged, parameters, gradients).bool()
        plan = reference.Plan(rule, rates, 0.0, [elements(decay, parameters, gradients)[chosen]])
        made = reference.apply([[row[chosen]] for row in gradients[:limit]], [[row[chosen]] for row in before[:limit]], plan)
        expected = flat_rows(made, chosen, after[0])
    # What was not used says nothing.
    observed = after[:limit]
    if not all(judged):
        kept = elements(judged, parameters, gradients).bool()
        expected, observed = expected[:, kept], observed[:, kept]
        parameters = [each for each, use in zip(parameters, judged, strict=True) if use]
    return close_rows("weights", expected=expected, observed=observed, tolerance=tolerance, parameters=parameters)


def _used_parameters(record: Record, gradients: Tensor) -> list[bool]:
    """Which parameters are in one group and had a gradient in every update: torch leaves out one that has none, and zeros look the same."""
    used, start = [], 0
    for parameter in record.parameters:
        block = gradients[:, start : start + parameter.size]
        used.append(len(parameter.groups) == 1 and bool(block.any(1).all()))
        start += parameter.size
    return used


def _sane_rows(before: Tensor, gradients: Tensor) -> int:
    """How many updates begin with weights and gradients whose squares can be computed."""
    largest = torch.maximum(before.abs().amax(1), gradients.abs().amax(1))
    wild = ~(largest < (1e100 if before.dtype == torch.float64 else 1e15))
    return int(wild.int().argmax()) if bool(wild.any()) else len(before)


@trainer_property(source=docs("Trainer"), needs=[SOME_UPDATE, SINGLE_DEVICE], tolerance=1e-12, catalogue=[20, 30])
def weights_match_reference(record: Record, scenario: Scenario) -> Judgement:
    """From first to last the weights are those of a plain loop with the same learning rates: mean gradient, clipping, weight decay,
    optimizer.
    """
    predicted = prediction(record, scenario)
    if not predicted.updates or predicted.trainable is None or record.initial_weights is None:
        return not_applicable(predicted.reason)
    if predicted.chain_reason:
        return not_applicable(predicted.chain_reason)
    adaptive = scenario.argument("optim") != "sgd"
    if adaptive and scenario.model.dtype == "float32":
        return not_applicable("an adaptive optimizer enlarges the rounding of float32")
    seen = gradients(record, predicted)
    if adaptive and seen is not None and bool(((seen[0] != 0) & (seen[0].abs() < _NOISE)).any()):
        return not_applicable("an adaptive optimizer makes steps of the rounding of a gradient that is nearly zero")
    expected = flat_rows([update.weights for update in predicted.updates], predicted.trainable, record.initial_weights)
    observed = torch.stack([update.weights for update in record.updates[: len(expected)]])
    tolerance = ADAPTIVE if adaptive else exactness(scenario)
    return close_rows("weights", expected=expected, observed=observed, tolerance=tolerance, parameters=record.parameters)


@trainer_property(source=docs("TrainingArguments.weight_decay"), catalogue=[31])
def decay_groups(record: Record, scenario: Scenario) -> Judgement:
    """Every trainable parameter is in exactly one parameter group, and decayed unless it is a bias or belongs to a normalisation layer."""
    if not any(parameter.groups for parameter in record.parameters):
        return not_applicable("no optimizer of torch was seen")
    coefficient = float(scenario.argument("weight_decay"))
    trainable = [parameter for parameter in record.parameters if parameter.trainable]
    return holds_for_all("parameter groups", [
        judgement
        for parameter in trainable
        for judgement in (
            same("number of parameter groups", expected=1, observed=len(parameter.groups), at=parameter.name),
            same("weight decay", expected=coefficient if is_decayed(parameter.name, parameter.layer) else 0.0,
                 observed=parameter.weight_decay, at=parameter.name),
        )
    ])


@trainer_property(source=docs("Trainer.create_optimizer"), catalogue=[31, 32])
def frozen_parameters_stay(record: Record, scenario: Scenario) -> Judgement:
    """A parameter with `requires_grad=False` is in no parameter group and keeps its value bit by bit."""
    frozen = [parameter for parameter in record.parameters if parameter.name in scenario.model.frozen]
    if not frozen or record.initial_weights is None or not record.updates:
        return not_applicable("no parameter is frozen, or there was no update")
    is_frozen = [parameter.name in scenario.model.frozen for parameter in record.parameters]
    kept = elements(is_frozen, record.parameters, record.initial_weights).bool()
    expected = record.initial_weights[kept]
    return holds_for_all("frozen parameters", [
        *(same("groups of a frozen parameter", expected=(), observed=parameter.groups, at=parameter.name) for parameter in frozen),
        *(
            is_true("frozen weights", torch.equal(update.weights[kept], expected), expected=expected.tolist()[:8],
                    observed=update.weights[kept].tolist()[:8], symptom="changed", at=f"update {update.step}")
            for update in record.updates
        ),
    ])


def _rates(record: Record) -> list[float]:
    return [update.learning_rates[0] for update in record.updates]


@trainer_property(source=docs("TrainingArguments.lr_scheduler_type"), needs=[SOME_UPDATE], tolerance=1e-12, catalogue=[21, 26])
def learning_rates_follow_schedule(record: Record, scenario: Scenario) -> Judgement:
    """Every update, to the last, uses in all parameter groups the learning rate that the documented schedule has at its step."""
    expected = predicted_learning_rates(record, scenario)
    if expected is None or not record.updates:
        return not_applicable("no update, or a schedule that is not predicted")
    peak = float(scenario.argument("learning_rate"))
    return holds_for_all("learning rate", (
        close("learning rate", expected=rate, observed=observed, tolerance=1e-12, scale=peak, at=f"update {update.step}")
        for update, rate in zip(record.updates, expected, strict=False)
        for observed in set(update.learning_rates)
    ))


@trainer_property(source=docs("TrainerCallback"), catalogue=[21])
def logged_learning_rate_was_used(record: Record, scenario: Scenario) -> Judgement:
    """The `learning_rate` that is logged at a step is the one that the update of this step used."""
    entries = [entry for entry in record.log_history if "learning_rate" in entry and 0 < entry["step"] <= len(record.updates)]
    return holds_for_all("logged learning_rate", (
        same("logged learning_rate", expected=record.updates[entry["step"] - 1].learning_rates[0], observed=entry["learning_rate"],
             at=f"log of step {entry['step']}")
        for entry in entries
    ))


@trainer_property(source=docs("TrainingArguments.learning_rate"), tolerance=1e-12, catalogue=[22])
def learning_rates_stay_within_bounds(record: Record, scenario: Scenario) -> Judgement:
    """No update uses a negative learning rate or one above `learning_rate`."""
    if scenario.argument("lr_scheduler_type") == "greedy":
        return not_applicable("a greedy schedule may raise the learning rate")
    kwargs = scenario.argument("lr_scheduler_kwargs") or {}
    peak = float(scenario.argument("learning_rate"))
    if float(kwargs.get("min_lr") or 0.0) > peak:
        return not_applicable("the floor of the schedule lies above the learning rate")
    return holds_for_all("learning rate", (
        is_true("learning rate", 0 <= rate <= peak * (1 + 1e-12), expected=f"between 0 and {peak}", observed=rate,
                symptom="negative" if rate < 0 else "too large", at=f"update {index}")
        for index, rate in enumerate(_rates(record), 1)
    ))


@trainer_property(source=docs("TrainingArguments.warmup_steps"), needs=[SOME_UPDATE], tolerance=1e-12, catalogue=[23, 25])
def warmup_rises_to_learning_rate(record: Record, scenario: Scenario) -> Judgement:
    """The warmup rises from 0 for the asked number of updates, or the asked ratio of all rounded up; the next uses `learning_rate`."""
    if scenario.argument("lr_scheduler_type") not in FROM_ZERO or scenario.argument("learning_rate") <= 0:
        return not_applicable("a schedule whose warmup does not rise from 0 to the learning rate")
    warmup = schedules.warmup_steps(scenario, total_updates(scenario))
    rates, peak = _rates(record), float(scenario.argument("learning_rate"))
    if not warmup or not rates:
        return not_applicable("no warmup, or no update")
    climb = rates[: warmup + 1]
    steps = [
        is_true("learning rate in the warmup", left < right, expected=f"above {left}", observed=right, symptom="not rising",
                at=f"update {index}")
        for index, (left, right) in enumerate(itertools.pairwise(climb), 2)
    ]
    ends = [
        close("learning rate after the warmup", expected=peak, observed=rate, tolerance=1e-12, scale=peak, at=f"update {warmup + 1}")
        for rate in rates[warmup : warmup + 1]
    ]
    begins = same("learning rate at the start of the warmup", expected=0.0, observed=rates[0], at="update 1")
    return holds_for_all("warmup", [begins, *steps, *ends])


@trainer_property(source=docs("TrainingArguments.warmup_steps"), catalogue=[24])
def warmup_of_any_length_finishes(record: Record, scenario: Scenario) -> Judgement:
    """A warmup of any length, also one as long as the run or longer, ends in no exception of the schedule."""
    if not scenario.argument("warmup_steps"):
        return not_applicable("no warmup")
    failure = record.failure
    if failure is None or not any("lr_scheduler" in line or "optimization.py" in line for line in failure.traceback):
        return same("failure of the schedule", expected=None, observed=None)
    observed = f"{failure.kind}: {failure.message}"
    return Violated("failure of the schedule", None, observed, failure.kind, f"after update {len(record.updates)}", "crashed")


@trainer_property(source=docs("TrainerCallback.on_optimizer_step"), catalogue=[27])
def scheduler_steps_once_an_update(record: Record, scenario: Scenario) -> Judgement:
    """The schedule moves by one step an update, whatever the number of micro-batches.

    Before update t it has made t - 1 steps, in the end as many as there were updates.
    """
    if scenario.argument("lr_scheduler_type") in METRIC_DRIVEN:
        return not_applicable("the schedule moves with evaluations")
    if not record.updates or any(update.scheduler_epoch is None for update in record.updates):
        return not_applicable("no update, or the scheduler was not seen")
    observed = [update.scheduler_epoch for update in record.updates]
    begun = same("steps of the scheduler before an update", expected=list(range(len(observed))), observed=observed, at="after update")
    if not record.finished:
        return begun
    return holds_for_all("steps of the scheduler", [
        begun, same("steps of the scheduler in the end", expected=len(observed), observed=record.state.get("scheduler_epoch"))
    ])


@trainer_property(source=torch_docs("torch.optim.lr_scheduler.ReduceLROnPlateau"), catalogue=[28])
def improvement_never_lowers_learning_rate(record: Record, scenario: Scenario) -> Judgement:
    """With `reduce_lr_on_plateau`, an evaluation better than all before it does not lower the learning rate.

    Better is what `mode` in `lr_scheduler_kwargs` says, or else `greater_is_better`; by more than the threshold, so that it counts.
    """
    if scenario.argument("lr_scheduler_type") != "reduce_lr_on_plateau":
        return not_applicable("another schedule")
    metrics = metrics_of_schedule(record, scenario)
    if not metrics:
        return not_applicable("no evaluation with the tracked metric")
    kwargs = scenario.argument("lr_scheduler_kwargs") or {}
    sign = 1 if kwargs.get("mode", "max" if greater_is_better(scenario) else "min") == "max" else -1
    rates = _rates(record)
    best = float("-inf")
    judgements = []
    for step, value in metrics:
        margin = max(1.0, abs(best)) * float(kwargs.get("threshold", 1e-4)) if best > float("-inf") else 0.0
        if sign * value > best + margin and step < len(rates):
            judgements.append(
                is_true("learning rate after an improvement", rates[step] >= rates[step - 1], expected=f">= {rates[step - 1]}",
                        observed=rates[step], symptom="lowered", at=f"update {step + 1}")
            )
        best = max(best, sign * value)
    return holds_for_all("learning rate after an improvement", judgements)
