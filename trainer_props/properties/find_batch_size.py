"""`auto_find_batch_size`: a run that runs out of memory ends as a run that had the smaller batch size from the beginning."""

from __future__ import annotations

from typing import Final

from trainer_props.judgement import HOLDS, Judgement, at_most, close, holds_for_all, is_true, not_applicable, same
from trainer_props.measures import find_batch_size as measures
from trainer_props.oracles import accounting, best_model
from trainer_props.oracles.adaptive_schedules import NAMES as METRIC_DRIVEN
from trainer_props.properties import sources
from trainer_props.properties.logs import LOG_TOLERANCE
from trainer_props.properties.needs import Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record, Runs
from trainer_props.scenario import Scenario

FIND: Final = ("find_batch_size",)
TOLERANCE: Final = {"float64": 1e-12, "float32": 1e-6}
"""By the type of the model: both runs compute the same, operation by operation."""
_COUNTED: Final = (
    "global_step",
    "max_steps",
    "num_train_epochs",
    "epoch",
    "logging_steps",
    "eval_steps",
    "save_steps",
    "total_train_batch_size",
)
_KEPT: Final = ("num_input_tokens_seen", "total_flos", "scheduler_epoch")
_SOURCE: Final = sources.docs("TrainingArguments.auto_find_batch_size")
_LACKS: Final = ("out of memory", "can't allocate memory")


def _raised(runs: Runs) -> list[str]:
    found: list[str] = runs.first.results.get("raised", [])
    return found


def _is_lack(message: str) -> bool:
    return any(each in message for each in _LACKS)


def _begun_anew(runs: Runs, scenario: Scenario) -> bool:
    """Each attempt began with the weights of the first one, and an optimizer that had kept nothing."""
    attempts = list(zip(runs.first.results["begun_weights"], runs.first.results["begun_states"], strict=True))
    return all(repr(each) == repr(attempts[0]) for each in attempts[1:])


def _before_the_last_attempt(record: Record, name: str) -> int:
    """How often an event came before the last attempt."""
    names = [event.name for event in record.events]
    last = len(names) - 1 - names[::-1].index("on_train_begin")
    return names[:last].count(name)


def _measures_alike(runs: Runs, scenario: Scenario) -> bool:
    return _before_the_last_attempt(runs.first, "on_evaluate") == 0 or not _follows_metrics(scenario)


def _follows_metrics(scenario: Scenario) -> bool:
    return bool(
        scenario.components.scores
        or scenario.components.early_stopping is not None
        or best_model.metric_name(scenario) is not None
        or scenario.argument("lr_scheduler_type") in METRIC_DRIVEN
    )


def _same_samples(runs: Runs, scenario: Scenario) -> bool:
    return bool(measures.samples(runs, "searched").value == measures.samples(runs, "fitting").value)


STARTED = Need(
    "started", "the run did not begin, or looks for no batch size",
    lambda runs, scenario: bool(scenario.argument("auto_find_batch_size")) and bool(runs.first.results.get("attempts")),
)  # fmt: skip
SHORT = Need("short", "memory did not run short", lambda runs, scenario: any(map(_is_lack, _raised(runs))))
FOUND = Need(
    "found", "one of the runs did not finish", lambda runs, scenario: "fitting" in runs and runs.first.finished and runs["fitting"].finished
)
FITTING = Need(
    "fitting", "with that batch size from the beginning the run does not finish either",
    lambda runs, scenario: "fitting" in runs and runs["fitting"].finished,
)  # fmt: skip
BEGUN_ANEW = Need(
    "begun_anew", "an attempt began with what an earlier one left (find_batch_size.each_attempt_begins_anew says so)", _begun_anew
)
METRICS_ALIKE = Need(
    "metrics_alike", "an earlier attempt evaluated, and the run follows metrics, which were given in advance or differ", _measures_alike
)
SAME_SAMPLES = Need("same_samples", "the samples are others (find_batch_size.samples_are_those_of_the_batch_size says so)", _same_samples)
IDENTIFIED = Need("identified", "samples could not be identified", lambda runs, scenario: all(each.identified for each in runs.values()))
RESUMED = Need("resumed", "nothing was resumed", lambda runs, scenario: "resumed" in runs)
_ALIKE: Final = (STARTED, FOUND, METRICS_ALIKE)
_EXACT: Final = (*_ALIKE, BEGUN_ANEW, SAME_SAMPLES)


