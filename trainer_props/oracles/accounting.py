"""Steps, epochs and windows of a run, in exact arithmetic.

Source: the docstrings of TrainingArguments (`num_train_epochs`, `max_steps`, `gradient_accumulation_steps`, `dataloader_drop_last`)
and of TrainerState. A *window* is the group of micro-batches that one update averages over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache, wraps
from typing import Any, Final, NamedTuple

from trainer_props.scenario import Scenario

STREAMS = ("stream", "sized_stream")


class Window(NamedTuple):
    """The micro-batches of one update.

    Attributes:
        epoch: passes over the data before this one, from 0.
        first: position of its first micro-batch within the epoch, from 0.
        batches: number of micro-batches.
        sizes: rows of each micro-batch, all devices together; None where the sampler decides (`batch_rebalance`).
        epoch_after: the epoch that the state shows after the update.
        epoch_known: False while a stream without length is in its first pass, so that nobody can know `epoch_after`.
    """

    epoch: int
    first: int
    batches: int
    sizes: tuple[int, ...] | None
    epoch_after: float
    epoch_known: bool


def _kept(question: Callable[[Scenario], int]) -> Callable[[Scenario], int]:
    """The question, whose last answer is kept: all that judge a run ask the same of one scenario, which never changes."""
    last: tuple[Scenario, int] | None = None

    @wraps(question)
    def answer(scenario: Scenario) -> int:
        nonlocal last
        if last is None or last[0] is not scenario:
            last = (scenario, question(scenario))
        return last[1]

    return answer


@lru_cache(maxsize=1024)
def exact(number: Any) -> Fraction:
    """The number that a user wrote: the decimal 0.07 and not the float nearest to it."""
    return Fraction(str(number))


def resolve_steps(value: Any, total: int) -> int:
    """Steps from a number of steps, or from a ratio of all steps if below 1 (rounded up, from the decimal as written).

    Source: TrainingArguments, `logging_steps`, `eval_steps`, `save_steps`, `warmup_steps`.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    number = exact(value)
    return math.ceil(number * total) if number < 1 else int(number)


_LOADER_OPTIONS: Final = {"split_batches": False, "dispatch_batches": None, "even_batches": True, "use_seedable_sampler": True}
"""What the documentation of AcceleratorConfig says of loaders where a scenario is silent."""


def loader_option(scenario: Scenario, name: str) -> Any:
    """What `accelerator_config` says of the loaders: `split_batches`, `dispatch_batches`, `even_batches` or `use_seedable_sampler`."""
    return (scenario.argument("accelerator_config") or {}).get(name, _LOADER_OPTIONS[name])


def devices_of_a_batch(scenario: Scenario) -> int:
    """For how many devices a batch of the arguments' size stands: one each; with `split_batches` the processes share one."""
    return 1 if loader_option(scenario, "split_batches") else max(1, scenario.devices.count)


@_kept
def batch_size(scenario: Scenario) -> int:
    """Rows of a full training micro-batch, all devices together."""
    return int(scenario.argument("per_device_train_batch_size")) * devices_of_a_batch(scenario)


def drops_last(scenario: Scenario) -> bool:
    """Whether a short last training batch is left out. Iterable data sets keep theirs: the Trainer hands `drop_last` to samplers only."""
    return bool(scenario.argument("dataloader_drop_last")) and scenario.data.kind not in STREAMS


def rebalanced(scenario: Scenario) -> bool:
    """Whether the sampler shares every window out by the length of its rows."""
    return scenario.data.kind not in STREAMS and scenario.argument("train_sampling_strategy") == "batch_rebalance"


@_kept
def batches_per_epoch(scenario: Scenario) -> int:
    """Micro-batches of one pass over the training data (on each device); 0 if not one batch is full and short ones are dropped."""
    n, size = scenario.data.n, batch_size(scenario)
    if rebalanced(scenario):  # the sampler cuts every effective batch into as many micro-batches as are accumulated
        accumulation = int(scenario.argument("gradient_accumulation_steps"))
        return _divide(n, size * accumulation, drops_last(scenario)) * accumulation
    return _divide(n, size, drops_last(scenario))


def _divide(rows: int, size: int, drop_last: bool) -> int:
    return rows // size if drop_last else -(-rows // size)


def updates_per_epoch(scenario: Scenario) -> int:
    """Updates of one pass: the last window may be short, and no window reaches into the next pass."""
    return -(-batches_per_epoch(scenario) // int(scenario.argument("gradient_accumulation_steps")))


@_kept
def total_updates(scenario: Scenario) -> int:
    """Updates of a run that nothing stops early.

    `max_steps` if it is not negative (0 means that nothing is trained), else `num_train_epochs` passes, of which the decimal part is
    rounded up to whole updates. 0 where the data give no batch at all.
    """
    per_epoch = updates_per_epoch(scenario)
    max_steps = int(scenario.argument("max_steps"))
    if per_epoch == 0 or max_steps >= 0:
        return max_steps if per_epoch else 0
    return max(0, math.ceil(exact(scenario.argument("num_train_epochs")) * per_epoch))


def total_train_batch_size(scenario: Scenario) -> int:
    """Rows of a full window: per-device batch, devices and accumulation multiplied."""
    return batch_size(scenario) * int(scenario.argument("gradient_accumulation_steps"))


def windows(scenario: Scenario, total: int | None = None) -> tuple[Window, ...]:
    """The windows of the run in order, one an update.

    Args:
        scenario: the run.
        total: number of updates; default: `total_updates`. Fewer for a run that was stopped.
    """
    return _windows(
        batches_per_epoch(scenario),
        int(scenario.argument("gradient_accumulation_steps")),
        total_updates(scenario) if total is None else total,
        rows=-1 if rebalanced(scenario) else scenario.data.n,
        size=batch_size(scenario),
        unsized=scenario.data.kind == "stream",
    )


@lru_cache(maxsize=512)
def _windows(batches: int, accumulation: int, total: int, *, rows: int, size: int, unsized: bool) -> tuple[Window, ...]:
    found: list[Window] = []
    epoch = 0
    while batches and len(found) < total:
        for first in range(0, batches, accumulation):
            if len(found) == total:
                break
            end = min(first + accumulation, batches)
            sizes = None if rows < 0 else tuple(min(size, rows - size * index) for index in range(first, end))
            after = Fraction(epoch * batches + end, batches)
            found.append(Window(epoch, first, end - first, sizes, float(after), not unsized or epoch > 0))
        epoch += 1
    return tuple(found)


def epochs_begun(scenario: Scenario, total: int | None = None) -> int:
    """Passes over the data that the run begins."""
    updates = total_updates(scenario) if total is None else total
    return -(-updates // updates_per_epoch(scenario)) if updates else 0


def number_of_forwards(scenario: Scenario, total: int | None = None) -> int:
    """Training micro-batches that the run puts through the model."""
    updates = total_updates(scenario) if total is None else total
    if not updates:
        return 0
    whole, rest = divmod(updates, updates_per_epoch(scenario))
    batches = batches_per_epoch(scenario)
    return whole * batches + min(rest * int(scenario.argument("gradient_accumulation_steps")), batches)


def evaluation_batches(scenario: Scenario) -> int:
    """Batches of one evaluation, on data of the same kind as the training data.

    `dataloader_drop_last` holds for evaluation too: its documentation makes no exception.
    """
    size = int(scenario.argument("per_device_eval_batch_size")) * devices_of_a_batch(scenario)
    return _divide(scenario.data.n_eval, size, drops_last(scenario))
