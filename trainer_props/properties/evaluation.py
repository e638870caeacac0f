"""Evaluation during training: when it happens, what it covers, what its numbers mean, and that it leaves no trace."""

from __future__ import annotations

import math
from dataclasses import replace

from trainer_props.judgement import HOLDS, Judgement, Violated, at_most, close, holds_for_all, is_true, not_applicable, same
from trainer_props.measures import evaluation as measures
from trainer_props.properties import sources
from trainer_props.properties._facts import facts
from trainer_props.properties.needs import (
    DELAY_KNOWN,
    FINISHED,
    IDENTIFIED,
    INTERVALS_KNOWN,
    OUR_DATA,
    SINGLE_DEVICE,
    SOME_UPDATE,
    WHOLE_WINDOWS,
    Need,
)
from trainer_props.properties.registry import SINGLE_RUN, trainer_property
from trainer_props.record import Evaluation, Record
from trainer_props.scenario import Scenario

EVALUATED = Need("evaluated", "nothing was evaluated", lambda record, scenario: bool(record.evaluations))
EVALUATING = (*SINGLE_RUN, "evaluate_and_predict")
_TOLERANCE = 1e-6


@trainer_property(
    source=sources.docs("TrainingArguments.eval_strategy"),
    needs=[FINISHED, SOME_UPDATE, WHOLE_WINDOWS, DELAY_KNOWN, INTERVALS_KNOWN],
    catalogue=[54],
)
def evaluations_happen_when_due(record: Record, scenario: Scenario) -> Judgement:
    """The run evaluates after exactly the updates that `eval_strategy`, `eval_steps`, `eval_delay` and `eval_on_start` name, and under
    plans by steps at its end.
    """
    expected = list(facts(record, scenario).course.evaluations)
    return same("steps at which is evaluated", expected=expected, observed=measures.steps_of_evaluations(record), at="evaluation")


@trainer_property(
    source=sources.docs("Trainer.evaluate"),
    experiments=EVALUATING,
    needs=[FINISHED, EVALUATED, IDENTIFIED, SINGLE_DEVICE],
    catalogue=[55, 57],
)
def evaluation_covers_the_data_in_order(record: Record, scenario: Scenario) -> Judgement:
    """Every evaluation puts each sample of its data set through the model exactly once; in the data set's order, unless samples are grouped
    by length.
    """
    grouped = scenario.argument("train_sampling_strategy") == "group_by_length"
    judgements = []
    for index, evaluation in enumerate(record.evaluations):
        size = _length(evaluation, scenario, record)
        if size is None:
            continue
        seen = (measures.evaluated_samples_sorted if grouped else measures.evaluated_samples)(record, index)
        judgements.append(same("evaluated samples", expected=list(range(size)), observed=seen, at=f"evaluation {index}, position"))
    return holds_for_all("evaluated samples", judgements)


@trainer_property(
    source=sources.docs("TrainingArguments.per_device_eval_batch_size"),
    experiments=EVALUATING,
    needs=[FINISHED, EVALUATED, SINGLE_DEVICE],
    catalogue=[55],
)
def evaluation_batches_have_their_size(record: Record, scenario: Scenario) -> Judgement:
    """Evaluation batches hold `per_device_eval_batch_size` samples; only the last one may hold fewer."""
    size = int(scenario.argument("per_device_eval_batch_size"))
    judgements: list[Judgement] = []
    for index, evaluation in enumerate(record.evaluations):
        rows = [batch.size for batch in evaluation.batches]
        if not all(rows):
            return not_applicable("the model's input has no rows to count")
        judgements.append(HOLDS)
        if any(each != size for each in rows[:-1]):
            expected, observed = measures.full_batches(record, index, size), measures.sizes_before_the_last_batch(record, index)
            judgements.append(same("sizes of evaluation batches", expected=expected, observed=observed, at=f"evaluation {index}, batch"))
        if rows and rows[-1] > size:
            last = measures.size_of_the_last_batch(record, index)
            judgements.append(at_most("size of the last evaluation batch", expected=size, observed=last))
    return holds_for_all("sizes of evaluation batches", judgements)


