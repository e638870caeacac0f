"""What differs between versions of transformers: the installed one, and recorded signatures of older ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainer_props import compat
from trainer_props.arguments import DEFAULTS, QUIET
from trainer_props.compat import Parameter, Signature, Unsupported

FOLDER = Path(__file__).parent / "signatures"
VERSIONS = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def signature(version: str) -> Signature:
    """The parameters of TrainingArguments in that version: name -> default, and choices where our table has them."""
    recorded = json.loads((FOLDER / f"{version}.json").read_text(encoding="utf-8"))
    return {name: Parameter(each["default"], tuple(each["choices"]) if "choices" in each else None) for name, each in recorded.items()}


def test_the_table_knows_every_field_of_the_installed_version() -> None:
    assert compat.unknown_fields() == []


def test_a_new_field_is_unknown_and_a_retired_one_is_not() -> None:
    assert compat.unknown_fields({"seed": Parameter(42), "warmup_ratio": Parameter(0.0), "telepathy": Parameter(False)}) == ["telepathy"]


def test_the_table_gives_the_defaults_of_the_installed_version() -> None:
    installed = compat.installed_signature()
    known = {name: default for name, default in DEFAULTS.items() if name in installed}
    assert {name: installed[name].default for name in known} == known


def test_arguments_of_the_newest_version_pass_unchanged() -> None:
    arguments = {"warmup_steps": 0.1, "train_sampling_strategy": "sequential", "lr_scheduler_type": "greedy"}
    arguments["include_num_input_tokens_seen"] = "non_padding"
    assert compat.translated(arguments) == arguments


def test_runs_are_quiet_where_they_are_silent() -> None:
    kwargs = compat.training_arguments_kwargs({"save_strategy": "epoch"})
    assert kwargs == {**QUIET, "save_strategy": "epoch"}


def test_an_object_of_the_installed_version(tmp_path: Path) -> None:
    arguments = compat.training_arguments({"warmup_steps": 3, "optim": "sgd"}, str(tmp_path))
    assert (arguments.warmup_steps, arguments.optim, arguments.use_cpu, arguments.output_dir) == (3, "sgd", True, str(tmp_path))


def test_a_name_that_nobody_knows_is_left_to_training_arguments(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="telepathy"):
        compat.training_arguments({"telepathy": True}, str(tmp_path))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_takes_what_it_is_given(version: str) -> None:
    known = signature(version)
    kwargs = compat.training_arguments_kwargs({"warmup_steps": 0.1, "seed": 1, "dataloader_in_order": True}, known)
    assert set(kwargs) <= set(known)
    assert compat.unknown_fields(known) == []


def test_changed_defaults_are_said() -> None:
    said = {"report_to": "none", "optim": "adamw_torch_fused", "average_tokens_across_devices": True}
    assert compat.translated({}, signature("4.49.0")) == said
    assert compat.translated({}, signature("4.57.6")) == {"report_to": "none"}
    assert compat.translated({}, signature("5.13.1")) == {}
    assert compat.translated({"optim": "sgd"}, signature("4.49.0")) == {**said, "optim": "sgd"}


@pytest.mark.parametrize(
    ("version", "value", "expected"),
    [
        ("4.57.6", 0.1, {"warmup_ratio": 0.1}), ("4.57.6", 3, {"warmup_steps": 3}), ("4.57.6", 3.0, {"warmup_steps": 3}),
        ("4.57.6", 0.0, {"warmup_steps": 0}),
        ("5.0.0", 0.1, {"warmup_steps": 0.1}), ("5.13.1", 0.1, {"warmup_steps": 0.1}),
    ],
)  # fmt: skip
def test_warmup(version: str, value: float, expected: dict[str, float]) -> None:
    kwargs = compat.translated({"warmup_steps": value}, signature(version))
    assert {name: kwargs[name] for name in kwargs if name.startswith("warmup")} == expected


@pytest.mark.parametrize(
    ("version", "value", "expected"),
    [
        ("5.0.0", "random", {}), ("5.0.0", "group_by_length", {"group_by_length": True}),
        ("4.57.6", "group_by_length", {"group_by_length": True}),
        ("5.2.0", "sequential", {"train_sampling_strategy": "sequential"}),
    ],
)  # fmt: skip
def test_sampling(version: str, value: str, expected: dict[str, object]) -> None:
    kwargs = compat.translated({"train_sampling_strategy": value}, signature(version))
    assert {name: kwargs[name] for name in kwargs if name in ("train_sampling_strategy", "group_by_length")} == expected


@pytest.mark.parametrize(
    ("version", "field", "value"),
    [
        ("5.0.0", "train_sampling_strategy", "sequential"), ("5.13.1", "train_sampling_strategy", "batch_rebalance"),
        ("5.0.0", "lr_scheduler_type", "greedy"),
        ("4.49.0", "lr_scheduler_type", "cosine_warmup_with_min_lr"), ("4.57.6", "include_num_input_tokens_seen", "non_padding"),
        ("5.13.1", "dataloader_in_order", False),
    ],
)  # fmt: skip
def test_what_a_version_lacks_is_refused_by_name(version: str, field: str, value: object) -> None:
    with pytest.raises(Unsupported, match=field) as caught:
        compat.translated({field: value}, signature(version))
    assert caught.value.field == field


def test_tokens_seen_was_a_boolean() -> None:
    name = "include_num_input_tokens_seen"
    old, new = signature("4.57.6"), signature("5.0.0")
    assert [compat.translated({name: value}, old)[name] for value in ("no", "all", True)] == [False, True, True]
    values = ["no", "all", "non_padding", True]
    assert [compat.translated({name: value}, new)[name] for value in values] == values


def test_a_misspelt_schedule_is_left_to_training_arguments() -> None:
    assert compat.translated({"lr_scheduler_type": "lineer"}, signature("4.49.0"))["lr_scheduler_type"] == "lineer"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"evaluation_strategy": "epoch"}, {"eval_strategy": "epoch"}),
        ({"no_cuda": True}, {"use_cpu": True}),
        ({"per_gpu_train_batch_size": 4}, {"per_device_train_batch_size": 4}),
        ({"per_gpu_train_batch_size": None, "per_device_train_batch_size": 2}, {"per_device_train_batch_size": 2}),
        ({"group_by_length": True}, {"train_sampling_strategy": "group_by_length"}),
        ({"group_by_length": False, "warmup_ratio": 0.0}, {}),
        ({"warmup_ratio": 0.1, "warmup_steps": 0}, {"warmup_steps": 0.1}),
        ({"warmup_ratio": 0.1, "warmup_steps": 5}, {"warmup_steps": 5}),
        ({"include_inputs_for_metrics": True, "include_for_metrics": ["loss"]}, {"include_for_metrics": ["inputs", "loss"]}),
        ({"logging_dir": "runs", "save_safetensors": False, "seed": 1, "telepathy": 2}, {"seed": 1, "telepathy": 2}),
    ],
)
def test_older_names_become_the_newest(old: dict[str, object], new: dict[str, object]) -> None:
    assert compat.newest_names(old) == new


def test_newest_names_leaves_its_argument_alone() -> None:
    old = {"include_inputs_for_metrics": True, "include_for_metrics": ["loss"]}
    compat.newest_names(old)
    assert old == {"include_inputs_for_metrics": True, "include_for_metrics": ["loss"]}


@pytest.mark.parametrize(("field", "value"), [("adafactor", True), ("warmup_ratio", 1.0), ("past_index", 2)])
def test_what_the_newest_version_cannot_say_is_refused(field: str, value: object) -> None:
    with pytest.raises(Unsupported, match=field):
        compat.newest_names({field: value})


def test_trainer_kwargs_fit_the_constructor() -> None:
    kwargs = {"model": 1, "processing_class": 2, "compute_loss_func": None}
    assert compat.trainer_kwargs(kwargs, ("model", "processing_class", "compute_loss_func")) == kwargs
    assert compat.trainer_kwargs(kwargs, ("model", "tokenizer")) == {"model": 1, "tokenizer": 2}
    with pytest.raises(Unsupported, match="compute_loss_func"):
        compat.trainer_kwargs({"compute_loss_func": len}, ("model",))
