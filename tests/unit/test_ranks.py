"""Single ranks of many: the backend that plays them, the cases, the properties and their scripts."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from hypothesis import HealthCheck, given, settings
from transformers.utils import logging

from trainer_props import serialization, subjects, zoo
from trainer_props.case import Case
from trainer_props.cli.choosing import devices_of
from trainer_props.cli.common import UsageError
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS, Held, suitable
from trainer_props.experiments.one_rank import WORLD_SIZES
from trainer_props.faults import FAULTS
from trainer_props.properties import PROPERTIES
from trainer_props.regressions.cases import read_case
from trainer_props.running import prepared
from trainer_props.running.devices import fake
from trainer_props.running.devices.kinds import NoSuchDevices
from trainer_props.scenario import Data, Devices, Model, Scenario
from trainer_props.scripts.writing import script
from trainer_props.subjects import Subject

SUBJECT = subjects.load(subjects.DEFAULT)
MINE = [each for each in PROPERTIES.values() if each.chapter == "ranks"]
IN_ORDER = {"per_device_train_batch_size": 2, "train_sampling_strategy": "sequential", "logging_steps": 1, "num_train_epochs": 1}
_SETTINGS = settings(max_examples=100, database=None, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module", autouse=True)
def _prepared_once() -> Iterator[None]:
    with prepared():
        yield


def case(n: int, count: int, *ranks: int, parameters: dict[str, Any] | None = None, **arguments: Any) -> Case:
    scenario = Scenario(
        arguments={**IN_ORDER, **arguments}, data=Data(kind="numbered", n=n), devices=Devices(kind="fake", count=count)
    )  # fmt: skip
    return Case(experiment="play_one_rank", scenario=scenario, parameters={"ranks": ranks, **(parameters or {})})


def judged(found: Case, subject: Subject = SUBJECT) -> dict[str, str]:
    result = judge(found, subject, MINE)
    assert result.errors == ()
    names = {**dict.fromkeys(result.holds, "holds"), **dict(result.not_applicable)}
    names |= {each.property: each.known_bug or f"{each.expected} {each.observed}" for each in result.findings}
    return {name.partition(".")[2]: said for name, said in names.items()}


def state() -> Any:
    """All that playing a rank could leave behind."""
    singletons = [dict(each._shared_state) for each in (PartialState, AcceleratorState, GradientState)]
    return dict(os.environ), singletons, torch.distributed.is_initialized(), torch.get_num_threads()


@pytest.mark.parametrize("fault", [None, "eight-colours-for-all-ranks"])
def test_everything_is_as_it_was_before(fault: str | None) -> None:
    before = state()
    subject = SUBJECT if fault is None else subjects.wrap(FAULTS[fault].make(), fault)
    record = fake.play(case(128, 64).scenario, subject, 63)
    assert record.finished == (fault is None)
    assert state() == before


@pytest.mark.parametrize(("rank", "count", "per_node"), [(-1, 4, None), (4, 4, None), (0, 1025, None), (0, 0, None), (0, 2, 0)])
def test_ranks_that_are_not_there(rank: int, count: int, per_node: int | None) -> None:
    with pytest.raises(NoSuchDevices, match="there are 1 to 1024"), fake.as_rank(rank, count, per_node):
        pass


def test_a_process_of_a_group_plays_no_other_rank() -> None:
    with fake.as_rank(1, 2), pytest.raises(NoSuchDevices, match="belongs to a process group already"), fake.as_rank(0, 4):
        pass


@pytest.mark.parametrize("count", [2, 3, 64, 1024])
@pytest.mark.parametrize("which", ["first", "last"])
def test_a_rank_holds(count: int, which: str) -> None:
    found = judged(case(5 * count + 1, count, 0 if which == "first" else count - 1, save_strategy="steps", save_steps=1))
    waits = {"ranks_follow_one_order", "played_ranks_share_no_sample", "repeats_fill_the_last_round"}
    assert {name: said for name, said in found.items() if said != "holds" and name not in waits} == {}


def test_all_ranks_of_a_few_hold() -> None:
    for arguments in ({}, {"train_sampling_strategy": "random"}, {"dataloader_drop_last": True}):
        found = judged(case(11, 4, 0, 1, 2, 3, gradient_accumulation_steps=2, **arguments))
        left_out = {"checkpoints_are_named_by_step", "one_process_of_a_node_saves", "ranks_follow_one_order", "a_rank_sees_its_rows"}
        assert {name: said for name, said in found.items() if said != "holds" and name not in left_out} == {}
        assert "holds" in (found["ranks_follow_one_order"], found["a_rank_sees_its_rows"])


def test_the_world_may_be_of_one() -> None:
    found = judged(case(5, 1, 0, save_strategy="steps", save_steps=2))
    assert {name for name, said in found.items() if said == "holds"} >= {"a_rank_sees_its_rows", "one_process_of_a_node_saves"}
    assert {name: said for name, said in found.items() if "[" in said} == {}


def test_memory_does_not_follow_the_number_of_rows() -> None:
    peaks = []
    for n in (10**4, 10**4, 10**9):
        scenario = case(n, 1000).scenario
        tracemalloc.start()
        record = fake.play(scenario, SUBJECT, 999, until=2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert record.batches[1].samples == (3998, 3999)
    assert peaks[2] - peaks[1] < 2**18


def test_a_run_that_is_ended_too_late_is_stuck() -> None:
    record = fake.play(case(10**9, 2, num_train_epochs=1).scenario, subjects.wrap(_Endless), 0, until=1)
    assert record.stuck is not None


def _Endless(parts: Any, output_dir: str) -> Any:  # noqa: N802  it stands for a class
    import transformers

    class Endless(transformers.Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            next(each for each in self.callback_handler.callbacks if isinstance(each, fake.OneRank)).until = None
            return super().train(*args, **kwargs)

    return Endless(**parts.trainer_kwargs(output_dir))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numbered_rows_are_found_again(dtype: str) -> None:
    n = {"float64": 10**9, "float32": 300_000}[dtype]
    dataset = zoo.build_dataset(Data(kind="numbered", seed=3), "train", model=Model(dtype=dtype), n=n)
    ids = (0, 1, n // 3, n - 1)
    assert zoo.identify(dataset, dataset.rows(ids)) == ids
    assert len(dataset) == n
    assert (dataset[5]["labels"] - 2 * dataset[5]["input_x"]).item() == 3
    with pytest.raises(IndexError):
        dataset[n]
    assert zoo.identify(dataset, {"input_x": torch.tensor([0.1, 7.0])}) is None


def test_more_numbered_rows_than_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="can be told apart"):
        zoo.build_dataset(Data(kind="numbered"), "train", model=Model(dtype="float32"), n=10**9)
    with pytest.raises(ValueError, match="can't be alike"):
        zoo.build_dataset(Data(kind="numbered", alike=True), "train", model=Model(), n=3)


def test_cases_are_cases() -> None:
    seen: set[str] = set()

    @settings(_SETTINGS, max_examples=400)
    @given(EXPERIMENTS["play_one_rank"].cases(Held()))
    def check(drawn: Case) -> None:
        scenario, ranks = drawn.scenario, drawn.parameters["ranks"]
        assert scenario.devices.kind == "fake"
        assert scenario.devices.count in WORLD_SIZES
        assert ranks
        assert all(0 <= rank < scenario.devices.count for rank in ranks)
        assert 1 <= scenario.data.n <= 10**9
        assert scenario.data.n < 10**6 or scenario.argument("train_sampling_strategy") == "sequential"
        assert read_case(drawn.to_json()) == drawn
        seen.update(word for word, is_so in {
            "large": scenario.devices.count > 500, "huge": scenario.data.n > 10**8, "last": scenario.devices.count - 1 in ranks,
            "first": 0 in ranks, "random": scenario.argument("train_sampling_strategy") == "random",
            "nodes": "per_node" in drawn.parameters, "saved": scenario.argument("save_strategy") != "no",
            "split": (scenario.argument("accelerator_config") or {}).get("split_batches"),
            "uneven": (scenario.argument("accelerator_config") or {}).get("even_batches") is False, "several": len(ranks) > 1,
            "dropped": scenario.argument("dataloader_drop_last"),
        }.items() if is_so)  # fmt: skip

    check()
    assert seen == {"large", "huge", "last", "first", "random", "nodes", "split", "saved", "uneven", "several", "dropped"}


def test_what_is_held_stays() -> None:
    held = Held(
        arguments={"per_device_train_batch_size": 3, "train_sampling_strategy": "random", "num_train_epochs": 4},
        forbidden=["accelerator_config"], devices=(("fake", 64),),
    )  # fmt: skip

    @_SETTINGS
    @given(EXPERIMENTS["play_one_rank"].cases(held))
    def check(drawn: Case) -> None:
        said = [drawn.scenario.argument(name) for name in ("per_device_train_batch_size", "train_sampling_strategy", "num_train_epochs")]
        assert said == [3, "random", 4]
        assert drawn.scenario.argument("accelerator_config") is None
        assert drawn.scenario.devices.count == 64

    check()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parameters": {"ranks": "all"}}, "ranks"), ({"parameters": {"ranks": []}}, "ranks"), ({"parameters": {"ranks": [1.5]}}, "ranks"),
        ({"parameters": {"ranks": [0], "until": 0}}, "until"), ({"n": 2 * 10**9}, "data.n"),
        ({"n": 10**9, "train_sampling_strategy": "random"}, "data.n"), ({"count": 1025}, "devices.count"),
    ],
)  # fmt: skip
def test_files_are_read_without_trust(change: dict[str, Any], said: str) -> None:
    data = case(10**9, 8, 0).to_json()
    assert read_case(data) == case(10**9, 8, 0)
    data["parameters"] = change.get("parameters", data["parameters"])
    data["scenario"]["data"]["n"] = change.get("n", 10)
    data["scenario"]["devices"]["count"] = change.get("count", 8)
    data["scenario"]["arguments"]["train_sampling_strategy"] = change.get("train_sampling_strategy", "sequential")
    with pytest.raises(serialization.InvalidData, match=said):
        read_case(data)


def test_devices_choose_the_experiment() -> None:
    assert devices_of("fake:64") == (("fake", 64),)
    assert devices_of("64") == (("fake", 64),)
    assert devices_of("fake") == tuple(("fake", each) for each in WORLD_SIZES)
    assert suitable(list(EXPERIMENTS), Held(devices=(("fake", 64),))) == ["play_one_rank"]
    for text in ("fake:1025", "fake:0", "1025", "gloo:64"):
        with pytest.raises(UsageError, match="--devices"):
            devices_of(text)


def test_a_known_bug_is_no_excuse_for_another_symptom() -> None:
    found = case(3, 2, 1, per_device_train_batch_size=2, accelerator_config={"split_batches": True, "even_batches": False})
    assert judged(found)["steps_follow_from_the_share"] == "shard-length-counts-a-batch-too-many"
    worse = subjects.wrap(FAULTS["last-round-not-counted"].make(), "transformers:Trainer")
    split = case(6, 2, 1, per_device_train_batch_size=4, accelerator_config={"split_batches": True})
    assert judged(split)["total_batch_size_counts_all_ranks"] == "split-batches-counted-for-each"
    assert judged(split, worse)["steps_follow_from_the_share"] == "[2] [1]"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("ranks-counted-from-the-last", case(12, 3, 0, 2)), ("random-states-named-within-the-node",
         case(12, 4, 3, parameters={"per_node": 2}, save_strategy="steps", save_steps=1)),
        ("last-round-not-counted", case(10**9 - 1, 1024, 1023, parameters={"until": 1})),
    ],
)  # fmt: skip
def test_scripts_show_what_was_found(
    name: str, found: Case, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # a script that has its process to itself sets it
    faulty = FAULTS[name].make()
    subject = subjects.wrap(faulty, "transformers:Trainer")
    findings = judge(found, subject, [PROPERTIES[FAULTS[name].property]]).findings
    assert len(findings) == 1
    text = script(findings[0], SUBJECT)
    before = state()
    assert _exit_code(text) == 0  # the Trainer itself does no such thing
    assert _exit_code(text, faulty) == 1
    assert state()[0] == before[0]
    assert not torch.distributed.is_initialized()
    capsys.readouterr()


def _exit_code(text: str, trainer: Any = None) -> int:
    lines = text.splitlines()
    if trainer is not None:  # in place of the one that is imported
        at = next(index for index, line in enumerate(lines) if line.startswith("from transformers import"))
        names = [name.strip() for name in lines[at].removeprefix("from transformers import").split(",")]
        lines[at] = f"from transformers import {', '.join(name for name in names if name != 'Trainer')}"
    namespace: dict[str, Any] = {"__name__": "script", **({"Trainer": trainer} if trainer is not None else {})}
    exec(compile("\n".join(lines), "script.py", "exec"), namespace)  # noqa: S102  what a script is for
    code = namespace["main"]()
    assert isinstance(code, int)
    return code


def test_a_rank_that_is_played_leaves_the_verbosity_alone() -> None:
    """A Trainer that takes itself for a later rank sets `log_level_replica` for the whole process."""
    logging.set_verbosity_error()
    judge(case(4, 2, 1), SUBJECT, MINE)
    assert logging.get_verbosity() == logging.ERROR
