"""The experiment that saves into a directory that was used before: times, older checkpoints, other folders, and how its runs are judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.experiments.used_folder import OTHERS, TIMES
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.oracles import best_model
from trainer_props.oracles.rotation import left_after_each_save
from trainer_props.properties import PROPERTIES
from trainer_props.record import Record
from trainer_props.running import prepared, used_folder
from trainer_props.scenario import Data, Scenario
from trainer_props.scripts.verifying import shows
from trainer_props.scripts.writing import script

SUBJECT = subjects.load(subjects.DEFAULT)
EXPERIMENT = EXPERIMENTS["save_into_a_used_folder"]
MINE = [each for each in PROPERTIES.values() if "save_into_a_used_folder" in each.experiments]


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def case(limit: int = 2, **parameters: Any) -> Case:
    arguments = {
        "per_device_train_batch_size": 1, "num_train_epochs": 1, "save_strategy": "steps", "save_steps": 1, "save_total_limit": limit,
    }  # fmt: skip
    return Case(experiment="save_into_a_used_folder", scenario=Scenario(arguments=arguments, data=Data(n=3)), parameters=parameters)


def folders_of(given_case: Case) -> list[list[int]]:
    record = EXPERIMENT.run(given_case, SUBJECT)
    assert isinstance(record, Record)
    assert record.finished
    return [[int(name.rpartition("-")[2]) for name in each.folders] for each in record.checkpoints]


def names(*steps: int) -> list[str]:
    return [best_model.folder(step) for step in steps]


@pytest.mark.parametrize(
    ("limit", "older", "saves", "reversed_times", "left"),
    [
        (None, [9], [(1, None), (2, None)], False, [[9, 1], [9, 1, 2]]),
        (2, [9], [(1, None), (2, None)], False, [[9, 1], [1, 2]]),
        (1, [9, 8], [(1, None)], False, [[1]]),
        (2, [9, 8], [(1, None)], False, [[8, 1]]),
        (2, [9, 8], [(1, None)], True, [[9, 1]]),
        (2, [], [(1, None), (2, None), (3, None)], True, [[1], [1, 2], [1, 3]]),
        (2, [], [(1, 1), (2, 1), (3, 1)], False, [[1], [1, 2], [1, 3]]),
        (1, [5], [(1, 5), (5, 5)], False, [[1, 5], [5]]),
        (2, [2], [(1, None), (2, None)], False, [[2, 1], [1, 2]]),
    ],
)
def test_what_the_oracle_leaves(
    limit: int | None, older: list[int], saves: list[tuple[int, int | None]], left: list[list[int]], *, reversed_times: bool
) -> None:
    given_saves = [(best_model.folder(step), None if best is None else best_model.folder(best)) for step, best in saves]
    found = left_after_each_save(limit, names(*older), given_saves, reversed_times=reversed_times)
    assert found == [sorted(names(*each)) for each in left]


@pytest.mark.parametrize(
    ("times", "left"),
    [("spread", [[1, 20], [1, 2], [2, 3]]), ("reversed", [[1, 9], [2, 9], [3, 9]]), ("same", [[9, 20], [9, 20], [9, 20]])],
)
def test_times_decide_what_goes(times: str, left: list[list[int]]) -> None:
    assert folders_of(case(older=[9, 20], times=times)) == left


def test_other_folders_are_there() -> None:
    record = EXPERIMENT.run(case(limit=3, others=["runs", "my-checkpoint-3"]), SUBJECT)
    assert isinstance(record, Record)
    assert record.results["left"] == [*names(1, 2, 3), "my-checkpoint-3", "runs"]
    assert record.results["others"] == ["runs", "my-checkpoint-3"]


@pytest.mark.parametrize(
    "given_case",
    [case(), case(older=[9, 20]), case(limit=1, older=[1, 2], times="reversed"), case(others=["runs", "checkpoint"], older=[1])],
    ids=str,
)
def test_a_run_in_a_used_folder_holds(given_case: Case) -> None:
    judged = judge(given_case, SUBJECT, MINE)
    assert (judged.findings, judged.errors) == ((), ())
    assert {"rotation.at_most_the_limit_is_left", "rotation.the_oldest_go_first", "checkpoints.a_save_leaves_its_checkpoint"} <= set(
        judged.holds
    )


@pytest.mark.parametrize("parameters", [{"times": "backwards"}, {"others": ["../elsewhere"]}])
def test_what_is_not_known_is_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="there are no times"):
        EXPERIMENT.run(case(**parameters), SUBJECT)


def test_the_times_are_those_of_the_callback() -> None:
    assert TIMES == used_folder.TIMES


@pytest.mark.parametrize("name", [name for name, bug in KNOWN_BUGS.items() if bug.example.experiment == "save_into_a_used_folder"])
def test_scripts_show_the_known_bugs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    findings = [each for each in judge(KNOWN_BUGS[name].example, SUBJECT, MINE).findings if each.known_bug == name]
    assert findings
    for each in findings:
        text = script(each, SUBJECT)
        namespace: dict[str, Any] = {"__name__": "script"}
        exec(compile(text, "script.py", "exec"), namespace)  # noqa: S102  what a script is for
        capsys.readouterr()
        code = namespace["main"]()
        assert shows(text, code, capsys.readouterr().out)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(EXPERIMENT.cases(Held(arguments={"save_total_limit": 2})))
def test_cases_keep_what_is_held(given_case: Case) -> None:
    assert given_case.scenario.argument("save_total_limit") == 2
    assert given_case.scenario.argument("save_strategy") != "no"
    assert set(given_case.parameters.get("others", ())) <= set(OTHERS)
    assert Case.from_json(given_case.to_json()) == given_case
