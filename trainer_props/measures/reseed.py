"""What is measured of runs under different seeds: each measure is given the names of the runs that it looks at."""

from __future__ import annotations

from trainer_props.measures.registry import measure
from trainer_props.record import Record, Runs


@measure
def orders_differ(runs: Runs, one: str, other: str) -> bool:
    """Whether two runs take the samples of training in different orders."""
    return samples_in_order(runs[one]) != samples_in_order(runs[other])


@measure
def samples_of_evaluations(runs: Runs, name: str) -> list[list[int]]:
    """The samples of each evaluation, in their order."""
    return samples_evaluated(runs[name])


def samples_in_order(record: Record) -> list[int]:
    """The samples of training, in their order."""
    return [sample for batch in record.batches for sample in batch.samples or ()]


def samples_evaluated(record: Record) -> list[list[int]]:
    """The samples of each evaluation."""
    return [[sample for batch in each.batches for sample in batch.samples or ()] for each in record.evaluations]
