"""The scenario and its parts as values: JSON both ways, a repr that evaluates back, equality that knows NaN."""

from __future__ import annotations

import copy
import json
import math
import pickle
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainer_props import scenario as module
from trainer_props import serialization, strategies
from trainer_props.arguments import DEFAULTS, QUIET
from trainer_props.scenario import Components, Data, Devices, EarlyStopping, FrozenDict, Model, Scenario, freeze, thaw
from trainer_props.serialization import InvalidData

NAMES = {name: value for name, value in vars(module).items() if isinstance(value, type)}
PARTS = (Data, Model, Devices, EarlyStopping, Components, Scenario)

# "NaN" and its like stand for numbers in JSON, and so are no texts that can be told apart from them.
texts = st.text(max_size=6).filter(lambda text: text not in ("NaN", "Infinity", "-Infinity"))
leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | texts
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6)
some_scenarios = settings(suppress_health_check=[HealthCheck.too_slow])


@st.composite
def odd_scenarios(draw: st.DrawFn) -> Scenario:
    """Scenarios with any JSON data as arguments, and with numbers that JSON lacks."""
    floats = st.floats()
    return Scenario(
        arguments=draw(st.dictionaries(st.sampled_from(sorted(DEFAULTS)), values, max_size=3)),
        data=Data(n=draw(st.integers(0, 50)), seed=draw(st.integers(-5, 5))),
        model=Model(frozen=tuple(draw(st.lists(texts, max_size=2)))),
        components=Components(
            scores=tuple(draw(st.lists(floats, max_size=3))),
            poisoned=tuple(draw(st.lists(st.tuples(st.integers(0, 9), floats), max_size=2))),
            early_stopping=draw(st.none() | st.builds(EarlyStopping, threshold=floats)),
        ),
    )


anything = strategies.scenarios() | odd_scenarios()


@some_scenarios
@given(anything)
def test_json_both_ways(scenario: Scenario) -> None:
    data = scenario.to_json()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    back = Scenario.from_json(json.loads(json.dumps(data)))
    assert back == scenario
    assert back.to_json() == data


@some_scenarios
@given(anything)
def test_repr_evaluates_to_an_equal_value(scenario: Scenario) -> None:
    back = eval(repr(scenario), {**NAMES, "float": float})  # noqa: S307  our own repr
    assert back == scenario
    assert repr(back) == repr(scenario)


@some_scenarios
@given(anything, anything)
def test_equal_values_and_only_those_are_written_alike(one: Scenario, other: Scenario) -> None:
    assert (one == other) == (one.to_json() == other.to_json())
    assert (one != other) == (one.to_json() != other.to_json())
    if one == other:
        assert hash(one) == hash(other)


@some_scenarios
@given(anything)
def test_copies_are_equal_and_hash_alike(scenario: Scenario) -> None:
    pickled = pickle.loads(pickle.dumps(scenario))  # noqa: S301
    for same in (Scenario.from_json(scenario.to_json()), scenario.replace(), pickled, copy.deepcopy(scenario)):
        assert same == scenario
        assert hash(same) == hash(scenario)
        assert len({same, scenario}) == 1


@given(st.dictionaries(texts, values, max_size=4))
def test_arguments_come_back_as_they_were_given(arguments: dict[str, Any]) -> None:
    kept = Scenario(arguments=arguments).arguments
    assert serialization.dumps(thaw(kept)) == serialization.dumps(arguments)
    assert serialization.dumps(Scenario(arguments=thaw(kept)).arguments) == serialization.dumps(kept)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_survive(number: float) -> None:
    components = Components(scores=(number,), poisoned=((2, number),))
    scenario = Scenario(arguments={"learning_rate": number, "lr_scheduler_kwargs": {"x": [number]}}, components=components)
    back = Scenario.from_json(serialization.loads(serialization.dumps(scenario.to_json())))
    assert back == scenario
    assert repr(back.components.scores[0]) == repr(number)
    assert repr(back.components.poisoned[0][1]) == repr(number)
    assert repr(back.arguments["learning_rate"]) == repr(number)
    assert repr(back.arguments["lr_scheduler_kwargs"]["x"][0]) == repr(number)


def test_nan_equals_itself_and_nothing_else() -> None:
    assert Scenario(arguments={"learning_rate": math.nan}) == Scenario(arguments={"learning_rate": -math.nan})
    assert Scenario(arguments={"learning_rate": math.nan}) != Scenario(arguments={"learning_rate": math.inf})
    assert Scenario(arguments={"learning_rate": 0.1}) != Scenario(arguments={"learning_rate": 0.1 + 2e-17 + 1e-17})


def test_types_are_told_apart() -> None:
    assert Scenario(arguments={"max_steps": 1}) != Scenario(arguments={"max_steps": True})
    assert Scenario() != Data()
    assert Scenario() != "Scenario()"
    assert hash(Data()) != hash(Model())


@pytest.mark.parametrize("part", PARTS)
def test_repr_of_the_default_says_nothing(part: type[Any]) -> None:
    assert repr(part()) == f"{part.__name__}()"
    assert list(part().non_defaults()) == []


