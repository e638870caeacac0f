"""The experiment that trains a second time: its runs, its cases, and how its runs are judged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import Judged, judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.faults import FAULTS
from trainer_props.measures.pairs import BASELINE, CHANGED
from trainer_props.properties import PROPERTIES
from trainer_props.record import Runs
from trainer_props.running import prepared
from trainer_props.scenario import Data, Model, Scenario
from trainer_props.scripts.verifying import shows
from trainer_props.scripts.writing import script

SUBJECT = subjects.load(subjects.DEFAULT)
MINE = [each for each in PROPERTIES.values() if "repeat" in each.experiments]
AGAIN = {each.id for each in MINE if ".a_second_train" in each.id}


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def case(arguments: dict[str, Any] | None = None, *, data: Data | None = None, model: str = "regression", **parameters: Any) -> Case:
    usual = {"per_device_train_batch_size": 2, "num_train_epochs": 2, "logging_steps": 1, "learning_rate": 0.01}
    scenario = Scenario(arguments={**usual, **(arguments or {})}, data=data or Data(n=8, n_eval=2), model=Model(name=model))
    return Case(experiment="repeat", scenario=scenario, parameters=parameters)


def judged(given_case: Case) -> Judged:
    found = judge(given_case, SUBJECT, MINE)
    assert found.errors == ()
    return found


def test_the_record_of_a_second_train_is_its_own() -> None:
    runs = EXPERIMENTS["repeat"].run(case(again=True), SUBJECT)
    assert isinstance(runs, Runs)
    first, second = runs[BASELINE], runs[CHANGED]
    assert len(first.updates) == len(second.updates) == 8
    assert [batch.samples for batch in first.batches] == [batch.samples for batch in second.batches]
    assert len(first.log_history) == len(second.log_history)
    assert torch.equal(second.results["weights at the beginning"], first.final_weights)  # type: ignore[arg-type]
    assert second.global_step == 8


def test_a_second_train_holds() -> None:
    found = judged(case(again=True))
    assert found.findings == ()
    assert set(found.holds) == AGAIN | {"repeat.finishes_a_second_time"}


def test_a_fresh_trainer_holds() -> None:
    found = judged(case())
    assert found.findings == ()
    assert set(found.holds) == {each.id for each in MINE} - AGAIN


def test_full_determinism_changes_nothing_here_and_is_undone() -> None:
    before = dict(os.environ)
    found = judged(case(change={"full_determinism": True}))
    assert found.findings == ()
    assert "repeat.the_same_seed_gives_the_same_weights" in found.holds
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.deterministic
    assert dict(os.environ) == before


@pytest.mark.parametrize("change", [{"seed": 7}, {"learning_rate": 0.1}], ids=str)
def test_the_data_seed_fixes_the_order_alone(change: dict[str, Any]) -> None:
    found = judged(case({"data_seed": 3}, change=change))
    assert found.findings == ()
    assert "repeat.the_order_is_that_of_the_data_seed" in found.holds
    assert "repeat.the_same_seed_gives_the_same_weights" in dict(found.not_applicable)


def test_known_bugs_explain_what_they_do_to_pairs() -> None:
    grouped = {"train_sampling_strategy": "group_by_length", "data_seed": 0}
    found = judged(case(grouped, data=Data(kind="tokens", n=8), model="lstm", change={"seed": 1}))
    assert [each.known_bug for each in found.findings] == ["group-by-length-draws-from-the-global-generator"]
    plateau = {"lr_scheduler_type": "reduce_lr_on_plateau", "lr_scheduler_kwargs": {"patience": 0, "mode": "max"}}
    found = judged(case({**plateau, "eval_strategy": "steps", "eval_steps": 1}, again=True))
    assert [each.known_bug for each in found.findings] == ["second-train-keeps-the-learning-rate"]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("schedule-goes-on", {"again": True}), ("weights-of-the-construction", {"again": True}), ("noise-of-all-trainers", {}),
        ("order-of-the-seed", {"change": {"seed": 7}}),
    ],
)  # fmt: skip
def test_scripts_repeat_in_the_same_way(name: str, parameters: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    subject = subjects.wrap(FAULTS[name].make(), "transformers:Trainer")
    found = judge(case({"data_seed": 0}, **parameters), subject, MINE).findings
    finding = next(each for each in found if each.property == FAULTS[name].property)
    text = script(finding, SUBJECT)
    code, output = _executed(text, capsys)
    assert code == 0, output  # the Trainer itself is right
    renamed = text.replace("PrinterCallback, Trainer,", "PrinterCallback,").replace("Trainer(model", "Faulty(model")
    code, output = _executed(renamed, capsys, Faulty=FAULTS[name].make())
    assert shows(text, code, output)


def _executed(text: str, capsys: pytest.CaptureFixture[str], **names: Any) -> tuple[int, str]:
    namespace: dict[str, Any] = {"__name__": "script", **names}
    exec(compile(text, "script.py", "exec"), namespace)  # noqa: S102  what a script is for
    capsys.readouterr()
    return namespace["main"](), capsys.readouterr().out


def test_cases_change_what_is_free() -> None:
    @settings(max_examples=60, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS["repeat"].cases(Held(arguments={"seed": 5}, forbidden=["weight_decay"])))
    def check(drawn: Case) -> None:
        assert drawn.scenario.argument("seed") == 5
        assert not {"seed", "weight_decay"} & set(drawn.parameters.get("change", {}))
        assert Case.from_json(drawn.to_json()) == drawn

    check()
