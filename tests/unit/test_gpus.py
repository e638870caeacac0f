"""What can be said of runs on GPUs without any: who asks for them, what is said where there are none, and how tests say what they need."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.cli.choosing import devices_of
from trainer_props.cli.common import UsageError
from trainer_props.experiments import EXPERIMENTS, Held, suitable
from trainer_props.experiments.gpus import ON_GPUS, why_not
from trainer_props.regressions.cases import read_case
from trainer_props.running import Errand, run_on_devices
from trainer_props.running.devices import cards
from trainer_props.running.devices.kinds import NoSuchDevices
from trainer_props.scenario import Devices, Scenario

pytest_plugins = ["pytester"]
NAMES = {"cuda_data_parallel": "train_on_devices", "cuda_processes": "train_in_processes"}
CONFTEST = Path(__file__).parents[1] / "conftest.py"


@pytest.mark.parametrize("kind", NAMES)
def test_gpus_are_drawn_where_they_are_asked_for(kind: str) -> None:
    held = Held(devices=((kind, 2),))
    assert suitable(list(EXPERIMENTS), held) == [NAMES[kind]]

    @settings(max_examples=30, database=None, deadline=None)
    @given(EXPERIMENTS[NAMES[kind]].cases(held))
    def check(drawn: Case) -> None:
        assert drawn.scenario.devices == Devices(kind=kind, count=2)
        assert read_case(drawn.to_json()) == drawn

    check()


def test_nothing_draws_gpus_by_itself() -> None:
    @settings(max_examples=30, database=None, deadline=None)
    @given(EXPERIMENTS["train_on_devices"].cases(Held()))
    def check(drawn: Case) -> None:
        assert drawn.scenario.devices.kind == "data_parallel"

    check()
    found = devices_of("2")
    assert found is not None
    assert not {kind for kind, _ in found} & set(ON_GPUS.values())


def test_a_kind_and_its_twin_are_drawn_together() -> None:
    held, seen = Held(devices=(("data_parallel", 3), ("cuda_data_parallel", 2))), set()

    @settings(max_examples=60, database=None, deadline=None)
    @given(EXPERIMENTS["train_on_devices"].cases(held))
    def check(drawn: Case) -> None:
        seen.add((drawn.scenario.devices.kind, drawn.scenario.devices.count))

    check()
    assert seen == {("data_parallel", 3), ("cuda_data_parallel", 2)}


@pytest.mark.skipif(not cards.missing(), reason="there is a GPU")
@pytest.mark.parametrize("kind", NAMES)
def test_without_a_gpu_the_reason_is_given(kind: str) -> None:
    assert why_not(kind) in ("this torch is built without CUDA", "torch sees no GPU")
    with pytest.raises(UsageError, match=f"--devices '{kind}:2': {why_not(kind)}"):
        devices_of(f"{kind}:2")
    with pytest.raises(NoSuchDevices, match=why_not(kind)):
        run_on_devices(Scenario(devices=Devices(kind=kind, count=2)), subjects.load(subjects.DEFAULT), Errand())


def test_devices_take_cards_in_turn() -> None:
    assert cards.cards_of(4, 4) == [0, 1, 2, 3]
    assert cards.cards_of(2, 1) == [0, 0]
    assert cards.cards_of(3, 2) == [0, 1, 0]


def test_what_is_missing_is_a_skip_in_any_order(pytester: pytest.Pytester) -> None:
    conftest = CONFTEST.read_text(encoding="utf-8")
    assert '"cuda": _cuda' in conftest
    pytester.makeconftest(conftest.replace('"cuda": _cuda', '"cuda": lambda: "no card", "other": lambda: "no other"'))
    pytester.makeini("[pytest]\nmarkers =\n    cuda\n    needs(*names)")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.cuda
        @pytest.mark.needs("other")
        @pytest.mark.parametrize("value", [1])
        def test_one(value): assert False

        @pytest.mark.parametrize("value", [1, pytest.param(2, marks=pytest.mark.needs("cuda"))])
        @pytest.mark.needs("other", "cuda")
        def test_two(value): assert False

        @pytest.mark.parametrize("value", [1, pytest.param(2, marks=pytest.mark.needs("other"))])
        def test_three(value): pass

        @pytest.mark.needs("another")
        def test_four(): pass
        """
    )
    result = pytester.runpytest_subprocess("-rs", "-p", "no:randomly")
    result.assert_outcomes(passed=1, skipped=4, errors=1)
    result.stdout.fnmatch_lines(["*no card; no other*", "*no other*"])
    result.stdout.fnmatch_lines(["*a test needs 'another': tests/conftest.py knows*"])
