"""Observing: what is logged, evaluated, saved, printed and predicted beside a run changes nothing of what it trains and returns."""

from __future__ import annotations

from typing import Any, Final

from trainer_props.experiments.observe import follows_evaluations
from trainer_props.judgement import Judgement, close, holds_for_all, same
from trainer_props.measures import pairs as measures
from trainer_props.measures.pairs import BASELINE, CHANGED
from trainer_props.properties import sources
from trainer_props.properties._pairs import CHANGES, IDENTIFIED, PAIR, both_sides, ends_alike, same_rows, same_samples, scenario_of
from trainer_props.properties.logs import LOG_TOLERANCE
from trainer_props.properties.needs import Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Runs
from trainer_props.scenario import Scenario
from trainer_props.zoo.kinds import draws_random_numbers

OBSERVE: Final = ("observe",)
SAME_SAMPLES: Final = same_samples("observe.micro_batches_have_the_same_samples")


def _same_evaluations(runs: Runs, scenario: Scenario) -> bool:
    """No run goes by its evaluations, or both evaluate at the same updates; `eval_steps` is `logging_steps` where it is not given."""
    plans = [_evaluations(scenario_of(runs, name, scenario)) for name in runs]
    return not follows_evaluations(scenario) or plans[0] == plans[-1]


def _evaluations(scenario: Scenario) -> list[Any]:
    every = scenario.argument("eval_steps") or scenario.argument("logging_steps")
    return [scenario.argument("eval_strategy"), every, scenario.argument("eval_on_start")]


SAME_EVALUATIONS: Final = Need("same_evaluations", "the run goes by evaluations, and is evaluated at other updates", _same_evaluations)


def _evaluated_alike(runs: Runs) -> bool:
    passes = [[each.step for each in record.evaluations] for record in runs.values()]
    return passes[0] == passes[-1]


def _goes_alike(runs: Runs, scenario: Scenario) -> bool:
    if not follows_evaluations(scenario):
        return True
    grouped = scenario.argument("train_sampling_strategy") == "group_by_length"  # its order is drawn from the same numbers
    return _evaluated_alike(runs) or not (grouped or draws_random_numbers(scenario))


GOES_ALIKE: Final = Need(
    "goes_alike", "training draws random numbers and goes by its evaluations, and a prediction has drawn one between", _goes_alike
)
DRAWS_ALIKE: Final = Need(
    "draws_alike", "each evaluation and prediction draws a random number, and training does too (observe.weights_are_the_same says so)",
    lambda runs, scenario: not draws_random_numbers(scenario) or _evaluated_alike(runs),
)  # fmt: skip
_SAME_WORK: Final = (*PAIR, SAME_EVALUATIONS, GOES_ALIKE)
_SAME_DATA: Final = (*_SAME_WORK, SAME_SAMPLES)
_SAME_NUMBERS: Final = (*_SAME_DATA, DRAWS_ALIKE)
_NUMBERS: Final = ("grad_norm", "learning_rate")


@trainer_property(
    source=sources.docs("TrainingArguments.eval_strategy"), experiments=OBSERVE, needs=[CHANGES, SAME_EVALUATIONS], catalogue=[53]
)
def finishes_however_observed(runs: Runs, scenario: Scenario) -> Judgement:
    """A run that finishes also finishes when it is observed otherwise."""
    return ends_alike(runs)


@trainer_property(source=sources.docs("TrainingArguments.max_steps"), experiments=OBSERVE, needs=_SAME_WORK, catalogue=[53])
def ends_at_the_same_step(runs: Runs, scenario: Scenario) -> Judgement:
    """As many updates are made, however the run is observed."""
    return same("global_step at the end", **both_sides(measures.global_step, runs))


@trainer_property(
    source=sources.docs("TrainingArguments.data_seed"), experiments=OBSERVE, needs=[*_SAME_WORK, IDENTIFIED], catalogue=[19, 53]
)
def micro_batches_have_the_same_samples(runs: Runs, scenario: Scenario) -> Judgement:
    """The same samples come in the same order and micro-batches, however the run is observed and however many processes load data."""
    return same("samples of a micro-batch", **both_sides(measures.samples_of_micro_batches, runs), at="micro-batch")


@trainer_property(source=sources.docs("TrainingArguments.lr_scheduler_type"), experiments=OBSERVE, needs=_SAME_WORK, catalogue=[53])
def learning_rates_are_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """Each update has the same learning rate, however the run is observed."""
    return same("learning rates", **both_sides(measures.learning_rates, runs), at="rate")


@trainer_property(source=sources.docs("Trainer.train"), experiments=OBSERVE, needs=_SAME_DATA, catalogue=[19, 53])
def gradients_are_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """Each update uses the same gradient bit by bit, however the run is observed."""
    return same_rows("gradient", runs, "gradient", measures.gradient, 0.0)


@trainer_property(source=sources.docs("Trainer.train"), experiments=OBSERVE, needs=_SAME_DATA, catalogue=[19, 53])
def weights_are_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """After each update the weights are the same bit by bit, however the run is observed."""
    return same_rows("weights", runs, "weights", measures.weight, 0.0)


@trainer_property(
    source=sources.docs("TrainingArguments.logging_steps"), experiments=OBSERVE, needs=_SAME_NUMBERS, tolerance=LOG_TOLERANCE,
    catalogue=[52, 53],
)  # fmt: skip
def train_loss_is_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """The same training loss is returned, however often it was logged."""
    return close("training_loss", **both_sides(measures.training_loss, runs), tolerance=LOG_TOLERANCE)


@trainer_property(source=sources.docs("TrainingArguments.logging_steps"), experiments=OBSERVE, needs=_SAME_NUMBERS, catalogue=[53])
def logged_numbers_are_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """Where both runs log, they log the same learning rate and gradient norm."""
    judgements = []
    for name in _NUMBERS:
        first, second = ({entry["step"] for entry in runs[side].log_history if name in entry} for side in (BASELINE, CHANGED))
        if steps := sorted(first & second):
            judgements.append(same(f"logged {name}", **both_sides(measures.logged_at, runs, name, steps), at="value"))
    return holds_for_all("numbers logged in both runs", judgements)


@trainer_property(source=sources.docs("TrainingArguments.disable_tqdm"), experiments=OBSERVE, needs=PAIR, catalogue=[52])
def the_same_is_returned(runs: Runs, scenario: Scenario) -> Judgement:
    """`train()` returns metrics of the same names, and the same number of operations, however the run is observed."""
    names = same("names of the metrics", **both_sides(measures.names_of_metrics, runs), at="name")
    if "total_flos" not in runs[BASELINE].metrics or "total_flos" not in runs[CHANGED].metrics:
        return holds_for_all("metrics", [names])
    return holds_for_all("metrics", [names, same("total_flos", **both_sides(measures.metric, runs, "total_flos"))])
