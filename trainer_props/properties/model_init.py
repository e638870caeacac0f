"""`model_init`: each training begins with a new model, and goes on as with a model that is given."""

from __future__ import annotations

from typing import Final

import torch

from trainer_props.judgement import HOLDS, Judgement, not_applicable, same
from trainer_props.measures import pairs as measures
from trainer_props.measures.pairs import BASELINE, CHANGED
from trainer_props.properties import sources
from trainer_props.properties._pairs import PAIR, both_sides, ends_alike, same_rows
from trainer_props.properties.needs import Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Runs
from trainer_props.scenario import Scenario

MADE: Final = ("model_init",)
_BEGINNING: Final = "weights at the beginning"
TAKES_IT: Final = Need("takes_it", "the subject takes no model_init", lambda runs, scenario: CHANGED in runs)
_SOURCE: Final = sources.docs("Trainer.model_init")


@trainer_property(source=_SOURCE, experiments=MADE, needs=[TAKES_IT], catalogue=[44])
def a_run_by_model_init_finishes(runs: Runs, scenario: Scenario) -> Judgement:
    """A run that finishes with a model that is given finishes with the `model_init` that makes it, also a second time."""
    return ends_alike(runs)


@trainer_property(source=_SOURCE, experiments=MADE, needs=[TAKES_IT, *PAIR], catalogue=[44])
def training_begins_with_a_new_model(runs: Runs, scenario: Scenario) -> Judgement:
    """Each `train()` begins with a new model: the one that `model_init` makes after `seed` was set."""
    expected, observed = (runs[name].results.get(_BEGINNING) for name in (BASELINE, CHANGED))
    if expected is None or observed is None or expected.shape != observed.shape:
        return not_applicable("a training did not begin")
    different = (expected != observed).nonzero().flatten().tolist()
    if not different or not bool(torch.isfinite(expected).all()):
        return HOLDS
    return same(
        "weights at the beginning", expected=measures.weight_at_the_beginning(runs, BASELINE, different[0]),
        observed=measures.weight_at_the_beginning(runs, CHANGED, different[0]), at=f"element {different[0]}",
    )  # fmt: skip


@trainer_property(source=_SOURCE, experiments=MADE, needs=[TAKES_IT, *PAIR], catalogue=[44])
def a_new_model_is_trained_as_a_given_one(runs: Runs, scenario: Scenario) -> Judgement:
    """The weights after each update are those of a run with the same model given, bit by bit: it is the new model that is trained."""
    return same_rows("weights", runs, "weights", measures.weight, 0.0)


@trainer_property(source=_SOURCE, experiments=MADE, needs=[TAKES_IT, *PAIR], catalogue=[44])
def a_new_model_is_logged_as_a_given_one(runs: Runs, scenario: Scenario) -> Judgement:
    """The log history is that of a run with the same model given, but for what a clock says."""
    return same("log history", **both_sides(measures.history_without_clocks, runs), at="entry")
