"""The oracle of shares against accelerate itself, on small passes and on passes of 10^9 rows of which nothing is written down."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest
from accelerate.data_loader import BatchSamplerShard, prepare_data_loader
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, DataLoader, Sampler, SequentialSampler

from trainer_props import zoo
from trainer_props.oracles import accounting, shards
from trainer_props.oracles.shards import Shards
from trainer_props.scenario import Data, Devices, Model, Scenario

HUGE = 10**9
WORLDS = (1, 2, 3, 7, 8, 64, 333, 1023, 1024)


@st.composite
def shared_out(draw: st.DrawFn) -> Shards:
    ranks, size = draw(st.sampled_from(WORLDS)), draw(st.integers(1, 3))
    rows = draw(st.integers(1, 3)) * ranks * size - draw(st.integers(0, ranks * size - 1))
    return Shards(rows, size, ranks, draw(st.booleans()), draw(st.booleans()), draw(st.booleans()))


def shard(each: Shards, rank: int, sampler: Sampler[int] | None = None) -> BatchSamplerShard:
    """What accelerate makes of it."""
    size = each.round_size if each.split else each.size
    batches = BatchSampler(sampler or SequentialSampler(range(each.rows)), size, each.drop_last)
    return BatchSamplerShard(batches, each.ranks, rank, split_batches=each.split, even_batches=each.even)


@settings(max_examples=300, database=None, deadline=None)
@given(shared_out(), st.data())
def test_a_share_is_what_accelerate_gives(each: Shards, data: st.DataObject) -> None:
    rank = data.draw(st.integers(0, each.ranks - 1))
    found = [tuple(batch) for batch in shard(each, rank)]
    assert list(each.share(rank)) == found
    assert each.rounds(rank) == len(found)
    assert each.rounds_without_repeats(rank) == sum(
        1 for index, _ in enumerate(found) if not each.even or index * each.round_size + (rank + 1) * each.size <= each.rows
    )


@settings(max_examples=100, database=None, deadline=None)
@given(shared_out())
def test_shares_cover_the_pass(each: Shards) -> None:
    seen = [position for rank in range(each.ranks) for batch in each.share(rank) for position in batch]
    assert len(seen) - len(set(seen)) == each.repeats
    assert set(seen) == set(range(each.rows // each.round_size * each.round_size if each.drop_last else each.rows))


class Counting(Sampler[int]):
    """Positions in order, and how many were asked for."""

    def __init__(self, rows: int) -> None:
        self.rows, self.asked = rows, 0

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[int]:
        for position in range(self.rows):
            self.asked += 1
            yield position


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("ranks", [2, 333, 1024])
@pytest.mark.parametrize("less", [0, 1, 5000])
def test_lengths_are_exact_and_nothing_is_written_down(ranks: int, split: bool, less: int) -> None:
    asked = []
    for rows in (3 * ranks * 4, HUGE - less):
        each = Shards(rows, 4, ranks, split, even=True, drop_last=False)
        sampler = Counting(rows)
        accelerates = shard(each, ranks - 1, sampler)
        assert len(accelerates) == each.rounds(ranks - 1)
        assert [tuple(batch) for batch in islice(accelerates, 2)] == [each.micro_batch(ranks - 1, index) for index in range(2)]
        asked.append(sampler.asked)
    assert asked[0] == asked[1] == 2 * 4 * ranks


def test_a_loader_of_a_billion_rows_has_its_length() -> None:
    dataset = zoo.build_dataset(Data(kind="numbered"), "train", model=Model(), n=HUGE - 1)
    loader = prepare_data_loader(DataLoader(dataset, batch_size=8), num_processes=1000, process_index=999)
    each = Shards(HUGE - 1, 8, 1000, split=False, even=True, drop_last=False)
    assert len(loader) == each.rounds(999) == 125_000
    assert zoo.identify(dataset, next(iter(loader))) == each.micro_batch(999, 0)


def scenario(n: int, count: int, **arguments: object) -> Scenario:
    return Scenario(arguments=arguments, data=Data(kind="numbered", n=n), devices=Devices(kind="fake", count=count))


def test_steps_of_a_large_run_are_exact() -> None:
    huge = scenario(HUGE, 1024, per_device_train_batch_size=8, gradient_accumulation_steps=4, num_train_epochs=2.5)
    assert shards.shards(huge).rounds(0) == 122_071  # 10^9 / 8192, rounded up
    assert shards.updates_per_epoch(huge, 0) == 30_518
    assert shards.total_updates(huge, 0) == 76_295
    assert accounting.total_train_batch_size(huge) == 32_768
    assert shards.epoch_after(huge, 0, 30_518) == 1.0
    assert shards.micro_batches_after(huge, 0, 30_519) == 122_071 + 4


def test_batches_that_are_split_are_those_of_all_ranks() -> None:
    split = scenario(10, 4, per_device_train_batch_size=8, accelerator_config={"split_batches": True})
    assert accounting.total_train_batch_size(split) == 8
    assert list(shards.shards(split).share(3)) == [(6, 7), (4, 5)]  # the second round is filled up with the rows from 0 on
