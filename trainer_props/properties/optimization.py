"""Optimization: gradients and their clipping, the optimizer's rule, weight decay, frozen parameters, learning rates."""

from __future__ import annotations

import itertools
from typing import Any, Final

import torch
from torch import Tensor

from trainer_props.judgement import HOLDS, Judgement, at_least, at_most, close, holds_for_all, is_true, not_applicable, same
from trainer_props.measures import optimization as measures
from trainer_props.oracles import optimizers, reference, schedules
from trainer_props.oracles.accounting import total_updates
from trainer_props.oracles.adaptive_schedules import NAMES as METRIC_DRIVEN
from trainer_props.oracles.best_model import greater_is_better
from trainer_props.oracles.clipping import EPSILON
from trainer_props.oracles.weight_decay import is_decayed
from trainer_props.properties._gradients import gradients, same_gradients
from trainer_props.properties._prediction import (
    Log,
    Updates,
    elements,
    is_smoothed,
    judge_logs,
    logs_of_losses,
    metrics_of_schedule,
    predicted_learning_rates,
    prediction,
    rule_of,
    undisturbed,
)
from trainer_props.properties._vectors import close_rows, exactness, exactness_of, flat_rows, noisy_elements
from trainer_props.properties.needs import SINGLE_DEVICE, SOME_UPDATE
from trainer_props.properties.registry import WITH_FLAGS, trainer_property
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
_OPTIONS: Final = ("betas", "eps", "momentum", "dampening", "nesterov", "alpha", "centered", "lr_decay")
"""What the rules of optimizers have of options."""
FROM_ZERO: Final = ("linear", "cosine", "cosine_with_restarts", "polynomial", "constant_with_warmup", "inverse_sqrt", "cosine_with_min_lr")
"""The schedules whose warmup rises from 0 to the learning rate."""


@trainer_property(source=BLOG, experiments=WITH_FLAGS, needs=[SINGLE_DEVICE], tolerance=1e-12, catalogue=[35, 36, 39])
def gradient_averages_own_micro_batches(record: Record, scenario: Scenario) -> Judgement:
    """The gradient of an update is that of the mean loss over its own micro-batches, however few, and of nothing before them.

    Where clipping acts, only the direction is compared: its length is another property's affair. A model or loss function that divides by
    `num_items_in_batch` averages over the labels of all micro-batches of the update, any other over the micro-batches.
    """
    if is_smoothed(scenario):
        return not_applicable("labels are smoothed: loss.label_smoothing judges these")
    return same_gradients(record, scenario, exactness(scenario))


@trainer_property(
    source=docs("TrainingArguments.max_grad_norm"), experiments=WITH_FLAGS, needs=[SINGLE_DEVICE], tolerance=1e-6, catalogue=[29, 30]
)
def applied_gradient_is_clipped(record: Record, scenario: Scenario) -> Judgement:
    """No optimizer step uses a gradient whose norm exceeds `max_grad_norm`; a longer one is scaled down to it, and no further."""
    maximum = float(scenario.argument("max_grad_norm") or 0.0)
    if maximum <= 0:
        return not_applicable("clipping is off")
    used = [(number, update.gradient) for number, update in enumerate(record.updates, 1) if update.gradient is not None]
    norms: list[float] = torch.stack([gradient for _, gradient in used]).norm(dim=1).tolist() if used else []
    finite = {number: norm for (number, _), norm in zip(used, norms, strict=True) if norm < float("inf")}
    predicted = prediction(record, scenario).updates
    # How far below the maximum clipping ends (EPSILON) depends on the norm before it, which is not judged here.
    most, slack = maximum * (1 + 1e-5), 1e-5 + 2 * EPSILON / maximum
    at_length = {number for number in finite if number <= len(predicted) and predicted[number - 1].gradient_norm > maximum}
    wrong = next((each for each, norm in finite.items() if norm > most or (each in at_length and norm < maximum * (1 - slack))), None)
    if wrong is None:
        return HOLDS if finite else not_applicable("no update with a finite gradient")
    quantity, at, observed = "norm of the applied gradient", f"update {wrong}", measures.gradient_norm(record, wrong)

    def judge(updates: Updates) -> Judgement:
        before = updates[wrong - 1].gradient_norm if wrong <= len(updates) else maximum
        return close(quantity, expected=min(before, maximum), observed=observed, tolerance=slack, scale=maximum, at=at)

    short = undisturbed(record, scenario, judge, wrong) if finite[wrong] <= most else HOLDS
    return holds_for_all(quantity, [at_most(quantity, expected=most, observed=observed, at=at), short])


