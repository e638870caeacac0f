"""Known bugs of training a second time."""

from __future__ import annotations

from typing import Final

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.measures.pairs import BASELINE
from trainer_props.record import Runs
from trainer_props.scenario import Data, Scenario

_FACTORS: Final = {"reduce_lr_on_plateau": 0.1, "greedy": 0.95}
"""The schedules that set the learning rate as evaluations come, and by what they usually multiply it."""


def _goes_on_with_the_rate(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """The first learning rates are those of the last update before, or one step of the schedule from them."""
    kwargs = scenario.argument("lr_scheduler_kwargs") or {}
    factor = float(kwargs.get("factor", _FACTORS[scenario.argument("lr_scheduler_type")]))
    last = runs[BASELINE].updates[-1].learning_rates
    room = 1 + 1e-9
    return len(last) == len(judgement.observed) and all(
        before * factor <= rate * room and rate * factor <= before * room for before, rate in zip(last, judgement.observed, strict=True)
    )


known_bug(
    KnownBug(
        id="second-train-keeps-the-learning-rate",
        verdict="bug",
        sentence=(
            "With a schedule that follows evaluations a second train() of one Trainer begins with the learning rate that the first one "
            "ended with, and not with learning_rate."
        ),
        link="https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments.learning_rate",
        versions=">=4.46",
        properties=("repeat.a_second_train_has_the_same_schedule",),
        region=lambda scenario: scenario.argument("lr_scheduler_type") in _FACTORS,
        symptom=_goes_on_with_the_rate,
        example=Case(
            experiment="repeat",
            scenario=Scenario(
                arguments={
                    "per_device_train_batch_size": 1, "max_steps": 2, "eval_strategy": "steps", "eval_steps": 1,
                    "lr_scheduler_type": "reduce_lr_on_plateau", "lr_scheduler_kwargs": {"patience": 0, "mode": "max"},
                },
                data=Data(n=2, n_eval=1),
            ),
            parameters={"again": True},
        ),
    )
)  # fmt: skip
