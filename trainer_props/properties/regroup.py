"""Regrouping: how the samples of an update are cut into micro-batches makes no difference."""

from __future__ import annotations

from typing import Final

import torch

from trainer_props.judgement import Judgement, Measured, close, holds_for_all, not_applicable, same
from trainer_props.measures import optimization
from trainer_props.measures import pairs as measures
from trainer_props.oracles import accounting, best_model
from trainer_props.properties import sources
from trainer_props.properties._pairs import (
    CHANGES,
    IDENTIFIED,
    PAIR,
    both,
    both_sides,
    ends_alike,
    rows,
    same_numbers,
    same_rows,
    scenario_of,
)
from trainer_props.properties._prediction import is_smoothed, loss_reduction, spans
from trainer_props.properties._vectors import Element, close_rows
from trainer_props.properties.data_order import NOT_PADDED
from trainer_props.properties.logs import LOG_TOLERANCE
from trainer_props.properties.loss import predicted_items
from trainer_props.properties.needs import FINISHED, SOME_UPDATE, WHOLE_WINDOWS, Need
from trainer_props.properties.optimization import ADAPTIVE, BLOG
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record, Runs
from trainer_props.scenario import Scenario
from trainer_props.zoo import MODELS

REGROUP: Final = ("regroup",)
TOLERANCE: Final = {"float64": 1e-12, "float32": 1e-5}
IN_SINGLE: Final = 1e-5
"""The tolerance for models of the Hub, which compute parts of their loss in float32 whatever their dtype; so do smoothed labels."""
_NOISE: Final = 1e-11


def _rows_of_an_epoch(scenario: Scenario) -> int:
    if not accounting.drops_last(scenario):
        return scenario.data.n
    return min(scenario.data.n, accounting.batches_per_epoch(scenario) * accounting.batch_size(scenario))


def _same_rows_dropped(runs: Runs, scenario: Scenario) -> bool:
    """`dataloader_drop_last` drops as many samples of either run."""
    return len({_rows_of_an_epoch(scenario_of(runs, name, scenario)) for name in runs}) == 1


def _even(record: Record, scenario: Scenario) -> bool:
    """The micro-batches of each update have the same number of items that the loss averages over."""
    if record.loss_reduction == "batch_dependent":
        return False
    if (record.loss_reduction or loss_reduction(scenario)) == "sum_over_items":
        return True
    known = record.loss_reduction is None and not record.own_data and record.identified
    for span in spans(record):
        batches = record.batches[span.first : span.end]
        if len({predicted_items(scenario, [batch]) if known else batch.size for batch in batches}) > 1:
            return False
    return True


SAME_ROWS: Final = Need("same_rows", "dataloader_drop_last drops other samples from larger batches", _same_rows_dropped)
INVARIANT: Final = Need(
    "invariant",
    "the mean over micro-batches of different sizes is not the mean over their samples, or the loss depends on the whole micro-batch",
    both(_even),
)
SMOOTH: Final = Need(
    "smooth", "the schedule follows evaluations",
    lambda runs, scenario: scenario.argument("lr_scheduler_type") not in ("reduce_lr_on_plateau", "greedy"),
)  # fmt: skip
STOPS_ALIKE: Final = Need(
    "stops_alike", "early stopping goes by a loss, which the sizes of the micro-batches may change",
    lambda runs, scenario: scenario.components.early_stopping is None or best_model.is_given(scenario),
)  # fmt: skip
_SAME_WORK: Final = (*PAIR, SAME_ROWS)
BOTH_WHOLE_WINDOWS: Final = Need(WHOLE_WINDOWS.name, WHOLE_WINDOWS.reason, both(WHOLE_WINDOWS.met))
BOTH_UNPADDED: Final = Need(NOT_PADDED.name, NOT_PADDED.reason, both(NOT_PADDED.met))
_SAME_NUMBERS: Final = (*_SAME_WORK, BOTH_UNPADDED, BOTH_WHOLE_WINDOWS, INVARIANT)


def _tolerance(scenario: Scenario) -> float:
    in_single = MODELS[scenario.model.name].cost == "tiny" or is_smoothed(scenario)
    return max(TOLERANCE[scenario.model.dtype], IN_SINGLE if in_single else 0.0)


@trainer_property(source=BLOG, experiments=REGROUP, needs=[CHANGES], catalogue=[33])
def both_groupings_finish(runs: Runs, scenario: Scenario) -> Judgement:
    """If a run finishes, so does the one whose micro-batches are merged, and the other way round."""
    if SAME_ROWS.met(runs, scenario):
        return ends_alike(runs)
    return not_applicable(SAME_ROWS.reason)


@trainer_property(source=BLOG, experiments=REGROUP, needs=_SAME_WORK, catalogue=[33])
def ends_at_the_same_step(runs: Runs, scenario: Scenario) -> Judgement:
    """With the same samples in an update, as many updates are made."""
    if scenario.components.early_stopping is not None:
        return not_applicable("early stopping may end the run")
    return same("global_step at the end", **both_sides(measures.global_step, runs))


@trainer_property(
    source=sources.docs("TrainingArguments.gradient_accumulation_steps"), experiments=REGROUP,
    needs=[*_SAME_WORK, STOPS_ALIKE, BOTH_UNPADDED, IDENTIFIED], catalogue=[33, 36],
)  # fmt: skip
def updates_have_the_same_samples(runs: Runs, scenario: Scenario) -> Judgement:
    """Each update is made of the same samples, in the same order unless the sampler balances micro-batches."""
    balanced = scenario.argument("train_sampling_strategy") == "batch_rebalance"
    measure = measures.sorted_samples_of_updates if balanced else measures.samples_of_updates
    return same("samples of an update", **both_sides(measure, runs), at="update")


