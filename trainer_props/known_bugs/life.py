"""Known bugs in the lives of jobs."""

from __future__ import annotations

import itertools
import math
from typing import Any

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.measures import life as measures
from trainer_props.oracles import accounting, plans
from trainer_props.properties import life as properties
from trainer_props.record import Record, Runs
from trainer_props.scenario import Data, Model, Scenario
from trainer_props.zoo import MODELS

_DOCS = "https://huggingface.co/docs/transformers/main_classes"
_NEVER = 500
"""What the state has for an interval that the arguments do not give."""


def _lived(steps: list[list[Any]], arguments: dict[str, Any], **more: Any) -> Case:
    usual = {"per_device_train_batch_size": 1, "optim": "sgd", "learning_rate": 0.1, "save_strategy": "no"}
    scenario = Scenario(arguments={**usual, **arguments}, data=more.pop("data", Data(n=4)), **more)
    return Case(experiment="life", scenario=scenario, parameters={"life": steps})


def _several_updates(scenario: Scenario) -> bool:
    return accounting.total_updates(scenario) > 1


def _intervals(scenario: Scenario) -> dict[str, int]:
    """The intervals that the state of a fresh run has."""
    total = accounting.total_updates(scenario)
    evaluates = scenario.argument("eval_steps") or scenario.argument("eval_strategy") == "steps"
    return {
        "logging_steps": plans.logging_interval(scenario, total),
        "eval_steps": plans.evaluation_interval(scenario, total) if evaluates else _NEVER,
        "save_steps": plans.save_interval(scenario, total),
    }


def _by_the_intervals_of_the_first_run(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """What the plans decide is so as if all runs had the intervals of the one that began without a checkpoint."""
    kept: dict[str, int] = {}
    scenarios = []
    for record, own in zip(measures.pieces(runs), properties.scenarios_of(runs, scenario), strict=True):
        kept = kept if record.results["before"] else _intervals(own)
        scenarios.append(own.with_arguments(**kept))
    planned = properties.PLANNED[judgement.quantity](runs, scenarios)
    return bool(planned == judgement.observed and planned != judgement.expected)


def _counts_operations(scenario: Scenario) -> bool:
    return bool(MODELS[scenario.model.name].pretrained)


def _operations_of_a_crash(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """More operations than in one run: those since its last log or save of a run that crashed, and whose Trainer trained on."""
    if judgement.quantity != "total_flos":
        return False
    pieces = measures.pieces(runs)
    an_element = judgement.expected[0] / sum(batch.tokens for batch in runs.first.batches)
    extras = [
        an_element * sum(batch.tokens for batch in before.batches[_stored(before) :])
        for before, record in itertools.pairwise(pieces)
        if before.results.get("crashed") and record.results["step"][0] == "again"
    ]
    sums = [sum(some) for size in range(1, len(extras) + 1) for some in itertools.combinations(extras, size)]
    return any(math.isclose(judgement.observed[0], judgement.expected[0] + extra) for extra in sums)


def _stored(record: Record) -> int:
    """The micro-batches of a run when it last added its operations to its state: it does so when it logs a loss, and when it saves."""
    logs = iter(record.logs)
    found = 0
    for event in record.events:
        logs_loss = event.name == "on_log" and "loss" in next(logs)
        if logs_loss or event.name == "on_save":
            found = event.batches
    return found


known_bug(
    KnownBug(
        id="life-keeps-the-intervals-of-its-first-run",
        verdict="trap",
        sentence=(
            "A run that is resumed with other logging_steps, eval_steps or save_steps goes on with those of the checkpoint, after a "
            "warning that these differ; also where the first run had no use for them."
        ),
        link="https://github.com/huggingface/transformers/pull/36303",
        versions=">=4.46",
        properties=(
            "life.checkpoints_are_those_of_the_plan", "life.log_history_has_each_entry_once", "life.makes_the_updates_that_are_left",
        ),
        region=_several_updates,
        symptom=_by_the_intervals_of_the_first_run,
        example=_lived([["train", 1], ["change", {"save_strategy": "steps", "save_steps": 2}], ["finish"]], {"max_steps": 3}),
    )
)  # fmt: skip

known_bug(
    KnownBug(
        id="life-counts-the-operations-of-a-crash",
        verdict="bug",
        sentence=(
            "The Trainer keeps the operations that it had not yet added to its state when an exception ended train(): if it resumes from "
            "a checkpoint, total_flos has them twice."
        ),
        link=f"{_DOCS}/callback#transformers.TrainerState.total_flos",
        versions=">=4.46",
        properties=("life.the_state_is_that_of_one_run",),
        region=_counts_operations,
        symptom=_operations_of_a_crash,
        example=_lived(
            [["train", 1], ["crash", 1, "on_step_end"], ["again"]], {"max_steps": 3, "logging_strategy": "no"},
            model=Model(name="regression_pretrained"),
        ),
    )
)  # fmt: skip
