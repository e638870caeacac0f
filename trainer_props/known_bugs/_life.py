"""Known bugs as the lives of jobs show them."""

from __future__ import annotations

import itertools
import math

from trainer_props.judgement import Violated
from trainer_props.measures import life as measures
from trainer_props.oracles import accounting, plans
from trainer_props.properties import life as properties
from trainer_props.record import Record, Runs
from trainer_props.scenario import Scenario

_NEVER = 500
"""What the state has for an interval that the arguments do not give."""


def _intervals(scenario: Scenario) -> dict[str, int]:
    """The intervals that the state of a fresh run has."""
    total = accounting.total_updates(scenario)
    evaluates = scenario.argument("eval_steps") or scenario.argument("eval_strategy") == "steps"
    return {
        "logging_steps": plans.logging_interval(scenario, total),
        "eval_steps": plans.evaluation_interval(scenario, total) if evaluates else _NEVER,
        "save_steps": plans.save_interval(scenario, total),
    }


def by_the_intervals_of_the_first_run(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """What the plans decide is so as if all runs had the intervals of the one that began without a checkpoint."""
    kept: dict[str, int] = {}
    scenarios = []
    for record, own in zip(measures.pieces(runs), properties.scenarios_of(runs, scenario), strict=True):
        kept = kept if record.results["before"] else _intervals(own)
        scenarios.append(own.with_arguments(**kept))
    plan, measured = properties.PLANNED[judgement.quantity]
    planned = plan(runs, scenarios)
    return planned == measured(runs, len(runs)).value and planned != plan(runs, properties.scenarios_of(runs, scenario))


def operations_of_a_crash(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """More operations than in one run: those since its last log or save of a run that crashed, and whose Trainer trained on."""
    if judgement.quantity != "total_flos":
        return False
    pieces = measures.pieces(runs)
    an_element = judgement.expected[0] / sum(batch.tokens for batch in runs.first.batches)
    extras = [
        an_element * sum(batch.tokens for batch in before.batches[stored_batches(before) :])
        for before, record in itertools.pairwise(pieces)
        if before.results.get("crashed") and record.results["step"][0] == "again"
    ]
    sums = [sum(some) for size in range(1, len(extras) + 1) for some in itertools.combinations(extras, size)]
    return any(math.isclose(judgement.observed[0], judgement.expected[0] + extra) for extra in sums)


def stored_batches(record: Record) -> int:
    """The micro-batches of a run when it last added its operations to its state: it does so when it logs a loss, and when it saves."""
    logs = iter(record.logs)
    found = 0
    for event in record.events:
        logs_loss = event.name == "on_log" and "loss" in next(logs)
        if logs_loss or event.name == "on_save":
            found = event.batches
    return found
