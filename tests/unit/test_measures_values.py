"""What measures say of records: what the oracles say where both speak of the same."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer_props.measures import callbacks, data_order, logs, steps
from trainer_props.oracles import accounting, events, log_windows
from trainer_props.oracles.accounting import Window
from trainer_props.record import Event, Failure, MicroBatch, Record, Update
from trainer_props.scenario import Data, Scenario

# The grammar of events, against the oracle's.

NAMES = {letter: name for name, letter in events.LETTERS.items()}


def spoken(word: str) -> Record:
    return Record(events=[Event(NAMES[letter], 0, 0.0, "", 0) for letter in word])


sentences = st.from_regex(re.compile("T(i{0,2}lv)?(E(Su{0,2}posl?(i{0,2}lv)?k?){1,3}el?(i{0,2}lv)?k?){0,3}lt"), fullmatch=True)


@given(sentences)
def test_finished_runs_follow_the_grammar(word: str) -> None:
    assert events.first_break(word) is None
    assert callbacks.events_follow_the_grammar(spoken(word)).value


@given(sentences, st.data())
def test_the_grammar_is_that_of_the_oracle(word: str, data: st.DataObject) -> None:
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(word))] * 2)))
    added = data.draw(st.text(alphabet=list(NAMES), max_size=3) | st.sampled_from(["lv", "ilv", "k", "Spos", "ESpose", "u", "lt"]))
    damaged = word[:start] + added + word[start if data.draw(st.booleans()) else min(end, start + 3) :]
    assert callbacks.events_follow_the_grammar(spoken(damaged)).value == (events.first_break(damaged) is None)


@pytest.mark.parametrize("word", ["TESposselt", "TESposelvlvlt", "TESposklelt", "TEelt", "TESposel", "", "Tilt", "TlvTlt"])
def test_what_is_no_word_of_the_grammar(word: str) -> None:
    assert not callbacks.events_follow_the_grammar(spoken(word)).value


def flagged(*said: tuple[str, str]) -> Record:
    return Record(events=[Event(name, 0, 0.0, flags, 0) for name, flags in said])


def test_flags_left_set() -> None:
    assert callbacks.flags_are_reset(flagged(("on_step_end", "lvk"), ("on_log", "vk"), ("on_step_begin", "t"))).value
    assert not callbacks.flags_are_reset(flagged(("on_step_end", "l"), ("on_log", "l"))).value
    assert callbacks.event_with_a_flag_left(flagged(("on_step_end", "k"), ("on_step_begin", "k"))) == 1


def test_steps_after_a_stop() -> None:
    stopped = [("on_step_end", "t"), ("on_epoch_end", "t"), ("on_step_begin", "")]
    assert callbacks.step_after_a_stop(flagged(*stopped)) == [2, 0]
    assert not callbacks.no_step_begins_after_a_stop(flagged(*stopped)).value
    assert callbacks.no_step_begins_after_a_stop(flagged(*stopped[:2], ("on_train_begin", ""), stopped[2])).value


# Losses and tokens, against the oracles.


def batch(*samples: int, loss: float | None = 0.0, tokens: int = 0, masked: int | None = None) -> MicroBatch:
    return MicroBatch(samples, len(samples), loss, 0, 0, None, (), tokens, masked, training=True, grad=True, width=1)


def trained(sizes: Sequence[int], losses: Sequence[float], logged: Sequence[tuple[int, float]] = ()) -> Record:
    ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
    updates = [Update(step, end, (), None, torch.zeros(0), None) for step, end in enumerate(ends, 1)]
    history = [{"loss": loss, "step": step} for step, loss in logged]
    return Record(batches=[batch(loss=loss) for loss in losses], updates=updates, log_history=history)


@st.composite
def trainings(draw: st.DrawFn, *, finite: bool = True) -> tuple[list[int], list[float], list[int]]:
    """Micro-batches of each update, their losses, and the updates after which is logged."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=5))
    loss = st.floats(-100, 100) if finite else st.floats(-100, 100) | st.sampled_from([math.nan, math.inf])
    losses = draw(st.lists(loss, min_size=sum(sizes), max_size=sum(sizes)))
    return sizes, losses, draw(st.lists(st.integers(1, len(sizes)), min_size=1, unique=True).map(sorted))


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 3), st.integers(0, 12))
def test_windows_are_those_of_the_oracle(n: int, accumulation: int, size: int, updates: int) -> None:
    arguments = {"per_device_train_batch_size": size, "gradient_accumulation_steps": accumulation, "max_steps": max(1, updates)}
    scenario = Scenario(arguments=arguments, data=Data(n=n))
    expected, per_epoch = accounting.windows(scenario, updates), accounting.batches_per_epoch(scenario)
    ends = [sum(window.batches for window in expected[: index + 1]) for index in range(updates)]
    record = trained([window.batches for window in expected], [0.0] * sum(window.batches for window in expected))
    record.global_step, record.events = updates, [Event("on_step_end", 0, 0.0, "", 0)] * updates
    assert steps.ends_of_whole_windows(record, per_epoch, accumulation).value == ends
    assert steps.batches_of_whole_windows(record, per_epoch, accumulation).value == accounting.number_of_forwards(scenario, updates)
    epochs = [window.epoch_after for window in expected]
    assert steps.epochs_of_whole_windows(record, 0, per_epoch, accumulation).value == epochs
    assert steps.epochs_of_whole_windows(record, 1, per_epoch, accumulation).value == epochs[1:]
    assert data_order.sizes_by_epochs(record, per_epoch, n, size).value == [rows for window in expected for rows in window.sizes or ()]


