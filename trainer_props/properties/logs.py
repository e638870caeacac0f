"""Logs: when the training loss is logged, what it is the mean of, and what else a log says."""

from __future__ import annotations

import math

from trainer_props.judgement import HOLDS, Judgement, close, expecting, holds_for_all, is_true, not_applicable, same
from trainer_props.measures import logs as measures
from trainer_props.oracles import accounting, log_windows, plans, tokens
from trainer_props.properties import sources
from trainer_props.properties._facts import facts
from trainer_props.properties._prediction import has_own_model, loss_reduction
from trainer_props.properties.needs import FINISHED, INTERVALS_KNOWN, SINGLE_DEVICE, SOME_UPDATE, WHOLE_WINDOWS, Need
from trainer_props.properties.registry import WITH_FLAGS, trainer_property
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
LARGEST_SUM = 3.4e38
"""What single precision, in which the Trainer adds up losses, has room for."""


def _losses_add_up(record: Record, scenario: Scenario) -> bool:
    finite = [abs(batch.loss) for batch in record.batches if batch.loss is not None and math.isfinite(batch.loss)]
    return max(finite, default=0.0) * len(record.batches) < LARGEST_SUM


LOSSES_ADD_UP = Need("losses_add_up", "training diverges so far that the sum of its losses may overflow", _losses_add_up)
LOSSES = (LOSSES_SEEN, LOSSES_ADD_UP)
COUNTS_TOKENS = Need("counts_tokens", "tokens are not counted", lambda record, scenario: tokens.counting(scenario) != "no")
END_KNOWN = Need(
    "end_known", "early stopping goes by evaluations of a stream whose eval_delay nobody knows",
    lambda record, scenario: scenario.components.early_stopping is None or plans.delay_is_known(scenario),
)  # fmt: skip
_BASE = (FINISHED, SOME_UPDATE, SINGLE_DEVICE)


@trainer_property(
    source=sources.docs("TrainingArguments.logging_steps"), needs=[*_BASE, WHOLE_WINDOWS, INTERVALS_KNOWN, END_KNOWN], catalogue=[47]
)
def loss_is_logged_when_due(record: Record, scenario: Scenario) -> Judgement:
    """The training loss is logged after exactly the updates that `logging_strategy`, `logging_steps` and `logging_first_step` name."""
    expected = [moment.step for moment in facts(record, scenario).course.moments if moment.log]
    return same("steps at which the loss is logged", expected=expected, observed=measures.steps_of_logs(record), at="log")


@trainer_property(
    source=sources.docs("TrainingArguments.logging_steps"),
    needs=[*_BASE, *LOSSES, WHOLE_WINDOWS],
    tolerance=LOG_TOLERANCE,
    catalogue=[48, 51],
)
def logged_loss_is_the_mean_since_the_last_log(record: Record, scenario: Scenario) -> Judgement:
    """The logged loss is the mean of the losses of the updates since the last log, and of nothing else."""
    steps = measures.steps_of_logs(record).value
    if not steps:
        return not_applicable("no loss is logged")
    clean = {log: said.value for log, said in enumerate(_predicted(record, scenario, steps)) if not said.filtered}
    if not clean:
        return not_applicable("every log has a loss that the nan filter replaced")
    logs = list(clean)
    judgement = close(
        "logged loss", expected=list(clean.values()), observed=measures.logged_losses(record, logs), tolerance=LOG_TOLERANCE, at="log"
    )
    return expecting(judgement, lambda: measures.mean_losses(record, logs, loss_reduction(scenario)))