@trainer_property(source=docs("TrainingArguments.max_grad_norm"), needs=[SINGLE_DEVICE], tolerance=1e-12, catalogue=[29])
def logged_grad_norm_is_before_clipping(record: Record, scenario: Scenario) -> Judgement:
    """The logged `grad_norm` is the total norm of the last update's gradient before clipping, whether or not clipping is on."""
    predicted = prediction(record, scenario)
    logs = [log for log in logs_of_losses(record) if 0 < log.step <= len(predicted.updates)]
    tolerance = 1e-5 if is_smoothed(scenario) else exactness(scenario)
    if not logs:
        return not_applicable(predicted.reason if not predicted.updates else "no loss was logged")

    def judge(updates: Updates, log: Log) -> Judgement:
        observed = measures.logged(record, log.entry, "grad_norm")
        expected = updates[log.step - 1].gradient_norm
        return close("grad_norm", expected=expected, observed=observed, tolerance=tolerance, at=f"log of step {log.step}")

    return judge_logs("grad_norm", record, scenario, logs, judge)


@trainer_property(source=docs("TrainingArguments.optim"), tolerance=1e-12, catalogue=[42])
def optimizer_follows_its_rule(record: Record, scenario: Scenario) -> Judgement:
    """From the gradients, learning rates and weight decay it was given, the optimizer makes the weights that torch documents.

    Nothing but the optimizer changes the weights between one update and the next. Elements are left out for which an adaptive optimizer
    enlarges rounding.
    """
    try:
        rule = rule_of(scenario)
    except optimizers.NoClosedForm as why:
        return not_applicable(str(why))
    parameters = record.parameters
    updates = record.updates
    # The tolerance of the model that was trained: a factory may bring its own.
    tolerance = None if record.initial_weights is None else exactness_of(record.initial_weights)
    if record.initial_weights is None or tolerance is None or not updates or any(update.gradient is None for update in updates):
        return not_applicable("no update, one without a gradient, or a model that is in neither float64 nor float32")
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
    gradients, before, after = gradients[:limit].double(), before[:limit].double(), after[:limit].double()
    decays = elements(decay, parameters, gradients)
    if gradients.shape[1] == len(parameters):
        rows = [[part if use else None for part, use in zip(row, judged, strict=True)] for row in gradients.tolist()]
        made = reference.apply(rows, before.tolist(), reference.Plan(rule, rates, 0.0, decay))
        expected = torch.tensor(made, dtype=torch.float64)
    else:
        chosen = elements(judged, parameters, gradients).bool()
        plan = reference.Plan(rule, rates, 0.0, [decays[chosen] if any(decay) else None])
        made = reference.apply([[row[chosen]] for row in gradients], [[row[chosen]] for row in before], plan)
        expected = flat_rows(made, chosen, after[0])
    optimizer = rule()
    noisy = noisy_elements(optimizer, gradients, decays * before, torch.finfo(record.initial_weights.dtype), tolerance)
    observed = after if noisy is None else torch.where(noisy, expected, after)
    if not all(judged):  # what was not used says nothing
        kept = elements(judged, parameters, gradients).bool()
        expected, observed, noisy = expected[:, kept], observed[:, kept], None if noisy is None else noisy[:, kept]
        parameters = [each for each, use in zip(parameters, judged, strict=True) if use]
    if noisy is not None and bool(noisy.all()):
        return not_applicable("all that the optimizer has to divide by its own size is rounding")
    return close_rows(
        "weights", expected=expected, observed=observed, tolerance=tolerance, parameters=parameters,
        measured=lambda place: measures.weight_element(record, *place),
        measured_expected=lambda place: measures.weight_element_by_rule(record, *place, *_described(optimizer)),
    )


