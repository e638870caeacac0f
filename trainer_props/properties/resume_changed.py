"""Resuming with other arguments: what a run does from there on goes by the arguments that it has now."""

from __future__ import annotations

from typing import Final

from trainer_props.judgement import Judgement, same
from trainer_props.measures import resume as parts
from trainer_props.measures import resume_changed as measures
from trainer_props.properties import sources
from trainer_props.properties._resume import BASELINE_FINISHED, RESUMABLE, RESUMED, RESUMED_RUN_FINISHED, SOMETHING_LEFT
from trainer_props.properties.needs import Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Runs
from trainer_props.scenario import Scenario

_CHANGED: Final = ("resume_changed",)
SAME_STEPS = Need(
    "same_steps", "it ends at another update (resume.ends_at_the_same_step says so)",
    lambda runs, scenario: parts.last(runs).global_step == runs.first.global_step,
)  # fmt: skip
SAME_LENGTH_OF_EPOCHS = Need(
    "same_epochs", "the epoch in which it goes on was one of other batches", lambda runs, scenario: not _other_batches(runs)
)
_NEEDS: Final = (BASELINE_FINISHED, RESUMED, RESUMED_RUN_FINISHED, RESUMABLE, SOMETHING_LEFT, SAME_STEPS, SAME_LENGTH_OF_EPOCHS)


def _other_batches(runs: Runs) -> bool:
    return bool({"per_device_train_batch_size", "gradient_accumulation_steps"} & set(parts.arguments_before(runs)))


def _start(runs: Runs) -> int:
    return parts.first_step(parts.last(runs))


@trainer_property(source=sources.docs("TrainingArguments.logging_steps"), experiments=_CHANGED, needs=_NEEDS, catalogue=[47, 74])
def logs_go_by_the_arguments(runs: Runs, scenario: Scenario) -> Judgement:
    """A resumed run logs its losses at the steps that its arguments ask for, whatever they were before the interruption."""
    return same(
        "steps of logs", expected=measures.steps_of_logs_of_the_baseline(runs, _start(runs)),
        observed=measures.steps_of_logs(runs, _start(runs)), at="log",
    )  # fmt: skip


@trainer_property(source=sources.docs("TrainingArguments.eval_steps"), experiments=_CHANGED, needs=_NEEDS, catalogue=[54, 74])
def evaluations_go_by_the_arguments(runs: Runs, scenario: Scenario) -> Judgement:
    """A resumed run evaluates at the steps that its arguments ask for, whatever they were before the interruption."""
    return same(
        "steps of evaluations", expected=measures.steps_of_evaluations_of_the_baseline(runs, _start(runs)),
        observed=measures.steps_of_evaluations(runs, _start(runs)), at="evaluation",
    )  # fmt: skip


@trainer_property(source=sources.docs("TrainingArguments.save_steps"), experiments=_CHANGED, needs=_NEEDS, catalogue=[69, 74])
def saves_go_by_the_arguments(runs: Runs, scenario: Scenario) -> Judgement:
    """A resumed run saves at the steps that its arguments ask for, whatever they were before the interruption."""
    return same(
        "steps of saves", expected=measures.steps_of_saves_of_the_baseline(runs, _start(runs)),
        observed=measures.steps_of_saves(runs, _start(runs)), at="save",
    )  # fmt: skip