@trainer_property(
    source=sources.docs("TrainingArguments.logging_nan_inf_filter"),
    needs=[*_BASE, *LOSSES, WHOLE_WINDOWS],
    tolerance=LOG_TOLERANCE,
    catalogue=[50],
)
def filtered_loss_is_the_mean_of_the_finite_ones(record: Record, scenario: Scenario) -> Judgement:
    """With `logging_nan_inf_filter` a NaN or infinite loss is replaced by the average of the losses of its logging window: the logged loss
    is the mean of the finite ones.
    """
    entries = measures.loss_logs(record)
    predicted = _predicted(record, scenario, [entry["step"] for entry in entries])
    triples = [(log, said, entry) for log, (said, entry) in enumerate(zip(predicted, entries, strict=True)) if said.filtered]
    if not triples or not scenario.argument("logging_nan_inf_filter"):
        return not_applicable("no loss is filtered")
    judged = False
    for log, said, entry in triples:
        if said.value is None or said.low is None or said.high is None:
            continue  # no finite loss in the window: nothing is promised
        judged = True
        room = LOG_TOLERANCE * max(1.0, abs(said.low), abs(said.high))
        if not said.low - room <= entry["loss"] <= said.high + room:
            return is_true(
                "logged loss with a filtered one",
                measures.log_is_among_finite_losses(record, log, loss_reduction(scenario), LOG_TOLERANCE),
                expected=[said.low, said.high],
                observed=entry["loss"],
                symptom="outside the finite losses",
                at=f"log at step {entry['step']}",
            )
    return HOLDS if judged else not_applicable("no finite loss beside the filtered ones")


@trainer_property(
    source=sources.docs("TrainingArguments.logging_nan_inf_filter"),
    needs=[*_BASE, *LOSSES, WHOLE_WINDOWS],
    tolerance=LOG_TOLERANCE,
    catalogue=[50],
)
def a_log_without_a_finite_loss_makes_none_up(record: Record, scenario: Scenario) -> Judgement:
    """Where every loss since the last log was NaN or infinite, the logged loss is not finite, or one that the run has had elsewhere: it is
    outside of all finite losses of the run in no case.
    """
    steps = measures.steps_of_logs(record).value
    empty = [log for log, said in enumerate(_predicted(record, scenario, steps)) if said.filtered and said.value is None]
    if not empty or not scenario.argument("logging_nan_inf_filter"):
        return not_applicable("every log has a finite loss")
    reduction = loss_reduction(scenario)
    return holds_for_all("logs without a finite loss", [
        is_true(
            "logged loss where no loss is finite", measures.log_says_that_no_loss_is_finite(record, log, reduction, LOG_TOLERANCE),
            expected="a loss of the run, or none that is finite", observed=measures.loss_logs(record)[log]["loss"],
            symptom="made up", at=f"log at step {steps[log]}",
        )
        for log in empty
    ])  # fmt: skip


@trainer_property(source=sources.docs("Trainer.train"), needs=[*_BASE, *LOSSES, WHOLE_WINDOWS], tolerance=LOG_TOLERANCE, catalogue=[49])
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
    judgement = close("training_loss", expected=said.value, observed=measures.training_loss(record), tolerance=LOG_TOLERANCE)
    return expecting(judgement, lambda: measures.mean_loss_of_updates(record, loss_reduction(scenario)))


@trainer_property(source=sources.docs("TrainerState"), experiments=WITH_FLAGS, needs=[FINISHED, SOME_UPDATE], catalogue=[5])
def every_log_says_epoch_and_step(record: Record, scenario: Scenario) -> Judgement:
    """Every entry of the log history has the epoch and the step of the moment at which it was written."""
    return same(
        "epoch and step of logs",
        expected=measures.epochs_and_steps_of_log_events(record),
        observed=measures.epochs_and_steps_of_logs(record),
        at="log",
    )


@trainer_property(source=sources.docs("TrainerState.log_history"), experiments=WITH_FLAGS, needs=[FINISHED, SOME_UPDATE], catalogue=[47])
def history_is_what_callbacks_saw(record: Record, scenario: Scenario) -> Judgement:
    """The log history holds exactly what `on_log` was told, in order."""
    return same("log history", expected=measures.logs_of_callbacks(record), observed=measures.history(record), at="log")


