"""Logged losses and tokens, against sums by hand."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer_props.oracles import accounting, log_windows, tokens
from trainer_props.scenario import Data, Scenario

RUN = Scenario(arguments={"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "max_steps": 4}, data=Data(n=3))
WINDOWS = accounting.windows(RUN)  # of 2, 1, 2 and 1 micro-batches
LOSSES = [1.0, 3.0, 5.0, 2.0, 4.0, 8.0]


def values(found: list[log_windows.LoggedLoss]) -> list[float | None]:
    return [each.value for each in found]


def test_a_log_is_the_mean_over_the_updates_since_the_last() -> None:
    assert values(log_windows.logged_losses(WINDOWS, LOSSES, [1, 3])) == [2.0, 4.0]
    assert values(log_windows.logged_losses(WINDOWS, LOSSES, [4])) == [4.5]
    assert log_windows.train_loss(WINDOWS, LOSSES).value == 4.5
    assert log_windows.update_losses(WINDOWS, LOSSES) == [2.0, 5.0, 3.0, 8.0]


def test_losses_divided_by_the_items_of_the_window_add_up() -> None:
    assert values(log_windows.logged_losses(WINDOWS, LOSSES, [1, 3], reduction="sum_over_items")) == [4.0, 5.5]
    assert log_windows.train_loss(WINDOWS, LOSSES, reduction="sum_over_items").value == 5.75


def test_the_filter_leaves_out_what_is_not_finite() -> None:
    poisoned = [1.0, math.nan, 5.0, math.inf, 4.0, 8.0]
    first, second = log_windows.logged_losses(WINDOWS, poisoned, [1, 3])
    assert (first.value, first.filtered) == (1.0, 1)
    assert second.value == pytest.approx((5 + 4 / 2) / 1.5)
    assert (second.low, second.high) == (4.0, 5.0)
    lost = log_windows.logged_losses(WINDOWS, [math.nan] * 6, [1])[0]
    assert (lost.value, lost.low, lost.filtered) == (None, None, 2)


def test_without_the_filter_a_log_shows_only_its_own_losses() -> None:
    poisoned = [1.0, math.nan, 5.0, 2.0, 4.0, math.inf]
    found = values(log_windows.logged_losses(WINDOWS, poisoned, [1, 3, 4], nan_filter=False))
    assert math.isnan(found[0] or 0)
    assert found[1:] == [4.0, math.inf]


def test_no_update_has_no_loss() -> None:
    assert log_windows.train_loss((), []).value is None


def test_bad_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="5 losses for 6 micro-batches"):
        log_windows.train_loss(WINDOWS, LOSSES[:5])
    with pytest.raises(ValueError, match="'mean_per_batch' or 'sum_over_items', not 'mean'"):
        log_windows.train_loss(WINDOWS, LOSSES, reduction="mean")


@given(st.lists(st.floats(-10, 10), min_size=6, max_size=6), st.sets(st.integers(1, 4), min_size=1))
def test_logs_weighted_by_their_updates_are_the_train_loss(losses: list[float], steps: set[int]) -> None:
    logged = sorted(steps | {4})
    found = log_windows.logged_losses(WINDOWS, losses, logged)
    updates = [after - before for before, after in pairwise([0, *logged])]
    total = sum((each.value or 0) * count for each, count in zip(found, updates, strict=True))
    expected = statistics.fmean([(losses[0] + losses[1]) / 2, losses[2], (losses[3] + losses[4]) / 2, losses[5]])
    assert total / 4 == pytest.approx(expected, abs=1e-12)
    assert log_windows.train_loss(WINDOWS, losses).value == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.one_of(st.floats(0, 10), st.sampled_from([math.nan, math.inf, -math.inf])), min_size=6, max_size=6))
def test_a_filtered_log_lies_among_its_finite_losses(losses: list[float]) -> None:
    found = log_windows.train_loss(WINDOWS, losses)
    finite = [loss for loss in losses if math.isfinite(loss)]
    if not finite:
        assert found.value is None
    elif len(finite) < len(losses):
        assert found.value is not None
        assert found.low == pytest.approx(min(finite))
        assert found.high == pytest.approx(max(finite))
        assert min(finite) - 1e-9 <= found.value <= max(finite) + 1e-9


BATCHES = [(6, 4), (6, None), (3, 3), (6, 5), (6, 6), (3, 1)]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("no", [0, 0, 0, 0]), (False, [0, 0, 0, 0]), ("all", [12, 15, 27, 30]), (True, [12, 15, 27, 30]), ("non_padding", [10, 13, 24, 25])],
)
def test_tokens_seen(asked: str | bool, expected: list[int]) -> None:
    run = RUN.with_arguments(include_num_input_tokens_seen=asked)
    assert tokens.tokens_after_updates(run, WINDOWS, BATCHES) == expected
    assert tokens.tokens_seen(run, BATCHES) == expected[-1]