def _described(rule: optimizers.Rule) -> tuple[str, dict[str, Any]]:
    """A rule's name and options, as `measures.weight_element_by_rule` takes them."""
    options = {each: getattr(rule, each) for each in _OPTIONS if hasattr(rule, each)}
    return type(rule).__name__.lower(), {each: list(value) if isinstance(value, tuple) else value for each, value in options.items()}


def _used_parameters(record: Record, gradients: Tensor) -> list[bool]:
    """Which parameters are in one group and had a gradient in every update: torch leaves out one that has none, and zeros look the same."""
    sizes = [parameter.size for parameter in record.parameters]
    if set(sizes) == {1}:
        moved: list[bool] = gradients.bool().all(0).tolist()
    else:
        moved = [bool(block.any(1).all()) for block in gradients.split(sizes, 1)]
    return [len(parameter.groups) == 1 and each for parameter, each in zip(record.parameters, moved, strict=True)]


def _sane_rows(before: Tensor, gradients: Tensor) -> int:
    """How many updates begin with weights and gradients whose squares can be computed."""
    most = 1e100 if before.dtype == torch.float64 else 1e15
    largest: list[float] = torch.cat([before, gradients], 1).abs().amax(1).tolist()
    return next((row for row, each in enumerate(largest) if not each < most), len(largest))


@trainer_property(source=docs("Trainer"), experiments=WITH_FLAGS, needs=[SOME_UPDATE, SINGLE_DEVICE], tolerance=1e-12, catalogue=[20, 30])
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
    return close_rows(
        "weights", expected=expected, observed=observed, tolerance=tolerance, parameters=record.parameters,
        measured=lambda place: measures.weight_element(record, *place),
    )


@trainer_property(source=docs("TrainingArguments.weight_decay"), catalogue=[31])
def decay_groups(record: Record, scenario: Scenario) -> Judgement:
    """Every trainable parameter is in exactly one parameter group, and decayed unless it is a bias or belongs to a normalisation layer."""
    if not any(parameter.groups for parameter in record.parameters):
        return not_applicable("no optimizer of torch was seen")
    coefficient = float(scenario.argument("weight_decay"))
    for each in record.parameters:
        wanted = coefficient if is_decayed(each.name, each.layer) else 0.0
        if each.trainable and (len(each.groups) != 1 or each.weight_decay != wanted):
            return holds_for_all("parameter groups", [
                same("number of parameter groups", expected=1, observed=measures.number_of_groups(record, each.name), at=each.name),
                same("weight decay", expected=wanted, observed=measures.weight_decay(record, each.name), at=each.name),
            ])
    return HOLDS if any(each.trainable for each in record.parameters) else not_applicable("no parameter is trainable")


