"""Judging a baseline and one changed run: what they need to be compared, and how they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypedDict

import torch
from torch import Tensor

from trainer_props.judgement import HOLDS, Judgement, Measured, Violated, close, not_applicable, same
from trainer_props.measures import pairs as measures
from trainer_props.measures.pairs import BASELINE, CHANGED
from trainer_props.properties._vectors import largest_so_far, wrong_elements
from trainer_props.properties.needs import Need
from trainer_props.record import Record, Runs
from trainer_props.scenario import Scenario

_SANE: Final = {torch.float64: 1e100, torch.float32: 1e15}
"""Weights or gradients beyond this size belong to a run that diverges."""


def scenario_of(runs: Runs, name: str, scenario: Scenario) -> Scenario:
    """The scenario of one of the runs."""
    return scenario.with_arguments(**runs[name].arguments)


def both(met: Callable[[Record, Scenario], bool]) -> Callable[[Runs, Scenario], bool]:
    """The test of a record as one of a pair: both meet it."""
    return lambda runs, scenario: all(met(runs[name], scenario_of(runs, name, scenario)) for name in runs)


CHANGES: Final = Need("changes", "nothing could be changed", lambda runs, scenario: CHANGED in runs)
BOTH_FINISHED: Final = Need("both_finished", "a run did not finish", lambda runs, scenario: all(each.finished for each in runs.values()))
IDENTIFIED: Final = Need(
    "identified", "samples could not be identified", lambda runs, scenario: all(each.identified for each in runs.values())
)
PAIR: Final = (CHANGES, BOTH_FINISHED)


def _same_samples(runs: Runs, scenario: Scenario) -> bool:
    sides = both_sides(measures.samples_of_micro_batches, runs)
    return bool(sides["expected"].value == sides["observed"].value)


def same_data_seed(runs: Runs, scenario: Scenario) -> bool:
    """Whether the data have the same seed in both runs: `data_seed`, or `seed` without one."""
    return len({_data_seed(scenario_of(runs, name, scenario)) for name in runs}) == 1


def _data_seed(scenario: Scenario) -> int:
    given = scenario.argument("data_seed")
    return int(scenario.argument("seed") if given is None else given)


def same_samples(property: str) -> Need:
    """The runs are trained on the same samples; another property judges that."""
    return Need("same_samples", f"the runs are trained on other samples ({property} says so)", _same_samples)


def ends_alike(runs: Runs) -> Judgement:
    """If one of the runs comes to its end, so does the other."""
    ended = [name for name in runs if runs[name].finished]
    if not ended:
        return not_applicable("neither run finishes")
    other = next((name for name in runs if not runs[name].finished), CHANGED)
    verdict = "crashed" if runs[other].stuck is None else "hung"
    return same("the run", expected=measures.ENDED, observed=measures.ending(runs, other), symptom=f"{other} does not end", verdict=verdict)


class Sides(TypedDict):
    """The two sides of a comparison."""

    expected: Measured
    observed: Measured


def both_sides(measure: Callable[..., Measured], runs: Runs, *arguments: Any) -> Sides:
    """A measure of both runs, as the two sides of a comparison."""
    return {"expected": measure(runs, BASELINE, *arguments), "observed": measure(runs, CHANGED, *arguments)}


def same_numbers(quantity: str, measure: Callable[..., Measured], runs: Runs, *arguments: Any, tolerance: float, at: str) -> Judgement:
    """Both runs have the same numbers, as many as there are in both; not applicable if there are none."""
    sides = both_sides(measure, runs, *arguments)
    if not sides["expected"].value and not sides["observed"].value:
        return not_applicable(f"nothing to compare: {quantity}")
    return close(quantity, **sides, tolerance=tolerance, at=at)


def same_rows(quantity: str, runs: Runs, column: str, measure: Callable[..., Measured], tolerance: float | Tensor) -> Judgement:
    """A column of the updates (`weights`, `gradient`) is the same in both runs, as far as both go and neither diverges.

    Args:
        measure: of one element: runs, name, update, place.
        tolerance: of all updates, or of each, relative to the largest element so far (at least 1).
    """
    pair = rows(runs, column)
    if pair is None:
        return not_applicable(f"nothing to compare: {quantity}")
    expected, observed = pair
    if not isinstance(tolerance, float):
        tolerance = tolerance[: len(expected)]
    scales = largest_so_far(expected)
    for row, element, _ in wrong_elements(expected, observed, tolerance):
        judgement = close(
            quantity,
            **both_sides(measure, runs, row + 1, element),
            tolerance=float(tolerance if isinstance(tolerance, float) else tolerance[row]),
            scale=float(scales[row]),
            at=f"update {row + 1}, element {element}",
            symptom="different",  # which sign the element that is farthest off happens to have says nothing of the cause
        )
        if isinstance(judgement, Violated):
            return judgement
    return HOLDS


def rows(runs: Runs, column: str) -> tuple[Tensor, Tensor] | None:
    """A column of the updates of both runs, shape [updates, elements] each; None if there is none."""
    sides = [[getattr(update, column) for update in runs[name].updates] for name in (BASELINE, CHANGED)]
    length = min(map(len, sides))
    for side in sides:
        length = min(length, next((index for index, row in enumerate(side) if not _is_sane(row)), len(side)))
    if not length:
        return None
    expected, observed = (torch.stack(side[:length]) for side in sides)
    return expected, observed


def _is_sane(row: Tensor | None) -> bool:
    return row is not None and float(row.abs().max()) < _SANE.get(row.dtype, 1e15)
