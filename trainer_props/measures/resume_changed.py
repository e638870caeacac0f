"""What is measured of a run that was resumed with other arguments, beside one that had them from its beginning (`baseline`)."""

from __future__ import annotations

from trainer_props.measures.registry import measure
from trainer_props.record import Record, Runs

BASELINE = "baseline"
RESUMED = "part 2"


def steps_with_a_loss(record: Record, after: int) -> list[int]:
    """The steps after one at which the log history has a loss."""
    return [entry["step"] for entry in record.log_history if "loss" in entry and entry["step"] > after]


def steps_with_an_evaluation(record: Record, after: int) -> list[int]:
    """The steps after one at which the log history has an evaluation."""
    return [entry["step"] for entry in record.log_history if "eval_runtime" in entry and entry["step"] > after]


def steps_with_a_save(record: Record, after: int) -> list[int]:
    """The steps after one at which a checkpoint was written."""
    return [each.step for each in record.checkpoints if each.step > after]


@measure
def steps_of_logs(runs: Runs, after: int) -> list[int]:
    """The steps after one at which the resumed run logged a loss."""
    return steps_with_a_loss(runs[RESUMED], after)


@measure
def steps_of_logs_of_the_baseline(runs: Runs, after: int) -> list[int]:
    """The steps after one at which the baseline logged a loss."""
    return steps_with_a_loss(runs[BASELINE], after)


@measure
def steps_of_evaluations(runs: Runs, after: int) -> list[int]:
    """The steps after one at which the resumed run evaluated."""
    return steps_with_an_evaluation(runs[RESUMED], after)


@measure
def steps_of_evaluations_of_the_baseline(runs: Runs, after: int) -> list[int]:
    """The steps after one at which the baseline evaluated."""
    return steps_with_an_evaluation(runs[BASELINE], after)


@measure
def steps_of_saves(runs: Runs, after: int) -> list[int]:
    """The steps after one at which the resumed run saved."""
    return steps_with_a_save(runs[RESUMED], after)


@measure
def steps_of_saves_of_the_baseline(runs: Runs, after: int) -> list[int]:
    """The steps after one at which the baseline saved."""
    return steps_with_a_save(runs[BASELINE], after)
