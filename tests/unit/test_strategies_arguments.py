"""Strategies for TrainingArguments and their parts, alone, as in anybody's test."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from trainer_props import compat, strategies
from trainer_props.scenario import Components, Data, Devices, Model

ALONE = settings(database=None, deadline=None, max_examples=5000)
MANY = settings(database=None, deadline=None, derandomize=True, max_examples=300)
SIMPLEST_ARGUMENTS = {"num_train_epochs": 1, "per_device_train_batch_size": 1, "save_strategy": "no"}


def simplest(strategy: st.SearchStrategy[Any], condition: Callable[[Any], bool] = lambda value: True) -> Any:
    """What a failure with this condition shrinks to."""
    return find(strategy, condition, settings=ALONE, random=random.Random(0))


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (strategies.training_arguments(), SIMPLEST_ARGUMENTS),
        (strategies.batch_sizes(), 1),
        (strategies.batch_sizes(min_size=3), 3),
        (strategies.accumulation_steps(), 1),
        (strategies.dataset_lengths(), 1),
        (strategies.dataset_lengths(samples_per_update=6), 6),
        (strategies.optimizers(), {}),
        (strategies.optimizers(names=["rmsprop", "sgd"]), {"optim": "sgd"}),
        (strategies.schedules(), {}),
        (strategies.logging_plans(), {}),
        (strategies.evaluation_plans(), {}),
        (strategies.saving_plans(), {"save_strategy": "epoch"}),
        (strategies.datasets(), Data(n=1)),
        (strategies.datasets(kinds=["stream"], max_eval_size=3), Data(kind="stream", n=1)),
        (strategies.models(), Model()),
        (strategies.devices(), Devices()),
        (strategies.devices(kinds=["data_parallel"], max_count=4), Devices(kind="data_parallel")),
        (strategies.components(allow_early_stopping=True, allow_nan=True, max_poisoned=3), Components()),
    ],
)
def test_shrinks_to_exactly_its_simplest(strategy: st.SearchStrategy[Any], expected: Any) -> None:
    assert simplest(strategy) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (lambda drawn: drawn.get("weight_decay", 0) > 0, {"weight_decay": 0.1}),
        (lambda drawn: drawn.get("max_grad_norm", 1) != 1, {"max_grad_norm": 0.0}),
        (lambda drawn: drawn.get("gradient_accumulation_steps", 1) >= 3, {"gradient_accumulation_steps": 3}),
        (lambda drawn: drawn.get("eval_strategy") == "steps", {"eval_strategy": "steps"}),
    ],
)
def test_one_cause_shrinks_to_one_argument(condition: Callable[[dict[str, Any]], bool], expected: dict[str, Any]) -> None:
    assert simplest(strategies.training_arguments(), condition) == {**SIMPLEST_ARGUMENTS, **expected}


@MANY
@given(strategies.training_arguments())
def test_arguments_construct_training_arguments(arguments: dict[str, Any]) -> None:
    from transformers import TrainingArguments

    built = TrainingArguments(output_dir="never-written", use_cpu=True, report_to="none", **arguments)
    assert built.per_device_train_batch_size == arguments.get("per_device_train_batch_size", 8)


HELD = (
    {"load_best_model_at_end": True}, {"load_best_model_at_end": True, "save_steps": 6},
    {"load_best_model_at_end": True, "eval_steps": 0.25},
    {"load_best_model_at_end": True, "save_strategy": "steps", "logging_steps": 3}, {"load_best_model_at_end": True, "eval_strategy": "no"},
    {"save_strategy": "steps", "eval_strategy": "epoch"}, {"lr_scheduler_type": "reduce_lr_on_plateau"},
    {"lr_scheduler_type": "warmup_stable_decay"},
    {"lr_scheduler_type": "polynomial", "learning_rate": 0.5}, {"eval_strategy": "no"}, {"save_strategy": "best"},
    {"save_strategy": "best", "eval_strategy": "no"}, {"logging_strategy": "steps"},
    {"per_device_train_batch_size": 64, "gradient_accumulation_steps": 8}, {"num_train_epochs": 7}, {"max_steps": 3},
    {"dataloader_num_workers": 2},
    {"train_sampling_strategy": "sequential", "dataloader_drop_last": True}, {"learning_rate": 0.0}, {"save_steps": 0.5},
    {"logging_steps": 0.5},
)  # fmt: skip


@MANY
@given(st.data(), st.sampled_from(HELD))
def test_held_arguments_win_and_stay_valid(data: st.DataObject, held: dict[str, Any]) -> None:
    arguments = data.draw(strategies.training_arguments(fixed=held))
    assert {name: arguments[name] for name in held} == held
    compat.training_arguments(arguments, "never-written")


@MANY
@given(strategies.training_arguments(allow_evaluation=False, allow_saving=False))
def test_evaluations_and_checkpoints_can_be_ruled_out(arguments: dict[str, Any]) -> None:
    assert "eval_strategy" not in arguments
    assert "eval_on_start" not in arguments
    assert arguments["save_strategy"] == "no"


def test_arguments_go_by_the_loss_alone() -> None:
    drawn = simplest(strategies.training_arguments(), lambda each: each.get("save_strategy") == "best")
    assert drawn["metric_for_best_model"] == "loss"


def test_objects_are_training_arguments(tmp_path: Path) -> None:
    drawn = simplest(strategies.training_arguments_objects(output_dir=tmp_path, fixed={"seed": 7}))
    assert (drawn.output_dir, drawn.seed, drawn.save_strategy, drawn.use_cpu) == (str(tmp_path), 7, "no", True)
    assert type(drawn).__name__ == "TrainingArguments"


# transformers says so of every schedule that is told how many steps are stable
@pytest.mark.filterwarnings("ignore:Both num_training_steps and num_stable_steps:UserWarning")
@settings(MANY, max_examples=100)
@given(strategies.schedules(names=["warmup_stable_decay", "polynomial", "cosine_with_min_lr"], learning_rate=1e-3, max_steps=5))
def test_schedules_can_be_built(arguments: dict[str, Any]) -> None:
    import torch
    from transformers import get_scheduler

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    schedule = get_scheduler(arguments["lr_scheduler_type"], optimizer, 0, 5, arguments.get("lr_scheduler_kwargs"))
    assert schedule.get_last_lr() == [1e-3]


@given(strategies.dataset_lengths(samples_per_update=6, min_updates=2, max_updates=3))
def test_lengths_take_the_updates_asked_for(length: int) -> None:
    assert 2 <= -(-length // 6) <= 3


@pytest.mark.parametrize(
    ("strategy", "named"),
    [
        (strategies.batch_sizes(min_size=0), "min_size"),
        (strategies.batch_sizes(min_size=3, max_size=2), "max_size"),
        (strategies.accumulation_steps(max_steps="4"), "max_steps"),  # type: ignore[arg-type]
        (strategies.dataset_lengths(samples_per_update=0), "samples_per_update"),
        (strategies.dataset_lengths(min_updates=-1), "min_updates"),
        (strategies.optimizers(names=["adamw"]), "names"),
        (strategies.schedules(names=[]), "names"),
        (strategies.schedules(max_steps=0), "max_steps"),
        (strategies.logging_plans(max_steps=0), "max_steps"),
        (strategies.evaluation_plans(max_steps=0), "max_steps"),
        (strategies.saving_plans(max_steps=True), "max_steps"),
        (strategies.datasets(kinds="regression"), "kinds"),
        (strategies.datasets(max_length=1), "max_length"),
        (strategies.models(names=["lama"]), "did you mean 'llama'"),
        (strategies.models(dtypes=["float16"]), "dtypes"),
        (strategies.devices(max_count=0), "max_count"),
        (strategies.devices(kinds=[]), "kinds"),
        (strategies.components(losses=["mse"]), "losses"),
        (strategies.components(max_scores=-1), "max_scores"),
        (strategies.training_arguments(fixed={"learning_rat": 1}), "fixed.*did you mean 'learning_rate'"),
        (strategies.training_arguments_objects(output_dir=None), "output_dir"),  # type: ignore[arg-type]
    ],
)
def test_bad_arguments_are_named_when_drawing(strategy: st.SearchStrategy[Any], named: str) -> None:
    with pytest.raises(InvalidArgument, match=named):
        find(strategy, lambda value: True, settings=ALONE)


def python(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=directory, check=False)


def test_a_top_level_import_is_refused() -> None:
    done = python("import strategies", Path(strategies.__file__).parents[1])
    assert "ImportError" in done.stderr
    assert "trainer_props.strategies" in done.stderr


def test_importing_strategies_imports_neither_torch_nor_transformers(tmp_path: Path) -> None:
    heavy = "{'torch', 'transformers', 'accelerate', 'datasets'}"
    done = python(f"import sys, trainer_props.strategies; print({heavy} & set(sys.modules))", tmp_path)
    assert (done.stdout.strip(), done.stderr) == ("set()", "")
