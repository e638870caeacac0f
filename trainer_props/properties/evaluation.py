"""Evaluation during training: when it happens, what it covers, what its numbers mean, and that it leaves no trace."""

from __future__ import annotations

import math

from trainer_props.judgement import HOLDS, Judgement, Violated, close, holds_for_all, is_true, not_applicable, same
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
    return same("steps at which is evaluated", expected=expected, observed=[each.step for each in record.evaluations], at="evaluation")


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
        seen = [sample for batch in evaluation.batches for sample in batch.samples or ()]
        judgements.append(
            same(
                "evaluated samples",
                expected=list(range(size)),
                observed=sorted(seen) if grouped else seen,
                at=f"evaluation {index}, position",
            )
        )
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
    judgements = []
    for index, evaluation in enumerate(record.evaluations):
        rows = [batch.size for batch in evaluation.batches]
        if not all(rows):
            return not_applicable("the model's input has no rows to count")
        full, last = rows[:-1], rows[-1:]
        judgements.append(same("sizes of evaluation batches", expected=[size] * len(full), observed=full, at=f"evaluation {index}, batch"))
        judgements += [
            is_true("size of the last evaluation batch", 0 < rest <= size, expected=f"1 to {size}", observed=rest, symptom="too large")
            for rest in last
        ]
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
        expected = math.fsum((loss or 0.0) * size for loss, size in losses) / sum(size for _, size in losses)
        judgements.append(close(key, expected=expected, observed=evaluation.metrics[key], tolerance=_TOLERANCE, at=f"evaluation {index}"))
    return holds_for_all("evaluation losses", judgements)


@trainer_property(source=sources.docs("Trainer.evaluate"), experiments=EVALUATING, needs=[FINISHED, EVALUATED, OUR_DATA], catalogue=[55])
def evaluation_says_its_loss(record: Record, scenario: Scenario) -> Judgement:
    """The metrics of an evaluation hold the loss and the speed; data with labels always give a loss."""
    judgements = []
    for index, evaluation in enumerate(record.evaluations):
        wanted = [f"{evaluation.prefix}_{name}" for name in ("loss", "runtime", "samples_per_second", "steps_per_second")]
        missing = [name for name in wanted if name not in evaluation.metrics]
        judgements.append(
            is_true(
                "metrics", not missing, expected=wanted, observed=sorted(evaluation.metrics), symptom="incomplete", at=f"evaluation {index}"
            )
        )
    return holds_for_all("metrics", judgements)


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
            return Violated("names of metrics", f"all begin with {evaluation.prefix}_", wrong, "without prefix", f"evaluation {index}")
    return HOLDS


@trainer_property(source=sources.docs("Trainer.evaluation_loop"), experiments=EVALUATING, needs=[FINISHED, EVALUATED], catalogue=[61])
def evaluation_runs_in_eval_mode(record: Record, scenario: Scenario) -> Judgement:
    """Evaluation runs the model in eval mode, without gradients; training runs it in train mode, with them."""
    for index, evaluation in enumerate(record.evaluations):
        for number, batch in enumerate(evaluation.batches):
            if batch.training or batch.grad:
                return Violated(
                    "mode of the model",
                    "eval mode, no gradients",
                    "train mode" if batch.training else "gradients",
                    "wrong",
                    f"evaluation {index}, batch {number}",
                )
    wrong = next((number for number, batch in enumerate(record.batches) if not (batch.training and batch.grad)), None)
    if wrong is not None:
        return Violated(
            "mode of the model", "train mode, with gradients", "eval mode or no gradients", "wrong", f"training micro-batch {wrong}"
        )
    return HOLDS


@trainer_property(source=sources.docs("Trainer.evaluate"), needs=[FINISHED, EVALUATED], catalogue=[53, 61])
def evaluation_leaves_the_weights(record: Record, scenario: Scenario) -> Judgement:
    """Evaluation changes no weight: after it the weights are those of the last update, bit for bit."""
    for index, evaluation in enumerate(record.evaluations):
        before = record.updates[evaluation.step - 1].weights if 0 < evaluation.step <= len(record.updates) else record.initial_weights
        if before is not None and not before.equal(evaluation.weights):
            return Violated("weights after an evaluation", before.tolist(), evaluation.weights.tolist(), "changed", f"evaluation {index}")
    return HOLDS


@trainer_property(source=sources.docs("Trainer.evaluate"), needs=[FINISHED, EVALUATED], catalogue=[55])
def evaluations_are_logged(record: Record, scenario: Scenario) -> Judgement:
    """Every evaluation during training is an entry of the log history, with its metrics and its step."""
    entries = [entry for entry in record.log_history if any(name.startswith("eval_") for name in entry)]
    expected = [(each.step, {name: value for name, value in each.metrics.items() if name != "epoch"}) for each in record.evaluations]
    observed = [(entry["step"], {name: value for name, value in entry.items() if name not in ("epoch", "step")}) for entry in entries]
    return (
        same("logged evaluations", expected=[step for step, _ in expected], observed=[step for step, _ in observed], at="evaluation")
        if [step for step, _ in expected] != [step for step, _ in observed]
        else same(
            "logged metrics",
            expected=[_numbers(metrics) for _, metrics in expected],
            observed=[_numbers(metrics) for _, metrics in observed],
            at="evaluation",
        )
    )


@trainer_property(source=sources.docs("Trainer.compute_metrics"), needs=[FINISHED, EVALUATED], catalogue=[55])
def compute_metrics_is_asked_once(record: Record, scenario: Scenario) -> Judgement:
    """`compute_metrics` is called once an evaluation, or once a batch with `batch_eval_metrics`, and its result is among the metrics."""
    if not scenario.components.scores or scenario.argument("prediction_loss_only"):
        return not_applicable("no compute_metrics, or predictions are not kept")
    by_batch = bool(scenario.argument("batch_eval_metrics"))
    expected = [len(each.batches) if by_batch else min(1, len(each.batches)) for each in record.evaluations]
    judgement = same("calls of compute_metrics", expected=expected, observed=[each.calls for each in record.evaluations], at="evaluation")
    if isinstance(judgement, Violated):
        return judgement
    scores = scenario.components.scores
    held = [each for each in record.evaluations if each.batches]
    said = [scores[min(index, len(scores) - 1)] for index in range(len(held))]
    return same("eval_score", expected=said, observed=[each.metrics.get("eval_score") for each in held], at="evaluation")


def _numbers(metrics: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(metrics.items())


def _length(evaluation: Evaluation, scenario: Scenario, record: Record) -> int | None:
    length: int | None = record.results.get("lengths", {}).get(evaluation.prefix)
    return length if length is not None else (scenario.data.n_eval if evaluation.prefix == "eval" else None)
