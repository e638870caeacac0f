"""What the reference loop says about a record, computed once for all properties that ask.

Gradients are taken at the weights that the run really had before each update, so that one wrong update is one wrong update and not a
wrong rest of the run; the chain of weights itself is predicted from the first to the last.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from trainer_props import zoo
from trainer_props.judgement import Judgement, Violated, holds_for_all
from trainer_props.oracles import gradients, label_smoothing, optimizers, reference, schedules, weight_decay
from trainer_props.oracles.accounting import total_updates
from trainer_props.oracles.adaptive_schedules import NAMES as METRIC_DRIVEN
from trainer_props.record import MicroBatch, Parameter, Record
from trainer_props.scenario import Scenario
from trainer_props.subjects import Parts
from trainer_props.zoo.content import NUMBERS

_TOO_LARGE: Final = {"float64": 1e100, "float32": 1e15}
"""Weights beyond this size belong to a run that diverges: the next product overflows, and where it does so first is nobody's promise."""


class Span(NamedTuple):
    """The training micro-batches of one update, as positions in the record."""

    first: int
    end: int


@dataclass(frozen=True)
class Prediction:
    """What should have happened, update by update, as far as it can be predicted.

    Attributes:
        updates: of the reference loop, at the weights of the run.
        spans: the micro-batches of each of them.
        trainable: positions of the trainable coordinates in the flat weights of the record.
        reason: why nothing is predicted, or not more.
        chain_reason: why the weights of the reference loop say nothing, or an empty text.
    """

    updates: Sequence[reference.ReferenceUpdate] = ()
    spans: Sequence[Span] = ()
    trainable: Tensor | None = None
    reason: str = "no update"
    chain_reason: str = ""


_last: tuple[Record, Prediction] | None = None


def prediction(record: Record, scenario: Scenario) -> Prediction:
    """What the reference loop says about this record. The last answer is kept."""
    global _last  # noqa: PLW0603  the one memo of this module
    if _last is None or _last[0] is not record:
        _last = (record, _predict(record, scenario))
    return _last[1]


Updates = Sequence[reference.ReferenceUpdate]


class Log(NamedTuple):
    """An entry of the log history with a loss: its position there, its step, and that of the one before it (0 for the first)."""

    entry: int
    step: int
    before: int


def logs_of_losses(record: Record) -> list[Log]:
    """The entries of the log history that have a loss."""
    entries = [(index, int(entry["step"])) for index, entry in enumerate(record.log_history) if "loss" in entry]
    return [Log(index, step, before) for (index, step), (_, before) in zip(entries, [(0, 0), *entries], strict=False)]


def undisturbed(record: Record, scenario: Scenario, judge: Callable[[Updates], Judgement], update: int) -> Judgement:
    """What is to be said of predicted updates; of a violation, what a run shows in which no update went wrong, where that can be said.

    Where one did, the weights after it are wrong too, and what is predicted at these weights is nothing that a right run shows.

    Args:
        judge: judges predicted updates.
        update: the last of them that it looks at, counted from 1.
    """
    predicted = prediction(record, scenario)
    judgement = judge(predicted.updates)
    if not isinstance(judgement, Violated) or update == 1 or predicted.chain_reason:
        return judgement
    again = judge(_predict(record, scenario, alone=update).updates)
    return again if isinstance(again, Violated) and again.symptom == judgement.symptom else judgement


def exact_updates(record: Record, scenario: Scenario) -> Updates | None:
    """What the reference loop says in float64 at the weights of a float32 run; None if the run was one in float64 itself.

    A network that training has driven to its limits enlarges rounding: how much, the difference to the prediction in float32 tells.
    """
    if scenario.model.dtype == "float64" or _is_line(scenario):
        return None
    return _predict(record, scenario.replace(model=scenario.model.replace(dtype="float64"))).updates


def judge_logs(
    quantity: str, record: Record, scenario: Scenario, logs: Sequence[Log], judge: Callable[[Updates, Log], Judgement]
) -> Judgement:
    """The first violation among logs of predicted updates, as `undisturbed` has it."""

    def judge_one(log: Log) -> Judgement:
        return undisturbed(record, scenario, lambda updates: judge(updates, log), log.step)

    return holds_for_all(quantity, map(judge_one, logs))


def spans(record: Record) -> list[Span]:
    """The micro-batches of each update that was seen: those since the update before, of the same pass over the data as its last one.

    No update averages over two passes: every epoch begins a new window.
    """
    found, first = [], 0
    for update in record.updates:
        end = update.batches
        if end > first:
            epoch = record.batches[end - 1].epoch
            while record.batches[first].epoch != epoch:
                first += 1
        found.append(Span(first, end))
        first = end
    return found


def is_smoothed(scenario: Scenario) -> bool:
    """Whether labels are smoothed."""
    return scenario.argument("label_smoothing_factor") != 0 and scenario.components.loss == "model"


