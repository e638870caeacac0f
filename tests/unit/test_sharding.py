"""How rows are shared out to processes: the oracle against accelerate's own loaders, and what is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from accelerate.data_loader import BatchSamplerShard, IterableDatasetShard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, SequentialSampler

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.experiments.alone import on_one_device
from trainer_props.oracles import accounting, sharding
from trainer_props.properties import PROPERTIES
from trainer_props.regressions.cases import read_case
from trainer_props.running import prepared
from trainer_props.running.devices import gloo
from trainer_props.scenario import Components, Data, Devices, Model, Scenario
from trainer_props.scripts.building import source_of
from trainer_props.zoo.containers import Stream


@pytest.fixture(scope="module", autouse=True)
def _prepared_once() -> Iterator[None]:
    with prepared():
        yield
    gloo.close()


_SETTINGS = settings(max_examples=80, database=None, deadline=None, suppress_health_check=list(HealthCheck))


def scenario(n: int, size: int, count: int, *, kind: str = "regression", **options: Any) -> Scenario:
    arguments: dict[str, Any] = {"per_device_train_batch_size": size}
    return Scenario(
        arguments={**arguments, **({"accelerator_config": options} if options else {})}, data=Data(kind=kind, n=n),
        devices=Devices(kind="gloo", count=count),
    )  # fmt: skip


@_SETTINGS
@given(n=st.integers(1, 30), size=st.integers(1, 4), count=st.integers(2, 4), split=st.booleans(), streamed=st.booleans())
def test_what_is_filled_up_is_what_accelerate_fills_up(n: int, size: int, count: int, split: bool, streamed: bool) -> None:
    size *= count if split else 1
    if streamed:
        rows = _Numbers(n)
        shards = [IterableDatasetShard(rows, size, False, count, rank, split) for rank in range(count)]
        part = size // count if split else size
        shares = [_cut(list(shard), part) for shard in shards]
    else:
        sampler = BatchSampler(SequentialSampler(range(n)), size, False)
        shares = [list(BatchSamplerShard(sampler, count, rank, split_batches=split)) for rank in range(count)]
    options = {"split_batches": True} if split else {}
    options |= {"dispatch_batches": False} if streamed else {}
    told = scenario(n, size, count, kind="stream" if streamed else "regression", **options)
    seen = [row for batches in zip(*shares, strict=True) for batch in batches for row in batch]
    assert len(seen) == n + sharding.repeats(told)
    assert seen == sharding.filled_up(range(n), n, n + sharding.repeats(told))
    assert {tuple(len(batch) for batch in share) for share in shares} == {tuple(sharding.rows_of_batches(told))}


class _Numbers(Stream):
    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Any:
        return iter(range(self.n))


def _cut(rows: list[int], size: int) -> list[list[int]]:
    return [rows[first : first + size] for first in range(0, len(rows), size)]


@_SETTINGS
@given(
    n=st.integers(1, 30), size=st.integers(1, 4), count=st.integers(1, 4), split=st.booleans(), streamed=st.booleans(),
    drop_last=st.booleans(), even=st.booleans(),
)  # fmt: skip
def test_loaders_of_ones_own_are_shared_out_as_accelerate_does(
    n: int, size: int, count: int, split: bool, streamed: bool, drop_last: bool, even: bool
) -> None:
    size *= count if split else 1
    if streamed:
        each = [IterableDatasetShard(_Numbers(n), size, drop_last, count, rank, split) for rank in range(count)]
        shares = [_cut(list(shard), size // count if split else size) for shard in each]
    else:
        sampler = BatchSampler(SequentialSampler(range(n)), size, drop_last)
        shares = [list(BatchSamplerShard(sampler, count, rank, split_batches=split, even_batches=even)) for rank in range(count)]
    told = scenario(1, 1, count, dispatch_batches=False, split_batches=split, even_batches=even)
    assert sharding.shares(told, n, size, streamed=streamed, drop_last=drop_last) == shares
    lost = n - len({row for share in shares for batch in share for row in batch})
    assert 0 <= lost < (size if split else size * count) if drop_last else lost == 0


def test_loaders_of_ones_own_that_one_process_reads() -> None:
    told = scenario(1, 1, 2, dispatch_batches=True)
    assert sharding.shares(told, 5, 2, streamed=False, drop_last=False) == [[[0, 1], [4]], [[2, 3], [0]]]
    assert sharding.shares(told, 7, 2, streamed=True, drop_last=True) == [[[0, 1]], [[2, 3]]]
    uneven = scenario(1, 1, 2, dispatch_batches=True, even_batches=False)
    assert sharding.shares(uneven, 5, 2, streamed=False, drop_last=False) is None
    assert sharding.shares(uneven, 5, 2, streamed=False, drop_last=True) == [[[0, 1]], [[2, 3]]]


def test_what_one_process_hands_out_is_as_much_for_all() -> None:
    assert sharding.repeats(scenario(9, 2, 2, dispatch_batches=True)) == 1
    assert sharding.rows_of_batches(scenario(9, 2, 2, dispatch_batches=True)) == [2, 2, 1]
    assert sharding.repeats(scenario(9, 2, 2, kind="stream")) == 1
    assert sharding.repeats(scenario(9, 2, 2, kind="stream", dispatch_batches=False)) == 3
    assert sharding.repeats(scenario(8, 2, 2, dispatch_batches=True)) == 0


def test_one_process_is_given_the_batches_as_they_are() -> None:
    assert sharding.repeats(scenario(9, 2, 1)) == 0
    assert sharding.rows_of_batches(scenario(9, 2, 1)) == [2, 2, 2, 2, 1]
    assert [sharding.random_state_file(0, count) for count in (1, 2)] == ["rng_state.pth", "rng_state_0.pth"]


def test_a_batch_that_is_split_counts_once() -> None:
    split = scenario(8, 4, 2, split_batches=True)
    assert accounting.batch_size(split) == 4
    assert accounting.batches_per_epoch(split) == 2
    assert on_one_device(split).argument("per_device_train_batch_size") == 4
    assert "accelerator_config" not in on_one_device(split).arguments


@pytest.mark.parametrize("name", ["shard_data", "resume_in_processes"])
def test_cases_are_cases(name: str) -> None:
    ways = set()

    @_SETTINGS
    @given(EXPERIMENTS[name].cases(Held()))
    def check(case: Case) -> None:
        told = case.scenario
        assert told.devices.kind == "gloo"
        assert read_case(case.to_json()) == case
        ways.add(tuple(sorted((told.argument("accelerator_config") or {}).items())))
        if accounting.loader_option(told, "split_batches"):
            assert told.argument("per_device_train_batch_size") % told.devices.count == 0
        if case.parameters.get("prepared"):
            size = case.parameters["prepared_batch"] * accounting.devices_of_a_batch(told)
            assert size % told.devices.count == 0
            assert case.parameters["prepared"] >= size or accounting.loader_option(told, "dispatch_batches") is False
        if not accounting.loader_option(told, "even_batches"):
            assert told.data.n % accounting.batch_size(told) == 0
            assert not case.parameters.get("predict")

    check()
    assert len(ways) > 5


def test_what_is_held_stays() -> None:
    held = Held(arguments={"accelerator_config": {"split_batches": True}, "per_device_train_batch_size": 4}, devices=(("gloo", 2),))

    @_SETTINGS
    @given(EXPERIMENTS["shard_data"].cases(held))
    def check(case: Case) -> None:
        assert dict(case.scenario.argument("accelerator_config")) == {"split_batches": True}
        assert case.scenario.argument("per_device_train_batch_size") == 4

    check()


def test_the_options_of_loaders_stand_in_scripts() -> None:
    from trainer_props import subjects

    case = Case(experiment="shard_data", scenario=scenario(4, 2, 2, split_batches=True))
    text = source_of(case, subjects.load(subjects.DEFAULT), identify=False).arguments
    assert "accelerator_config" in text


def test_padded_batches_that_are_kept_apart_are_as_wide_as_the_rows_that_fill_them_up() -> None:
    """That of the last one has rows from the beginning; on one device it has not, and may be narrower."""
    arguments = {
        "per_device_train_batch_size": 4, "per_device_eval_batch_size": 2, "max_steps": 1, "eval_do_concat_batches": False,
        "accelerator_config": {"split_batches": True},
    }  # fmt: skip
    for rows, judged_at_all in ((4, True), (5, False)):
        found = judge(
            Case(
                experiment="shard_data",
                scenario=Scenario(
                    arguments=arguments, data=Data(kind="dynamic", n=8), model=Model(name="lstm"),
                    components=Components(collator="padding"), devices=Devices(kind="gloo", count=2),
                ),
                parameters={"predict": rows},
            ),
            subjects.load(subjects.DEFAULT), [PROPERTIES["devices.predicted_labels_are_those_of_one_device"]],
        )  # fmt: skip
        assert (bool(found.holds), found.findings) == (judged_at_all, ())
