"""Logs: when the training loss is logged, what it is the mean of, and what else a log says."""

from __future__ import annotations

import math
from typing import Any

from trainer_props.judgement import HOLDS, Judgement, Violated, close, not_applicable, same
from trainer_props.oracles import accounting, log_windows, tokens
from trainer_props.properties import sources
from trainer_props.properties._facts import facts
from trainer_props.properties._prediction import has_own_model, loss_reduction
from trainer_props.properties.needs import FINISHED, INTERVALS_KNOWN, SINGLE_DEVICE, SOME_UPDATE, WHOLE_WINDOWS, Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario
from trainer_props.zoo import MODELS

LOG_TOLERANCE = 2e-6
"""The Trainer adds up losses in single precision, whatever the model's."""


def _losses_seen(record: Record, scenario: Scenario) -> bool:
    if record.loss_reduction is not None or has_own_model(record, scenario):
        return False
    return all(batch.loss is not None for batch in record.batches)


LOSSES_SEEN = Need("losses_seen", "the losses that were trained on are not all visible, or the loss is the subject's own", _losses_seen)
COUNTS_TOKENS = Need("counts_tokens", "tokens are not counted", lambda record, scenario: tokens.counting(scenario) != "no")
_BASE = (FINISHED, SOME_UPDATE, SINGLE_DEVICE)


@trainer_property(source=sources.docs("TrainingArguments.logging_steps"), needs=[*_BASE, WHOLE_WINDOWS, INTERVALS_KNOWN], catalogue=[47])
def loss_is_logged_when_due(record: Record, scenario: Scenario) -> Judgement:
    """The training loss is logged after exactly the updates that `logging_strategy`, `logging_steps` and `logging_first_step` name."""
    expected = [moment.step for moment in facts(record, scenario).course.moments if moment.log]
    return same(
        "steps at which the loss is logged",
        expected=expected,
        observed=[entry["step"] for entry in record.log_history if "loss" in entry],
        at="log",
    )


@trainer_property(
    source=sources.docs("TrainingArguments.logging_steps"),
    needs=[*_BASE, LOSSES_SEEN, WHOLE_WINDOWS],
    tolerance=LOG_TOLERANCE,
    catalogue=[48, 51],
)
def logged_loss_is_the_mean_since_the_last_log(record: Record, scenario: Scenario) -> Judgement:
    """The logged loss is the mean of the losses of the updates since the last log, and of nothing else."""
    entries = [entry for entry in record.log_history if "loss" in entry]
    if not entries:
        return not_applicable("no loss is logged")
    predicted = _predicted(record, scenario, [entry["step"] for entry in entries])
    clean = [(said.value, entry["loss"]) for said, entry in zip(predicted, entries, strict=True) if not said.filtered]
    if not clean:
        return not_applicable("every log has a loss that the nan filter replaced")
    return close(
        "logged loss", expected=[left for left, _ in clean], observed=[right for _, right in clean], tolerance=LOG_TOLERANCE, at="log"
    )


@trainer_property(
    source=sources.docs("TrainingArguments.logging_nan_inf_filter"),
    needs=[*_BASE, LOSSES_SEEN, WHOLE_WINDOWS],
    tolerance=LOG_TOLERANCE,
    catalogue=[50],
)
def filtered_loss_is_the_mean_of_the_finite_ones(record: Record, scenario: Scenario) -> Judgement:
    """With `logging_nan_inf_filter` a NaN or infinite loss is replaced by the average of the losses of its logging window: the logged loss
    is the mean of the finite ones.
    """
    entries = [entry for entry in record.log_history if "loss" in entry]
    predicted = _predicted(record, scenario, [entry["step"] for entry in entries])
    pairs = [(said, entry) for said, entry in zip(predicted, entries, strict=True) if said.filtered]
    if not pairs or not scenario.argument("logging_nan_inf_filter"):
        return not_applicable("no loss is filtered")
    judged = False
    for said, entry in pairs:
        if said.value is None or said.low is None or said.high is None:
            continue  # no finite loss in the window: nothing is promised
        judged = True
        room = LOG_TOLERANCE * max(1.0, abs(said.low), abs(said.high))
        if not said.low - room <= entry["loss"] <= said.high + room:
            return Violated(
                "logged loss with a filtered one",
                [said.low, said.high],
                entry["loss"],
                "outside the finite losses",
                f"log at step {entry['step']}",
            )
    return HOLDS if judged else not_applicable("no finite loss beside the filtered ones")


@trainer_property(source=sources.docs("Trainer.train"), needs=[*_BASE, LOSSES_SEEN, WHOLE_WINDOWS], tolerance=LOG_TOLERANCE, catalogue=[49])
def train_loss_is_the_mean_of_all_updates(record: Record, scenario: Scenario) -> Judgement:
    """The training loss that `train()` returns is the mean over all updates of this call."""
    windows = accounting.windows(scenario, len(record.updates))
    if not windows or record.training_loss is None:
        return not_applicable("no update")
    said = log_windows.train_loss(
        windows, _losses(record), reduction=loss_reduction(scenario), nan_filter=bool(scenario.argument("logging_nan_inf_filter"))
    )
    if said.filtered:
        return not_applicable("a loss was filtered")
    return close("training_loss", expected=said.value, observed=record.training_loss, tolerance=LOG_TOLERANCE)