def loss_reduction(scenario: Scenario) -> gradients.Reduction:
    """How the losses of the micro-batches of an update become the update's loss.

    A loss function of the user, and label smoothing where the model takes `num_items_in_batch`, divide by the items of the whole window;
    what a model's own loss does is the model's affair.
    """
    kind = zoo.MODELS[scenario.model.name]
    takes_items = kind.loss_reduction == "sum_over_items" or (is_smoothed(scenario) and kind.swallows_num_items)
    return "sum_over_items" if takes_items or scenario.components.loss == "compute_loss_func" else "mean_per_batch"


def metrics_of_schedule(record: Record, scenario: Scenario) -> list[tuple[int, float]] | None:
    """(update, value) of each evaluation that a schedule can follow; None if one lacks the tracked metric."""
    name = str(scenario.argument("metric_for_best_model") or "loss")
    key = name if name.startswith("eval_") else f"eval_{name}"
    done = [evaluation for evaluation in record.evaluations if evaluation.prefix == "eval" and evaluation.step > 0]
    if any(key not in evaluation.metrics for evaluation in done):
        return None
    return [(evaluation.step, float(evaluation.metrics[key])) for evaluation in done]


def predicted_learning_rates(record: Record, scenario: Scenario) -> list[float] | None:
    """The learning rate of each update of the whole run; None where a metric decides that was not recorded."""
    name = scenario.argument("lr_scheduler_type")
    metrics = metrics_of_schedule(record, scenario) if name in METRIC_DRIVEN else ()
    if metrics is None or (name not in METRIC_DRIVEN and name not in schedules.CLOSED_FORMS):
        return None
    return schedules.learning_rates(scenario, max(total_updates(scenario), len(record.updates)), metrics)


def decays(parameters: Sequence[Parameter], scenario: Scenario) -> list[float | None]:
    """The weight decay of each parameter, None for one that is not decayed."""
    coefficient = float(scenario.argument("weight_decay"))
    return [coefficient if coefficient and weight_decay.is_decayed(each.name, each.layer) else None for each in parameters]


def rule_of(scenario: Scenario) -> Callable[[], optimizers.Rule]:
    """The optimizer's rule.

    Raises:
        optimizers.NoClosedForm: there is none.
    """
    names = ("optim_args", "adam_beta1", "adam_beta2", "adam_epsilon")
    return optimizers.rule_factory(str(scenario.argument("optim")), **{name: scenario.argument(name) for name in names})


def elements(values: Sequence[Any], parameters: Sequence[Parameter], like: Tensor) -> Tensor:
    """One value a parameter, spread over its elements, in the dtype of flat weights; None becomes 0."""
    filled = torch.tensor([0.0 if value is None else float(value) for value in values], dtype=like.dtype)
    if len(filled) == like.shape[-1]:
        return filled
    return filled.repeat_interleave(torch.tensor([each.size for each in parameters]))


# ---- building ----------------------------------------------------------------------------------------------------------


class _Unpredictable(Exception):
    """Nothing can be predicted; the message is the reason."""


def _predict(record: Record, scenario: Scenario, *, alone: int = 0) -> Prediction:
    """Predict all updates at the weights that the run had, or the first `alone` ones at those of the reference loop itself."""
    try:
        windows, found, reason = _windows(record, scenario)
    except _Unpredictable as why:
        return Prediction(reason=str(why))
    if not windows or record.initial_weights is None:
        return Prediction(reason=reason)
    chain_reason = "labels are smoothed, in float32" if is_smoothed(scenario) else ""
    try:
        rule = rule_of(scenario)
    except optimizers.NoClosedForm as why:
        rule, chain_reason = optimizers.rule_factory("sgd"), str(why)
    # The rates that the run used: whether they are those of the schedule is a question of its own.
    rates = [update.learning_rates[0] for update in record.updates]
    before = [record.initial_weights, *(update.weights for update in record.updates)][: len(windows)]
    is_trainable = [each.name not in scenario.model.frozen for each in record.parameters]
    mask = elements(is_trainable, record.parameters, record.initial_weights).bool()
    decay = decays(record.parameters, scenario)
    if _is_line(scenario):
        at: list[list[Any]] = [weights.tolist() for weights in before]
        gradient = gradients.squared_error(loss_reduction(scenario), trainable=(is_trainable[0], is_trainable[1]))
        coefficients: list[Any] = list(decay)
    else:
        at = [[weights[mask].to(getattr(torch, scenario.model.dtype))] for weights in before]
        losses = functools.partial(_losses, scenario)
        gradient = gradients.autograd(_module(scenario.model, scenario.data), losses, loss_reduction(scenario))
        coefficients = [elements(decay, record.parameters, before[0])[mask] if any(decay) else None]
    size = _TOO_LARGE[scenario.model.dtype]
    sane = next((index for index, point in enumerate(at) if not _is_sane(point, size)), len(at))
    if sane < len(at):
        windows, at, reason = windows[:sane], at[:sane], "the run diverges"
    if not windows:
        return Prediction(reason=reason)
    plan = reference.Plan(rule, rates, float(scenario.argument("max_grad_norm") or 0.0), coefficients)
    updates = reference.train(gradient, at[0], windows[:alone] if alone else windows, plan, at=None if alone else at)
    return Prediction(updates, found[: len(updates)], mask, reason, chain_reason)


