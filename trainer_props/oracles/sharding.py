"""How the rows of a pass over the data are shared out to processes.

Source: the documentation of accelerate (`even_batches`, `split_batches`, `dispatch_batches` of DataLoaderConfiguration; BatchSamplerShard,
IterableDatasetShard, DataLoaderDispatcher) and of transformers' BatchRebalanceSampler.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainer_props.oracles import accounting
from trainer_props.oracles.shards import shards
from trainer_props.scenario import Scenario


def in_processes(scenario: Scenario) -> bool:
    """Whether each device has a process, and a share of the data, of its own."""
    return scenario.devices.kind in ("gloo", "cuda_processes")


def dispatched(scenario: Scenario) -> bool:
    """Whether the first process reads the data for all: where that is asked for, and where nothing is said, of streams."""
    return in_processes(scenario) and _handed_out(scenario, scenario.data.kind in accounting.STREAMS)


def _handed_out(scenario: Scenario, streamed: bool) -> bool:
    asked = accounting.loader_option(scenario, "dispatch_batches")
    return bool(streamed if asked is None else asked)


def repeats(scenario: Scenario) -> int:
    """How many rows of each pass over the data are repeated, so that all processes have as many batches, and these as many rows.

    The last batches are filled up. What the first process hands out need not be full, only the same for all; a sampler that rebalances
    has to give a row to every micro-batch.
    """
    count = scenario.devices.count
    if accounting.drops_last(scenario) or not in_processes(scenario) or count == 1:
        return 0
    size = accounting.batch_size(scenario)
    if accounting.rebalanced(scenario):
        accumulation = int(scenario.argument("gradient_accumulation_steps"))
        rest = scenario.data.n % (size * accumulation)
        return max(0, count * accumulation - rest) if rest else 0
    if dispatched(scenario):
        return -(scenario.data.n % size) % count
    return shards(scenario)._replace(even=True).repeats  # a stream is filled up whatever `even_batches` says


def rows_of_batches(scenario: Scenario) -> list[int]:
    """The rows that each process has in each micro-batch of a pass; empty where the sampler decides."""
    if accounting.rebalanced(scenario):
        return []
    size, count = accounting.batch_size(scenario), scenario.devices.count
    batches = accounting.batches_per_epoch(scenario)
    if not batches:
        return []
    last = size if accounting.drops_last(scenario) else scenario.data.n - size * (batches - 1) + repeats(scenario)
    return [*[size // count] * (batches - 1), last // count]


def random_state_file(rank: int, count: int) -> str:
    """The file of a checkpoint with the random state of a process: its number is in the name where there are several."""
    return f"rng_state_{rank}.pth" if count > 1 else "rng_state.pth"


def filled_up(order: Sequence[int], n: int, length: int) -> list[int]:
    """So many rows of an order whose first `n` are all there are: after those it begins again."""
    return [order[index % n] for index in range(length) if index % n < len(order)] if n else []


def shares(scenario: Scenario, n: int, size: int, *, streamed: bool, drop_last: bool) -> list[list[list[int]]] | None:
    """The rows of each batch of each rank, of a loader of one's own that the accelerator of the scenario prepares.

    A batch for all ranks is as large as theirs together, or as the loader's that is split. Of a short one at the end nothing is left with
    `drop_last`; else it is filled up with the first rows, or, of a map-style data set without `even_batches`, some ranks have less of it.

    Args:
        n: rows of the data, which are read in order.
        size: the batch size of the loader.
        streamed: the data are iterable.
        drop_last: of the loader.

    Returns:
        None where no document says it: the first process hands out what can't be shared evenly, without `even_batches`.
    """
    count, handed_out = scenario.devices.count, _handed_out(scenario, streamed)
    whole = size * accounting.devices_of_a_batch(scenario)
    even = streamed or bool(accounting.loader_option(scenario, "even_batches"))
    found: list[list[list[int]]] = [[] for _ in range(count)]
    for first in range(0, n, whole):
        rows, part = list(range(first, min(first + whole, n))), whole // count
        if len(rows) < whole:
            if drop_last:
                break
            if handed_out and not even:
                return None
            part = -(-len(rows) // count) if handed_out else part
            rows = filled_up(range(n), n, first + part * count)[first:] if even else rows
        for rank in range(count):
            own = rows[rank * part : (rank + 1) * part]
            found[rank] += [own] if own else []
    return found
