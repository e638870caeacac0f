"""Shares: which positions of a pass over the data each of several ranks trains on, in exact arithmetic, for any number of rows.

Source: accelerate's BatchSamplerShard (`split_batches`, `even_batches`, and what it says of `drop_last`). A pass is cut into *rounds*: in
each of them every rank has a micro-batch. Nothing here is as long as the data: a micro-batch is computed when it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from trainer_props.oracles import accounting
from trainer_props.scenario import Scenario


class Shards(NamedTuple):
    """How a pass over rows is shared out.

    Attributes:
        rows: of the pass.
        size: rows that a rank has in a full micro-batch.
        ranks: number of ranks.
        split: batches are split: a round is one batch, of which each rank has a piece. Otherwise it is a batch for each rank.
        even: an incomplete last round is filled up with the positions that the pass began with.
        drop_last: an incomplete last round is left out.
    """

    rows: int
    size: int
    ranks: int
    split: bool
    even: bool
    drop_last: bool

    @property
    def round_size(self) -> int:
        """Rows of a full round, all ranks together."""
        return self.size * self.ranks

    def rounds(self, rank: int) -> int:
        """Micro-batches that a rank has in a pass."""
        full, rest = divmod(self.rows, self.round_size)
        if not rest or self.drop_last:
            return full
        return full + (1 if self.even or rest > rank * self.size else 0)

    def micro_batch(self, rank: int, index: int) -> tuple[int, ...]:
        """The positions of a micro-batch of a rank, in order; those of the beginning again where its round is filled up."""
        first = index * self.round_size + rank * self.size
        if self.even:
            return tuple(position % self.rows for position in range(first, first + self.size))
        return tuple(range(first, min(first + self.size, self.rows)))

    def share(self, rank: int) -> Iterator[tuple[int, ...]]:
        """The micro-batches of a rank in a pass."""
        return (self.micro_batch(rank, index) for index in range(self.rounds(rank)))

    def rounds_without_repeats(self, rank: int) -> int:
        """The micro-batches of a rank, from the first on, in which no position comes again."""
        whole, rest = divmod(self.rows, self.round_size)
        return min(self.rounds(rank), whole + (1 if rest >= (rank + 1) * self.size else 0)) if self.even else self.rounds(rank)

    @property
    def repeats(self) -> int:
        """Positions that come again in a pass, all ranks together."""
        return self.rounds(0) * self.round_size - self.rows if self.even and not self.drop_last else 0


def shards(scenario: Scenario) -> Shards:
    """How a scenario's training data are shared out.

    Source: TrainingArguments, `accelerator_config`: with `split_batches` the batch size of the arguments is that of all ranks together.
    """
    split, count = bool(accounting.loader_option(scenario, "split_batches")), scenario.devices.count
    even = bool(accounting.loader_option(scenario, "even_batches")) and count > 1  # one rank is given the batches as they are
    return Shards(scenario.data.n, accounting.batch_size(scenario) // count, count, split, even, accounting.drops_last(scenario))


def updates_per_epoch(scenario: Scenario, rank: int) -> int:
    """Updates of a rank in a pass; the last window may be short."""
    return -(-shards(scenario).rounds(rank) // int(scenario.argument("gradient_accumulation_steps")))


def total_updates(scenario: Scenario, rank: int) -> int:
    """Updates of a run that nothing stops early: `max_steps`, or `num_train_epochs` passes, rounded up to whole updates."""
    max_steps = int(scenario.argument("max_steps"))
    if max_steps >= 0:
        return max_steps
    return math.ceil(accounting.exact(scenario.argument("num_train_epochs")) * updates_per_epoch(scenario, rank))


def micro_batches_after(scenario: Scenario, rank: int, updates: int) -> int:
    """Micro-batches that a rank has trained on after so many updates: no window reaches into the next pass."""
    rounds, per_epoch = shards(scenario).rounds(rank), updates_per_epoch(scenario, rank)
    epochs, rest = divmod(updates, per_epoch)
    return epochs * rounds + min(rest * int(scenario.argument("gradient_accumulation_steps")), rounds)


def epoch_after(scenario: Scenario, rank: int, updates: int) -> float:
    """`epoch` of the state after so many updates."""
    return float(Fraction(micro_batches_after(scenario, rank, updates), shards(scenario).rounds(rank)))


def epochs_begun(scenario: Scenario, rank: int, updates: int) -> int:
    """Passes that are begun in so many updates."""
    return -(-updates // updates_per_epoch(scenario, rank))