@trainer_property(
    source=sources.issue(16716), experiments=EVALUATING, needs=[FINISHED, EVALUATED, SINGLE_DEVICE], tolerance=_TOLERANCE, catalogue=[55]
)
def eval_loss_is_the_mean_over_samples(record: Record, scenario: Scenario) -> Judgement:
    """The evaluation loss is the mean of the losses of the batches, each weighted by its number of samples."""
    if record.loss_reduction is not None:
        return not_applicable("the subject declares a loss of its own")
    judgements = []
    for index, evaluation in enumerate(record.evaluations):
        key = f"{evaluation.prefix}_loss"
        losses = [(batch.loss, batch.size) for batch in evaluation.batches]
        if key not in evaluation.metrics or not losses or any(loss is None or not math.isfinite(loss) or not size for loss, size in losses):
            continue
        expected, observed = measures.mean_loss_over_samples(record, index), measures.metric_of_evaluation(record, index, key)
        judgements.append(close(key, expected=expected, observed=observed, tolerance=_TOLERANCE, at=f"evaluation {index}"))
    return holds_for_all("evaluation losses", judgements)


@trainer_property(
    source=sources.docs("TrainingArguments.logging_nan_inf_filter"), experiments=EVALUATING, needs=[FINISHED, EVALUATED, SINGLE_DEVICE],
    tolerance=_TOLERANCE, catalogue=[50, 55],
)  # fmt: skip
def eval_loss_filters_what_is_no_number(record: Record, scenario: Scenario) -> Judgement:
    """With `logging_nan_inf_filter` the evaluation loss is the mean of the losses that are finite; without it, the mean of all, which is
    then no finite number.

    With it, and without a finite loss, there is no such mean: then the evaluation loss does not look like one.
    """
    if record.loss_reduction is not None:
        return not_applicable("the subject declares a loss of its own")
    filters, judgements = bool(scenario.argument("logging_nan_inf_filter")), []
    for index, evaluation in enumerate(record.evaluations):
        key, losses = f"{evaluation.prefix}_loss", [batch.loss for batch in evaluation.batches]
        odd = [loss for loss in losses if loss is not None and not math.isfinite(loss)]
        if not odd or None in losses or key not in evaluation.metrics or not all(batch.size for batch in evaluation.batches):
            continue
        at = f"evaluation {index}"
        if filters and len(odd) == len(losses):
            judgements.append(
                same(f"{key} is a finite number", expected=False, observed=measures.metric_is_finite(record, index, key), at=at)
            )
            continue
        expected = (measures.mean_of_finite_losses if filters else measures.mean_of_any_losses)(record, index)
        observed = measures.metric_of_evaluation(record, index, key)
        judgements.append(close(key, expected=expected, observed=observed, tolerance=_TOLERANCE, at=at))
    return holds_for_all("evaluation losses that are no numbers", judgements)


@trainer_property(source=sources.docs("Trainer.evaluate"), experiments=EVALUATING, needs=[FINISHED, EVALUATED, OUR_DATA], catalogue=[55])
def evaluation_says_its_loss(record: Record, scenario: Scenario) -> Judgement:
    """The metrics of an evaluation hold the loss and the speed; data with labels always give a loss."""
    for index, evaluation in enumerate(record.evaluations):
        wanted = [f"{evaluation.prefix}_{name}" for name in ("loss", "runtime", "samples_per_second", "steps_per_second")]
        if any(name not in evaluation.metrics for name in wanted):
            complete, present = measures.has_metrics(record, index, wanted), sorted(evaluation.metrics)
            return is_true("metrics", complete, expected=wanted, observed=present, symptom="incomplete", at=f"evaluation {index}")
    return HOLDS


@trainer_property(source=sources.docs("Trainer.evaluate"), experiments=EVALUATING, needs=[FINISHED, EVALUATED], catalogue=[59])
def metrics_have_their_prefix(record: Record, scenario: Scenario) -> Judgement:
    """Every metric but `epoch` begins with the metric key prefix."""
    for index, evaluation in enumerate(record.evaluations):
        wrong = [
            name
            for name in evaluation.metrics
            if name not in ("epoch", "num_input_tokens_seen") and not name.startswith(f"{evaluation.prefix}_")
        ]
        if wrong:
            return is_true(
                "names of metrics",
                measures.metrics_begin_with_their_prefix(record, index),
                expected=f"all begin with {evaluation.prefix}_",
                observed=wrong,
                symptom="without prefix",
                at=f"evaluation {index}",
            )
    return HOLDS


