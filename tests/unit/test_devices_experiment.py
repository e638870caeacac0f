"""The experiments on several devices: their cases, their baseline, what their properties say, their scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from trainer_props import serialization, subjects
from trainer_props.case import Case
from trainer_props.cli.choosing import devices_of
from trainer_props.cli.common import UsageError
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS, Held, suitable
from trainer_props.experiments.alone import on_one_device
from trainer_props.faults import FAULTS
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.oracles.sharding import repeats
from trainer_props.properties import PROPERTIES
from trainer_props.properties.devices import shares
from trainer_props.regressions.cases import read_case
from trainer_props.running import prepared
from trainer_props.scenario import Data, Devices, Model, Scenario
from trainer_props.scripts.writing import script
from trainer_props.subjects import Subject

SUBJECT = subjects.load(subjects.DEFAULT)
MINE = [each for each in PROPERTIES.values() if each.chapter == "devices"]
NAMES = {"data_parallel": "train_on_devices", "gloo": "train_in_processes"}
_SETTINGS = settings(max_examples=60, database=None, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module", autouse=True)
def _prepared_once() -> Iterator[None]:
    with prepared():
        yield


ARGUMENTS = {"per_device_train_batch_size": 2, "per_device_eval_batch_size": 2, "logging_steps": 1, "num_train_epochs": 1}


def case(kind: str, n: int = 8, *, model: str = "regression", **arguments: Any) -> Case:
    devices = Devices(kind=kind, count=2)
    scenario = Scenario(arguments={**ARGUMENTS, **arguments}, data=Data(n=n, n_eval=4), devices=devices, model=Model(name=model))
    return Case(experiment=NAMES[kind], scenario=scenario, parameters={"predict": 3})


def judged(found: Case, *names: str, subject: Subject = SUBJECT) -> dict[str, str]:
    result = judge(found, subject, [each for each in MINE if not names or each.id.partition(".")[2] in names])
    assert result.errors == ()
    return {
        **dict.fromkeys(result.holds, "holds"), **dict(result.not_applicable),
        **{each.property: each.known_bug or f"{each.expected} {each.observed}" for each in result.findings},
    }  # fmt: skip


@pytest.mark.parametrize("kind", NAMES)
def test_a_run_on_several_devices_holds(kind: str) -> None:
    found = judged(case(kind, save_strategy="epoch"))
    assert set(found.values()) == {"holds"}
    assert len(found) == sum(NAMES[kind] in each.experiments for each in MINE)


@pytest.mark.parametrize("name", sorted(name for name, bug in KNOWN_BUGS.items() if bug.example.experiment in NAMES.values()))
def test_a_known_bug_explains_all_of_its_example(name: str) -> None:
    found = judge(KNOWN_BUGS[name].example, SUBJECT, MINE).findings
    assert name in {each.known_bug for each in found}
    assert None not in {each.known_bug for each in found}


def test_a_region_is_no_excuse_for_another_symptom() -> None:
    """Twice the norm that a known bug predicts is something new, within its region too."""
    found = case("gloo", model="regression_kwargs_unaware", max_grad_norm=0.0)
    name = "first_gradient_is_that_of_one_device"
    assert judged(found, name) == {f"devices.{name}": "devices-inflate-loss"}
    worse = subjects.wrap(FAULTS["gradients-added-up"].make(), "transformers:Trainer")
    assert judged(found, name, subject=worse)[f"devices.{name}"] not in ("holds", "devices-inflate-loss")


def test_uneven_shares_of_a_mean_are_not_judged() -> None:
    uneven = judged(case("data_parallel", n=7), "weights_are_those_of_one_device", "global_step_counts_with_devices")
    assert "uneven shares" in uneven["devices.weights_are_those_of_one_device"]
    assert uneven["devices.global_step_counts_with_devices"] == "holds"
    repeated = judged(case("gloo", n=7), "weights_are_those_of_one_device", "repeats_fill_the_last_batch")
    assert "repeated" in repeated["devices.weights_are_those_of_one_device"]
    assert repeated["devices.repeats_fill_the_last_batch"] == "holds"


def test_shares_are_cut_as_torch_cuts() -> None:
    assert [shares(rows, 4) for rows in (1, 4, 5, 8)] == [[1], [1, 1, 1, 1], [2, 2, 1], [2, 2, 2, 2]]


def test_repeats_fill_the_batches_of_all_ranks() -> None:
    assert repeats(case("gloo", n=5).scenario) == 3
    assert repeats(case("gloo", n=8).scenario) == 0
    assert repeats(case("gloo", n=5, dataloader_drop_last=True).scenario) == 0
    assert repeats(case("data_parallel", n=5).scenario) == 0


@pytest.mark.parametrize("kind", NAMES)
def test_cases_are_cases(kind: str) -> None:
    @_SETTINGS
    @given(EXPERIMENTS[NAMES[kind]].cases(Held()))
    def check(drawn: Case) -> None:
        assert drawn.scenario.devices.kind == kind
        assert drawn.scenario.devices.count >= 2
        assert drawn.scenario.data.n >= 1
        assert read_case(drawn.to_json()) == drawn
        one = on_one_device(drawn.scenario)
        assert one.devices == Devices()
        sizes = [each.argument("per_device_train_batch_size") for each in (one, drawn.scenario)]
        assert sizes[0] == sizes[1] * drawn.scenario.devices.count

    check()


def test_what_is_held_stays() -> None:
    held = Held(arguments={"per_device_train_batch_size": 3}, forbidden=["weight_decay"], models=["regression"], devices=(("gloo", 4),))

    @_SETTINGS
    @given(EXPERIMENTS["train_in_processes"].cases(held))
    def check(drawn: Case) -> None:
        assert drawn.scenario.argument("per_device_train_batch_size") == 3
        assert drawn.scenario.argument("weight_decay") == 0.0
        assert drawn.scenario.model.name == "regression"
        assert drawn.scenario.devices == Devices(kind="gloo", count=4)

    check()


@pytest.mark.parametrize("devices", [{"kind": "single"}, {"kind": "gloo", "count": 9}, {"kind": "gloo", "count": 0}, {"kind": "tpu"}])
def test_files_ask_for_devices_of_their_experiment(devices: dict[str, Any]) -> None:
    data = case("gloo").to_json()
    data["scenario"]["devices"] = devices
    with pytest.raises(serialization.InvalidData, match=r"devices\.(kind|count)"):
        read_case(data)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", {("single", 1)}),
        ("2", {("data_parallel", 2), ("gloo", 2), ("fake", 2)}),
        ("single, gloo:3", {("single", 1), ("gloo", 3)}),
        ("gloo", {("gloo", 2), ("gloo", 3)}),
    ],
)
def test_lists_of_devices(text: str, expected: set[tuple[str, int]]) -> None:
    found = devices_of(text)
    assert found is not None
    assert set(found) == expected


@pytest.mark.parametrize("text", ["gluo", "gloo:", "gloo:9", "0", "single:2", "", "gloo:x"])
def test_bad_lists_of_devices(text: str) -> None:
    with pytest.raises(UsageError, match="--devices"):
        devices_of(text)


def test_devices_choose_experiments() -> None:
    processes = {"train_in_processes", "shard_data", "resume_in_processes"}
    assert set(suitable(list(EXPERIMENTS), Held(devices=(("gloo", 2),)))) == processes
    single = suitable(list(EXPERIMENTS), Held(devices=(("single", 1),)))
    assert set(EXPERIMENTS) - set(single) == {"train_on_devices", "play_one_rank", *processes}


@pytest.mark.parametrize(("kind", "fault"), [("data_parallel", "gradients-added-up"), ("gloo", "predictions-of-ranks-swapped")])
def test_scripts_show_what_was_found(kind: str, fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    faulty = FAULTS[fault].make()
    subject = subjects.wrap(faulty, "transformers:Trainer")
    findings = judge(case(kind, max_grad_norm=0.0), subject, [PROPERTIES[FAULTS[fault].property]]).findings
    assert len(findings) == 1
    text = script(findings[0], SUBJECT)
    assert _exit_code(text) == 0  # the Trainer itself does no such thing
    without = re.sub(r"^(from transformers import .*)\bTrainer, ", r"\1", text, flags=re.MULTILINE)
    assert without != text
    assert _exit_code(without, Trainer=faulty) == 1
    capsys.readouterr()


def _exit_code(text: str, **names: Any) -> int:
    namespace: dict[str, Any] = {"__name__": "script", **names}
    exec(compile(text, "script.py", "exec"), namespace)  # noqa: S102  what a script is for
    code = namespace["main"]()
    assert isinstance(code, int)
    return code
