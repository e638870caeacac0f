"""Saving memory: bf16 rounds what a model computes and nothing else, and activations that are computed again are the same."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from trainer_props.experiments.observe import follows_evaluations
from trainer_props.judgement import Judgement, close, holds_for_all, not_applicable, same
from trainer_props.measures import pairs as measures
from trainer_props.measures import save_memory
from trainer_props.measures.pairs import BASELINE, CHANGED
from trainer_props.properties import sources
from trainer_props.properties._pairs import CHANGES, IDENTIFIED, PAIR, both_sides, ends_alike, rows, same_numbers, same_rows, same_samples
from trainer_props.properties._prediction import has_own_model
from trainer_props.properties.logs import LOG_TOLERANCE
from trainer_props.properties.needs import Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Runs
from trainer_props.scenario import Scenario
from trainer_props.zoo import MODELS

SAVE_MEMORY: Final = ("save_memory",)
HALF: Final = 0.05
"""A gradient in bf16, relative to its largest element (at least 1). bf16 has 8 significant bits, so that each number is off by at most
2**-9 of itself; a few layers, forward and backward, of numbers that partly cancel, make that some ten times as much."""
FEEDBACK: Final = 2.0
"""A later gradient is also taken at weights that are off already; at small steps that adds no more than the rounding itself."""
SMALL: Final = 0.05
"""Steps are small if weights move less than this in all (the catalogue's bound of what bf16 may change)."""
AGAIN: Final = 1e-5
"""Models of transformers compute parts in single precision whatever their type. What is computed again is added up in another order."""

_BF16: Final = sources.docs("TrainingArguments.bf16")
_CHECKPOINTING: Final = sources.docs("TrainingArguments.gradient_checkpointing")


def _changed(runs: Runs, name: str) -> bool:
    return CHANGED in runs and bool(runs[CHANGED].arguments.get(name))


def _is_exact(runs: Runs, scenario: Scenario) -> bool:
    """What is changed rounds nothing: the cache is emptied, or bf16 is asked of a model of our own, which computes in double precision."""
    if _changed(runs, "bf16"):
        return scenario.model.dtype == "float64" and MODELS[scenario.model.name].cost == "cheap" and not runs[BASELINE].own_data
    return not _changed(runs, "activation_checkpointing")


EXACT: Final = Need("exact", "bf16 rounds, and what is computed again is added up in another order", _is_exact)
SAME_PLAN: Final = Need(
    "same_plan", "the run goes by its evaluations, whose numbers are rounded otherwise",
    lambda runs, scenario: _is_exact(runs, scenario) or not follows_evaluations(scenario),
)  # fmt: skip
IN_BF16: Final = Need("in_bf16", "the run is not one in bf16", lambda runs, scenario: _changed(runs, "bf16"))
CHECKPOINTED: Final = Need(
    "checkpointed", "no activations are checkpointed", lambda runs, scenario: _changed(runs, "activation_checkpointing")
)
PLAIN_DESCENT: Final = Need(
    "plain_descent",
    "an adaptive optimizer makes steps of the rounding of gradients",
    lambda runs, scenario: scenario.argument("optim") == "sgd",
)
SMOOTH: Final = Need(
    "smooth",
    "the model has units that are on or off, or is not known: where one rounds over zero, gradients are other ones",
    lambda runs, scenario: not MODELS[scenario.model.name].kinked and not has_own_model(runs[BASELINE], scenario),
)
SAME_SAMPLES: Final = same_samples("save_memory.micro_batches_have_the_same_samples")
_SAME_WORK: Final = (*PAIR, SAME_PLAN)
_SAME_DATA: Final = (*_SAME_WORK, SAME_SAMPLES)


@trainer_property(source=_CHECKPOINTING, experiments=SAVE_MEMORY, needs=[CHANGES], catalogue=[45, 46])
def finishes_with_less_memory(runs: Runs, scenario: Scenario) -> Judgement:
    """A run that finishes also finishes in bf16, with checkpointed activations, and when the cache is emptied."""
    return ends_alike(runs)


@trainer_property(source=sources.docs("TrainingArguments.max_steps"), experiments=SAVE_MEMORY, needs=_SAME_WORK, catalogue=[45, 46])
def ends_at_the_same_step(runs: Runs, scenario: Scenario) -> Judgement:
    """As many updates are made with less memory."""
    return same("global_step at the end", **both_sides(measures.global_step, runs))


@trainer_property(
    source=sources.docs("TrainingArguments.data_seed"), experiments=SAVE_MEMORY, needs=[*_SAME_WORK, IDENTIFIED], catalogue=[45, 46]
)
def micro_batches_have_the_same_samples(runs: Runs, scenario: Scenario) -> Judgement:
    """The same samples come in the same order and micro-batches with less memory."""
    return same("samples of a micro-batch", **both_sides(measures.samples_of_micro_batches, runs), at="micro-batch")


@trainer_property(source=sources.docs("TrainingArguments.lr_scheduler_type"), experiments=SAVE_MEMORY, needs=_SAME_WORK, catalogue=[45, 46])
def learning_rates_are_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """Each update has the same learning rate with less memory."""
    return same("learning rates", **both_sides(measures.learning_rates, runs), at="rate")


@trainer_property(source=sources.docs("TrainerState.log_history"), experiments=SAVE_MEMORY, needs=_SAME_WORK, catalogue=[45, 46])
def log_history_has_the_same_entries(runs: Runs, scenario: Scenario) -> Judgement:
    """The same is logged after the same updates with less memory."""
    return same("entries of the log history", **both_sides(measures.entries_of_history, runs), at="entry")


@trainer_property(source=_BF16, experiments=SAVE_MEMORY, needs=PAIR, catalogue=[45, 46])
def weights_keep_their_type(runs: Runs, scenario: Scenario) -> Judgement:
    """Weights and their gradients keep their type: bf16 is mixed precision, in which an update is made in full precision."""
    return same("types of weights and gradients", **both_sides(save_memory.types_of_weights, runs), at="type")


@trainer_property(source=sources.AUTOCAST, experiments=SAVE_MEMORY, needs=[*PAIR, SAME_SAMPLES, EXACT], catalogue=[45])
def weights_are_the_same_where_nothing_is_rounded(runs: Runs, scenario: Scenario) -> Judgement:
    """After each update the weights are the same bit by bit when the cache is emptied, and in bf16 if the model computes in double
    precision, which automatic mixed precision leaves alone.
    """
    return same_rows("weights", runs, "weights", measures.weight, 0.0)


@trainer_property(source=_BF16, experiments=SAVE_MEMORY, needs=[*_SAME_DATA, IN_BF16, SMOOTH], tolerance=HALF, catalogue=[45])
def first_gradient_is_close_in_bf16(runs: Runs, scenario: Scenario) -> Judgement:
    """The first update, which finds the same weights, uses the same gradient as without bf16, but for the rounding of bf16."""
    return same_rows("gradient", runs, "gradient", measures.gradient, _only_first(runs, HALF))


@trainer_property(
    source=_BF16, experiments=SAVE_MEMORY, needs=[*_SAME_DATA, IN_BF16, PLAIN_DESCENT, SMOOTH], tolerance=HALF, catalogue=[45]
)
def weights_stay_close_in_bf16(runs: Runs, scenario: Scenario) -> Judgement:
    """At small steps of plain gradient descent the weights stay as close to those without bf16 as the rounding of the gradients allows.

    The bound is the sum of what each update may be off: its learning rate times the bound of its gradient. A run in which weights move by
    0.05 or more is not judged.
    """
    pair = rows(runs, "gradient")
    if pair is None:
        return not_applicable("nothing to compare: weights")
    sizes = pair[0].double().abs().amax(1).cummax(0).values.clamp(min=1)
    rates = torch.tensor([max(update.learning_rates) for update in runs[BASELINE].updates[: len(sizes)]], dtype=torch.float64)
    moved = (rates * sizes).cumsum(0)
    if float(moved[-1]) >= SMALL:
        return not_applicable("the steps are not small")
    return same_rows("weights", runs, "weights", measures.weight, HALF * FEEDBACK * moved)


@trainer_property(
    source=sources.ACTIVATION_CHECKPOINTING, experiments=SAVE_MEMORY, needs=[*_SAME_DATA, CHECKPOINTED], tolerance=AGAIN, catalogue=[46]
)
def gradients_of_checkpointed_layers_are_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """Each update uses the same gradient with checkpointed activations, within rounding; with an adaptive optimizer the first one does."""
    tolerance = AGAIN if PLAIN_DESCENT.met(runs, scenario) else _only_first(runs, AGAIN)
    return same_rows("gradient", runs, "gradient", measures.gradient, tolerance)


@trainer_property(
    source=sources.ACTIVATION_CHECKPOINTING, experiments=SAVE_MEMORY, needs=[*_SAME_DATA, CHECKPOINTED, PLAIN_DESCENT], tolerance=AGAIN,
    catalogue=[46],
)  # fmt: skip
def weights_of_checkpointed_layers_are_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """After each update the weights are the same with checkpointed activations, within rounding."""
    return same_rows("weights", runs, "weights", measures.weight, AGAIN)


@trainer_property(
    source=sources.ACTIVATION_CHECKPOINTING, experiments=SAVE_MEMORY, needs=[*_SAME_DATA, CHECKPOINTED, PLAIN_DESCENT], tolerance=AGAIN,
    catalogue=[46],
)  # fmt: skip
def losses_of_checkpointed_layers_are_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """The same losses are logged with checkpointed activations, and the same training loss is returned."""
    tolerance = max(AGAIN, LOG_TOLERANCE)
    returned = close("training_loss", **both_sides(measures.training_loss, runs), tolerance=tolerance)
    logged = same_numbers("logged loss", measures.logged_values, runs, "loss", tolerance=tolerance, at="value")
    return holds_for_all("losses", [logged, returned])


def _only_first(runs: Runs, tolerance: float) -> Tensor:
    """A tolerance for the first update; later ones, which find other weights, may differ as they like."""
    limits = torch.full((max(1, *(len(record.updates) for record in runs.values())),), torch.inf, dtype=torch.float64)
    limits[0] = tolerance
    return limits
