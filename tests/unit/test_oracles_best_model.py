"""Best metric, early stopping, rotation and the course of a run, against enumeration and cases by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer_props.oracles import best_model
from trainer_props.oracles.best_model import Best
from trainer_props.oracles.course import Saved, course
from trainer_props.scenario import Components, Data, EarlyStopping, Scenario

NAN = math.nan


def scenario(patience: int | None = None, threshold: float = 0.0, n: int = 4, **arguments: Any) -> Scenario:
    stopping = None if patience is None else EarlyStopping(patience=patience, threshold=threshold)
    return Scenario(
        arguments={"per_device_train_batch_size": 2, "metric_for_best_model": "score", **arguments},  # two updates an epoch
        data=Data(n=n, n_eval=2),
        components=Components(early_stopping=stopping),
    )


@pytest.mark.parametrize(
    ("arguments", "name", "greater"),
    [
        ({}, None, True),
        ({"load_best_model_at_end": True}, "loss", False),
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "loss", False),
        ({"lr_scheduler_type": "greedy"}, "loss", False),
        ({"metric_for_best_model": "eval_accuracy"}, "accuracy", True),
        ({"metric_for_best_model": "eval_loss"}, "loss", False),
        ({"metric_for_best_model": "my_loss"}, "my_loss", False),
        ({"metric_for_best_model": "loss_ratio"}, "loss_ratio", True),
        ({"metric_for_best_model": "accuracy", "greater_is_better": False}, "accuracy", False),
        ({"metric_for_best_model": "loss", "greater_is_better": True}, "loss", True),
    ],
)
def test_metric_and_direction(arguments: dict[str, Any], name: str | None, *, greater: bool) -> None:
    run = Scenario(arguments=arguments)
    assert best_model.metric_name(run) == name
    assert best_model.greater_is_better(run) is greater


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.0, 0.5, 1.0, math.inf, -math.inf, NAN])), max_size=6), st.booleans())
def test_best_is_the_first_extremum_among_numbers(evaluations: list[tuple[int, float]], greater: bool) -> None:
    numbers = [(step, value) for step, value in evaluations if not math.isnan(value)]
    found = best_model.best_of(evaluations, greater)
    if not numbers:
        assert found is None
        return
    extremum = (max if greater else min)(value for _, value in numbers)
    assert found == Best(extremum, next(step for step, value in numbers if value == extremum))


def stops(values: Sequence[float], patience: int, threshold: float) -> int | None:
    """By definition: the first evaluation that ends `patience` evaluations in a row, none of which beats the best before it by enough."""
    def fails(index: int) -> bool:
        before = [value for value in values[:index] if not math.isnan(value)]
        if index == 0 or math.isnan(values[index]):
            return index > 0
        return bool(before) and not (values[index] > max(before) and values[index] - max(before) > threshold)

    for index in range(len(values)):
        if index + 1 >= patience and all(fails(each) for each in range(index + 1 - patience, index + 1)):
            return index
    return None


def test_early_stopping_by_enumeration() -> None:
    for patience, threshold in itertools.product([1, 2, 3], [0.0, 1.0]):
        run = scenario(patience, threshold)
        mirrored = run.with_arguments(greater_is_better=False)
        for values in itertools.product([0.0, 1.0, 2.0, NAN], repeat=4):
            expected = stops(values, patience, threshold)
            assert best_model.early_stopping(run, values) == expected
            assert best_model.early_stopping(mirrored, [-value for value in values]) == expected


def test_without_early_stopping_nothing_stops() -> None:
    assert best_model.early_stopping(scenario(), [3, 2, 1]) is None


@pytest.mark.parametrize(
    ("limit", "best", "expected"),
    [
        (None, [None, None, None], [[1], [1, 2], [1, 2, 3]]),
        (0, [None, None, None], [[1], [1, 2], [1, 2, 3]]),
        (2, [None, None, None, None], [[1], [1, 2], [2, 3], [3, 4]]),
        (1, [None, None, None], [[1], [2], [3]]),
        (1, [1, 1, 3, 3], [[1], [1, 2], [3], [3, 4]]),
        (2, [1, 1, 1, 4], [[1], [1, 2], [1, 3], [3, 4]]),
        (3, [1, 1, 1, 1, 1], [[1], [1, 2], [1, 2, 3], [1, 3, 4], [1, 4, 5]]),
        (2, [1, 2, 2, 2], [[1], [1, 2], [2, 3], [2, 4]]),
    ],
)
def test_rotation(limit: int | None, best: list[int | None], expected: list[list[int]]) -> None:
    saves = list(enumerate(best, start=1))
    found = best_model.rotation(scenario(save_total_limit=limit), saves)
    assert found == [tuple(f"checkpoint-{step}" for step in steps) for steps in expected]


@given(st.integers(1, 4), st.lists(st.integers(0, 7), min_size=1, max_size=8), st.booleans())
def test_rotation_keeps_the_newest_and_the_best_and_no_more_than_it_must(limit: int, choices: list[int], load: bool) -> None:
    run = scenario(save_total_limit=limit, load_best_model_at_end=load)
    saves: list[tuple[int, int | None]] = []
    present = [0]
    for step, choice in enumerate(choices, start=1):
        candidates = [*present[1:], step] if len(present) > 1 else [step]
        saves.append((step, candidates[choice % len(candidates)]))
        names = best_model.rotation(run, saves)[-1]
        before = present
        present = [0, *(int(name.removeprefix("checkpoint-")) for name in names)]
        kept = set(present[1:])
        protected = {step, saves[-1][1]}
        assert protected <= kept <= {*before[1:], step}
        assert len(kept) == min(len({*before[1:], step}), max(limit, len(protected)))
        gone = set(before[1:]) - kept
        assert all(each > max(gone, default=0) for each in kept - protected)
    at_end = best_model.folders_at_end(run, saves)
    assert at_end == ((f"checkpoint-{saves[-1][1]}",) if limit == 1 and load else names)


def test_nothing_saved_leaves_nothing() -> None:
    assert best_model.rotation(scenario(), []) == []
    assert best_model.folders_at_end(scenario(save_total_limit=1, load_best_model_at_end=True), []) == ()


def test_one_checkpoint_without_a_known_best_stays() -> None:
    assert best_model.folders_at_end(scenario(save_total_limit=1, load_best_model_at_end=True), [(2, None), (4, None)]) == ("checkpoint-4",)


EVERY_TWO = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 2, "max_steps": 5}


def test_the_best_checkpoint_is_the_best_of_those_that_were_saved() -> None:
    found = course(scenario(**EVERY_TWO), values=[0.1, 0.3, 0.9, 0.5, 0.4])
    assert found.best == Best(0.9, 3)
    assert found.saves == (Saved(2, Best(0.3, 2), 2), Saved(4, Best(0.9, 3), 4), Saved(5, Best(0.9, 3), 4))
    assert found.best_checkpoint == 4
    assert found.rotated == [(2, 2), (4, 4), (5, 4)]
    assert (found.evaluations, found.updates, found.stopped) == ((1, 2, 3, 4, 5), 5, False)


def test_without_values_nothing_is_best() -> None:
    found = course(scenario(**EVERY_TWO))
    assert (found.best, found.best_checkpoint, found.saves[-1]) == (None, None, Saved(5, None, None))


def test_an_evaluation_after_the_save_of_the_same_step_counts() -> None:
    run = scenario(eval_strategy="epoch", save_strategy="steps", save_steps=2, max_steps=4)
    found = course(run, values=[0.3, 0.5])
    assert found.saves == (Saved(2, None, None), Saved(4, Best(0.3, 2), 2))
    assert found.best_checkpoint == 4


def test_saving_the_best_saves_at_every_new_best() -> None:
    run = scenario(eval_strategy="steps", eval_steps=1, save_strategy="best", max_steps=5)
    found = course(run, values=[NAN, 0.3, 0.3, 0.9, 0.4])
    assert [saved.step for saved in found.saves] == [2, 4]
    assert [moment.step for moment in found.moments if moment.save] == [2, 4]


def test_the_evaluation_before_training_counts_unless_told_otherwise() -> None:
    run = scenario(eval_strategy="steps", eval_steps=1, save_strategy="best", max_steps=3, eval_on_start=True)
    scores = [0.5, 0.4, 0.6, 0.2]
    found = course(run, values=scores)
    assert (found.evaluations, [saved.step for saved in found.saves], found.best) == ((0, 1, 2, 3), [2], Best(0.6, 2))
    assert [saved.step for saved in course(run, values=scores, start_counts=False).saves] == [1, 2]
    assert course(run, values=[0.9, 0.4, 0.6, 0.2]).best == Best(0.9, 0)


def test_stopping_inside_an_epoch_ends_the_epoch_and_its_plans() -> None:
    run = scenario(1, n=8, eval_strategy="steps", eval_steps=1, logging_strategy="epoch", save_strategy="epoch", max_steps=6)
    found = course(run, values=[0.5, 0.6, 0.6, 0.7, 0.8, 0.9])
    assert (found.updates, found.stopped, found.evaluations) == (3, True, (1, 2, 3))
    ends = [(moment.step, moment.ends_epoch, moment.log, moment.save) for moment in found.moments[-2:]]
    assert ends == [(3, False, False, False), (3, True, True, True)]


def test_stopping_at_the_end_of_an_epoch_stops_there() -> None:
    run = scenario(1, eval_strategy="epoch", save_strategy="epoch", max_steps=6)
    found = course(run, values=[0.5, 0.4, 0.9])
    assert (found.updates, found.stopped, [saved.step for saved in found.saves]) == (4, True, [2, 4])


def test_the_start_takes_part_in_stopping_unless_told_otherwise() -> None:
    run = scenario(1, eval_strategy="steps", eval_steps=1, max_steps=3, eval_on_start=True)
    assert course(run, values=[0.5, 0.4, 0.3, 0.2]).updates == 1
    assert course(run, values=[0.5, 0.4, 0.3, 0.2], start_counts=False).updates == 2


def test_missing_values_are_refused() -> None:
    with pytest.raises(ValueError, match="2 metric values, and the evaluation at step 3 needs one more"):
        course(scenario(**EVERY_TWO), values=[0.1, 0.2])
    for run in (scenario(1, **EVERY_TWO), scenario(eval_strategy="epoch", save_strategy="best")):
        with pytest.raises(ValueError, match="depends on its metric values"):
            course(run)