def _is_sane(point: Sequence[Any], size: float) -> bool:
    return all(-size < part < size if isinstance(part, float) else float(part.abs().max()) < size for part in point)


def _windows(record: Record, scenario: Scenario) -> tuple[list[Any], list[Span], str]:
    """The inputs of each update's micro-batches, their places, and why there are no more."""
    if scenario.devices.count != 1:
        raise _Unpredictable("several devices")
    if scenario.components.loss == "compute_loss_func" and zoo.MODELS[scenario.model.name].family != "regression":
        raise _Unpredictable("the loss function is made for one number a row")
    if record.loss_reduction is not None:
        raise _Unpredictable("the subject declares a loss of its own")
    if has_own_model(record, scenario):
        raise _Unpredictable("the run trained another model than the scenario's")
    inputs = _line_inputs(scenario) if _is_line(scenario) else _tensor_inputs(scenario)
    poisoned = sorted(batch for batch, _ in scenario.components.poisoned)
    windows: list[Any] = []
    found = spans(record)
    for span in found:
        batches = record.batches[span.first : span.end]
        if poisoned and poisoned[0] < span.end:
            return windows, found, "the loss of a micro-batch was replaced"
        if not batches:
            return windows, found, "an update without a micro-batch"
        if any(batch.samples is None for batch in batches):
            return windows, found, "samples could not be identified"
        windows.append([inputs(batch) for batch in batches])
    return windows, found, "no more updates" if windows else "no update"


def has_own_model(record: Record, scenario: Scenario) -> bool:
    """Whether the run trained another model than the scenario's: its factory brought its own."""
    return [each.name for each in record.parameters] != _parameter_names(scenario)


def _is_line(scenario: Scenario) -> bool:
    kind = zoo.MODELS[scenario.model.name]
    return kind.family in NUMBERS and not kind.layered


def _parameter_names(scenario: Scenario) -> list[str]:
    if _is_line(scenario):
        return ["a", "b"]
    return [name for name, _ in _module(scenario.model, scenario.data).named_parameters()]


def _line_inputs(scenario: Scenario) -> Callable[[MicroBatch], gradients.Points]:
    dataset = Parts(scenario).train_dataset()
    columns = {name: column.tolist() for name, column in dataset.rows(range(scenario.data.n)).items()}
    x = columns["input_x"]
    labels = [columns[name] for name in zoo.MODELS[scenario.model.name].label_names] or [x]  # without labels it is to give back its input

    def points(batch: MicroBatch) -> gradients.Points:
        samples = batch.samples or ()
        xs = [x[sample] for sample in samples]
        ones = [1.0] * len(xs)
        ys = [[column[sample] for sample in samples] for column in labels]
        if len(ys) == 1:
            return gradients.Points(xs, ones, ys[0], len(xs))
        return gradients.Points(xs + ones, ones + xs, ys[0] + ys[1], len(xs))

    return points


def _tensor_inputs(scenario: Scenario) -> Callable[[MicroBatch], Mapping[str, Tensor]]:
    rows = Parts(scenario).train_dataset().rows
    return lambda batch: rows(batch.samples)


@functools.lru_cache(maxsize=8)
def _module(model: Any, data: Any) -> nn.Module:
    # Its weights are set before each use: what a copy costs is paid once for many records.
    return zoo.build_model(model, data)


def items_of_window(scenario: Scenario, batches: Sequence[Mapping[str, Tensor]]) -> int:
    """The labels of a window that a model predicts: not -100, and not the first of a row where labels are shifted."""
    shift = zoo.MODELS[scenario.model.name].labels_shifted
    return sum(label_smoothing.count_items(batch["labels"], shift=shift) for batch in batches)


def _losses(scenario: Scenario, module: nn.Module, window: Sequence[Mapping[str, Tensor]]) -> Iterator[Tensor]:
    reduction = loss_reduction(scenario)
    items = items_of_window(scenario, window) if reduction == "sum_over_items" else None
    extra = {"num_items_in_batch": torch.tensor(items)} if zoo.MODELS[scenario.model.name].loss_reduction == "sum_over_items" else {}
    for batch in window:
        if scenario.components.loss == "compute_loss_func":
            yield ((_output(module, _without_labels(batch), "output") - batch["labels"]) ** 2).sum() / (items or 1)
        elif is_smoothed(scenario):
            scores = _output(module, _without_labels(batch), "logits")
            epsilon = float(scenario.argument("label_smoothing_factor"))
            yield label_smoothing.smoothed_cross_entropy(
                scores, batch["labels"], epsilon, shift=zoo.MODELS[scenario.model.name].labels_shifted, items=items
            )
        else:
            yield _output(module, {**batch, **extra}, "loss")


def _without_labels(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: column for name, column in batch.items() if name != "labels"}


def _output(module: nn.Module, inputs: Mapping[str, Tensor], name: str) -> Tensor:
    outputs = module(**inputs)
    return outputs[name] if isinstance(outputs, Mapping) else outputs[0]  # type: ignore[no-any-return]
