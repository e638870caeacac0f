"""Seeds: what follows from `data_seed`, or from `seed` without one, and what does not."""

from __future__ import annotations

from typing import Final

from trainer_props.judgement import Judgement, is_true, not_applicable, same
from trainer_props.measures import reseed as measures
from trainer_props.measures.pairs import BASELINE, CHANGED
from trainer_props.properties import sources
from trainer_props.properties._pairs import IDENTIFIED, PAIR, both_sides, same_data_seed
from trainer_props.properties.needs import Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Runs
from trainer_props.scenario import Scenario

RESEED: Final = ("reseed",)
_LEAST: Final = 8
"""Of so many samples two random orders are hardly ever the same."""
SAME_DATA_SEED: Final = Need("same_data_seed", "the data have another seed", same_data_seed)
OTHER_DATA_SEED: Final = Need(
    "other_data_seed", "the data have the same seed", lambda runs, scenario: not same_data_seed(runs, scenario)
)  # fmt: skip
SHUFFLED: Final = Need(
    "shuffled", "samples are not shuffled, or are too few, or by another rule",
    lambda runs, scenario: scenario.argument("train_sampling_strategy") == "random" and scenario.data.n >= _LEAST,
)  # fmt: skip
_SOURCE: Final = sources.docs("TrainingArguments.data_seed")


@trainer_property(source=_SOURCE, experiments=RESEED, needs=[*PAIR, IDENTIFIED, OTHER_DATA_SEED, SHUFFLED], catalogue=[11])
def another_data_seed_gives_another_order(runs: Runs, scenario: Scenario) -> Judgement:
    """With another `data_seed` the samples are taken in another order; without one, with another `seed`."""
    differ = measures.orders_differ(runs, BASELINE, CHANGED)
    return is_true("order of the samples", differ, expected="another order", observed="the same order", symptom="the same")


@trainer_property(source=_SOURCE, experiments=RESEED, needs=[*PAIR, IDENTIFIED, SAME_DATA_SEED], catalogue=[11])
def evaluations_go_by_the_data_seed(runs: Runs, scenario: Scenario) -> Judgement:
    """The order in which evaluations take their samples follows from `data_seed`, or from `seed` without one, as that of training does."""
    if not runs.first.evaluations:
        return not_applicable("there is no evaluation")
    return same("samples of an evaluation", **both_sides(measures.samples_of_evaluations, runs), at="evaluation")