@trainer_property(
    source=sources.docs("TrainingArguments.lr_scheduler_type"), experiments=REGROUP, needs=[*_SAME_WORK, STOPS_ALIKE, SMOOTH],
    tolerance=1e-12, catalogue=[33],
)  # fmt: skip
def learning_rates_are_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """Each update has the same learning rate."""
    return close("learning rates", **both_sides(measures.learning_rates, runs), tolerance=1e-12, scale=0.0, at="rate")


@trainer_property(
    source=sources.docs("TrainerState.log_history"), experiments=REGROUP, needs=[*_SAME_WORK, STOPS_ALIKE], catalogue=[33]
)
def log_history_has_the_same_entries(runs: Runs, scenario: Scenario) -> Judgement:
    """The same is logged after the same updates."""
    return same("entries of the log history", **both_sides(measures.entries_of_history, runs), at="entry")


@trainer_property(
    source=BLOG, experiments=REGROUP, needs=[*_SAME_NUMBERS, SMOOTH], tolerance=TOLERANCE["float64"], catalogue=[33, 34, 36]
)
def gradients_are_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """Each update uses the same gradient, however its samples are cut into micro-batches.

    Where the loss of a micro-batch is the mean over its samples, its micro-batches must have the same size.
    """
    if _enlarges(runs, scenario):
        return not_applicable("an adaptive optimizer makes steps of the rounding of gradients")
    return same_rows("gradient", runs, "gradient", measures.gradient, _tolerance(scenario))


@trainer_property(source=BLOG, experiments=REGROUP, needs=[*_SAME_NUMBERS, SMOOTH], tolerance=TOLERANCE["float64"], catalogue=[33, 34])
def weights_are_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """After each update the weights are the same, however its samples are cut into micro-batches."""
    if _enlarges(runs, scenario):
        return not_applicable("an adaptive optimizer makes steps of the rounding of gradients")
    adaptive = scenario.argument("optim") != "sgd"
    tolerance = max(_tolerance(scenario), ADAPTIVE if adaptive else 0.0)
    return same_rows("weights", runs, "weights", measures.weight, tolerance)


def _enlarges(runs: Runs, scenario: Scenario) -> bool:
    """An adaptive optimizer divides a gradient by its own size: one that is rounding alone makes a whole step."""
    if scenario.argument("optim") == "sgd":
        return False
    pair = rows(runs, "gradient")
    if pair is None or _tolerance(scenario) > TOLERANCE["float64"]:
        return True
    return any(bool(((side != 0) & (side.abs() < _NOISE)).any()) for side in pair)


@trainer_property(
    source=sources.docs("TrainingArguments.logging_steps"), experiments=REGROUP, needs=[*_SAME_NUMBERS, SMOOTH], tolerance=LOG_TOLERANCE,
    catalogue=[33],
)  # fmt: skip
def logged_losses_are_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """The same losses are logged, and the same training loss is returned."""
    if _enlarges(runs, scenario):
        return not_applicable("an adaptive optimizer makes steps of the rounding of gradients")
    tolerance = max(LOG_TOLERANCE, _tolerance(scenario))
    returned = close("training_loss", **both_sides(measures.training_loss, runs), tolerance=tolerance)
    logged = same_numbers("logged loss", measures.logged_values, runs, "loss", tolerance=tolerance, at="value")
    return holds_for_all("losses", [logged, returned])


@trainer_property(
    source=sources.docs("TrainingArguments.max_grad_norm"), experiments=REGROUP, needs=[*_SAME_NUMBERS, SMOOTH],
    tolerance=TOLERANCE["float64"], catalogue=[29, 33],
)  # fmt: skip
def gradient_norms_are_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """The same gradient norms are logged."""
    if _enlarges(runs, scenario):
        return not_applicable("an adaptive optimizer makes steps of the rounding of gradients")
    return same_numbers("grad_norm", measures.logged_values, runs, "grad_norm", tolerance=_tolerance(scenario), at="value")


def _is_still(record: Record, scenario: Scenario) -> bool:
    return scenario.data.alike and not record.own_data and all(not any(update.learning_rates) for update in record.updates)


STILL: Final = Need("still", "the samples differ, or the weights move", _is_still)


@trainer_property(
    source=BLOG, experiments=("identical_samples",), needs=[FINISHED, SOME_UPDATE, STILL], tolerance=TOLERANCE["float64"],
    catalogue=[16, 35, 36],
)  # fmt: skip
def identical_samples_give_identical_gradients(record: Record, scenario: Scenario) -> Judgement:
    """At learning rate 0, and with samples that are all the same, each update uses the same gradient: also one whose window is short, and
    whatever the kind of data set.
    """
    used = [update.gradient for update in record.updates]
    seen = torch.stack([gradient for gradient in used if gradient is not None]) if None not in used and used else None
    if seen is None or not bool(torch.isfinite(seen).all()):
        return not_applicable("no update, one without a gradient, or a run that diverges")

    def first(place: Element) -> Measured:
        return optimization.gradient_element(record, 1, place.parameter, place.position)

    return close_rows(
        "gradient", expected=seen[:1].expand_as(seen), observed=seen, tolerance=_tolerance(scenario), parameters=record.parameters,
        measured=lambda place: optimization.gradient_element(record, *place), measured_expected=first,
    )  # fmt: skip
