"""TrainingArguments built, copied, written down and read back, without a run: what came of it, as plain data."""

from __future__ import annotations

import copy
import dataclasses
import enum
import functools
import inspect
import json
import pickle
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

from transformers import HfArgumentParser

from trainer_props import compat
from trainer_props.record import Failure, Record
from trainer_props.running.interrupt import pass_on
from trainer_props.running.output import output_directory
from trainer_props.scenario import Scenario, thaw
from trainer_props.subjects import Parts, Subject, SubjectError

Fields = dict[str, Any]

SETTERS: Final[dict[str, dict[str, tuple[str, Any]]]] = {
    "set_training": {
        "learning_rate": ("learning_rate", 5e-5), "batch_size": ("per_device_train_batch_size", 8), "weight_decay": ("weight_decay", 0),
        "num_epochs": ("num_train_epochs", 3), "max_steps": ("max_steps", -1),
        "gradient_accumulation_steps": ("gradient_accumulation_steps", 1),
        "seed": ("seed", 42), "activation_checkpointing": ("activation_checkpointing", False),
    },
    "set_evaluate": {
        "strategy": ("eval_strategy", "no"), "steps": ("eval_steps", 500), "batch_size": ("per_device_eval_batch_size", 8),
        "accumulation_steps": ("eval_accumulation_steps", None), "delay": ("eval_delay", 0), "loss_only": ("prediction_loss_only", False),
    },
    "set_testing": {"batch_size": ("per_device_eval_batch_size", 8), "loss_only": ("prediction_loss_only", False)},
    "set_save": {
        "strategy": ("save_strategy", "steps"), "steps": ("save_steps", 500), "total_limit": ("save_total_limit", None),
        "on_each_node": ("save_on_each_node", False),
    },
    "set_logging": {
        "strategy": ("logging_strategy", "steps"), "steps": ("logging_steps", 500), "report_to": ("report_to", "none"),
        "level": ("log_level", "passive"),
        "first_step": ("logging_first_step", False), "nan_inf_filter": ("logging_nan_inf_filter", True),
        "on_each_node": ("log_on_each_node", True),
        "replica_level": ("log_level_replica", "passive"),
    },
    "set_optimizer": {
        "name": ("optim", "adamw_torch"), "learning_rate": ("learning_rate", 5e-5), "weight_decay": ("weight_decay", 0),
        "beta1": ("adam_beta1", 0.9),
        "beta2": ("adam_beta2", 0.999), "epsilon": ("adam_epsilon", 1e-8), "args": ("optim_args", None),
    },
    "set_lr_scheduler": {
        "name": ("lr_scheduler_type", "linear"), "num_epochs": ("num_train_epochs", 3.0), "max_steps": ("max_steps", -1),
        "warmup_steps": ("warmup_steps", 0),
    },
    "set_dataloader": {
        "train_batch_size": ("per_device_train_batch_size", 8), "eval_batch_size": ("per_device_eval_batch_size", 8),
        "drop_last": ("dataloader_drop_last", False), "num_workers": ("dataloader_num_workers", 0),
        "pin_memory": ("dataloader_pin_memory", True),
        "persistent_workers": ("dataloader_persistent_workers", False), "prefetch_factor": ("dataloader_prefetch_factor", None),
        "multiprocessing_context": ("dataloader_multiprocessing_context", None), "in_order": ("dataloader_in_order", True),
        "auto_find_batch_size": ("auto_find_batch_size", False), "ignore_data_skip": ("ignore_data_skip", False),
        "sampler_seed": ("data_seed", None),
    },
}  # fmt: skip
"""The methods that set a group of arguments: parameter -> (the field it sets, the default that the method documents)."""