@trainer_property(source=docs("Trainer.create_optimizer"), catalogue=[31, 32])
def frozen_parameters_stay(record: Record, scenario: Scenario) -> Judgement:
    """A parameter with `requires_grad=False` is in no parameter group and keeps its value bit by bit."""
    frozen = [parameter for parameter in record.parameters if parameter.name in scenario.model.frozen]
    if not frozen or record.initial_weights is None or not record.updates:
        return not_applicable("no parameter is frozen, or there was no update")
    names = [parameter.name for parameter in frozen]
    is_frozen = [parameter.name in names for parameter in record.parameters]
    kept = elements(is_frozen, record.parameters, record.initial_weights).bool()
    before = record.initial_weights[kept]
    changed = next((number for number, update in enumerate(record.updates, 1) if not torch.equal(update.weights[kept], before)), None)
    return holds_for_all("frozen parameters", [
        *(
            same("groups of a frozen parameter", expected=[], observed=measures.groups_of_parameter(record, name), at=name)
            for name in names
        ),
        HOLDS if changed is None else is_true(
            "frozen weights", measures.weights_are_initial(record, changed, names), expected=before.tolist()[:8],
            observed=record.updates[changed - 1].weights[kept].tolist()[:8], symptom="changed", at=f"update {changed}",
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
        close("learning rate", expected=rate, observed=measures.learning_rate(record, number, group), tolerance=1e-12, scale=peak,
              at=f"update {number}")
        for number, (update, rate) in enumerate(zip(record.updates, expected, strict=False), 1)
        for group in range(len(update.learning_rates))
        if not group or update.learning_rates[group] != update.learning_rates[0]
    ))


@trainer_property(source=docs("TrainerCallback"), catalogue=[21])
def logged_learning_rate_was_used(record: Record, scenario: Scenario) -> Judgement:
    """The `learning_rate` that is logged at a step is the one that the update of this step used."""
    updates = range(1, len(record.updates) + 1)
    entries = [(i, each["step"]) for i, each in enumerate(record.log_history) if "learning_rate" in each and each["step"] in updates]
    return holds_for_all("logged learning_rate", (
        same("logged learning_rate", expected=measures.learning_rate(record, step, 0), at=f"log of step {step}",
             observed=measures.logged(record, index, "learning_rate"))
        for index, step in entries
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
    most = peak * (1 + 1e-12)
    number = next((index for index, rate in enumerate(_rates(record), 1) if not 0 <= rate <= most), None)
    if number is None:
        return HOLDS if record.updates else not_applicable("no update")
    observed = measures.learning_rate(record, number, 0)
    return holds_for_all("learning rate", [
        at_most("learning rate", expected=most, observed=observed, at=f"update {number}"),
        at_least("learning rate", expected=0.0, observed=observed, symptom="negative", at=f"update {number}"),
    ])


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
        is_true("learning rate in the warmup", measures.learning_rate_rises(record, index), expected=f"above {left}", observed=right,
                symptom="not rising", at=f"update {index}")
        for index, (left, right) in enumerate(itertools.pairwise(climb), 2)
    ]
    ends = [
        close("learning rate after the warmup", expected=peak, observed=measures.learning_rate(record, number, 0), tolerance=1e-12,
              scale=peak, at=f"update {number}")
        for number in range(warmup + 1, min(warmup + 1, len(rates)) + 1)
    ]
    begins = same("learning rate at the start of the warmup", expected=0.0, observed=measures.learning_rate(record, 1, 0), at="update 1")
    return holds_for_all("warmup", [begins, *steps, *ends])


@trainer_property(source=docs("TrainingArguments.warmup_steps"), catalogue=[24])
def warmup_of_any_length_finishes(record: Record, scenario: Scenario) -> Judgement:
    """A warmup of any length, also one as long as the run or longer, ends in no exception of the schedule."""
    if not scenario.argument("warmup_steps"):
        return not_applicable("no warmup")
    return same(
        "failure of the schedule", expected=None, observed=measures.failure_of_schedule(record), at=f"after update {len(record.updates)}",
        symptom=record.failure.kind if record.failure is not None else "", verdict="crashed",
    )


@trainer_property(source=docs("TrainerCallback.on_optimizer_step"), catalogue=[27])
def scheduler_steps_once_an_update(record: Record, scenario: Scenario) -> Judgement:
    """The schedule moves by one step an update, whatever the number of micro-batches.

    Before update t it has made t - 1 steps, in the end as many as there were updates.
    """
    if scenario.argument("lr_scheduler_type") in METRIC_DRIVEN:
        return not_applicable("the schedule moves with evaluations")
    if not record.updates or any(update.scheduler_epoch is None for update in record.updates):
        return not_applicable("no update, or the scheduler was not seen")
    before = same(
        "steps of the scheduler before an update", expected=measures.updates_before_each(record),
        observed=measures.scheduler_steps_before_each(record), at="after update",
    )
    if not record.finished:
        return before
    in_the_end = same(
        "steps of the scheduler in the end", expected=measures.number_of_updates(record), observed=measures.scheduler_steps(record)
    )
    return holds_for_all("steps of the scheduler", [before, in_the_end])


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
                at_least("learning rate after an improvement", expected=measures.learning_rate(record, step, 0),
                         observed=measures.learning_rate(record, step + 1, 0), symptom="lowered", at=f"update {step + 1}")
            )
        best = max(best, sign * value)
    return holds_for_all("learning rate after an improvement", judgements)
