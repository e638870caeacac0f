"""What is measured of updates: gradients, weights, learning rates, parameter groups, the schedule. Updates are counted from 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Parameter, Record


def parameter_named(record: Record, name: str) -> Parameter:
    """The parameter of this name."""
    return next(each for each in record.parameters if each.name == name)


def place_of(record: Record, parameter: str, index: int) -> int:
    """The place of a parameter's element in the flat vector of all parameters."""
    names = [each.name for each in record.parameters]
    return sum(each.size for each in record.parameters[: names.index(parameter)]) + index


def gradient_of(record: Record, update: int) -> Any:
    """The flat gradient that the optimizer used in an update, or None."""
    return record.updates[update - 1].gradient if update <= len(record.updates) else None


def rate_of(record: Record, update: int, group: int) -> float | None:
    """The learning rate that an update used for a parameter group, or None."""
    rates = record.updates[update - 1].learning_rates if update <= len(record.updates) else ()
    return rates[group] if group < len(rates) else None


def root(value: float) -> float:
    """The square root; not a number below zero."""
    return math.sqrt(value) if value >= 0 else math.nan


def quotient(numerator: float, denominator: float) -> float:
    """The quotient by IEEE rules."""
    if denominator == 0:
        return math.copysign(math.inf, numerator) if numerator else math.nan
    return numerator / denominator


def stepped(
    optimizer: str, options: dict[str, Any], state: dict[str, float], count: int, weight: float, slope: float, rate: float, decay: float
) -> float:
    """One element after an update: `count` updates came before it, of which `state` tells; `slope` is the element's gradient."""
    if optimizer == "adamw":
        number = count + 1
        first: float = options["betas"][0]
        second: float = options["betas"][1]
        state["mean"] = first * state["mean"] + (1 - first) * slope
        state["square"] = second * state["square"] + (1 - second) * slope * slope
        size = root(state["square"] / (1 - math.pow(second, number))) + options["eps"]
        return weight * (1 - rate * decay) - rate * quotient(state["mean"] / (1 - math.pow(first, number)), size)
    slope += decay * weight
    if optimizer == "sgd":
        momentum: float = options["momentum"]
        if momentum:
            state["buffer"] = momentum * state["buffer"] + (1 - options["dampening"]) * slope if count else slope
            slope = slope + momentum * state["buffer"] if options["nesterov"] else state["buffer"]
        return weight - rate * slope
    if optimizer == "adagrad":
        slowing: float = 1 + count * options["lr_decay"]
        state["square"] += slope * slope
        return weight - rate / slowing * quotient(slope, root(state["square"]) + options["eps"])
    alpha: float = options["alpha"]  # RMSprop
    state["square"] = alpha * state["square"] + (1 - alpha) * slope * slope
    state["mean"] = alpha * state["mean"] + (1 - alpha) * slope
    size = root(state["square"] - (state["mean"] * state["mean"] if options["centered"] else 0.0)) + options["eps"]
    state["buffer"] = options["momentum"] * state["buffer"] + quotient(slope, size)
    return weight - rate * state["buffer"]


@measure
def gradient_element(record: Record, update: int, parameter: str, index: int) -> float | None:
    """One element of a parameter's gradient, as the optimizer used it in an update: after clipping."""
    used = gradient_of(record, update)
    return None if used is None else float(used[place_of(record, parameter, index)])


@measure
def gradient_element_at_norm(record: Record, update: int, parameter: str, index: int, norm: float) -> float | None:
    """One element of the gradient that the optimizer used in an update, if the gradient as a whole is scaled to this norm."""
    used = gradient_of(record, update)
    if used is None:
        return None
    used = used.double()
    return float(used[place_of(record, parameter, index)] * (norm / used.norm()))


@measure
def gradient_norm(record: Record, update: int) -> float | None:
    """The norm of the whole gradient that the optimizer used in an update."""
    used = gradient_of(record, update)
    return None if used is None else float(used.norm())


@measure
def weight_element(record: Record, update: int, parameter: str, index: int) -> float | None:
    """One element of a parameter after an update."""
    return float(record.updates[update - 1].weights[place_of(record, parameter, index)]) if update <= len(record.updates) else None


@measure
def weight_element_by_rule(
    record: Record, update: int, parameter: str, index: int, optimizer: str, options: dict[str, Any]
) -> float | None:
    """What the documented rule of an optimizer of torch makes of the gradients, learning rates and weight decay of all updates to this one
    and of the weights before it: one element of a parameter.

    Args:
        optimizer: `sgd`, `adamw`, `adagrad` or `rmsprop`.
        options: all options of its rule, by the names that torch gives them.
    """
    place, decay = place_of(record, parameter, index), parameter_named(record, parameter).weight_decay or 0.0
    before: Any = record.initial_weights
    after, state = None, {"mean": 0.0, "square": 0.0, "buffer": 0.0}
    for count, each in enumerate(record.updates[:update]):
        if each.gradient is None:
            return None
        used = float(each.gradient[place])
        after = stepped(optimizer, options, state, count, float(before[place]), used, each.learning_rates[0], decay)
        before = each.weights
    return after


@measure
def learning_rate(record: Record, update: int, group: int) -> float | None:
    """The learning rate that an update used for a parameter group, counted from 0."""
    return rate_of(record, update, group)


@measure
def learning_rate_rises(record: Record, update: int) -> bool:
    """Whether the learning rate of an update is above that of the update before."""
    before, after = rate_of(record, update - 1, 0), rate_of(record, update, 0)
    return before is not None and after is not None and before < after


@measure
def logged(record: Record, entry: int, name: str) -> Any:
    """A value in an entry of the log history, counted from 0; None if it isn't there."""
    return record.log_history[entry].get(name) if entry < len(record.log_history) else None


@measure
def groups_of_parameter(record: Record, parameter: str) -> list[int]:
    """The optimizer's parameter groups that hold a parameter."""
    return list(parameter_named(record, parameter).groups)


@measure
def number_of_groups(record: Record, parameter: str) -> int:
    """How many of the optimizer's parameter groups hold a parameter."""
    return len(parameter_named(record, parameter).groups)


@measure
def weight_decay(record: Record, parameter: str) -> float | None:
    """The weight decay of the parameter group that holds a parameter."""
    return parameter_named(record, parameter).weight_decay


@measure
def weights_are_initial(record: Record, update: int, parameters: Sequence[str]) -> bool:
    """Whether these parameters have after an update, bit by bit, the values that they had before training."""
    before: Any = record.initial_weights
    after = record.updates[update - 1].weights if update <= len(record.updates) else before
    start = 0
    for each in record.parameters:
        end = start + each.size
        if each.name in parameters and not after[start:end].equal(before[start:end]):
            return False
        start = end
    return True


@measure
def updates_before_each(record: Record) -> list[int]:
    """The number of updates before each update."""
    return list(range(len(record.updates)))


@measure
def scheduler_steps_before_each(record: Record) -> list[int | None]:
    """The number of steps that the schedule had made before each update."""
    return [update.scheduler_epoch for update in record.updates]


@measure
def number_of_updates(record: Record) -> int:
    """Steps of the optimizer."""
    return len(record.updates)


@measure
def scheduler_steps(record: Record) -> int | None:
    """The number of steps that the schedule had made when the run was over."""
    return record.state.get("scheduler_epoch")


@measure
def failure_of_schedule(record: Record) -> str | None:
    """The exception that ended the run, if it came out of a learning-rate schedule."""
    failure = record.failure
    if failure is None or not any("lr_scheduler" in line or "optimization.py" in line for line in failure.traceback):
        return None
    return f"{failure.kind}: {failure.message}"