def build(scenario: Scenario, subject: Subject) -> Record:
    """Build the scenario's TrainingArguments, of the class that the subject uses, and every copy that is to be equal to them.

    The record has the fields as `arguments` and in `results`: `copies`, `replaced`, `rebuilt`, `after`, `given`, `sanitized`, `told`,
    `silent`, each a dict of fields, or `{"error": text}` where making it failed. An exception of the construction is the record's failure.

    Raises:
        SubjectError: the subject gave no Trainer.
        compat.Unsupported: the installed transformers lacks an argument.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = arguments_class(subject)
        if isinstance(kind, Failure):
            return Record(failure=kind)
        kwargs = Parts(scenario).training_arguments_kwargs("output")
        given = copy.deepcopy(kwargs)
        try:
            arguments = kind(**kwargs)
        except BaseException as error:  # noqa: BLE001  what is raised is part of the record
            pass_on(error)
            return Record(failure=_failure(error))
        base = _base(kind)
        record = Record(arguments=fields(arguments))
        record.results = {
            "copies": {way: _attempt(make, arguments) for way, make in _ways(kind, _written(arguments)).items()},
            "replaced": _attempt(lambda _: dataclasses.replace(base, **copy.deepcopy(given)), arguments),
            "rebuilt": _attempt(_built_again, arguments),
            "told": _set(base, arguments, say_all=True),
            "silent": _set(base, arguments, say_all=False),
            "sanitized": _plain(arguments.to_sanitized_dict()),
            "given": {"before": _plain(given), "after": _plain(kwargs)},
        }
        record.results["after"] = fields(arguments)
        return record


def refuse(scenario: Scenario, subject: Subject, name: str, value: Any) -> Record:
    """Build the scenario's TrainingArguments with one value that is to be refused; `results["bad"]` says what came of it.

    It has `field`, `value`, and `error`: None if the value was accepted, else `{"kinds", "message"}` (the exception's classes by name).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = arguments_class(subject)
        if isinstance(kind, Failure):
            return Record(failure=kind)
        error = _error_of(kind, scenario.with_arguments(**{name: value}))
        return Record(results={"bad": {"field": name, "value": _plain(thaw(value)), "error": error}})


def attempt_plan(scenario: Scenario, subject: Subject) -> Record:
    """Build the scenario's TrainingArguments, which may not fit together; `results["plan"]` says what came of it: its `error`, as above."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = arguments_class(subject)
        if isinstance(kind, Failure):
            return Record(failure=kind)
        return Record(results={"plan": {"error": _error_of(kind, scenario)}})


def _error_of(kind: Any, scenario: Scenario) -> dict[str, Any] | None:
    kwargs = Parts(scenario).training_arguments_kwargs("output")
    try:
        kind(**kwargs)
    except BaseException as raised:  # noqa: BLE001  what is raised is the finding
        pass_on(raised)
        return {"kinds": [each.__name__ for each in type(raised).__mro__], "message": str(raised)}
    return None


def arguments_class(subject: Subject) -> Any:
    """The class of TrainingArguments that a subject's trainer has; a Failure if the subject makes no trainer of a default scenario."""
    try:
        return _class_of(subject.make)
    except (SubjectError, compat.Unsupported):
        raise
    except BaseException as error:  # noqa: BLE001  a refusal of the subject, and no fault of ours
        pass_on(error)
        return _failure(error)


def _failure(error: BaseException) -> Failure:
    return Failure("construction", type(error).__name__, str(error), tuple(traceback.format_exception(error)[-6:]))


@functools.lru_cache(maxsize=16)
def _class_of(make: Callable[[Parts, str], Any]) -> Any:
    with output_directory() as output_dir:
        kind = type(make(Parts(Scenario()), output_dir).args)
    if not dataclasses.is_dataclass(kind):
        raise SubjectError(f"the trainer's args are of {kind.__name__}, which is no dataclass of TrainingArguments")
    return kind


@functools.lru_cache(maxsize=16)
def _parser(kind: Any) -> HfArgumentParser:
    return HfArgumentParser(kind)


@functools.lru_cache(maxsize=16)
def _base(kind: Any) -> Any:
    return kind(**Parts(Scenario()).training_arguments_kwargs("output"))


@functools.lru_cache(maxsize=256)
def _parameters(kind: Any, method: str) -> frozenset[str]:
    """The parameters of a method by name; where it passes `**kwargs` on, those of the method that it overrides too."""
    names: set[str] = set()
    for each in kind.__mro__:
        if method in vars(each):
            parameters = inspect.signature(vars(each)[method]).parameters
            names.update(parameters)
            if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values()):
                break
    return frozenset(names)


@functools.lru_cache(maxsize=16)
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(each.name for each in dataclasses.fields(kind) if each.init and not each.name.endswith("_token"))


def fields(arguments: Any) -> Fields:
    """The values of all fields, as plain data; tokens are left out, since they are hidden on purpose."""
    kind: Any = type(arguments)
    return {name: _plain(getattr(arguments, name)) for name in _names(kind)}


def _written(arguments: Any) -> Callable[[], Any]:
    return functools.cache(lambda: arguments.to_json_string())  # noqa: PLW0108  looked up when it is called: its lack is a finding


def _ways(kind: Any, written: Callable[[], Any]) -> Mapping[str, Callable[[Any], Any]]:
    ways: dict[str, Callable[[Any], Any]] = {
        "to_dict": lambda arguments: kind(**arguments.to_dict()),
        "to_json_string": lambda arguments: kind(**json.loads(written())),
        "parse_dict": lambda arguments: _parser(kind).parse_dict(json.loads(written()))[0],
        "replace": dataclasses.replace,
    }
    if getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is kind:  # a class that can be found again by its name
        ways["pickle"] = lambda arguments: pickle.loads(pickle.dumps(arguments))  # noqa: S301  written the line before
    return ways


def _attempt(make: Callable[[Any], Any], arguments: Any) -> Fields:
    try:
        return fields(make(arguments))
    except BaseException as error:  # noqa: BLE001  what is raised is the finding
        pass_on(error)
        return {"error": f"{type(error).__name__}: {error}"}


def _built_again(arguments: Any) -> Any:
    again = copy.deepcopy(arguments)
    again.__post_init__()
    return again


def _set(base: Any, arguments: Any, *, say_all: bool) -> dict[str, Fields]:
    """What each setter leaves in its fields when told the values of `arguments`: all, or those that are not its documented defaults."""
    left: dict[str, Fields] = {}
    kind: Any = type(arguments)
    for setter, parameters in SETTERS.items():
        known = _parameters(kind, setter)
        fitting = {name: where for name, where in parameters.items() if name in known and hasattr(arguments, where[0])}
        if not fitting:
            continue
        values = {name: (getattr(arguments, field), documented) for name, (field, documented) in fitting.items()}
        said = {name: value for name, (value, documented) in values.items() if say_all or value != documented}
        target = copy.copy(base)
        try:
            getattr(target, setter)(**said)
            left[setter] = {field: _plain(getattr(target, field)) for field, _ in fitting.values()}
        except BaseException as error:  # noqa: BLE001  what is raised is the finding
            pass_on(error)
            left[setter] = {"error": f"{type(error).__name__}: {error}"}
    return left


def _plain(value: Any) -> Any:
    if value is None or type(value) in (bool, int, float, str):  # nearly all of them
        return value
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return _plain(value.to_dict()) if hasattr(value, "to_dict") else repr(value)
