"""Repeating: the same seeds give the same run, and a second `train()` begins a run of its own."""

from __future__ import annotations

from typing import Final

import torch

from trainer_props.judgement import HOLDS, Judgement, not_applicable, same
from trainer_props.measures import pairs as measures
from trainer_props.measures.pairs import BASELINE, CHANGED
from trainer_props.properties import sources
from trainer_props.properties._pairs import CHANGES, IDENTIFIED, PAIR, both_sides, ends_alike, same_data_seed, same_rows
from trainer_props.properties.needs import Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Runs
from trainer_props.scenario import Scenario

REPEAT: Final = ("repeat",)
_BEGINNING: Final = "weights at the beginning"
SAME_TRAINER: Final = Need("same_trainer", "the second run has a Trainer of its own", lambda runs, scenario: _again(runs))
FRESH_TRAINER: Final = Need("fresh_trainer", "one Trainer trains twice", lambda runs, scenario: not _again(runs))
SAME_DATA_SEED: Final = Need("same_data_seed", "the data have another seed", same_data_seed)
SAME_ARGUMENTS: Final = Need(
    "same_arguments", "the second run has another seed or optimizer",
    lambda runs, scenario: not _again(runs) and runs[CHANGED].arguments.keys() <= {"full_determinism"},
)  # fmt: skip
NOT_STOPPED: Final = Need("not_stopped", "early stopping may end a run", lambda runs, scenario: scenario.components.early_stopping is None)
_REPRODUCIBLE: Final = sources.docs("TrainingArguments.seed")
_TRAIN: Final = sources.docs("Trainer.train")


def _again(runs: Runs) -> bool:
    return CHANGED in runs and _BEGINNING in runs[CHANGED].results


@trainer_property(source=_TRAIN, experiments=REPEAT, needs=[CHANGES], catalogue=[43])
def finishes_a_second_time(runs: Runs, scenario: Scenario) -> Judgement:
    """A run that finishes once finishes a second time."""
    return ends_alike(runs)


@trainer_property(source=_REPRODUCIBLE, experiments=REPEAT, needs=[*PAIR, SAME_ARGUMENTS], catalogue=[11])
def the_same_seed_gives_the_same_weights(runs: Runs, scenario: Scenario) -> Judgement:
    """With the same seed the weights after each update are the same bit by bit; `full_determinism` makes no difference to them."""
    return same_rows("weights", runs, "weights", measures.weight, 0.0)


@trainer_property(source=_REPRODUCIBLE, experiments=REPEAT, needs=[*PAIR, SAME_ARGUMENTS], catalogue=[11])
def the_same_seed_gives_the_same_logs(runs: Runs, scenario: Scenario) -> Judgement:
    """With the same seed the log history is the same, but for what a clock says."""
    return same("log history", **both_sides(measures.history_without_clocks, runs), at="entry")


@trainer_property(
    source=sources.docs("TrainingArguments.data_seed"), experiments=(*REPEAT, "reseed"),
    needs=[*PAIR, FRESH_TRAINER, SAME_DATA_SEED, IDENTIFIED, NOT_STOPPED], catalogue=[11],
)  # fmt: skip
def the_order_is_that_of_the_data_seed(runs: Runs, scenario: Scenario) -> Judgement:
    """The order of the samples follows from `data_seed` alone (from `seed` without one), whatever the optimizer and the rest of the run."""
    return same("samples of a micro-batch", **both_sides(measures.samples_of_micro_batches, runs), at="micro-batch")


@trainer_property(source=_TRAIN, experiments=REPEAT, needs=[*PAIR, SAME_TRAINER], catalogue=[43])
def a_second_train_begins_at_step_0(runs: Runs, scenario: Scenario) -> Judgement:
    """A second `train()` without a checkpoint begins at `global_step` 0 and epoch 0."""
    return same("global_step and epoch at the beginning", **both_sides(measures.first_event, runs), at="entry")


@trainer_property(source=_TRAIN, experiments=REPEAT, needs=[*PAIR, SAME_TRAINER, NOT_STOPPED], catalogue=[43])
def a_second_train_makes_as_many_updates(runs: Runs, scenario: Scenario) -> Judgement:
    """A second `train()` ends at the same `global_step` as the first."""
    return same("global_step at the end", **both_sides(measures.global_step, runs))


@trainer_property(source=_TRAIN, experiments=REPEAT, needs=[*PAIR, SAME_TRAINER, NOT_STOPPED], catalogue=[43])
def a_second_train_has_its_own_history(runs: Runs, scenario: Scenario) -> Judgement:
    """The log history of a second `train()` has the entries of a first one: the same steps and names."""
    return same("entries of the log history", **both_sides(measures.entries_of_history, runs), at="entry")


@trainer_property(source=_TRAIN, experiments=REPEAT, needs=[*PAIR, SAME_TRAINER, NOT_STOPPED], catalogue=[43])
def a_second_train_has_the_same_schedule(runs: Runs, scenario: Scenario) -> Judgement:
    """A second `train()` has the learning rates of the first; of a schedule that follows evaluations the first learning rate."""
    follows = scenario.argument("lr_scheduler_type") in ("reduce_lr_on_plateau", "greedy")
    return same("learning rates", **both_sides(measures.first_learning_rates if follows else measures.learning_rates, runs), at="rate")


@trainer_property(source=_TRAIN, experiments=REPEAT, needs=[*PAIR, SAME_TRAINER], catalogue=[43])
def a_second_train_goes_on_from_the_weights(runs: Runs, scenario: Scenario) -> Judgement:
    """A second `train()` begins with the weights with which the first one ended."""
    ended, begun = runs[BASELINE].final_weights, runs[CHANGED].results[_BEGINNING]
    if ended is None or not bool(torch.isfinite(ended).all()):
        return not_applicable("the run diverges")
    different = (ended != begun).nonzero().flatten().tolist()
    if not different:
        return HOLDS
    return same(
        "weights at the beginning of the second train()",
        expected=measures.weight_at_the_end(runs, BASELINE, different[0]),
        observed=measures.weight_at_the_beginning(runs, CHANGED, different[0]),
        at=f"element {different[0]}",
    )