@trainer_property(source=sources.docs("Trainer.evaluation_loop"), experiments=EVALUATING, needs=[FINISHED, EVALUATED], catalogue=[61])
def evaluation_runs_in_eval_mode(record: Record, scenario: Scenario) -> Judgement:
    """Evaluation runs the model in eval mode, without gradients; training runs it in train mode, with them."""
    for index, evaluation in enumerate(record.evaluations):
        for number, batch in enumerate(evaluation.batches):
            if batch.training or batch.grad:
                observed, at = measures.mode_in_evaluation(record, index), f"evaluation {index}, batch {number}"
                return same("mode of the model", expected="eval mode, no gradients", observed=observed, symptom="wrong", at=at)
    wrong = next((number for number, batch in enumerate(record.batches) if not (batch.training and batch.grad)), None)
    if wrong is not None:
        observed, at = measures.mode_in_training(record), f"training micro-batch {wrong}"
        return same("mode of the model", expected="train mode, with gradients", observed=observed, symptom="wrong", at=at)
    return HOLDS


@trainer_property(source=sources.docs("Trainer.evaluate"), needs=[FINISHED, EVALUATED], catalogue=[53, 61])
def evaluation_leaves_the_weights(record: Record, scenario: Scenario) -> Judgement:
    """Evaluation changes no weight: after it the weights are those of the last update, bit for bit."""
    for index, evaluation in enumerate(record.evaluations):
        before = record.updates[evaluation.step - 1].weights if 0 < evaluation.step <= len(record.updates) else record.initial_weights
        if before is not None and not before.equal(evaluation.weights):
            expected, observed = measures.weights_before_evaluation(record, index), measures.weights_after_evaluation(record, index)
            judgement = same("weights after an evaluation", expected=expected, observed=observed, symptom="changed")
            if isinstance(judgement, Violated):  # NaN is what NaN was
                return replace(judgement, divergence=f"evaluation {index}")
    return HOLDS


@trainer_property(source=sources.docs("Trainer.evaluate"), needs=[FINISHED, EVALUATED], catalogue=[55])
def evaluations_are_logged(record: Record, scenario: Scenario) -> Judgement:
    """Every evaluation during training is an entry of the log history, with its metrics and its step."""
    expected, observed = measures.steps_of_evaluations(record), measures.steps_of_logged_evaluations(record)
    if expected.value != observed.value:
        return same("logged evaluations", expected=expected, observed=observed, at="evaluation")
    expected, observed = measures.metrics_of_evaluations(record), measures.logged_metrics(record)
    return same("logged metrics", expected=expected, observed=observed, at="evaluation")


@trainer_property(source=sources.docs("Trainer.compute_metrics"), needs=[FINISHED, EVALUATED], catalogue=[55])
def compute_metrics_is_asked_once(record: Record, scenario: Scenario) -> Judgement:
    """`compute_metrics` is called once an evaluation, or once a batch with `batch_eval_metrics`, and its result is among the metrics."""
    if not scenario.components.scores or scenario.argument("prediction_loss_only"):
        return not_applicable("no compute_metrics, or predictions are not kept")
    by_batch = bool(scenario.argument("batch_eval_metrics"))
    expected = measures.numbers_of_batches(record) if by_batch else measures.one_for_each_with_batches(record)
    observed = measures.calls_of_compute_metrics(record)
    judgement = same("calls of compute_metrics", expected=expected, observed=observed, at="evaluation")
    if isinstance(judgement, Violated):
        return judgement
    said = measures.scores_in_turn(record, list(scenario.components.scores))
    return same("eval_score", expected=said, observed=measures.metric_of_each_with_batches(record, "eval_score"), at="evaluation")


def _length(evaluation: Evaluation, scenario: Scenario, record: Record) -> int | None:
    length: int | None = record.results.get("lengths", {}).get(evaluation.prefix)
    return length if length is not None else (scenario.data.n_eval if evaluation.prefix == "eval" else None)
