"""Learning-rate schedules that depend on the step only, as closed forms.

Source: the docstrings of the schedules in `transformers.optimization` and of TrainingArguments (`lr_scheduler_type`, `lr_scheduler_kwargs`,
`warmup_steps`). The factor of a step multiplies the initial learning rate; update t (from 1) uses the factor of step t - 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from trainer_props.oracles import adaptive_schedules
from trainer_props.oracles.accounting import resolve_steps
from trainer_props.scenario import Scenario


def warmup_steps(scenario: Scenario, total: int) -> int:
    """Updates of the warmup: as given, or a ratio of all updates if below 1 (rounded up, from the decimal as written)."""
    return resolve_steps(scenario.argument("warmup_steps"), total)


def factor(name: str, step: int, total: int, warmup: int, kwargs: Mapping[str, Any], lr: float) -> float:
    """What a schedule multiplies the initial learning rate by.

    Args:
        name: an `lr_scheduler_type` other than `reduce_lr_on_plateau` and `greedy`, which follow a metric.
        step: updates done before, from 0.
        total: updates of the run.
        warmup: updates of the warmup; any number, also beyond `total`.
        kwargs: `lr_scheduler_kwargs`.
        lr: the initial learning rate (some schedules are given their floor in absolute terms).

    Raises:
        KeyError: no such schedule.
    """
    return _SCHEDULES[name](step, total, warmup, kwargs, lr)


def learning_rates(scenario: Scenario, total: int, metrics: Iterable[tuple[int, float]] = ()) -> list[float]:
    """The learning rate that every update 1..total uses.

    Args:
        scenario: names the schedule.
        total: number of updates.
        metrics: for schedules that follow a metric, (update, value) of every evaluation after an update, in order. The check before
            training (`eval_on_start`) is none of them.
    """
    name = str(scenario.argument("lr_scheduler_type"))
    kwargs = scenario.argument("lr_scheduler_kwargs") or {}
    lr = float(scenario.argument("learning_rate"))
    if name in adaptive_schedules.NAMES:
        return adaptive_schedules.learning_rates(name, lr, kwargs, total, metrics)
    warmup = warmup_steps(scenario, total)
    schedule = _SCHEDULES[name]
    return [lr * schedule(step, total, warmup, kwargs, lr) for step in range(total)]


def _climb(step: int, warmup: int) -> float:
    return step / warmup


def _progress(step: int, total: int, warmup: int) -> float:
    """How much of the time after the warmup is over: 0 at its end, 1 at the last step."""
    return (step - warmup) / max(1, total - warmup)


def _wave(progress: float, cycles: float) -> float:
    """A cosine from 1, of which `cycles` whole waves fit into the progress from 0 to 1."""
    return (1 + math.cos(2 * math.pi * cycles * progress)) / 2


def _constant(step: int, total: int, warmup: int, kwargs: Mapping[str, Any], lr: float) -> float:
    return 1.0


def _constant_with_warmup(step: int, total: int, warmup: int, kwargs: Mapping[str, Any], lr: float) -> float:
    return _climb(step, warmup) if step < warmup else 1.0


def _linear(step: int, total: int, warmup: int, kwargs: Mapping[str, Any], lr: float) -> float:
    if step < warmup:
        return _climb(step, warmup)
    return max(0, total - step) / max(1, total - warmup)


def _cosine(step: int, total: int, warmup: int, kwargs: Mapping[str, Any], lr: float) -> float:
    if step < warmup:
        return _climb(step, warmup)
    return _wave(_progress(step, total, warmup), kwargs.get("num_cycles", 0.5))


def _cosine_with_restarts(step: int, total: int, warmup: int, kwargs: Mapping[str, Any], lr: float) -> float:
    if step < warmup:
        return _climb(step, warmup)
    if step - warmup >= max(1, total - warmup):
        return 0.0
    return _wave(kwargs.get("num_cycles", 1) * _progress(step, total, warmup) % 1.0, 0.5)


def _polynomial(step: int, total: int, warmup: int, kwargs: Mapping[str, Any], lr: float) -> float:
    if step < warmup:
        return _climb(step, warmup)
    end = kwargs.get("lr_end", 1e-7)
    if step >= total:
        return float(end / lr)
    remaining = (total - step) / (total - warmup)
    return float(((lr - end) * remaining ** kwargs.get("power", 1.0) + end) / lr)


def _inverse_sqrt(step: int, total: int, warmup: int, kwargs: Mapping[str, Any], lr: float) -> float:
    if step < warmup:
        return _climb(step, warmup)
    timescale = kwargs.get("timescale") or warmup or 10_000  # without a warmup the documented default would divide by zero
    return math.sqrt(timescale / (timescale + step - warmup))


def _floor(kwargs: Mapping[str, Any], lr: float) -> float:
    rate = kwargs.get("min_lr_rate")
    return float(rate if rate is not None else kwargs["min_lr"] / lr)


def _cosine_with_min_lr(step: int, total: int, warmup: int, kwargs: Mapping[str, Any], lr: float) -> float:
    if step < warmup:
        return _climb(step, warmup)
    low = _floor(kwargs, lr)
    return low + (1 - low) * _wave(_progress(step, total, warmup), kwargs.get("num_cycles", 0.5))


def _cosine_warmup_with_min_lr(step: int, total: int, warmup: int, kwargs: Mapping[str, Any], lr: float) -> float:
    # The warmup begins at a share of the learning rate (1 / warmup unless given) and not at 0, so that its last step, and the
    # decay's last step, are reached by an update: everything is one step earlier than in the other schedules.
    if step < warmup:
        start = kwargs.get("warmup_lr_rate")
        low = 1 / warmup if start is None else float(start)
        return low + (1 - low) * step / max(1, warmup - 1)
    low = _floor(kwargs, lr)
    return low + (1 - low) * _wave(_progress(step + 1, total, warmup), kwargs.get("num_cycles", 0.5))


def _warmup_stable_decay(step: int, total: int, warmup: int, kwargs: Mapping[str, Any], lr: float) -> float:
    low, decay, stable = kwargs.get("min_lr_ratio", 0.0), kwargs["num_decay_steps"], kwargs.get("num_stable_steps")
    decay_begins = total - decay if stable is None else warmup + stable
    if step < warmup:
        return float(low + (1 - low) * _rise(step / warmup, kwargs.get("warmup_type", "linear")))
    if step < decay_begins:
        return 1.0
    if step < decay_begins + decay:
        fallen = _fall((step - decay_begins) / decay, kwargs.get("decay_type", "cosine"), kwargs.get("num_cycles", 0.5))
        return float(low + (1 - low) * fallen)
    return float(low)


def _rise(progress: float, kind: str) -> float:
    return {"linear": progress, "cosine": 1 - _wave(progress, 0.5), "1-sqrt": 1 - math.sqrt(1 - progress)}[kind]


def _fall(progress: float, kind: str, cycles: float) -> float:
    return {"linear": 1 - progress, "cosine": _wave(progress, cycles), "1-sqrt": 1 - math.sqrt(progress)}[kind]


_SCHEDULES: Final[dict[str, Callable[[int, int, int, Mapping[str, Any], float], float]]] = {
    "linear": _linear,
    "cosine": _cosine,
    "cosine_with_restarts": _cosine_with_restarts,
    "polynomial": _polynomial,
    "constant": _constant,
    "constant_with_warmup": _constant_with_warmup,
    "inverse_sqrt": _inverse_sqrt,
    "cosine_with_min_lr": _cosine_with_min_lr,
    "cosine_warmup_with_min_lr": _cosine_warmup_with_min_lr,
    "warmup_stable_decay": _warmup_stable_decay,
}

CLOSED_FORMS: Final = tuple(_SCHEDULES)
"""The schedules that `factor` knows."""