@trainer_property(source=_SOURCE, experiments=FIND, needs=[STARTED, SHORT, FITTING], catalogue=[95])
def a_size_that_fits_is_found(runs: Runs, scenario: Scenario) -> Judgement:
    """Whatever the memory holds, if it is one row at least: the run comes to its end, with a batch size that fits."""
    if runs.first.results["capacity"] < 1:
        return not_applicable("not even one row fits")
    return same("the run", expected="it ends", observed=measures.ending(runs, "searched"), symptom="does not end", verdict="crashed")


@trainer_property(source=_SOURCE, experiments=FIND, needs=[STARTED, SHORT], catalogue=[95])
def too_little_for_one_row_is_said(runs: Runs, scenario: Scenario) -> Judgement:
    """Where not even one row fits, the run ends with an error that speaks of the batch size."""
    if runs.first.results["capacity"] >= 1:
        return not_applicable("a row fits")
    if runs.first.finished and sum(map(_is_lack, _raised(runs))) < measures.attempts(runs, "searched").value:
        return not_applicable("the last attempt stopped early, before memory ran short")
    said = measures.says_batch_size(runs)
    ending = measures.ending(runs, "searched")
    return is_true("the error", said, expected="an error about the batch size", observed=ending, symptom="says something else")


@trainer_property(source=_SOURCE, experiments=FIND, needs=[STARTED], catalogue=[95])
def other_errors_end_the_run(runs: Runs, scenario: Scenario) -> Judgement:
    """An error that is not about memory ends the run at once, and is the one that the caller gets."""
    message = next((each for each in _raised(runs) if not _is_lack(each)), None)
    if message is None:
        return not_applicable("no other error")
    return holds_for_all("other errors", [
        same("the error", expected=f"RuntimeError: {message}", observed=measures.ending(runs, "searched"), symptom="swallowed"),
        same("attempts to train", expected=1, observed=measures.attempts(runs, "searched")),
    ])  # fmt: skip


@trainer_property(source=_SOURCE, experiments=FIND, needs=[STARTED, SHORT], catalogue=[95])
def each_attempt_begins_anew(runs: Runs, scenario: Scenario) -> Judgement:
    """Each attempt begins with the weights and the state of the optimizer with which the first one began: after one that had made updates,
    too.
    """
    weights, kept = measures.weights_of_an_attempt(runs, 0), measures.states_of_an_attempt(runs, 0)
    left = "left by the attempt before"
    return holds_for_all("attempts", [
        judgement
        for number in range(1, runs.first.results["attempts"])
        for judgement in (
            same("weights when an attempt begins", expected=weights, observed=measures.weights_of_an_attempt(runs, number), symptom=left),
            same("states when an attempt begins", expected=kept, observed=measures.states_of_an_attempt(runs, number), symptom=left),
        )
    ])  # fmt: skip


@trainer_property(source=_SOURCE, experiments=FIND, needs=_ALIKE, catalogue=[1, 6, 95])
def steps_are_those_of_the_batch_size(runs: Runs, scenario: Scenario) -> Judgement:
    """At the end the state has the steps, epochs and intervals that a run with the batch size that was found has."""
    return holds_for_all("steps", [
        same(name, expected=measures.state(runs, "fitting", [name]), observed=measures.state(runs, "searched", [name]), symptom="different")
        for name in _COUNTED
    ])  # fmt: skip


@trainer_property(source=_SOURCE, experiments=FIND, needs=[*_ALIKE, IDENTIFIED], catalogue=[95])
def samples_are_those_of_the_batch_size(runs: Runs, scenario: Scenario) -> Judgement:
    """The last attempt sees, batch for batch, the samples that a run with the batch size that was found sees."""
    return same(
        "samples of a micro-batch", expected=measures.samples(runs, "fitting"), observed=measures.samples(runs, "searched"),
        at="micro-batch", symptom="different",
    )  # fmt: skip


@trainer_property(source=_SOURCE, experiments=FIND, needs=_EXACT, tolerance=TOLERANCE["float64"], catalogue=[95])
def weights_are_those_of_the_batch_size(runs: Runs, scenario: Scenario) -> Judgement:
    """At the end the weights are those of a run with the batch size that was found."""
    return close(
        "weights at the end", expected=measures.weights(runs, "fitting"), observed=measures.weights(runs, "searched"),
        tolerance=TOLERANCE[scenario.model.dtype], at="weight", symptom="different",
    )  # fmt: skip


