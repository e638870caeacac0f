"""How far runs on several devices and on one may be apart by rounding alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from trainer_props.measures import devices as measures
from trainer_props.oracles.sharding import in_processes
from trainer_props.properties._prediction import loss_reduction
from trainer_props.properties.optimization import ADAPTIVE
from trainer_props.record import Runs
from trainer_props.scenario import Scenario
from trainer_props.zoo import MODELS

TOLERANCE: Final = {"float64": 1e-12, "float32": 1e-6}
"""By the type of the model: sums are taken in another order, and `places=6` is what float32 is promised."""
VISIBLE: Final = "an adaptive optimizer, or a run that diverges, makes visible steps of rounding"
_VISIBLE_SHARE: Final = 0.25
"""Of what float32 is promised: one update of a run that diverges enlarges rounding less than fourfold."""
_UNIT: Final = 2.0**-23
"""The distance of numbers in float32, relative to them."""


def reduction(runs: Runs, scenario: Scenario) -> str:
    """How a loss is made of those of its samples."""
    return runs.first.loss_reduction or loss_reduction(scenario)


def shown_rounding(runs: Runs, scenario: Scenario) -> int | None:
    """The first update that has made rounding visible, if weights were alike until then and are within what is allowed: what comes later
    is computed at weights that differ, and a run can enlarge that as far as it likes.

    An adaptive optimizer makes it visible at once. In float32 a run that diverges does so step by step: it has gone further than its
    weights are large, and the step before had rounding too. (What differs in a run that hardly moves, or all of a sudden, is no rounding.)
    """
    adaptive = scenario.argument("optim") != "sgd"
    if not adaptive and precision_of(runs, scenario) == "float64":
        return None
    most, visible = (ADAPTIVE, ADAPTIVE / 100) if adaptive else (TOLERANCE["float32"], TOLERANCE["float32"] * _VISIBLE_SHARE)
    largest, before, way, last = 1.0, 0.0, 0.0, None
    for number, (one, other) in enumerate(zip(runs.first.updates, measures.first_rank(runs).updates, strict=False), start=1):
        largest = scale(runs, scenario, (largest, float(one.weights.abs().max())))
        way += float((one.weights - last).abs().max()) if last is not None else 0.0
        size = one.weights.abs().clamp(min=1) if adaptive else largest
        apart = float(((one.weights - other.weights).abs() / size).max())
        if not apart <= visible:
            enlarged = adaptive or (way > largest and apart <= max(before, _UNIT) / _VISIBLE_SHARE)
            return number if apart <= most and enlarged else None
        before, last = apart, one.weights
    return None


def scale(runs: Runs, scenario: Scenario, sizes: Iterable[float]) -> float:
    """To what rounding is relative. In float32 a number that has become small keeps what was lost when it was as large as it has been."""
    return max([1.0, *filter(math.isfinite, sizes)]) if precision_of(runs, scenario) == "float32" else 1.0


def precision_of(runs: Runs, scenario: Scenario) -> str:
    """The type in which losses are exact: DataParallel gives the items a shape, and so their type, float32, to what they divide."""
    by_items = reduction(runs, scenario) == "sum_over_items" or MODELS[scenario.model.name].swallows_num_items
    return "float32" if by_items and not in_processes(scenario) else scenario.model.dtype


def tolerance_of_weights(runs: Runs, scenario: Scenario) -> float | None:
    """How far weights may be from each other: rounding, which an optimizer that divides by the size of gradients enlarges."""
    precision = precision_of(runs, scenario)
    if scenario.argument("optim") == "sgd":
        return TOLERANCE[precision]
    return ADAPTIVE if precision == "float64" else None


def drifts(runs: Runs, scenario: Scenario, updates: int) -> bool:
    """Whether there are more than so many updates, and they make visible steps of rounding: losses are those of weights that differ."""
    if len(runs.first.updates) <= updates:
        return False
    return tolerance_of_weights(runs, scenario) is None or (
        scenario.argument("optim") == "sgd" and shown_rounding(runs, scenario) is not None
    )
