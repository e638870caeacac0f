"""What a user holds fixed: experiments and models for which it makes no sense are left out, and the others bring what it needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainer_props.arguments import DRAWN, FIELDS, default
from trainer_props.case import Case
from trainer_props.cli.choosing import for_arguments, held_arguments
from trainer_props.cli.common import UsageError
from trainer_props.engine.drawing import draw
from trainer_props.experiments import EXPERIMENTS, Held, avoided, suitable
from trainer_props.properties import PROPERTIES
from trainer_props.reports.terminal import make_console
from trainer_props.subjects import DEFAULT, load
from trainer_props.zoo import MODELS


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_what_an_experiment_avoids_is_at_its_default_in_all_of_its_cases(name: str) -> None:
    experiment = EXPERIMENTS[name]
    assert {argument: FIELDS[argument].status for argument in experiment.avoids} == dict.fromkeys(experiment.avoids, DRAWN)
    for argument in experiment.avoids:
        assert avoided(experiment, Held(arguments={argument: default(argument)})) == []
        assert argument in avoided(experiment, Held(arguments={argument: object()}, own_data=True))
    for case in drawn(name, {}) if experiment.avoids else ():
        assert all(case.scenario.argument(argument) == default(argument) for argument in experiment.avoids)


@pytest.mark.parametrize(
    ("held", "without"),
    [
        ({"eval_on_start": True}, {"resume", "life", "train_with_flags", "play_one_rank"}),
        ({"save_only_model": True}, {"train_frozen", "resume_in_processes"}),
        ({"dataloader_num_workers": 1}, {"train_in_processes", "shard_data", "resume_in_processes"}),
        ({"label_smoothing_factor": 0.1}, {"train_with_flags", "play_one_rank", "life"}),
        ({"train_sampling_strategy": "group_by_length"}, {"play_one_rank", "life", "generate"}),
    ],
)  # fmt: skip
def test_experiments_that_avoid_what_is_held_are_not_run(held: dict[str, Any], without: set[str]) -> None:
    left = set(suitable(list(EXPERIMENTS), Held(arguments=held)))
    assert without & left == set()
    assert len(left) > len(EXPERIMENTS) / 4
    assert without <= set(suitable(list(EXPERIMENTS), Held(arguments={name: default(name) for name in held})))


@pytest.mark.parametrize(
    ("held", "able"),
    [
        ({"label_smoothing_factor": 0.1}, lambda kind: kind.classifies and kind.pretrained),
        ({"label_smoothing_factor": 0.0}, lambda kind: True),
        ({"train_sampling_strategy": "batch_rebalance"}, lambda kind: kind.main_input_name == "input_ids"),
        ({"train_sampling_strategy": "sequential"}, lambda kind: True),
        ({"label_names": ["labels"]}, lambda kind: list(kind.label_names) == ["labels"]),
    ],
)  # fmt: skip
def test_models_for_which_it_makes_no_sense_are_left_out(held: dict[str, Any], able: Any) -> None:
    expected = {name for name, kind in MODELS.items() if able(kind)}
    found = Held(arguments=held).models
    assert set(MODELS if found is None else found) == expected
    assert Held(arguments=held, own_data=True).models is None
    one = min(expected)
    assert Held(arguments=held, models=[one, "regression"]).models in ((one,), (one, "regression"), [one, "regression"])


def drawn(name: str, held: dict[str, Any]) -> list[Case]:
    cases: list[Case] = []
    draw(EXPERIMENTS[name].cases(Held(arguments=held)), cases.append, number=1, max_examples=60)
    return cases


@pytest.mark.parametrize("name", ["train_once", "train_and_save", "train_with_flags"])
def test_a_metric_that_is_held_is_computed(name: str) -> None:
    cases = drawn(name, {"metric_for_best_model": "score", "eval_strategy": "epoch"})
    assert cases
    assert all(case.scenario.components.scores for case in cases)


@pytest.mark.parametrize("name", ["train_once", "train_and_save"])
def test_without_predictions_there_is_no_metric_to_go_by(name: str) -> None:
    metrics = {case.scenario.argument("metric_for_best_model") for case in drawn(name, {"prediction_loss_only": True})}
    assert metrics <= {None, "loss", "eval_loss"}


def test_what_is_not_run_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "arguments.json"
    path.write_text(json.dumps({"eval_on_start": True, "metric_for_best_model": "accuracy"}), encoding="utf-8")
    console = make_console()
    held = held_arguments(load(DEFAULT), path, None, console)
    assert dict(held.arguments) == {"eval_on_start": True}
    experiments, properties = for_arguments(["train_once", "life", "resume"], list(PROPERTIES), held, console)
    assert experiments == ["train_once"]
    assert {PROPERTIES[each].chapter for each in properties}.isdisjoint({"life", "resume"})
    told = capsys.readouterr().out
    assert "metric_for_best_model is not held (the models of a check have loss and score to go by)" in told
    assert "not run, since eval_on_start is held: life, resume" in told
    with pytest.raises(UsageError, match="eval_on_start is held: with another value than its default life can't be run"):
        for_arguments(["life"], list(PROPERTIES), held, console)


@pytest.mark.parametrize(
    "held",
    [
        {"label_smoothing_factor": 0.1}, {"train_sampling_strategy": "batch_rebalance"}, {"label_names": ["target"]},
        {"label_names": ["nothing of ours"]},
    ],
)  # fmt: skip
def test_experiments_that_are_left_have_something_to_draw(held: dict[str, Any]) -> None:
    for name in suitable(list(EXPERIMENTS), Held(arguments=held)):
        draw(EXPERIMENTS[name].cases(Held(arguments=held)), lambda case: None, number=1, max_examples=10)