@trainer_property(source=sources.docs("Trainer.train"), experiments=WITH_FLAGS, needs=[FINISHED, SOME_UPDATE], catalogue=[49])
def last_log_is_the_summary(record: Record, scenario: Scenario) -> Judgement:
    """Training ends with a log of its summary: run time, samples and steps a second, `total_flos` and `train_loss`, as `train()` returns
    them.
    """
    complete = measures.history_ends_with_a_summary(record)
    if complete.value:
        return same(
            "summary of training", expected=measures.returned_summary(record), observed=measures.logged_summary(record), at="entry"
        )
    if not record.log_history:
        return is_true("log history", complete, expected="ends with the summary", observed=[], symptom="empty")
    last = record.log_history[-1]
    return is_true(
        "summary of training",
        complete,
        expected=list(measures.SUMMARY),
        observed=sorted(last),
        symptom="incomplete",
        at=", ".join(name for name in measures.SUMMARY if name not in last or name not in record.metrics),
    )


@trainer_property(source=sources.docs("Trainer.train"), needs=[*_BASE], catalogue=[49])
def speed_is_steps_over_runtime(record: Record, scenario: Scenario) -> Judgement:
    """`train_steps_per_second` is the number of updates of this call over `train_runtime`."""
    rate, runtime = record.metrics.get("train_steps_per_second"), record.metrics.get("train_runtime")
    if rate is None or not runtime or runtime < 0.02 or record.global_step is None:
        return not_applicable("the run is too short for its rounded run time")
    slowest, fastest = measures.speeds(record)
    return is_true(
        "train_steps_per_second",
        measures.speed_is_steps_over_runtime(record),
        expected=[slowest, fastest],
        observed=rate,
        symptom="too small" if rate < slowest else "too large",
    )


@trainer_property(source=sources.docs("TrainingArguments.include_num_input_tokens_seen"), needs=[*_BASE, COUNTS_TOKENS], catalogue=[96])
def tokens_seen_are_counted(record: Record, scenario: Scenario) -> Judgement:
    """`num_input_tokens_seen` is the number of elements of the model's main input over all micro-batches, or of those that are not
    padding.
    """
    if not MODELS[scenario.model.name].main_input_name:
        return not_applicable("the model names no main input")
    pairs = [(batch.tokens, batch.masked_tokens) for batch in record.batches]
    judgement = same("num_input_tokens_seen", expected=tokens.tokens_seen(scenario, pairs), observed=measures.tokens_seen(record))
    return expecting(judgement, lambda: measures.tokens_of_batches(record, tokens.counting(scenario)))


@trainer_property(
    source=sources.docs("TrainingArguments.include_num_input_tokens_seen"), needs=[*_BASE, COUNTS_TOKENS, WHOLE_WINDOWS], catalogue=[96]
)
def logs_say_tokens_seen(record: Record, scenario: Scenario) -> Judgement:
    """Every log of the training loss says the tokens seen up to its update."""
    steps = measures.steps_of_logs(record).value
    if not steps:
        return not_applicable("no loss is logged")
    pairs = [(batch.tokens, batch.masked_tokens) for batch in record.batches]
    after = tokens.tokens_after_updates(scenario, accounting.windows(scenario, len(record.updates)), pairs)
    judgement = same(
        "num_input_tokens_seen in logs",
        expected=[after[step - 1] for step in steps],
        observed=measures.tokens_in_logs(record),
        at="log",
    )
    return expecting(judgement, lambda: measures.tokens_until_logs(record, tokens.counting(scenario)))


def _predicted(record: Record, scenario: Scenario, steps: list[int]) -> list[log_windows.LoggedLoss]:
    windows = accounting.windows(scenario, len(record.updates))
    return log_windows.logged_losses(
        windows, _losses(record), steps, reduction=loss_reduction(scenario), nan_filter=bool(scenario.argument("logging_nan_inf_filter"))
    )


def _losses(record: Record) -> list[float]:
    return [math.nan if batch.loss is None else batch.loss for batch in record.batches]
