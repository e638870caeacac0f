"""What is measured of a run on several devices, beside that on one (`one device`) whose batch is as large as theirs together.

The records of the devices are those of their ranks, in order; devices that share a process share a record.
"""

from __future__ import annotations

from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record, Runs

BASELINE = "one device"
ENDED = "it ends"
DEAD = ("RankDied", "RankLost")


def ranks(runs: Runs) -> list[Record]:
    """The records of the ranks, in order."""
    return [runs[name] for name in runs if name != BASELINE]


def first_rank(runs: Runs) -> Record:
    """The record of rank 0."""
    return ranks(runs)[0]


@measure
def endings(runs: Runs) -> list[str]:
    """Of each rank: `it ends`, or what ended the run before."""
    return [how_it_ended(each) for each in ranks(runs)]


@measure
def cause(runs: Runs) -> str:
    """`it ends`, or why the run on several devices did not: what ended a rank, before what others make of its absence."""
    found = [each for each in ranks(runs) if how_it_ended(each) != ENDED]
    return how_it_ended(min(found, key=consequence)) if found else ENDED


def how_it_ended(record: Record) -> str:
    """`it ends`, or what ended the run before."""
    if record.stuck is not None:
        return record.stuck
    return ENDED if record.failure is None else f"{record.failure.kind}: {record.failure.message}"


def consequence(record: Record) -> int:
    """How far from the cause the end of a rank is: the death of a process comes first, what only waited for others last."""
    if record.failure is None:
        return 2
    if record.failure.kind in DEAD:
        return 3 * DEAD.index(record.failure.kind)
    return 1


def step_at_the_end(record: Record) -> int | None:
    """`global_step` at the end of a run."""
    return record.global_step


@measure
def steps_at_the_end(runs: Runs) -> list[int | None]:
    """`global_step` of each rank at the end."""
    return [step_at_the_end(each) for each in ranks(runs)]


def size_of_windows(record: Record) -> int | None:
    """Rows of a window, by the Trainer's own account."""
    size: int | None = record.state.get("total_train_batch_size")
    return size


@measure
def total_train_batch_sizes(runs: Runs) -> list[int | None]:
    """Rows of a window, by each rank's account."""
    return [size_of_windows(each) for each in ranks(runs)]


def told(record: Record, name: str) -> Any:
    """What was kept of a run under a name."""
    return record.results.get(name)


@measure
def batch_sizes(runs: Runs, name: str) -> list[Any]:
    """`train_batch_size` or `eval_batch_size` of the arguments, on each rank."""
    return [told(each, name) for each in ranks(runs)]


def samples_of_windows(record: Record) -> list[list[int]]:
    """The samples of each update."""
    found, begun = [], 0
    for update in record.updates:
        found.append([sample for batch in record.batches[begun : update.batches] for sample in batch.samples or ()])
        begun = update.batches
    return found


@measure
def samples_of_updates(runs: Runs) -> list[list[int]]:
    """The samples of each update, all devices together, in ascending order."""
    windows = [samples_of_windows(each) for each in ranks(runs)]
    return [sorted(sample for samples in update for sample in samples) for update in zip(*windows, strict=False)]


@measure
def samples_of_updates_on_one_device(runs: Runs) -> list[list[int]]:
    """The samples of each update of the run on one device, in ascending order."""
    return [sorted(samples) for samples in samples_of_windows(runs[BASELINE])]


def batches_of_epoch(record: Record, epoch: int) -> list[list[int]]:
    """The samples of the training micro-batches of a pass over the data."""
    return [list(batch.samples or ()) for batch in record.batches if batch.epoch == epoch]


@measure
def shared_by_ranks(runs: Runs, epoch: int, batches: int) -> list[int]:
    """The samples that several ranks train on within the first so many micro-batches of a pass over the data."""
    shares = [{sample for batch in batches_of_epoch(each, epoch)[:batches] for sample in batch} for each in ranks(runs)]
    return sorted({sample for share in shares for sample in share if sum(sample in other for other in shares) > 1})


@measure
def repeats_in_epoch(runs: Runs, epoch: int) -> int:
    """How many samples of a pass over the data, all ranks together, have come before in it."""
    seen = [sample for each in ranks(runs) for batch in batches_of_epoch(each, epoch) for sample in batch]
    return len(seen) - len(set(seen))


@measure
def distinct_in_epoch(runs: Runs, epoch: int) -> int:
    """How many different samples a pass over the data has, all ranks together."""
    return len({sample for each in ranks(runs) for batch in batches_of_epoch(each, epoch) for sample in batch})


