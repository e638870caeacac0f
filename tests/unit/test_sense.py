"""Cases that make sense: all that are drawn, and not all that are made of them by taking settings away."""

from __future__ import annotations

from typing import Any

import pytest

from trainer_props.case import Case
from trainer_props.engine.drawing import draw
from trainer_props.engine.plainer import plainer
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.experiments.sense import makes_sense
from trainer_props.scenario import Components, Data, Devices, EarlyStopping, Model, Scenario


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_what_is_drawn_makes_sense(name: str) -> None:
    drawn: list[Case] = []
    draw(EXPERIMENTS[name].cases(Held()), drawn.append, number=1, max_examples=60)
    assert drawn
    assert [case for case in drawn if not makes_sense(case)] == []


@pytest.mark.parametrize(
    "case",
    [
        Case(scenario=Scenario(model=Model(name="lstm"))),
        Case(scenario=Scenario(data=Data(kind="dynamic"), model=Model(name="lstm"))),
        Case(scenario=Scenario(data=Data(kind="target"), model=Model(name="regression_renamed"), arguments={"label_names": ["labels"]})),
        Case(scenario=Scenario(arguments={"label_smoothing_factor": 0.1})),
        Case(scenario=Scenario(arguments={"lr_scheduler_type": "warmup_stable_decay"})),
        Case(scenario=Scenario(arguments={"lr_scheduler_type": "cosine_with_min_lr"})),
        Case(scenario=Scenario(arguments={"metric_for_best_model": "eval_score", "eval_strategy": "epoch"}, data=Data(n_eval=1))),
        Case(scenario=Scenario(arguments={"eval_on_start": True})),
        Case(scenario=Scenario(components=Components(early_stopping=EarlyStopping()), arguments={"eval_strategy": "epoch"})),
        Case(scenario=Scenario(
            arguments={"accelerator_config": {"split_batches": True}, "per_device_train_batch_size": 3},
            devices=Devices(kind="gloo", count=2),
        )),
        Case(experiment="regroup", scenario=Scenario(arguments={"per_device_train_batch_size": 1}), parameters={"regroup": (2, 1)}),
        Case(experiment="find_batch_size", parameters={"capacity": 1}),
        Case(experiment="train_with_flags", parameters={"plan": (("on_step_end", 1, "should_evaluate"),)}),
        Case(experiment="save_and_reload", scenario=Scenario(model=Model(name="regression_pretrained")), parameters={"checkpoint": True}),
        Case(experiment="step_schedule", scenario=Scenario(arguments={"lr_scheduler_type": "reduce_lr_on_plateau"})),
        Case(experiment="shard_data", parameters={"prepared": 3}),
        Case(experiment="shard_data", parameters={"prepared": 3, "prepared_batch": 1}, scenario=Scenario(
            arguments={"accelerator_config": {"split_batches": True}, "per_device_train_batch_size": 2, "per_device_eval_batch_size": 2},
            devices=Devices(kind="gloo", count=2),
        )),
        Case(experiment="build_arguments", parameters={"field": "eval_steps", "value": 1.5}),
        Case(experiment="generate", scenario=Scenario(data=Data(kind="seq2seq"), model=Model(name="t5")),
             parameters={"calls": (("predict", {}),)}),
    ],
)  # fmt: skip
def test_what_makes_no_sense(case: Case) -> None:
    assert not makes_sense(case)


@pytest.mark.parametrize(
    ("named", "options"),
    [({"lr_scheduler_type": "cosine"}, {"lr_scheduler_kwargs": {"num_cycles": 2}}), ({"optim": "sgd"}, {"optim_args": "momentum=0.9"})],
)
def test_options_go_with_what_they_are_options_of(named: dict[str, Any], options: dict[str, Any]) -> None:
    case = Case(scenario=Scenario(arguments={**named, **options}))
    left = [set(plain.scenario.arguments) for plain in plainer(case)]
    assert set() in left
    assert set(named) in left
    assert set(options) not in left
