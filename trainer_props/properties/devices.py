"""Several devices: a run on them is the run on one whose batch is as large as theirs together."""

from __future__ import annotations

import itertools
from typing import Any, Final

from trainer_props.judgement import HOLDS, Judgement, close, holds_for_all, not_applicable, same
from trainer_props.measures import devices as measures
from trainer_props.oracles import accounting, best_model
from trainer_props.oracles.adaptive_schedules import NAMES as METRIC_DRIVEN
from trainer_props.oracles.sharding import in_processes, random_state_file, repeats
from trainer_props.properties import sources
from trainer_props.properties._rounding import (
    TOLERANCE,
    VISIBLE,
    drifts,
    precision_of,
    reduction,
    scale,
    shown_rounding,
    tolerance_of_weights,
)  # fmt: skip
from trainer_props.properties.logs import LOG_TOLERANCE
from trainer_props.properties.needs import NO_EARLY_STOP, Need
from trainer_props.properties.optimization import ADAPTIVE
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Runs
from trainer_props.scenario import Scenario
from trainer_props.zoo import DATASETS

PROCESSES: Final = ("train_in_processes", "shard_data")
DEVICES: Final = ("train_on_devices", *PROCESSES)
_BATCHES: Final = "https://huggingface.co/docs/accelerate/package_reference/torch_wrappers#accelerate.data_loader.BatchSamplerShard"
_EVEN: Final = "https://huggingface.co/docs/accelerate/package_reference/accelerator#accelerate.Accelerator.even_batches"
_PARALLEL: Final = "https://docs.pytorch.org/docs/stable/generated/torch.nn.parallel.DistributedDataParallel.html"
_EVALUATION_TOLERANCE: Final = 2e-6
"""Losses of evaluations are float32 numbers."""