def test_repr_shows_what_differs_and_nothing_else() -> None:
    scenario = Scenario(arguments={"seed": 7}, data=Data(n=3, seed=0), model=Model(name="regression", frozen=("a",)))
    assert repr(scenario) == "Scenario(arguments={'seed': 7}, data=Data(n=3), model=Model(frozen=('a',)))"


@some_scenarios
@given(anything)
def test_json_has_what_differs_and_nothing_else(scenario: Scenario) -> None:
    assert set(scenario.to_json()) == {name for name, _ in scenario.non_defaults()}
    assert all(f"{name}=" in repr(scenario) for name, _ in scenario.non_defaults())


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"argumens": {}}, "argumens"),
        ({"data": {"size": 3}}, "size"),
        ({"components": {"early_stopping": {"patients": 1}}}, "patients"),
        ({"data": {"n": "3"}}, r"\$\.data\.n"),
        ({"data": {"n": 1.5}}, r"\$\.data\.n"),
        ({"data": {"n": None}}, r"\$\.data\.n"),
        ({"model": {"frozen": "abc"}}, r"\$\.model\.frozen"),
        ({"model": []}, r"\$\.model"),
        ({"arguments": [1]}, r"\$\.arguments"),
        ({"components": {"scores": [1.0, "high"]}}, r"\$\.components\.scores\[1\]|\$\.components\.scores\[\.\.\.\]"),
        ({"components": {"poisoned": [[1]]}}, r"\$\.components\.poisoned"),
    ],
)
def test_what_is_no_scenario_is_refused_by_name(data: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidData, match=named):
        Scenario.from_json(data)


@pytest.mark.parametrize("data", [None, [], "Scenario()", 3, True])
def test_what_is_no_object_is_refused(data: Any) -> None:
    with pytest.raises(InvalidData, match="object"):
        Scenario.from_json(data)


def test_nested_too_deeply_is_refused() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"x": deep}
    with pytest.raises(InvalidData, match="deep"):
        Scenario.from_json({"arguments": deep})


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}'])
def test_constants_that_json_lacks_are_refused(text: str) -> None:
    with pytest.raises(InvalidData, match="is not JSON: write it as a string"):
        serialization.loads(text)


def test_a_key_that_is_there_twice_is_refused() -> None:
    with pytest.raises(InvalidData, match="the key 'n' is there twice"):
        serialization.loads('{"data": {"n": 1, "n": 2}}')


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({1: (1, 2.5)}, {"1": [1, 2.5]}),
        ({"b", "a"}, ["a", "b"]),
        ("half \ud800", "half \\ud800"),
        ({"\ud800": None}, {"\\ud800": None}),
        (range(2), "range(0, 2)"),
        ([True, math.inf], [True, math.inf]),
    ],
)
def test_plain_data_of_anything(value: Any, expected: Any) -> None:
    assert serialization.plain(value) == expected
    serialization.dumps(serialization.plain(value)).encode()


@pytest.mark.parametrize("text", ["", "{", "{'a': 1}", "[1,]", b"\xff\xfe\xfd", "[" * 100_000])
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidData, match="not JSON"):
        serialization.loads(text)


def test_a_scenario_can_not_be_changed() -> None:
    given_arguments = {"lr_scheduler_kwargs": {"power": 2}, "label_names": ["labels"]}
    scenario = Scenario(arguments=given_arguments)
    given_arguments["lr_scheduler_kwargs"]["power"] = 3  # type: ignore[index]
    given_arguments["label_names"].append("more")  # type: ignore[attr-defined]
    assert scenario == Scenario(arguments={"lr_scheduler_kwargs": {"power": 2}, "label_names": ["labels"]})
    with pytest.raises(AttributeError):
        scenario.data = Data()  # type: ignore[misc]
    for change in (
        lambda: scenario.arguments.update(seed=1), lambda: scenario.arguments.pop("label_names"), scenario.arguments.clear,
        lambda: scenario.arguments.setdefault("seed", 1), lambda: scenario.arguments["lr_scheduler_kwargs"].update(power=3),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="can't be changed"):
            change()


def test_frozen_dict_is_the_same_in_any_order() -> None:
    assert hash(FrozenDict({"a": 1, "b": [2]})) == hash(FrozenDict({"b": (2,), "a": 1}))
    assert list(FrozenDict({"b": 1, "a": 2})) == ["a", "b"]
    assert thaw(freeze({"a": [{"b": [1, 2]}]})) == {"a": [{"b": [1, 2]}]}


def test_argument_has_the_default_where_the_scenario_is_silent() -> None:
    scenario = Scenario(arguments={"seed": 7})
    assert scenario.argument("seed") == 7
    assert scenario.argument("data_seed") is None
    assert scenario.argument("save_strategy") == QUIET["save_strategy"] != DEFAULTS["save_strategy"]
    with pytest.raises(KeyError, match="did you mean 'seed'"):
        scenario.argument("sead")


def test_arguments_are_changed_in_copies() -> None:
    scenario = Scenario(arguments={"seed": 7})
    assert scenario.with_arguments(max_steps=2).without_arguments("seed") == Scenario(arguments={"max_steps": 2})
    assert scenario.without_arguments("max_steps") == scenario == Scenario(arguments={"seed": 7})
