"""What is measured of callbacks with states in a run that was resumed, beside the run without interruptions (`baseline`)."""

from __future__ import annotations

from trainer_props.measures.registry import measure
from trainer_props.record import Record, Runs

BASELINE = "baseline"
RESUMED = "part 2"


def totals_of(record: Record) -> list[list[int]]:
    """Size and total of each counter when a run is over."""
    return [list(each) for each in record.results["totals"]]


def order_of(record: Record) -> list[str]:
    """The callbacks when a run is over, in the order in which they are called."""
    return list(record.results["order"])


@measure
def totals(runs: Runs) -> list[list[int]]:
    """Size and total of each counter when the resumed run is over."""
    return totals_of(runs[RESUMED])


@measure
def totals_of_the_baseline(runs: Runs) -> list[list[int]]:
    """Size and total of each counter when the baseline is over."""
    return totals_of(runs[BASELINE])


@measure
def order(runs: Runs) -> list[str]:
    """The callbacks when the resumed run is over, in the order in which they are called."""
    return order_of(runs[RESUMED])


@measure
def order_of_the_baseline(runs: Runs) -> list[str]:
    """The callbacks when the baseline is over, in the order in which they are called."""
    return order_of(runs[BASELINE])