reductions = st.sampled_from([log_windows.MEAN_PER_BATCH, log_windows.SUM_OVER_ITEMS])


def windows(sizes: Sequence[int]) -> list[Window]:
    return [Window(0, 0, size, None, 0.0, epoch_known=True) for size in sizes]


@given(trainings(), reductions)
def test_mean_losses_are_those_of_the_oracle(training: tuple[list[int], list[float], list[int]], reduction: str) -> None:
    sizes, losses, logged = training
    record = trained(sizes, losses, [(step, 0.0) for step in logged])
    expected = log_windows.logged_losses(windows(sizes), losses, logged, reduction=reduction)
    found = logs.mean_losses(record, list(range(len(logged))), reduction).value
    assert found == pytest.approx([each.value for each in expected], abs=1e-9)
    assert logs.mean_losses(record, [len(logged) - 1], reduction).value == found[-1:]
    whole = log_windows.train_loss(windows(sizes), losses, reduction=reduction).value
    assert logs.mean_loss_of_updates(record, reduction).value == pytest.approx(whole, abs=1e-9)


@given(trainings(finite=False), reductions, st.floats(-350, 350))
def test_a_log_is_among_the_finite_losses_of_the_oracle(
    training: tuple[list[int], list[float], list[int]], reduction: str, said: float
) -> None:
    sizes, losses, logged = training
    last = log_windows.logged_losses(windows(sizes), losses, logged, reduction=reduction)[-1]
    record = trained(sizes, losses, [*((step, 0.0) for step in logged[:-1]), (logged[-1], said)])
    found = logs.log_is_among_finite_losses(record, len(logged) - 1, reduction, 1e-9).value
    if last.low is None or last.high is None:
        assert found
    elif min(abs(said - last.low), abs(said - last.high)) > 1e-6 and last.filtered:
        assert found is (last.low < said < last.high)


def test_tokens() -> None:
    record = trained([2, 1], [0.0] * 3, [(1, 0.0), (2, 0.0)])
    record.batches = [batch(tokens=4, masked=3), batch(tokens=4), batch(tokens=2, masked=1)]
    assert logs.tokens_of_batches(record, "all").value == 10
    assert logs.tokens_of_batches(record, "non_padding").value == 8
    assert logs.tokens_until_logs(record, "all").value == [8, 10]
    assert logs.tokens_until_logs(record, "non_padding").value == [7, 8]


@pytest.mark.parametrize(("rate", "holds"), [(20.0, True), (20.002, True), (40.0, False), (19.9, False)])
def test_speed(rate: float, holds: bool) -> None:
    record = Record(global_step=10, metrics={"train_runtime": 0.5, "train_steps_per_second": rate})
    assert logs.speed_is_steps_over_runtime(record).value is holds


