"""Best metric, best checkpoint, early stopping and the rotation of checkpoints.

Source: the docstrings of TrainingArguments (`load_best_model_at_end`, `metric_for_best_model`, `greater_is_better`, `save_strategy`,
`save_total_limit`), of TrainerState (`best_metric`, `best_global_step`, `best_model_checkpoint`), of EarlyStoppingCallback and of
`rotate_checkpoints`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from trainer_props.oracles import adaptive_schedules
from trainer_props.scenario import Scenario

PREFIX = "checkpoint-"


class Best(NamedTuple):
    """The best of several evaluations: the metric's value, and the step of the first evaluation that reached it."""

    value: float
    step: int


def metric_name(scenario: Scenario) -> str | None:
    """The metric that is tracked, without `eval_`; `loss` where something needs a metric and none is named; else None."""
    name = scenario.argument("metric_for_best_model")
    if name is None:
        needed = scenario.argument("load_best_model_at_end") or scenario.argument("lr_scheduler_type") in adaptive_schedules.NAMES
        return "loss" if needed else None
    return str(name).removeprefix("eval_")


def is_given(scenario: Scenario) -> bool:
    """Whether the tracked metric is a score that is the same whatever is trained; a loss is not."""
    return metric_name(scenario) == "score" and bool(scenario.components.scores)


def greater_is_better(scenario: Scenario) -> bool:
    """The direction of the tracked metric: as given, else up unless its name ends in `loss`."""
    asked = scenario.argument("greater_is_better")
    return not (metric_name(scenario) or "").endswith("loss") if asked is None else bool(asked)


def is_better(value: float, best: float | None, greater: bool) -> bool:
    """Whether a value is strictly better than the best before it (None: there is none). NaN is never better."""
    if math.isnan(value) or best is None:
        return not math.isnan(value)
    return value > best if greater else value < best


def best_of(evaluations: Iterable[tuple[int, float]], greater: bool) -> Best | None:
    """The best of (step, value) pairs in order: the extremum, at its first occurrence; None if there is none but NaN."""
    best: Best | None = None
    for step, value in evaluations:
        if is_better(value, best.value if best else None, greater):
            best = Best(value, step)
    return best


def early_stopping(scenario: Scenario, values: Sequence[float]) -> int | None:
    """Index of the evaluation after which training stops, or None.

    It is the first one that ends a row of `patience` evaluations each of which does not improve on the best value before it by more than
    the threshold. The first evaluation has nothing to improve on; NaN improves on nothing.

    Args:
        scenario: names the direction of the metric, patience and threshold.
        values: what the tracked metric is at each evaluation, in order.
    """
    stopping = scenario.components.early_stopping
    if stopping is None:
        return None
    greater = greater_is_better(scenario)
    best: float | None = None
    row = 0
    for index, value in enumerate(values):
        improved = is_better(value, best, greater) and (best is None or abs(value - best) > stopping.threshold)
        row = 0 if improved or index == 0 else row + 1
        if is_better(value, best, greater):
            best = value
        if row >= stopping.patience:
            return index
    return None


def folder(step: int) -> str:
    """The name of the checkpoint of a step."""
    return f"{PREFIX}{step}"


def rotation(scenario: Scenario, saves: Iterable[tuple[int, int | None]]) -> list[tuple[str, ...]]:
    """Names of the checkpoints that exist after each save, oldest first, in a directory that was empty.

    The newest checkpoint and the best one are never deleted; of the others the oldest go first, until at most `save_total_limit` are left.

    Args:
        scenario: names the limit.
        saves: (step, step of the best checkpoint known after this save or None) of every save, in order.
    """
    limit = scenario.argument("save_total_limit")
    present: list[int] = []
    found = []
    for step, best in saves:
        present = [each for each in present if each != step] + [step]
        if limit is not None and limit > 0:
            protected = {step, best}
            removable = [each for each in present if each not in protected]
            excess = len(present) - max(limit, len(present) - len(removable))
            present = [each for each in present if each not in removable[:max(0, excess)]]
        found.append(tuple(folder(each) for each in present))
    return found


def folders_at_end(scenario: Scenario, saves: Sequence[tuple[int, int | None]]) -> tuple[str, ...]:
    """Names of the checkpoints that exist when training is over (arguments as for `rotation`).

    Where one checkpoint may stay and the best model is loaded at the end, the best one stays; otherwise the last rotation's result does.
    """
    left = rotation(scenario, saves)[-1] if saves else ()
    if scenario.argument("save_total_limit") == 1 and scenario.argument("load_best_model_at_end") and saves:
        best = saves[-1][1]
        return (folder(best),) if best is not None else left
    return left
