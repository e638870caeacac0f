"""What evaluating and predicting leave as it was; evaluation data under several names."""

from __future__ import annotations

from typing import Final

from trainer_props.judgement import Judgement, close, holds_for_all, not_applicable, same
from trainer_props.measures import evaluation_traces as measures
from trainer_props.properties import sources
from trainer_props.properties.needs import FINISHED, Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario

EXPERIMENTS: Final = ("evaluate_and_predict",)
NO_WORKERS = Need(
    "no_workers", "worker processes are given seeds of their own",
    lambda record, scenario: not scenario.argument("dataloader_num_workers"),
)  # fmt: skip
NAMED = Need("named", "the evaluation data have one name", lambda record, scenario: "named" in record.results)
_TOLERANCES: Final = {"float64": 1e-9, "float32": 1e-4}
_EVALUATE: Final = sources.docs("Trainer.evaluate")


@trainer_property(source=_EVALUATE, experiments=EXPERIMENTS, needs=[FINISHED], catalogue=[61])
def optimizer_and_schedule_stay(record: Record, scenario: Scenario) -> Judgement:
    """Evaluating and predicting leave the optimizer and the learning-rate schedule as they were; before training there are none."""
    return _stays(record, "optimizer", "state of the optimizer and of the schedule")


@trainer_property(source=_EVALUATE, experiments=EXPERIMENTS, needs=[FINISHED], catalogue=[61])
def state_and_control_stay(record: Record, scenario: Scenario) -> Judgement:
    """Evaluating and predicting leave the state of the training run, but for its log, and the control flags as they were."""
    return _stays(record, "state", "state and control flags")


@trainer_property(source=_EVALUATE, experiments=EXPERIMENTS, needs=[FINISHED], catalogue=[61])
def gradients_stay(record: Record, scenario: Scenario) -> Judgement:
    """Evaluating and predicting leave the gradients as they were, and which parameters have one."""
    return _stays(record, "gradients", "gradients")


@trainer_property(source=_EVALUATE, experiments=EXPERIMENTS, needs=[FINISHED], catalogue=[61])
def hooks_stay(record: Record, scenario: Scenario) -> Judgement:
    """Evaluating and predicting leave no hook on the model and no callback with the trainer."""
    return _stays(record, "hooks", "hooks and callbacks")


@trainer_property(source=_EVALUATE, experiments=EXPERIMENTS, needs=[FINISHED], catalogue=[61])
def mode_stays(record: Record, scenario: Scenario) -> Judgement:
    """Evaluating and predicting leave the model in the mode, train or eval, in which it was."""
    return _stays(record, "mode", "train mode of modules")


@trainer_property(source=_EVALUATE, experiments=EXPERIMENTS, needs=[FINISHED, NO_WORKERS], catalogue=[61])
def random_numbers_stay(record: Record, scenario: Scenario) -> Judgement:
    """Evaluating and predicting use up no random numbers: training afterwards draws what it would have drawn."""
    return _stays(record, "random", "next random numbers")


@trainer_property(source=_EVALUATE, experiments=EXPERIMENTS, needs=[FINISHED, NAMED], catalogue=[59])
def each_evaluation_goes_through_all_names(record: Record, scenario: Scenario) -> Judgement:
    """A run with evaluation data under several names evaluates all of them, in order, whenever it evaluates."""
    found = measures.prefixes(record)
    steps = list(dict.fromkeys(step for step, _ in found.value))
    if not steps:
        return not_applicable("nothing is evaluated during training")
    # A step at which the run evaluates twice (every so many steps, and at its end) has each name as often.
    names = [f"eval_{name}" for name in record.results["named"]]
    times = {step: sum(each == step for each, _ in found.value) for step in steps}
    expected = [[step, name] for step in steps for _ in range(max(1, round(times[step] / len(names)))) for name in names]
    return same("steps and prefixes of evaluations", expected=expected, observed=found, at="evaluation")


@trainer_property(source=_EVALUATE, experiments=EXPERIMENTS, needs=[FINISHED], tolerance=1e-9, catalogue=[55, 61])
def training_evaluates_as_evaluate_does(record: Record, scenario: Scenario) -> Judgement:
    """An evaluation during training finds the loss that `evaluate` finds afterwards, if the weights are the same."""
    found = record.evaluations[: record.results["trained_evaluations"]]
    same_weights = [
        (index, f"{each.prefix}_loss")
        for index, each in enumerate(found)
        if record.final_weights is not None and each.weights.equal(record.final_weights) and f"{each.prefix}_loss" in each.metrics
    ]
    return holds_for_all("evaluations at the end of training", [
        close(
            name, expected=measures.metric_of_evaluation(record, index, name), observed=measures.metric_afterwards(record, name),
            tolerance=_TOLERANCES[scenario.model.dtype], at=f"evaluation {index}",
        )
        for index, name in same_weights
    ])  # fmt: skip


def _stays(record: Record, name: str, quantity: str) -> Judgement:
    return same(quantity, expected=measures.before(record, name), observed=measures.after(record, name), symptom="changed")