def test_the_summary_ends_the_history() -> None:
    whole = dict.fromkeys(logs.SUMMARY, 1.0)
    assert logs.history_ends_with_a_summary(Record(log_history=[{}, whole], metrics=whole)).value
    assert not logs.history_ends_with_a_summary(Record(log_history=[whole, {}], metrics=whole)).value
    assert not logs.history_ends_with_a_summary(Record(log_history=[whole])).value
    assert not logs.history_ends_with_a_summary(Record(metrics=whole)).value


# Steps, endings and samples.


@pytest.mark.parametrize(
    ("record", "ending", "without_update"),
    [
        (Record(global_step=0), "it ends", True),
        (Record(global_step=1), "it ends", False),
        (Record(stuck="too long"), "too long", False),
        (Record(failure=Failure("train", "ValueError", "No sample.")), "ValueError: No sample.", True),
        (Record(failure=Failure("train", "TypeError", "No sample.")), "TypeError: No sample.", False),
        (Record(failure=Failure("train", "ValueError", "other")), "ValueError: other", False),
    ],
)
def test_endings(record: Record, ending: str, without_update: bool) -> None:
    assert steps.ending(record).value == ending
    assert steps.refused_or_without_update(record).value is without_update


def test_epochs_of_events() -> None:
    said = [("on_epoch_begin", None), ("on_step_end", 0.5), ("on_log", None), ("on_step_end", 0.25)]
    record = Record(events=[Event(name, step, epoch, "", 0) for step, (name, epoch) in enumerate(said)])
    assert steps.epochs_after_updates(record, 0).value == [0.5, 0.25]
    assert steps.epochs_after_updates(record, 1).value == [0.25]
    assert [steps.epoch_before_event(record, index).value for index in range(4)] == [0.0, 0.0, 0.5, 0.5]
    assert steps.epoch_of_event(record, 3).value == 0.25
    assert steps.largest_step_of_events(record).value == 3
    assert steps.largest_step_of_events(Record()).value == 0


def test_samples_of_epochs() -> None:
    record = Record(batches=[batch(2, 0), batch(1), batch(1, 1)])
    assert data_order.samples_of_epoch(record, 0, 2).value == [2, 0, 1]
    assert data_order.sorted_samples_of_epoch(record, 0, 2).value == data_order.positions_of_epoch(record, 0, 2).value == [0, 1, 2]
    assert data_order.samples_of_epoch(record, 1, 2).value == [1, 1]
    assert [data_order.no_sample_twice(record, epoch, 2).value for epoch in (0, 1)] == [True, False]
    assert [data_order.different_samples(record, epoch, 2).value for epoch in (0, 1)] == [3, 1]
    assert data_order.sizes_of_batches(record).value == [2, 1, 2]


def test_nothing_is_asked_of_an_epoch_that_is_not_complete() -> None:
    record = Record(batches=[batch(1), batch(1), batch(0)])
    assert [data_order.all_samples(record, epoch, 2, 2).value for epoch in (0, 1)] == [[0, 1], [0]]
    assert [data_order.number_of_samples(record, epoch, 2, 2).value for epoch in (0, 1)] == [2, 1]
    assert [data_order.is_shuffled(record, epoch, 2).value for epoch in (0, 1)] == [False, True]
    assert data_order.length_of_first(record, 2, 2, []).value is data_order.length_of_longest(record, 2, 2, []).value is None


@pytest.mark.parametrize(("orders", "differ"), [([[0, 1], [1, 0]], True), ([[0, 1], [1, 0], [0, 1]], False), ([[0, 1]], True)])
def test_orders_of_complete_epochs(orders: list[list[int]], differ: bool) -> None:
    record = Record(batches=[batch(sample) for order in orders for sample in order])
    record.batches.append(batch(0))  # of an epoch that is not complete
    assert data_order.orders_differ(record, 2).value is differ


def test_lengths_in_groups() -> None:
    record, lengths = Record(batches=[batch(3, 1), batch(0, 2)]), [5, 2, 4, 9]
    assert data_order.length_of_first(record, 0, 2, lengths).value == data_order.length_of_longest(record, 0, 2, lengths).value == 9
    assert data_order.groups_are_sorted(record, 0, 2, 2, lengths).value
    assert not data_order.groups_are_sorted(record, 0, 2, 4, lengths).value