def gradient_of(record: Record, update: int) -> list[float] | None:
    """The gradient that an update used, counted from 1; None if there is no such update."""
    used = record.updates[update - 1].gradient if update <= len(record.updates) else None
    return None if used is None else used.tolist()


@measure
def first_gradient(runs: Runs) -> list[float] | None:
    """The gradient of the first update of rank 0, clipped."""
    return gradient_of(first_rank(runs), 1)


@measure
def first_gradient_on_one_device(runs: Runs) -> list[float] | None:
    """The gradient of the first update of the run on one device, clipped."""
    return gradient_of(runs[BASELINE], 1)


def weights_after(record: Record, update: int) -> list[float] | None:
    """The weights after an update, counted from 1; None if there is no such update."""
    return record.updates[update - 1].weights.tolist() if update <= len(record.updates) else None


@measure
def weights(runs: Runs, rank: int, update: int) -> list[float] | None:
    """The weights of a rank after an update, counted from 1; None if there is no such update."""
    return weights_after(ranks(runs)[rank], update)


@measure
def weights_on_one_device(runs: Runs, update: int) -> list[float] | None:
    """The weights after an update of the run on one device."""
    return weights_after(runs[BASELINE], update)


def rates_of(record: Record) -> list[float]:
    """The learning rates of all updates and groups, in a row."""
    return [rate for update in record.updates for rate in update.learning_rates]


@measure
def learning_rates(runs: Runs, rank: int) -> list[float]:
    """The learning rates of all updates and groups of a rank, in a row."""
    return rates_of(ranks(runs)[rank])


@measure
def learning_rates_on_one_device(runs: Runs) -> list[float]:
    """The learning rates of all updates and groups of the run on one device, in a row."""
    return rates_of(runs[BASELINE])


def steps_of_the_schedule(record: Record) -> list[int | None]:
    """`lr_scheduler.last_epoch` at each update."""
    return [update.scheduler_epoch for update in record.updates]


@measure
def scheduler_steps(runs: Runs, rank: int) -> list[int | None]:
    """`lr_scheduler.last_epoch` of a rank at each update."""
    return steps_of_the_schedule(ranks(runs)[rank])


def logged_by(record: Record, name: str) -> list[list[Any]]:
    """Step and value of each entry of the log history that has this name."""
    return [[entry["step"], float(entry[name])] for entry in record.log_history if name in entry]


@measure
def logged_steps(runs: Runs, name: str) -> list[int]:
    """The steps at which rank 0 logged something of this name."""
    return [step for step, _ in logged_by(first_rank(runs), name)]


@measure
def logged_steps_on_one_device(runs: Runs, name: str) -> list[int]:
    """The steps at which the run on one device logged something of this name."""
    return [step for step, _ in logged_by(runs[BASELINE], name)]


@measure
def logged(runs: Runs, name: str) -> list[float]:
    """What rank 0 logged under a name."""
    return [value for _, value in logged_by(first_rank(runs), name)]


@measure
def logged_on_one_device(runs: Runs, name: str) -> list[float]:
    """What the run on one device logged under a name."""
    return [value for _, value in logged_by(runs[BASELINE], name)]


def returned_loss(record: Record) -> float | None:
    """The training loss that `train()` returned."""
    return record.training_loss


@measure
def training_losses(runs: Runs) -> list[float | None]:
    """The training loss that `train()` returned, on each rank."""
    return [returned_loss(each) for each in ranks(runs)]


@measure
def training_loss_on_one_device(runs: Runs) -> list[float | None]:
    """The training loss that `train()` returned on one device, as often as there are ranks."""
    return [returned_loss(runs[BASELINE]) for _ in ranks(runs)]


@measure
def predictions(runs: Runs, name: str) -> Any:
    """`predictions` or `label_ids` of rank 0."""
    return told(first_rank(runs), name)


@measure
def predictions_on_one_device(runs: Runs, name: str) -> Any:
    """`predictions` or `label_ids` of the run on one device."""
    return told(runs[BASELINE], name)


def files_of(record: Record) -> Any:
    """The files of each checkpoint, by its name."""
    return record.results.get("files")


@measure
def files(runs: Runs) -> Any:
    """The files of each checkpoint, by its name."""
    return files_of(first_rank(runs))


@measure
def files_on_one_device(runs: Runs) -> Any:
    """The files of each checkpoint of the run on one device, by its name."""
    return files_of(runs[BASELINE])
