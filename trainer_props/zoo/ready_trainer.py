"""The quickest way to a working Trainer, for anybody's tests."""

from __future__ import annotations

import dataclasses
import inspect
import shutil
from typing import Any, Final

import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from trainer_props.arguments import nearest
from trainer_props.scenario import Data, Model
from trainer_props.zoo import temporary
from trainer_props.zoo.containers import build_dataset
from trainer_props.zoo.kinds import MODELS
from trainer_props.zoo.models import build_model

_OWN: Final = ("trainer_class", "model", "train_len", "eval_len", "a", "b")


def regression_trainer(
    *,
    trainer_class: type[Trainer] = Trainer,
    model: str | nn.Module = "regression",
    train_len: int = 64,
    eval_len: int = 64,
    a: float = 0.0,
    b: float = 0.0,
    **keywords: Any,
) -> Trainer:
    """A ready Trainer that fits the line y = a * x + b to the points of y = 2 * x + 3.

    Args:
        trainer_class: Trainer, or a subclass with the same constructor.
        model: a name of `trainer-props list models`, or a module whose forward takes `input_x` and `labels`.
        train_len: rows of the training data set.
        eval_len: rows of the evaluation data set.
        a: slope that a line starts with.
        b: intercept that a line starts with.
        keywords: of TrainingArguments (`learning_rate`, `max_steps`, ...) or of the Trainer's constructor (`callbacks`,
            `compute_metrics`, `train_dataset`, ...). Without `output_dir` the Trainer gets a directory that is removed along with
            it; without `report_to` it reports to nobody, and memory is pinned only where there is a GPU.

    Raises:
        TypeError: neither knows such a keyword; the message names the nearest one.
        ValueError: a slope or intercept for something that is not a line.
    """
    of_arguments = {field.name for field in dataclasses.fields(TrainingArguments) if field.init}
    of_trainer = _constructor_keywords(trainer_class)
    for name in keywords:
        if name not in of_arguments | of_trainer:
            raise TypeError(f"regression_trainer() has no keyword {name!r}{nearest(name, [*of_arguments, *of_trainer, *_OWN])}")

    quiet = {"report_to": "none", "dataloader_pin_memory": torch.cuda.is_available()}
    told = {} if not isinstance(model, str) or MODELS[model].says_its_labels else {"label_names": list(MODELS[model].label_names)}
    arguments = {**quiet, **told, **{name: value for name, value in keywords.items() if name in of_arguments}}
    parts = _parts(model, train_len, eval_len, a, b) | {name: value for name, value in keywords.items() if name not in of_arguments}
    if arguments.get("output_dir") is not None:
        return trainer_class(args=TrainingArguments(**arguments), **parts)
    folder = temporary.make_directory()
    try:
        trainer = trainer_class(args=TrainingArguments(**{**arguments, "output_dir": folder}), **parts)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    temporary.remove_with(trainer, folder)
    return trainer


def _constructor_keywords(trainer_class: type[Trainer]) -> set[str]:
    """What the constructor takes beside arguments and model, and what it hands on to the constructor that it extends."""
    names: set[str] = set()
    for each in trainer_class.__mro__:
        if "__init__" in vars(each):
            parameters = inspect.signature(vars(each)["__init__"]).parameters.values()
            names |= {parameter.name for parameter in parameters if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)}
            if all(parameter.kind != parameter.VAR_KEYWORD for parameter in parameters):
                break
    return names - {"self", "args", "model"}


def _parts(model: str | nn.Module, train_len: int, eval_len: int, a: float, b: float) -> dict[str, Any]:
    """Model and data sets, as the Trainer's constructor takes them."""
    if isinstance(model, str):
        described = Model(name=model, dtype="float32")
        data = Data(kind=MODELS[model].data_kinds[0], n=train_len, n_eval=eval_len)
        built = build_model(described, data)
        if {"a", "b"} <= dict(built.named_parameters()).keys():
            _start(built, a, b)
        elif a or b:
            raise ValueError(f"a and b say where a line starts: model {model!r} is not one")
    else:
        if a or b:
            raise ValueError("a and b say where the line of a name starts: a module of your own starts where it is")
        built, data = model, Data(n=train_len, n_eval=eval_len)
        dtype = next((parameter.dtype for parameter in model.parameters()), torch.float32)
        described = Model(dtype="float64" if dtype == torch.float64 else "float32")
    return {
        "model": built,
        "train_dataset": build_dataset(data, "train", model=described),
        "eval_dataset": build_dataset(data, "eval", model=described),
    }


def _start(line: nn.Module, a: float, b: float) -> None:
    with torch.no_grad():
        for name, value in (("a", a), ("b", b)):
            line.get_parameter(name).fill_(value)
            if hasattr(line, "config"):
                setattr(line.config, name, float(value))
