"""The case as a value: versioned JSON both ways, a repr that evaluates back, a stable key."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainer_props import scenario as module
from trainer_props import serialization, strategies
from trainer_props.case import FORMAT, Case
from trainer_props.scenario import Data, Scenario
from trainer_props.serialization import InvalidData

NAMES = {"Case": Case, "float": float, **{name: value for name, value in vars(module).items() if isinstance(value, type)}}

parameters = st.dictionaries(
    st.sampled_from(["interrupt_at", "regroup", "life", "field", "value"]),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.sampled_from(["", "save", "é'\""]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2), max_leaves=5,
    ), max_size=3,
)  # fmt: skip
experiments = st.sampled_from(["train_once", "resume", "live"])
cases = st.builds(Case, experiment=experiments, scenario=strategies.scenarios(), parameters=parameters)
some_cases = settings(suppress_health_check=[HealthCheck.too_slow])


@some_cases
@given(cases)
def test_json_both_ways(case: Case) -> None:
    data = case.to_json()
    text = json.dumps(data, allow_nan=False)
    assert data["format"] == FORMAT
    assert data["experiment"] == case.experiment
    back = Case.from_json(serialization.loads(text))
    assert back == case
    assert back.key == case.key
    assert back.to_json() == data


@some_cases
@given(cases)
def test_repr_evaluates_to_an_equal_value(case: Case) -> None:
    back = eval(repr(case), dict(NAMES))  # noqa: S307  our own repr
    assert back == case
    assert repr(back) == repr(case)


@some_cases
@given(cases, cases)
def test_keys_are_equal_for_equal_cases_and_only_those(one: Case, other: Case) -> None:
    assert (one.key == other.key) == (one == other)
    if one == other:
        assert hash(one) == hash(other)


def test_key_is_stable() -> None:
    """Files are named by it: it must be the same in every process and every release."""
    assert Case().key == "4ae4acf2f802f6f5210f"
    scenario = Scenario(arguments={"learning_rate": math.nan}, data=Data(n=3))
    assert Case(scenario=scenario, parameters={"interrupt_at": [3]}).key == "d6c83895562f14a3ac19"


def test_key_does_not_depend_on_the_process() -> None:
    code = "from trainer_props.case import Case; print(Case(parameters={'b': [1], 'a': {'y': 1, 'x': 2}}).key)"
    here = Case(parameters={"a": {"x": 2, "y": 1}, "b": (1,)}).key
    for seed in ("0", "1"):
        printed = subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True)
        assert printed.stdout.strip() == here


def test_repr_shows_what_differs_and_nothing_else() -> None:
    assert repr(Case()) == "Case()"
    case = Case(experiment="resume", scenario=Scenario(data=Data(n=3)), parameters={"interrupt_at": [3]})
    assert repr(case) == "Case(experiment='resume', scenario=Scenario(data=Data(n=3)), parameters={'interrupt_at': (3,)})"


def test_the_experiment_is_always_written() -> None:
    assert Case().to_json() == {"format": FORMAT, "experiment": "train_once"}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_survive(number: float) -> None:
    case = Case(parameters={"value": number, "more": {"deep": [number]}})
    back = Case.from_json(serialization.loads(serialization.dumps(case.to_json())))
    assert back == case
    assert repr(back.parameters["value"]) == repr(back.parameters["more"]["deep"][0]) == repr(number)


@pytest.mark.parametrize("number", [None, 0, FORMAT + 1, str(FORMAT), [FORMAT]])
def test_another_format_is_refused(number: Any) -> None:
    with pytest.raises(InvalidData, match=f"this version reads format {FORMAT}"):
        Case.from_json({**Case().to_json(), "format": number})


def test_a_case_without_a_format_is_refused() -> None:
    with pytest.raises(InvalidData, match="format None is unknown"):
        Case.from_json({"experiment": "train_once"})


@pytest.mark.parametrize("data", [None, [], "Case()", 3])
def test_what_is_no_object_is_refused(data: Any) -> None:
    with pytest.raises(InvalidData, match=f"not {type(data).__name__}"):
        Case.from_json(data)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"scenarios": {}}, "scenarios"), ({"scenario": {"dat": {}}}, "dat"), ({"experiment": 3}, r"\$\.experiment"),
        ({"parameters": [3]}, r"\$\.parameters"),
        ({"scenario": {"data": {"n": "3"}}}, r"\$\.scenario\.data\.n"), ({"scenario": None}, r"\$\.scenario"),
    ],
)  # fmt: skip
def test_what_is_no_case_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidData, match=named):
        Case.from_json({**Case().to_json(), **change})


def test_a_case_can_not_be_changed() -> None:
    case = Case(parameters={"life": [["save"]]})
    with pytest.raises(TypeError, match="can't be changed"):
        case.parameters["life"] = []
    with pytest.raises(AttributeError):
        case.experiment = "resume"  # type: ignore[misc]
    assert case.parameters["life"] == (("save",),)
