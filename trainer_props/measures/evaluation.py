"""What is measured of evaluations: `index` counts them from 0, in the order in which they took place."""

from __future__ import annotations

import math
from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record


@measure
def steps_of_evaluations(record: Record) -> list[int]:
    """`global_step` at each evaluation."""
    return [each.step for each in record.evaluations]


@measure
def evaluated_samples(record: Record, index: int) -> list[int]:
    """The samples that went through the model, in order."""
    return [sample for batch in record.evaluations[index].batches for sample in batch.samples or ()]


@measure
def evaluated_samples_sorted(record: Record, index: int) -> list[int]:
    """The samples that went through the model, in the order of the data set."""
    return sorted(sample for batch in record.evaluations[index].batches for sample in batch.samples or ())


@measure
def sizes_before_the_last_batch(record: Record, index: int) -> list[int]:
    """Rows of each batch but the last."""
    return [batch.size for batch in record.evaluations[index].batches[:-1]]


@measure
def full_batches(record: Record, index: int, size: int) -> list[int]:
    """Rows that each batch but the last would have if it were full."""
    return [size for batch in record.evaluations[index].batches[:-1]]


@measure
def size_of_the_last_batch(record: Record, index: int) -> int:
    """Rows of the last batch."""
    return record.evaluations[index].batches[-1].size


@measure
def metric_of_evaluation(record: Record, index: int, name: str) -> Any:
    """One of the metrics, or None."""
    return record.evaluations[index].metrics.get(name)


@measure
def mean_loss_over_samples(record: Record, index: int) -> float:
    """The mean of the losses of the batches, each weighted by its rows."""
    batches = record.evaluations[index].batches
    return math.fsum((batch.loss or 0.0) * batch.size for batch in batches) / sum(batch.size for batch in batches)


@measure
def mean_of_finite_losses(record: Record, index: int) -> float:
    """The mean of the losses of the batches that are finite, each weighted by its rows."""
    batches = [batch for batch in record.evaluations[index].batches if batch.loss is not None and math.isfinite(batch.loss)]
    return math.fsum((batch.loss or 0.0) * batch.size for batch in batches) / sum(batch.size for batch in batches)


@measure
def mean_of_any_losses(record: Record, index: int) -> float:
    """The mean of the losses of the batches, finite or not, each weighted by its rows."""
    batches = record.evaluations[index].batches
    return sum((math.nan if batch.loss is None else batch.loss) * batch.size for batch in batches) / sum(batch.size for batch in batches)


@measure
def metric_is_finite(record: Record, index: int, name: str) -> bool:
    """Whether one of the metrics is there, and neither NaN nor infinite."""
    value = record.evaluations[index].metrics.get(name)
    return value is not None and math.isfinite(value)


@measure
def has_metrics(record: Record, index: int, names: list[str]) -> bool:
    """Whether all of these are among the metrics."""
    return all(name in record.evaluations[index].metrics for name in names)


@measure
def metrics_begin_with_their_prefix(record: Record, index: int) -> bool:
    """Whether every metric begins with the metric key prefix, apart from those that speak of training."""
    evaluation = record.evaluations[index]
    bare = ("epoch", "num_input_tokens_seen")
    return all(name in bare or name.startswith(f"{evaluation.prefix}_") for name in evaluation.metrics)


@measure
def mode_in_evaluation(record: Record, index: int) -> str:
    """How the model was run on the batches of an evaluation: on the first that is not in eval mode without gradients, if there is one."""
    wrong = [batch for batch in record.evaluations[index].batches if batch.training or batch.grad]
    if not wrong:
        return "eval mode, no gradients"
    return "train mode" if wrong[0].training else "gradients"


@measure
def mode_in_training(record: Record) -> str:
    """How the model was run on the training micro-batches: on the first that is not in train mode with gradients, if there is one."""
    right = all(batch.training and batch.grad for batch in record.batches)
    return "train mode, with gradients" if right else "eval mode or no gradients"


@measure
def weights_before_evaluation(record: Record, index: int) -> list[float] | None:
    """The weights after the last update before the evaluation, or before training if there is none."""
    step = record.evaluations[index].step
    weights = record.updates[step - 1].weights if 0 < step <= len(record.updates) else record.initial_weights
    values: list[float] | None = None if weights is None else weights.tolist()
    return values


@measure
def weights_after_evaluation(record: Record, index: int) -> list[float]:
    """The weights after the evaluation."""
    values: list[float] = record.evaluations[index].weights.tolist()
    return values


@measure
def steps_of_logged_evaluations(record: Record) -> list[int]:
    """The step of each entry of the log history that holds an evaluation."""
    return [entry["step"] for entry in record.log_history if any(name.startswith("eval_") for name in entry)]


@measure
def metrics_of_evaluations(record: Record) -> list[list[list[Any]]]:
    """Names and values of the metrics of each evaluation, by name; without the epoch."""
    return [[[name, each.metrics[name]] for name in sorted(each.metrics) if name != "epoch"] for each in record.evaluations]


@measure
def logged_metrics(record: Record) -> list[list[list[Any]]]:
    """Names and values in each entry of the log history that holds an evaluation, by name; without epoch and step."""
    entries = [entry for entry in record.log_history if any(name.startswith("eval_") for name in entry)]
    return [[[name, entry[name]] for name in sorted(entry) if name not in ("epoch", "step")] for entry in entries]


@measure
def calls_of_compute_metrics(record: Record) -> list[int]:
    """How often `compute_metrics` was called in each evaluation."""
    return [each.calls for each in record.evaluations]


@measure
def numbers_of_batches(record: Record) -> list[int]:
    """Batches of each evaluation."""
    return [len(each.batches) for each in record.evaluations]


@measure
def one_for_each_with_batches(record: Record) -> list[int]:
    """1 for each evaluation that has a batch, 0 for one that has none."""
    return [min(1, len(each.batches)) for each in record.evaluations]


@measure
def metric_of_each_with_batches(record: Record, name: str) -> list[Any]:
    """One of the metrics, or None, of each evaluation that has a batch."""
    return [each.metrics.get(name) for each in record.evaluations if each.batches]


@measure
def scores_in_turn(record: Record, scores: list[float]) -> list[float]:
    """A score for each evaluation that has a batch: the next one of these, and the last one again when they are used up."""
    number = sum(1 for each in record.evaluations if each.batches)
    return [scores[min(index, len(scores) - 1)] for index in range(number)]
