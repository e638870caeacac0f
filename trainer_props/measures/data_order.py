"""What is measured of the order of samples.

An epoch is counted from 0 by its `per_epoch` micro-batches, so that a missing event does not hide a fault here.
"""

from __future__ import annotations

from trainer_props.measures.registry import measure
from trainer_props.record import Record


def samples(record: Record, epoch: int, per_epoch: int) -> list[int]:
    """The samples of an epoch in the order in which the model saw them, as far as the run went."""
    return [sample for batch in record.batches[epoch * per_epoch : (epoch + 1) * per_epoch] for sample in batch.samples or ()]


def is_complete(record: Record, epoch: int, per_epoch: int) -> bool:
    """Whether the model saw all micro-batches of an epoch."""
    return len(record.batches) >= (epoch + 1) * per_epoch


@measure
def samples_of_epoch(record: Record, epoch: int, per_epoch: int) -> list[int]:
    """The samples of an epoch, in order."""
    return samples(record, epoch, per_epoch)


@measure
def sorted_samples_of_epoch(record: Record, epoch: int, per_epoch: int) -> list[int]:
    """The samples of an epoch, sorted."""
    return sorted(samples(record, epoch, per_epoch))


@measure
def all_samples(record: Record, epoch: int, per_epoch: int, number: int) -> list[int]:
    """The samples of a data set, so many, if the epoch is complete; else those of the epoch, sorted."""
    return list(range(number)) if is_complete(record, epoch, per_epoch) else sorted(samples(record, epoch, per_epoch))


@measure
def positions_of_epoch(record: Record, epoch: int, per_epoch: int) -> list[int]:
    """Positions of the samples of an epoch in its order, from 0: the samples themselves where data are read in order."""
    return list(range(len(samples(record, epoch, per_epoch))))


@measure
def no_sample_twice(record: Record, epoch: int, per_epoch: int) -> bool:
    """Whether no sample of an epoch is seen twice."""
    seen = samples(record, epoch, per_epoch)
    return len(set(seen)) == len(seen)


@measure
def different_samples(record: Record, epoch: int, per_epoch: int) -> int:
    """Number of different samples in an epoch."""
    return len(set(samples(record, epoch, per_epoch)))


@measure
def number_of_samples(record: Record, epoch: int, per_epoch: int, number: int) -> int:
    """The given number if the epoch is complete; else that of the different samples in it."""
    return number if is_complete(record, epoch, per_epoch) else len(set(samples(record, epoch, per_epoch)))


@measure
def sizes_of_batches(record: Record) -> list[int]:
    """Rows of each training micro-batch."""
    return [batch.size for batch in record.batches]


@measure
def sizes_by_epochs(record: Record, per_epoch: int, number: int, size: int) -> list[int]:
    """Rows of each micro-batch of the updates if every epoch divides so many samples into batches of this size."""
    batches = record.updates[-1].batches if record.updates else 0
    return [min(size, number - size * (batch % per_epoch)) for batch in range(batches)]


@measure
def orders_differ(record: Record, per_epoch: int) -> bool:
    """Whether no complete epoch has the order of another."""
    orders = [tuple(samples(record, epoch, per_epoch)) for epoch in range(len(record.batches) // per_epoch)]
    return len(set(orders)) == len(orders)


@measure
def is_shuffled(record: Record, epoch: int, per_epoch: int) -> bool:
    """Whether the samples of an epoch are not in the order of the data set; true of an epoch that is not complete."""
    seen = samples(record, epoch, per_epoch)
    return seen != sorted(seen) or not is_complete(record, epoch, per_epoch)


@measure
def length_of_first(record: Record, epoch: int, per_epoch: int, lengths: list[int]) -> int | None:
    """Length of the first sample of an epoch; `lengths` are those of all samples."""
    return next((lengths[sample] for sample in samples(record, epoch, per_epoch)), None)


@measure
def length_of_longest(record: Record, epoch: int, per_epoch: int, lengths: list[int]) -> int | None:
    """Length of the longest sample of an epoch."""
    return max((lengths[sample] for sample in samples(record, epoch, per_epoch)), default=None)


@measure
def groups_are_sorted(record: Record, epoch: int, per_epoch: int, group: int, lengths: list[int]) -> bool:
    """Whether every `group` samples of an epoch go from long to short, the first of each left aside."""
    rows = [lengths[sample] for sample in samples(record, epoch, per_epoch)]
    rests = [rows[start + 1 : start + group] for start in range(0, len(rows), group)]
    return all(rest == sorted(rest, reverse=True) for rest in rests)