def shares(rows: int, count: int) -> list[int]:
    """The rows that each device gets of a batch that is cut for several, as torch cuts: there may be fewer shares than devices."""
    size = -(-rows // count)
    return [min(size, rows - first) for first in range(0, rows, size)]


def sees_whole_batches(scenario: Scenario) -> bool:
    """Whether the loss is computed of all devices' outputs together: by a function, after DataParallel has gathered them."""
    return scenario.components.loss == "compute_loss_func" and not in_processes(scenario)


def _even(runs: Runs, scenario: Scenario) -> bool:
    """Each device's share of each micro-batch counts as it should in a mean over devices."""
    kind = reduction(runs, scenario)
    if kind == "batch_dependent":
        return False
    averaged = bool(scenario.argument("average_tokens_across_devices"))
    if in_processes(scenario):
        if repeats(scenario) or (kind == "sum_over_items" and averaged):
            return not repeats(scenario)
        # a mean over ranks of means over items: those of each rank have to be as many
        alike = not scenario.data.ignored_every and not DATASETS[scenario.data.kind].needs_padding
        return alike and not accounting.rebalanced(scenario)
    count = scenario.devices.count
    sizes = {rows for window in accounting.windows(scenario) for rows in window.sizes or ()}
    if kind == "sum_over_items":
        return averaged or all(rows % count == 0 for rows in sizes)
    return all(len(set(shares(rows, count))) == 1 for rows in sizes)


def _even_evaluation(runs: Runs, scenario: Scenario) -> bool:
    """Each device's share of each evaluation batch is as large: DataParallel gives a mean over devices, not over rows."""
    if in_processes(scenario):
        return True
    size, rows = int(scenario.argument("per_device_eval_batch_size")) * scenario.devices.count, scenario.data.n_eval
    sizes = {min(size, rows - first) for first in range(0, rows, size)}
    return all(len(set(shares(each, scenario.devices.count))) == 1 for each in sizes)


def _same_width(runs: Runs, scenario: Scenario) -> bool:
    """Whether padded batches that are not concatenated have on one device the rows that they have on all, and so the same width."""
    filled_up = in_processes(scenario) and not accounting.drops_last(scenario)
    padded = filled_up and DATASETS[scenario.data.kind].needs_padding and not scenario.argument("eval_do_concat_batches")
    whole = int(scenario.argument("per_device_eval_batch_size")) * accounting.devices_of_a_batch(scenario)
    return not padded or int(runs.first.results.get("predicted", 0)) % whole == 0


def _same_order(runs: Runs, scenario: Scenario) -> bool:
    """A run on one device goes through the data in the same order."""
    if scenario.data.kind in accounting.STREAMS:
        return True
    how = scenario.argument("train_sampling_strategy")
    seeded = bool(accounting.loader_option(scenario, "use_seedable_sampler"))
    return how in ("sequential", "batch_rebalance") or (how == "random" and seeded)


def _followed(runs: Runs, scenario: Scenario) -> bool:
    return scenario.argument("lr_scheduler_type") in METRIC_DRIVEN


def _same_length(runs: Runs, scenario: Scenario) -> bool:
    return len({len(each.updates) for each in runs.values()}) == 1


BASELINE_FINISHED = Need("baseline_finished", "the run does not finish on one device", lambda runs, scenario: runs.first.finished)
FINISHED = Need("finished", "the run did not finish", lambda runs, scenario: all(each.finished for each in runs.values()))
IDENTIFIED = Need("identified", "samples could not be identified", lambda runs, scenario: all(each.identified for each in runs.values()))
NO_REPEATS = Need(
    "no_repeats", "rows are repeated to fill the last batches, as documented", lambda runs, scenario: repeats(scenario) == 0
)
EVEN = Need("even", "the devices have uneven shares of a batch, of which a mean over devices is another than one over rows", _even)
EVEN_EVALUATION = Need(
    "even_evaluation", "the devices have uneven shares of an evaluation batch, of which a mean over devices is another than one over rows",
    _even_evaluation,
)  # fmt: skip
BY_STEPS = Need("by_steps", "the schedule moves with evaluations", lambda runs, scenario: not _followed(runs, scenario))
SAME_LENGTH = Need("same_length", "the runs have not as many updates (devices.global_step_counts_with_devices says so)", _same_length)
SAME_SAVES = Need(
    "same_saves", "what is saved goes by a loss, which may be another in processes", lambda runs, scenario: best_model.is_given(scenario)
    or (scenario.components.early_stopping is None and scenario.argument("save_strategy") != "best"),
)  # fmt: skip
SAME_ORDER = Need(
    "same_order", "the order of the samples is another on one device: it depends on the batch size of a device, or on random numbers that "
    "only processes draw", _same_order,
)  # fmt: skip
SAME_WIDTH = Need(
    "same_width", "rows are repeated to fill the last batch, which is kept apart and padded to the longest of them", _same_width,
)  # fmt: skip
IN_ORDER = Need(
    "in_order", "evaluation data are grouped by length, on one device within other batches",
    lambda runs, scenario: scenario.argument("train_sampling_strategy") != "group_by_length",
)  # fmt: skip
EVALUATED = Need("evaluated", "nothing is evaluated", lambda runs, scenario: scenario.data.n_eval > 0)
PREDICTED = Need("predicted", "nothing is predicted", lambda runs, scenario: runs.first.results.get("predictions") is not None)
_SAME: Final = (FINISHED, SAME_LENGTH, NO_REPEATS, EVEN, SAME_ORDER)
_EFFECTIVE: Final = sources.docs("TrainingArguments.per_device_train_batch_size")


@trainer_property(source=_PARALLEL, experiments=DEVICES, needs=[BASELINE_FINISHED], catalogue=[18, 38])
def every_rank_comes_to_its_end(runs: Runs, scenario: Scenario) -> Judgement:
    """A run that finishes on one device finishes also on several, on every rank."""
    hung = any(each.stuck is not None for each in runs.values())
    found = measures.cause(runs)
    return same("the run", expected=measures.ENDED, observed=found, symptom="does not end", verdict="hung" if hung else "crashed")


@trainer_property(source=_EFFECTIVE, experiments=DEVICES, needs=[FINISHED], catalogue=[6])
def total_batch_size_counts_devices(runs: Runs, scenario: Scenario) -> Judgement:
    """The total train batch size is the batch size of a device times devices times accumulation, on every rank."""
    observed = measures.total_train_batch_sizes(runs)
    if None in observed.value:
        return not_applicable("this trainer does not say its total batch size")
    expected = [accounting.total_train_batch_size(scenario)] * len(observed.value)
    return same("total train batch size", expected=expected, observed=observed, at="rank")


@trainer_property(source=_EFFECTIVE, experiments=DEVICES, needs=[FINISHED], catalogue=[6, 18])
def batch_size_of_a_process_counts_its_devices(runs: Runs, scenario: Scenario) -> Judgement:
    """`train_batch_size` and `eval_batch_size` are those of a device times the devices of the process."""
    devices = 1 if in_processes(scenario) else scenario.devices.count
    judgements = []
    for name in ("train_batch_size", "eval_batch_size"):
        observed = measures.batch_sizes(runs, name)
        expected = [int(scenario.argument(f"per_device_{name}")) * devices] * len(observed.value)
        judgements.append(same(name, expected=expected, observed=observed, at="rank"))
    return holds_for_all("batch sizes", judgements)


@trainer_property(source=_EFFECTIVE, experiments=DEVICES, needs=[FINISHED, NO_EARLY_STOP], catalogue=[1, 18, 38])
def global_step_counts_with_devices(runs: Runs, scenario: Scenario) -> Judgement:
    """Every rank takes the updates that follow from the data, the batch of all devices and the accumulation, or `max_steps`."""
    observed = measures.steps_at_the_end(runs)
    own = runs.first.expected_steps
    asked = accounting.total_updates(scenario) if own is None else own
    return same("global_step", expected=[asked] * len(observed.value), observed=observed, at="rank")


@trainer_property(
    source=_BATCHES, experiments=DEVICES, needs=[FINISHED, IDENTIFIED, SAME_LENGTH, NO_REPEATS, SAME_ORDER], catalogue=[18, 38]
)
def updates_have_the_samples_of_one_device(runs: Runs, scenario: Scenario) -> Judgement:
    """Each update has, on all devices together, the samples that it has on one."""
    return same(
        "samples of an update", expected=measures.samples_of_updates_on_one_device(runs), observed=measures.samples_of_updates(runs),
        at="update",
    )  # fmt: skip


@trainer_property(source=_BATCHES, experiments=PROCESSES, needs=[FINISHED, IDENTIFIED], catalogue=[10])
def ranks_share_no_sample(runs: Runs, scenario: Scenario) -> Judgement:
    """No two ranks train on the same sample in a pass over the data, apart from the last micro-batch, which repeats may fill."""
    kept = accounting.batches_per_epoch(scenario)
    if repeats(scenario):
        kept -= int(scenario.argument("gradient_accumulation_steps")) if accounting.rebalanced(scenario) else 1
    return holds_for_all("samples of several ranks", [
        same("samples of several ranks", expected=[], observed=measures.shared_by_ranks(runs, epoch, kept), at=f"epoch {epoch}, element")
        for epoch in range(accounting.epochs_begun(scenario, len(runs.first.updates)))
    ])  # fmt: skip


def whole_epochs(runs: Runs, scenario: Scenario) -> range:
    """The passes over the data that the run completes."""
    return range(len(runs.first.updates) // max(1, accounting.updates_per_epoch(scenario)))


@trainer_property(source=_EVEN, experiments=PROCESSES, needs=[FINISHED, IDENTIFIED, SAME_LENGTH], catalogue=[7, 8, 38])
def all_ranks_together_pass_through_the_data(runs: Runs, scenario: Scenario) -> Judgement:
    """A pass over the data has every sample on some rank; with `dataloader_drop_last` those of full batches of all ranks."""
    full = accounting.batches_per_epoch(scenario) * accounting.batch_size(scenario)
    expected = min(full, scenario.data.n)
    return holds_for_all("samples of a pass over the data", [
        same("samples of a pass over the data", expected=expected, observed=measures.distinct_in_epoch(runs, epoch), at=f"epoch {epoch}")
        for epoch in whole_epochs(runs, scenario)
    ])  # fmt: skip


@trainer_property(source=_EVEN, experiments=PROCESSES, needs=[FINISHED, IDENTIFIED, SAME_LENGTH], catalogue=[9])
def repeats_fill_the_last_batch(runs: Runs, scenario: Scenario) -> Judgement:
    """A pass over the data repeats as many samples as the last batch of all ranks lacks, and no more."""
    expected = repeats(scenario)
    return holds_for_all("repeated samples", [
        same("repeated samples", expected=expected, observed=measures.repeats_in_epoch(runs, epoch), at=f"epoch {epoch}")
        for epoch in whole_epochs(runs, scenario)
    ])  # fmt: skip


@trainer_property(
    source=sources.docs("TrainingArguments.average_tokens_across_devices"), experiments=DEVICES, needs=_SAME, tolerance=1e-12,
    catalogue=[18, 37, 38],
)  # fmt: skip
def first_gradient_is_that_of_one_device(runs: Runs, scenario: Scenario) -> Judgement:
    """The first update has the gradient that it has on one device: the mean over devices, or over the labels of all of them."""
    expected, observed = measures.first_gradient_on_one_device(runs), measures.first_gradient(runs)
    if expected.value is None:
        return not_applicable("no update, or no gradient")
    return close("first gradient", expected=expected, observed=observed, tolerance=TOLERANCE[precision_of(runs, scenario)], at="weight")


@trainer_property(source=_PARALLEL, experiments=DEVICES, needs=_SAME, tolerance=1e-12, catalogue=[18, 38])
def weights_are_those_of_one_device(runs: Runs, scenario: Scenario) -> Judgement:
    """After each update the model has the weights that it has on one device."""
    tolerance = tolerance_of_weights(runs, scenario)
    if tolerance is None:
        return not_applicable(VISIBLE)
    return holds_for_all("weights", [
        close(
            "weights after an update", expected=measures.weights_on_one_device(runs, update), observed=measures.weights(runs, 0, update),
            tolerance=tolerance, at=f"update {update}, weight",
            scale=scale(runs, scenario, (float(each.weights.abs().max()) for each in runs.first.updates[:update])),
        )
        for update in range(1, (shown_rounding(runs, scenario) or len(runs.first.updates)) + 1)
    ])  # fmt: skip


@trainer_property(source=_PARALLEL, experiments=PROCESSES, needs=[FINISHED], catalogue=[38])
def ranks_have_the_same_weights(runs: Runs, scenario: Scenario) -> Judgement:
    """After each update all ranks have the same weights, exactly."""
    return holds_for_all("weights of ranks", [
        same(
            "weights of a rank", expected=measures.weights(runs, 0, update), observed=measures.weights(runs, rank, update),
            at=f"rank {rank}, update {update}, weight",
        )
        for rank, update in itertools.product(range(1, scenario.devices.count), range(1, len(runs.first.updates) + 1))
    ])  # fmt: skip


@trainer_property(
    source=sources.docs("TrainingArguments.learning_rate"), experiments=DEVICES, needs=[FINISHED, SAME_LENGTH, BY_STEPS], tolerance=1e-12,
    catalogue=[18, 38],
)  # fmt: skip
def learning_rates_are_those_of_one_device(runs: Runs, scenario: Scenario) -> Judgement:
    """Each update has, on every rank, the learning rate that it has on one device."""
    expected = measures.learning_rates_on_one_device(runs)
    return holds_for_all("learning rates", [
        close(
            "learning rates", expected=expected, observed=measures.learning_rates(runs, rank), tolerance=1e-12, scale=0.0,
            at=f"rank {rank}, rate",
        )
        for rank in range(len(runs) - 1)
    ])  # fmt: skip


@trainer_property(
    source=sources.docs("TrainerCallback.on_optimizer_step"), experiments=DEVICES, needs=[FINISHED, BY_STEPS], catalogue=[27]
)
def the_schedule_steps_once_an_update(runs: Runs, scenario: Scenario) -> Judgement:
    """On every rank the schedule moves by one step an update, whatever the number of devices."""
    found = [measures.scheduler_steps(runs, rank) for rank in range(len(runs) - 1)]
    if not any(each.value for each in found) or any(None in each.value for each in found):
        return not_applicable("no update, or the scheduler was not seen")
    return holds_for_all("steps of the schedule", [
        same("steps of the schedule", expected=list(range(len(each.value))), observed=each, at=f"rank {rank}, before update")
        for rank, each in enumerate(found)
    ])  # fmt: skip


@trainer_property(
    source=sources.docs("TrainingArguments.logging_steps"), experiments=DEVICES, needs=_SAME, tolerance=LOG_TOLERANCE, catalogue=[18, 38]
)
def logged_losses_are_those_of_one_device(runs: Runs, scenario: Scenario) -> Judgement:
    """The losses that are logged are those of the run on one device: means over all devices."""
    if drifts(runs, scenario, 1):
        return not_applicable(VISIBLE)
    return _logged(runs, "loss", LOG_TOLERANCE)


@trainer_property(
    source=sources.docs("TrainingArguments.max_grad_norm"), experiments=DEVICES, needs=_SAME, tolerance=1e-8, catalogue=[18, 29, 38]
)
def logged_norms_are_those_of_one_device(runs: Runs, scenario: Scenario) -> Judgement:
    """The gradient norms that are logged are those of the run on one device."""
    tolerance = tolerance_of_weights(runs, scenario)
    if tolerance is None or shown_rounding(runs, scenario):
        return not_applicable(VISIBLE)
    used = [float(each.gradient.norm()) for each in runs.first.updates if each.gradient is not None]  # clipped ones: losses tell more
    losses = [abs(batch.loss) for batch in runs.first.batches if batch.loss is not None]
    return _logged(runs, "grad_norm", max(tolerance, ADAPTIVE), scale(runs, scenario, [*used, *losses]))


def _logged(runs: Runs, name: str, tolerance: float, scale: float = 1.0) -> Judgement:
    expected = measures.logged_on_one_device(runs, name)
    if not expected.value:
        return not_applicable("nothing of that kind is logged")
    usual, steps = measures.logged_steps_on_one_device(runs, name), measures.logged_steps(runs, name)
    return holds_for_all(f"logged {name}", [
        same(f"steps of logged {name}", expected=usual, observed=steps, at="entry"),
        close(f"logged {name}", expected=expected, observed=measures.logged(runs, name), tolerance=tolerance, at="entry", scale=scale),
    ])  # fmt: skip


@trainer_property(source=sources.docs("Trainer.train"), experiments=DEVICES, needs=_SAME, tolerance=LOG_TOLERANCE, catalogue=[49])
def returned_loss_is_that_of_one_device(runs: Runs, scenario: Scenario) -> Judgement:
    """The training loss that `train()` returns on a rank is that of the run on one device."""
    if drifts(runs, scenario, 1):
        return not_applicable(VISIBLE)
    expected, observed = measures.training_loss_on_one_device(runs), measures.training_losses(runs)
    return close("training_loss", expected=expected, observed=observed, tolerance=LOG_TOLERANCE, at="rank")


@trainer_property(
    source=sources.docs("Trainer.evaluate"), experiments=DEVICES, needs=[*_SAME, EVALUATED, EVEN_EVALUATION],
    tolerance=_EVALUATION_TOLERANCE, catalogue=[55, 56],
)  # fmt: skip
def evaluation_loss_is_that_of_one_device(runs: Runs, scenario: Scenario) -> Judgement:
    """Evaluations give the loss that they give on one device: the mean over the rows of the data set, each counted once."""
    if drifts(runs, scenario, 0):
        return not_applicable(VISIBLE)
    return _logged(runs, "eval_loss", _EVALUATION_TOLERANCE)


@trainer_property(
    source=sources.docs("Trainer.predict"), experiments=DEVICES, needs=[FINISHED, PREDICTED, IN_ORDER, SAME_WIDTH], catalogue=[57]
)
def predicted_labels_are_those_of_one_device(runs: Runs, scenario: Scenario) -> Judgement:
    """`predict` gives one row a sample in the order of the data, whatever the devices: their labels are those of the run on one."""
    name = "label_ids"
    expected = measures.predictions_on_one_device(runs, name)
    return same("labels of predictions", expected=expected, observed=measures.predictions(runs, name), at="row")


@trainer_property(
    source=sources.docs("Trainer.predict"), experiments=DEVICES, needs=[*_SAME, PREDICTED, IN_ORDER, SAME_WIDTH], tolerance=ADAPTIVE,
    catalogue=[56, 57],
)  # fmt: skip
def predictions_are_those_of_one_device(runs: Runs, scenario: Scenario) -> Judgement:
    """`predict` gives the predictions that it gives on one device."""
    tolerance = tolerance_of_weights(runs, scenario)
    if tolerance is None or shown_rounding(runs, scenario):
        return not_applicable(VISIBLE)
    name = "predictions"
    expected, observed = measures.predictions_on_one_device(runs, name), measures.predictions(runs, name)
    if not _apart(expected.value, observed.value, tolerance):
        return HOLDS
    return same("predictions", expected=expected, observed=observed, at="row")


def _apart(one: Any, other: Any, tolerance: float) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) != len(other) or any(_apart(left, right, tolerance) for left, right in zip(one, other, strict=True))
    numbers = isinstance(one, float) and isinstance(other, float)
    return not (one == other or (numbers and abs(one - other) <= tolerance * max(1.0, abs(one))))


@trainer_property(
    source=sources.docs("Trainer.train.resume_from_checkpoint"), experiments=PROCESSES, needs=[FINISHED, SAME_SAVES], catalogue=[72]
)
def checkpoints_keep_the_state_of_every_rank(runs: Runs, scenario: Scenario) -> Judgement:
    """A checkpoint has the files that it has on one device, and in place of its one random state that of every rank."""
    expected = {
        folder: sorted(name for each in files for name in _of_ranks(each, scenario.devices.count))
        for folder, files in (measures.files_on_one_device(runs).value or {}).items()
    }
    if not expected:
        return not_applicable("no checkpoint is written")
    return same("files of checkpoints", expected=expected, observed=measures.files(runs))


def _of_ranks(name: str, count: int) -> list[str]:
    return [random_state_file(rank, count) for rank in range(count)] if name == random_state_file(0, 1) else [name]
