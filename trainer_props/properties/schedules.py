"""Schedules by themselves: their learning rates until their end, and beyond it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from trainer_props.judgement import Judgement, close, holds_for_all, not_applicable, same
from trainer_props.measures import schedules as measures
from trainer_props.oracles import adaptive_schedules
from trainer_props.oracles import schedules as oracle
from trainer_props.properties import sources
from trainer_props.properties.needs import Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario

STEPPED: Final = ("step_schedule",)
_WAVES: Final = ("cosine", "cosine_with_min_lr", "cosine_warmup_with_min_lr")
"""Nothing says how they go on after the step at which the wave has come down."""
_EARLIER: Final = "cosine_warmup_with_min_lr"
"""Its wave comes down one step before the last."""
_TOLERANCE: Final = 1e-12

SOME_RATES: Final = Need(
    "some_rates", "the subject makes no schedule",
    lambda record, scenario: bool(record.results.get("rates")) and bool(record.results["rates"][0]),
)  # fmt: skip
BY_STEPS: Final = Need(
    "by_steps", "the schedule follows evaluations",
    lambda record, scenario: scenario.argument("lr_scheduler_type") in oracle.CLOSED_FORMS,
)  # fmt: skip
BY_METRICS: Final = Need(
    "by_metrics", "the schedule is a function of the step",
    lambda record, scenario: scenario.argument("lr_scheduler_type") in adaptive_schedules.NAMES,
)  # fmt: skip


def _updates(scenario: Scenario) -> int:
    return max(1, int(scenario.argument("max_steps")))


def _close(record: Record, scenario: Scenario, predicted: Sequence[tuple[int, float]]) -> Iterator[Judgement]:
    peak = float(scenario.argument("learning_rate"))
    rates = record.results["rates"]
    for step, rate in predicted:
        if step < len(rates):
            for group in range(len(rates[step])):
                yield close("learning rate", expected=rate, observed=measures.rate(record, step, group), tolerance=_TOLERANCE, scale=peak,
                            at=f"step {step}")  # fmt: skip


def _predicted(scenario: Scenario, steps: range) -> list[tuple[int, float]]:
    name, updates = str(scenario.argument("lr_scheduler_type")), _updates(scenario)
    peak, kwargs = float(scenario.argument("learning_rate")), scenario.argument("lr_scheduler_kwargs") or {}
    warmup = oracle.warmup_steps(scenario, updates)
    return [(step, peak * oracle.factor(name, step, updates, warmup, kwargs, peak)) for step in steps]


@trainer_property(
    source=sources.docs("TrainingArguments.lr_scheduler_kwargs"), experiments=STEPPED, needs=[SOME_RATES, BY_STEPS], tolerance=_TOLERANCE,
    catalogue=[21, 23, 26],
)  # fmt: skip
def rates_are_those_of_the_schedule(record: Record, scenario: Scenario) -> Judgement:
    """In all parameter groups the learning rate of each step, from the first to the end of the schedule, is the one that is documented.

    Also where state was saved and loaded into a new optimizer and schedule in between.
    """
    end = _updates(scenario) - (scenario.argument("lr_scheduler_type") == _EARLIER)
    return holds_for_all("learning rate", _close(record, scenario, _predicted(scenario, range(end + 1))))


@trainer_property(
    source=sources.docs("get_wsd_schedule"), experiments=STEPPED, needs=[SOME_RATES, BY_STEPS], tolerance=_TOLERANCE, catalogue=[26],
)  # fmt: skip
def rates_stay_where_the_schedule_ends(record: Record, scenario: Scenario) -> Judgement:
    """After its last step a schedule stays at the value to which it came down; one that comes down to none goes on as before."""
    if scenario.argument("lr_scheduler_type") in _WAVES:
        return not_applicable("nothing says how the wave goes on")
    beyond = range(_updates(scenario) + 1, len(record.results["rates"]))
    return holds_for_all("learning rate", _close(record, scenario, _predicted(scenario, beyond)))


@trainer_property(
    source=sources.torch_docs("torch.optim.lr_scheduler.ReduceLROnPlateau"), experiments=STEPPED, needs=[SOME_RATES, BY_METRICS],
    tolerance=_TOLERANCE, catalogue=[28],
)  # fmt: skip
def rates_follow_what_the_schedule_is_told(record: Record, scenario: Scenario) -> Judgement:
    """The learning rates of a schedule that follows evaluations are those that its options give for the metrics that it was told."""
    told = record.results["told"]
    kwargs, rate = scenario.argument("lr_scheduler_kwargs") or {}, float(scenario.argument("learning_rate"))
    name = str(scenario.argument("lr_scheduler_type"))
    rates = adaptive_schedules.learning_rates(name, rate, kwargs, len(told) + 1, list(enumerate(told, 1)))
    return holds_for_all("learning rate", _close(record, scenario, list(enumerate(rates))))


@trainer_property(source=sources.docs("Trainer.create_scheduler"), experiments=STEPPED, needs=[SOME_RATES], catalogue=[24])
def stepping_raises_nothing(record: Record, scenario: Scenario) -> Judgement:
    """A schedule that is made can be stepped to its end and beyond, and its state loaded, with nothing raised."""
    symptom = record.failure.kind if record.failure is not None else ""
    return same(
        "exception", expected=None, observed=measures.exception(record), at=f"step {len(record.results['rates'])}", symptom=symptom,
        verdict="crashed",
    )