@trainer_property(source=sources.docs("TrainerState"), needs=[FINISHED, SOME_UPDATE], catalogue=[5])
def every_log_says_epoch_and_step(record: Record, scenario: Scenario) -> Judgement:
    """Every entry of the log history has the epoch and the step of the moment at which it was written."""
    moments = [event for event in record.events if event.name == "on_log"]
    observed = [(entry.get("epoch"), entry.get("step")) for entry in record.log_history]
    return same("epoch and step of logs", expected=[(event.epoch, event.step) for event in moments], observed=observed, at="log")


@trainer_property(source=sources.docs("TrainerState.log_history"), needs=[FINISHED, SOME_UPDATE], catalogue=[47])
def history_is_what_callbacks_saw(record: Record, scenario: Scenario) -> Judgement:
    """The log history holds exactly what `on_log` was told, in order."""
    return same(
        "log history", expected=[_items(each) for each in record.logs], observed=[_items(entry) for entry in record.log_history], at="log"
    )


@trainer_property(source=sources.docs("Trainer.train"), needs=[FINISHED, SOME_UPDATE], catalogue=[49])
def last_log_is_the_summary(record: Record, scenario: Scenario) -> Judgement:
    """Training ends with a log of its summary: run time, samples and steps a second, `total_flos` and `train_loss`, as `train()` returns
    them.
    """
    if not record.log_history:
        return Violated("log history", "ends with the summary", [], "empty")
    last = record.log_history[-1]
    wanted = ("train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos", "train_loss")
    missing = [name for name in wanted if name not in last or name not in record.metrics]
    if missing:
        return Violated("summary of training", list(wanted), sorted(last), "incomplete", ", ".join(missing))
    return same(
        "summary of training", expected=[record.metrics[name] for name in wanted], observed=[last[name] for name in wanted], at="entry"
    )


@trainer_property(source=sources.docs("Trainer.train"), needs=[*_BASE], catalogue=[49])
def speed_is_steps_over_runtime(record: Record, scenario: Scenario) -> Judgement:
    """`train_steps_per_second` is the number of updates of this call over `train_runtime`."""
    rate, runtime = record.metrics.get("train_steps_per_second"), record.metrics.get("train_runtime")
    if rate is None or not runtime or runtime < 0.02 or record.global_step is None:
        return not_applicable("the run is too short for its rounded run time")
    # run time is rounded to a tenth of a millisecond, the rate to a thousandth
    slowest, fastest = record.global_step / (runtime + 6e-5) - 6e-4, record.global_step / (runtime - 6e-5) + 6e-4
    if slowest <= rate <= fastest:
        return HOLDS
    return Violated("train_steps_per_second", [slowest, fastest], rate, "too small" if rate < slowest else "too large")


@trainer_property(source=sources.docs("TrainingArguments.include_num_input_tokens_seen"), needs=[*_BASE, COUNTS_TOKENS], catalogue=[96])
def tokens_seen_are_counted(record: Record, scenario: Scenario) -> Judgement:
    """`num_input_tokens_seen` is the number of elements of the model's main input over all micro-batches, or of those that are not
    padding.
    """
    if not MODELS[scenario.model.name].main_input_name:
        return not_applicable("the model names no main input")
    pairs = [(batch.tokens, batch.masked_tokens) for batch in record.batches]
    return same("num_input_tokens_seen", expected=tokens.tokens_seen(scenario, pairs), observed=record.state["num_input_tokens_seen"])


@trainer_property(
    source=sources.docs("TrainingArguments.include_num_input_tokens_seen"), needs=[*_BASE, COUNTS_TOKENS, WHOLE_WINDOWS], catalogue=[96]
)
def logs_say_tokens_seen(record: Record, scenario: Scenario) -> Judgement:
    """Every log of the training loss says the tokens seen up to its update."""
    entries = [entry for entry in record.log_history if "loss" in entry]
    if not entries:
        return not_applicable("no loss is logged")
    pairs = [(batch.tokens, batch.masked_tokens) for batch in record.batches]
    after = tokens.tokens_after_updates(scenario, accounting.windows(scenario, len(record.updates)), pairs)
    return same(
        "num_input_tokens_seen in logs",
        expected=[after[entry["step"] - 1] for entry in entries],
        observed=[entry.get("num_input_tokens_seen") for entry in entries],
        at="log",
    )


def _predicted(record: Record, scenario: Scenario, steps: list[int]) -> list[log_windows.LoggedLoss]:
    windows = accounting.windows(scenario, len(record.updates))
    return log_windows.logged_losses(
        windows, _losses(record), steps, reduction=loss_reduction(scenario), nan_filter=bool(scenario.argument("logging_nan_inf_filter"))
    )


def _items(entry: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted(entry.items(), key=lambda item: item[0])


def _losses(record: Record) -> list[float]:
    return [math.nan if batch.loss is None else batch.loss for batch in record.batches]