@trainer_property(source=sources.docs("TrainerState.log_history"), experiments=FIND, needs=_ALIKE, catalogue=[95])
def failed_attempts_log_nothing(runs: Runs, scenario: Scenario) -> Judgement:
    """The log history has the entries of a run with the batch size that was found, and none of failed attempts."""
    return same(
        "entries of the log history", expected=measures.entries(runs, "fitting"), observed=measures.entries(runs, "searched"), at="entry",
        symptom="different",
    )  # fmt: skip


@trainer_property(source=sources.docs("TrainerState.log_history"), experiments=FIND, needs=_EXACT, tolerance=LOG_TOLERANCE, catalogue=[95])
def logs_are_those_of_the_batch_size(runs: Runs, scenario: Scenario) -> Judgement:
    """What is logged (losses, gradient norms, learning rates, metrics, tokens) is what a run with the batch size that was found logs."""
    if measures.entries(runs, "fitting").value != measures.entries(runs, "searched").value:
        return not_applicable("the log history has other entries (find_batch_size.failed_attempts_log_nothing says so)")
    return close(
        "logged values", expected=measures.logged(runs, "fitting"), observed=measures.logged(runs, "searched"), tolerance=LOG_TOLERANCE,
        at="value", symptom="different",
    )  # fmt: skip


@trainer_property(source=sources.docs("TrainerState"), experiments=FIND, needs=_EXACT, catalogue=[95, 96])
def failed_attempts_count_for_nothing(runs: Runs, scenario: Scenario) -> Judgement:
    """Tokens, operations and steps of the schedule in the state at the end are those of the last attempt alone."""
    return holds_for_all("state", [
        same(name, expected=measures.state(runs, "fitting", [name]), observed=measures.state(runs, "searched", [name]), symptom="different")
        for name in _KEPT
    ])  # fmt: skip


@trainer_property(source=sources.docs("TrainingArguments.save_strategy"), experiments=FIND, needs=_ALIKE, catalogue=[69, 95])
def failed_attempts_leave_no_checkpoint(runs: Runs, scenario: Scenario) -> Judgement:
    """The checkpoints that are left are those that a run with the batch size that was found leaves."""
    expected, observed = measures.folders(runs, "fitting"), measures.folders(runs, "searched")
    if not expected.value and not observed.value:
        return not_applicable("no checkpoint")
    return same("checkpoints at the end", expected=expected, observed=observed, at="checkpoint", symptom="different")


@trainer_property(source=sources.docs("TrainerState.train_batch_size"), experiments=FIND, needs=[STARTED, FOUND], catalogue=[95])
def the_batch_size_is_remembered(runs: Runs, scenario: Scenario) -> Judgement:
    """The state and the checkpoints have the batch size that was found; it is the given one if nothing failed, and smaller if memory ran
    short.
    """
    found, given = measures.batch_size(runs, "searched"), accounting.batch_size(scenario)
    quantity = "batch size that was found"
    fits = at_most(quantity, expected=given - 1, observed=found) if _raised(runs) else same(quantity, expected=given, observed=found)
    saved = measures.saved_batch_size(runs)
    kept = same("train_batch_size in a checkpoint", expected=[found.value], observed=saved) if saved.value else HOLDS
    return holds_for_all("batch size", [fits, kept])


@trainer_property(
    source="https://github.com/huggingface/transformers/pull/27568", experiments=FIND, needs=[STARTED, FOUND, RESUMED], catalogue=[74, 95]
)
def resuming_keeps_the_batch_size(runs: Runs, scenario: Scenario) -> Judgement:
    """A run that is resumed goes on with the batch size that was found, without another attempt, to the same end."""
    size, end = measures.batch_size(runs, "searched"), measures.steps(runs, "searched")
    kept = [
        same("attempts of the resumed run", expected=1, observed=measures.attempts(runs, "resumed")),
        same("batch size of the resumed run", expected=size, observed=measures.batch_size(runs, "resumed")),
    ]
    if scenario.components.early_stopping is not None and size.value > runs.first.results["capacity"]:
        return not_applicable("the run stopped early, before memory ran short: what goes on may come farther")
    over = runs["resumed"].events[0].step >= end.value
    if not over and scenario.components.early_stopping is None:  # of others resume.ends_at_the_same_step tells
        kept.append(same("steps of the resumed run", expected=end, observed=measures.steps(runs, "resumed")))
    return holds_for_all("resumed", kept)
