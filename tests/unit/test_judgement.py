"""Comparing: what holds, what is violated, and which place and symptom are named."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trainer_props.judgement import HOLDS, Holds, NotApplicable, Violated, close, holds_for_all, is_true, not_applicable, same

numbers = st.floats(allow_nan=True) | st.integers(-1000, 1000)
data = st.recursive(st.none() | numbers | st.text(max_size=3), lambda inner: st.lists(inner, max_size=4), max_leaves=8)
finite = st.floats(-1e6, 1e6)


def violated(judgement: Any) -> Violated:
    assert isinstance(judgement, Violated)
    return judgement


@given(data)
def test_everything_is_the_same_as_itself(value: Any) -> None:
    assert same("x", expected=value, observed=value) == HOLDS


@given(data)
def test_lists_and_tuples_are_the_same(value: Any) -> None:
    observed = tuple(value) if isinstance(value, list) else value
    assert same("x", expected=value, observed=observed) == HOLDS


@given(st.lists(st.integers(0, 3), max_size=5), st.lists(st.integers(0, 3), max_size=5))
def test_sequences_part_where_they_first_differ(expected: list[int], observed: list[int]) -> None:
    judgement = same("x", expected=expected, observed=observed, at="update")
    if expected == observed:
        assert judgement == HOLDS
        return
    shorter = min(len(expected), len(observed))
    place = next((i for i in range(shorter) if expected[i] != observed[i]), shorter)
    assert violated(judgement).divergence == f"update {place + 1}"
    assert (judgement.expected, judgement.observed, judgement.quantity) == (expected, observed, "x")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("expected", "observed", "symptom"),
    [
        (2, 1, "too small"), (1, 2, "too large"), (1.0, math.inf, "too large"), (1, None, "missing"), (None, 1, "unexpected"),
        ("a", "b", "different"),
        (1.0, math.nan, "not a number"), (math.nan, 1.0, "a number"), (True, False, "different"), (1, "1", "different"),
        ([1], 1, "different"),
        ([1, 2], [1], "too few"), ([1], [1, 2], "too many"), ([1, 2], [1, 1], "too small"), ([], [1], "too many"),
        ([[1, 2]], [[1, 3]], "different"),
        (["a"], [None], "missing"), ("ab", ["a", "b"], "different"),
    ],
)  # fmt: skip
def test_symptoms_of_what_is_not_the_same(expected: Any, observed: Any, symptom: str) -> None:
    assert violated(same("x", expected=expected, observed=observed)).symptom == symptom


@pytest.mark.parametrize(
    ("expected", "observed", "at", "place"),
    [([1], [1, 3], "", "element 1"),
     ([1, 2], [1, 3], "", "element 1"), ([1, 2], [1, 3], "update", "update 2"), (1, 2, "update 4", "update 4"),
     (1, 2, "", "")],
)
def test_places_of_what_is_not_the_same(expected: Any, observed: Any, at: str, place: str) -> None:
    assert violated(same("x", expected=expected, observed=observed, at=at)).divergence == place


def test_same_is_exact() -> None:
    assert same("x", expected=0.1 + 0.2, observed=0.3) != HOLDS
    assert same("x", expected=1, observed=1.0) == HOLDS
    assert same("x", expected={"a": 1}, observed={"a": 2}) != HOLDS


@given(finite, st.floats(0, 0.1), st.floats(-1, 1))
def test_close_is_relative_to_the_expected_or_the_scale(expected: float, tolerance: float, share: float) -> None:
    allowed = tolerance * max(1.0, abs(expected))
    assume(abs(share) < 0.99)
    assert close("x", expected=expected, observed=expected + share * allowed, tolerance=tolerance + 1e-15) == HOLDS
    assert close("x", expected=expected, observed=expected + 1.01 * allowed + 1e-9 * max(1.0, abs(expected)), tolerance=tolerance) != HOLDS


@pytest.mark.parametrize(
    ("expected", "observed", "scale", "holds"),
    [(0.0, 1e-3, 1.0, True), (0.0, 1.1e-3, 1.0, False), (100.0, 100.1, 1.0, True), (100.0, 100.2, 1.0, False), (0.0, 1e-3, 0.5, False),
     (0.0, 1e-2, 10.0, True)],
)
def test_scale_is_the_least_size_that_errors_are_measured_by(expected: float, observed: float, scale: float, holds: bool) -> None:
    judgement = close("x", expected=expected, observed=observed, tolerance=1.0000001e-3, scale=scale)
    assert (judgement == HOLDS) is holds


@pytest.mark.parametrize(
    ("expected", "observed", "holds"),
    [
        (math.nan, math.nan, True), (math.nan, 1.0, False), (1.0, math.nan, False), (math.inf, math.inf, True),
        (math.inf, -math.inf, False),
        (math.inf, 1e300, False), (1.0, math.inf, False), (None, None, True), (None, 0.0, False), (0.0, None, False),
    ],
)  # fmt: skip
def test_close_where_there_is_no_distance(expected: Any, observed: Any, holds: bool) -> None:
    assert (close("x", expected=expected, observed=observed, tolerance=1.0) == HOLDS) is holds
    assert (close("x", expected=[expected], observed=[observed], tolerance=1.0) == HOLDS) is holds


@given(st.lists(finite, max_size=5), st.lists(finite, max_size=5))
def test_close_sequences_part_where_they_first_differ(expected: list[float], observed: list[float]) -> None:
    judgement = close("x", expected=expected, observed=observed, tolerance=0.5, at="update")
    shorter = min(len(expected), len(observed))
    far = [i for i in range(shorter) if abs(expected[i] - observed[i]) > 0.5 * max(1.0, abs(expected[i]))]
    if len(expected) == len(observed):
        assert (judgement == HOLDS) is (not far)
        if far:
            assert violated(judgement).divergence == f"update {far[0] + 1}"
    else:
        assert isinstance(judgement, Violated)


@pytest.mark.parametrize(
    ("expected", "observed", "symptom"),
    [([1.0, 2.0], [1.0, 1.0], "too small"), ([1.0], [1.0, 2.0], "too many"), ([1.0, 2.0], [1.0], "too few")],
)
def test_symptoms_of_what_is_not_close(expected: Any, observed: Any, symptom: str) -> None:
    assert violated(close("x", expected=expected, observed=observed, tolerance=0.1)).symptom == symptom


def test_holds_for_all_gives_the_first_violation() -> None:
    first, second = Violated("a", 1, 2, "too large"), Violated("b", 2, 1, "too small")
    assert holds_for_all("all", [HOLDS, not_applicable("no"), first, second]) is first
    assert holds_for_all("all", iter([second, first])) is second


def test_holds_for_all_needs_something_that_was_judged() -> None:
    assert holds_for_all("all", [not_applicable("no"), HOLDS]) == HOLDS
    for nothing in ([], [not_applicable("no")]):
        judgement = holds_for_all("the losses", nothing)
        assert isinstance(judgement, NotApplicable)
        assert "the losses" in judgement.reason


def test_is_true_says_what_was_promised() -> None:
    assert is_true("x", True, expected="a", observed="b") == HOLDS
    assert is_true("x", False, expected="a", observed="b", symptom="late", at="step 2") == Violated("x", "a", "b", "late", "step 2")


def test_judgements_are_values() -> None:
    assert Holds() == HOLDS
    assert violated(same("x", expected=1, observed=2)) == Violated("x", 1, 2, "too large", "", "violated")
    assert hash(not_applicable("no")) == hash(NotApplicable("no"))
