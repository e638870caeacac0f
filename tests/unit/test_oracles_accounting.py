"""Steps, epochs and windows, against cutting up lists of rows by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer_props.oracles import accounting
from trainer_props.scenario import Data, Devices, Scenario


def scenario(n: int = 16, kind: str = "regression", devices: int = 1, n_eval: int = 0, **arguments: Any) -> Scenario:
    return Scenario(arguments=arguments, data=Data(kind=kind, n=n, n_eval=n_eval), devices=Devices(count=devices))


def cut(rows: list[int], size: int) -> list[list[int]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


runs = st.builds(
    scenario,
    n=st.integers(1, 20),
    kind=st.sampled_from(["regression", "sized_stream", "stream"]),
    devices=st.integers(1, 3),
    per_device_train_batch_size=st.integers(1, 5),
    gradient_accumulation_steps=st.integers(1, 4),
    dataloader_drop_last=st.booleans(),
    max_steps=st.integers(1, 12),
)


@given(runs)
def test_windows_are_what_cutting_the_rows_of_every_pass_gives(run: Scenario) -> None:
    size = run.argument("per_device_train_batch_size") * run.devices.count
    batches = cut(list(range(run.data.n)), size)
    if run.argument("dataloader_drop_last") and run.data.kind == "regression":
        batches = [batch for batch in batches if len(batch) == size]
    groups = cut(list(range(len(batches))), run.argument("gradient_accumulation_steps"))
    total = run.argument("max_steps") if batches else 0
    expected = [(epoch, group) for epoch in range(total) for group in groups][:total]

    windows = accounting.windows(run)

    assert accounting.batches_per_epoch(run) == len(batches)
    assert accounting.updates_per_epoch(run) == len(groups)
    assert [(each.epoch, list(range(each.first, each.first + each.batches))) for each in windows] == expected
    assert [each.sizes for each in windows] == [tuple(len(batches[index]) for index in group) for _, group in expected]
    assert accounting.total_updates(run) == len(windows) == total
    assert accounting.number_of_forwards(run) == sum(len(group) for _, group in expected)
    assert accounting.epochs_begun(run) == len({epoch for epoch, _ in expected})
    for window in windows:
        complete = window.first + window.batches == len(batches)
        assert window.epoch_after == pytest.approx(window.epoch + (window.first + window.batches) / len(batches), rel=1e-15)
        assert (window.epoch_after == window.epoch + 1) is complete
        assert window.epoch_known is (run.data.kind != "stream" or window.epoch > 0)


@given(runs, st.integers(0, 12))
def test_a_stopped_run_has_the_first_windows(run: Scenario, stop: int) -> None:
    whole = accounting.windows(run)
    stop = min(stop, len(whole))
    assert accounting.windows(run, stop) == whole[:stop]
    assert accounting.number_of_forwards(run, stop) == sum(window.batches for window in whole[:stop])
    assert accounting.epochs_begun(run, stop) == len({window.epoch for window in whole[:stop]})


@pytest.mark.parametrize(
    ("n", "epochs", "updates"),
    [(25, 2.2, 55), (25, 4.4, 110), (10, 1.1, 11), (2, 0.5, 1), (3, 0.5, 2), (3, 2.0, 6), (3, 2.01, 7), (7, 1e-05, 1), (7, 0, 0)],
)
def test_epochs_are_decimals_and_their_rest_is_rounded_up(n: int, epochs: float, updates: int) -> None:
    assert accounting.total_updates(scenario(n, per_device_train_batch_size=1, num_train_epochs=epochs)) == updates


def test_steps_win_over_epochs_and_none_means_none() -> None:
    run = scenario(8, per_device_train_batch_size=2, num_train_epochs=5)
    assert accounting.total_updates(run) == 20
    assert accounting.total_updates(run.with_arguments(max_steps=3)) == 3
    assert accounting.total_updates(run.with_arguments(max_steps=0)) == 0
    assert accounting.windows(run.with_arguments(max_steps=0)) == ()
    assert accounting.number_of_forwards(run.with_arguments(max_steps=0)) == accounting.epochs_begun(run.with_arguments(max_steps=0)) == 0


def test_without_a_full_batch_nothing_is_trained() -> None:
    run = scenario(3, per_device_train_batch_size=4, dataloader_drop_last=True, max_steps=2)
    assert (accounting.batches_per_epoch(run), accounting.total_updates(run), accounting.windows(run)) == (0, 0, ())
    assert accounting.total_updates(run.without_arguments("max_steps")) == 0


def test_defaults_are_those_of_the_documentation() -> None:
    assert accounting.total_updates(scenario(20)) == 9  # three epochs of batches of eight
    assert [window.sizes for window in accounting.windows(scenario(20), 3)] == [(8,), (8,), (4,)]


def test_total_train_batch_size_multiplies_batch_devices_and_accumulation() -> None:
    run = scenario(per_device_train_batch_size=3, gradient_accumulation_steps=5, devices=2)
    assert accounting.total_train_batch_size(run) == 30


@pytest.mark.parametrize(
    ("value", "total", "steps"),
    [(0.07, 100, 7), (0.1, 30, 3), (0.29, 100, 29), (0.3, 10, 3), (0.34, 3, 2), (0.0, 9, 0), (1, 9, 1), (1.0, 9, 1), (9, 9, 9)],
)
def test_ratios_are_exact_decimals(value: float, total: int, steps: int) -> None:
    assert accounting.resolve_steps(value, total) == steps


@pytest.mark.parametrize(("rows", "drop_last", "batches"), [(9, False, 6), (9, True, 4), (8, True, 4), (1, False, 2)])
def test_rebalancing_cuts_effective_batches(rows: int, drop_last: bool, batches: int) -> None:
    run = scenario(
        rows, per_device_train_batch_size=2, gradient_accumulation_steps=2, train_sampling_strategy="batch_rebalance",
        dataloader_drop_last=drop_last, num_train_epochs=1)
    assert accounting.batches_per_epoch(run) == batches
    assert {(window.batches, window.sizes) for window in accounting.windows(run)} == {(2, None)}


@pytest.mark.parametrize(
    ("kind", "drop_last", "devices", "batches"),
    [("regression", False, 1, 3), ("regression", True, 1, 2), ("stream", True, 1, 3), ("regression", False, 2, 2)],
)
def test_evaluation_batches(kind: str, drop_last: bool, devices: int, batches: int) -> None:
    run = scenario(kind=kind, n_eval=5, devices=devices, per_device_eval_batch_size=2, dataloader_drop_last=drop_last)
    assert accounting.evaluation_batches(run) == batches
