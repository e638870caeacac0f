"""All that differs between the versions of transformers that are supported (4.49 to 5.23).

Scenarios spell arguments as the newest version does (`trainer_props.arguments`). Here they become what the installed version takes, and
arguments that an older version wrote become what scenarios spell. transformers is imported only when a function asks what is installed.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trainer_props.arguments import DEFAULTS, FIELDS, OUT_OF_SCOPE, QUIET

if TYPE_CHECKING:
    from transformers import TrainingArguments


class Unsupported(ValueError):
    """An argument, or a value of it, that a version of transformers does not know.

    Attributes:
        field: the argument, by the name the caller used.
    """

    def __init__(self, field: str, value: Any) -> None:
        super().__init__(f"{field}={value!r} has no equivalent in this version of transformers")
        self.field = field


@dataclass(frozen=True)
class Parameter:
    """One parameter of a version's TrainingArguments: its default, and the values it may have where it is an enumeration."""

    default: Any
    choices: tuple[str, ...] | None = None


Signature = Mapping[str, Parameter]

RETIRED: Final[dict[str, Any]] = {
    "adafactor": False, "dispatch_batches": None, "evaluation_strategy": None, "fp16_backend": "auto", "fp16_opt_level": "O1",
    "fsdp_min_num_params": 0, "fsdp_transformer_layer_cls_to_wrap": None, "group_by_length": False,
    "half_precision_backend": "auto", "include_inputs_for_metrics": False,
    "include_tokens_per_second": False, "jit_mode_eval": False, "logging_dir": None, "mp_parameters": "", "no_cuda": False,
    "overwrite_output_dir": False, "past_index": -1, "per_gpu_eval_batch_size": None, "per_gpu_train_batch_size": None,
    "push_to_hub_model_id": None, "push_to_hub_organization": None, "push_to_hub_token": None, "ray_scope": "last",
    "save_safetensors": True,
    "split_batches": None, "torchdynamo": None, "tpu_metrics_debug": False, "tpu_num_cores": None, "use_ipex": False,
    "use_legacy_prediction_loop": False, "use_mps_device": False, "warmup_ratio": 0.0,
}  # fmt: skip
"""Fields that older versions have and the newest has not, with the value at which they say nothing."""

_NO_EFFECT: Final = frozenset({"logging_dir", "overwrite_output_dir", "ray_scope", "save_safetensors", "tpu_metrics_debug",
                               "push_to_hub_model_id", "push_to_hub_organization", "push_to_hub_token"})  # fmt: skip
_RENAMED: Final = {
    "evaluation_strategy": "eval_strategy", "no_cuda": "use_cpu", "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
}  # fmt: skip
_ADDED_VALUES: Final = {"lr_scheduler_type": ("cosine_warmup_with_min_lr", "greedy"), "train_sampling_strategy": ("batch_rebalance",)}


@functools.cache
def installed_signature() -> Signature:
    """The parameters of the installed TrainingArguments, by name."""
    from transformers import TrainingArguments

    hints = typing.get_type_hints(TrainingArguments)
    fields = [field for field in dataclasses.fields(TrainingArguments) if field.init]
    return {field.name: Parameter(_default(field), _choices(field, hints[field.name])) for field in fields}


def training_arguments_kwargs(arguments: Mapping[str, Any], signature: Signature | None = None) -> dict[str, Any]:
    """Keyword arguments for a version's TrainingArguments that mean what a scenario's `arguments` mean.

    Where they are silent, that is what every run fixes (`trainer_props.arguments.QUIET`), else the newest default. Arguments and errors
    are those of `translated`.
    """
    return translated({**QUIET, **arguments}, signature)


def translated(arguments: Mapping[str, Any], signature: Signature | None = None) -> dict[str, Any]:
    """Keyword arguments for a version's TrainingArguments that mean what `arguments` mean to the newest.

    Args:
        arguments: by the newest names; what is not named means the newest default. Names that nobody knows pass through:
            TrainingArguments refuses them.
        signature: of that version; of the installed one when left out.

    Raises:
        Unsupported: a field or a value that the version lacks is asked for.
    """
    known = installed_signature() if signature is None else signature
    kwargs: dict[str, Any] = {}
    for name, value in {**_changed_defaults(known), **arguments}.items():
        if name in _TRANSLATIONS:
            kwargs.update(_TRANSLATIONS[name](value, known))
        elif name in known or name not in DEFAULTS:
            kwargs[name] = value
        elif not _means_the_same(value, DEFAULTS[name]):
            raise Unsupported(name, value)
    return kwargs


def training_arguments(arguments: Mapping[str, Any], output_dir: str) -> TrainingArguments:
    """The installed version's TrainingArguments for a scenario's `arguments`.

    Raises:
        Unsupported: a field or a value that this version lacks is asked for.
        ValueError, TypeError: TrainingArguments refuses them.
    """
    from transformers import TrainingArguments

    return TrainingArguments(output_dir=output_dir, **training_arguments_kwargs(arguments))


def newest_names(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as any supported version wrote them (`TrainingArguments.to_dict()`), by the newest names. Unknown names pass through.

    Raises:
        Unsupported: an older field that the newest version can't express says something.
    """
    renamed = {name: value for name, value in arguments.items() if name not in RETIRED}
    for name, value in arguments.items():
        if name not in RETIRED or name in _NO_EFFECT or value is None or _means_the_same(value, RETIRED[name]):
            continue
        if name in _RENAMED:
            renamed[_RENAMED[name]] = value
        elif name == "group_by_length":
            renamed["train_sampling_strategy"] = "group_by_length"
        elif name == "include_inputs_for_metrics":
            renamed["include_for_metrics"] = sorted({"inputs", *renamed.get("include_for_metrics", ())})
        elif name == "warmup_ratio" and 0 < value < 1:
            if not renamed.get("warmup_steps"):  # the steps won over the ratio
                renamed["warmup_steps"] = value
        else:
            raise Unsupported(name, value)
    return renamed


def unknown_fields(signature: Signature | None = None) -> list[str]:
    """Fields of TrainingArguments (the installed one when `signature` is left out) that `trainer_props.arguments` does not know, sorted."""
    known = installed_signature() if signature is None else signature
    return sorted(name for name in known if name not in DEFAULTS and name not in RETIRED)


def trainer_kwargs(kwargs: Mapping[str, Any], parameters: Collection[str]) -> dict[str, Any]:
    """Keyword arguments for a Trainer's constructor that names `parameters`: what it lacks is left out where it is None.

    A constructor written against older versions may call `processing_class` by its old name, `tokenizer`.

    Raises:
        Unsupported: an argument that is not None has no parameter.
    """
    fitting: dict[str, Any] = {}
    for name, value in kwargs.items():
        if name in parameters:
            fitting[name] = value
        elif name == "processing_class" and "tokenizer" in parameters:
            fitting["tokenizer"] = value
        elif value is not None:
            raise Unsupported(name, value)
    return fitting


def forget_loaders() -> None:
    """Drop what accelerate keeps of data loaders that are gone. It never does that itself where a pass through one was cut short, and goes
    through all of them at every batch of every later run.
    """
    from accelerate.state import GradientState

    state = GradientState()
    state.dataloader_references = [None, *(each for each in state.dataloader_references if each is not None)]


def _default(field: dataclasses.Field[Any]) -> Any:
    value = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    if value is dataclasses.MISSING:
        return None
    return value.value if isinstance(value, enum.Enum) else value


def _choices(field: dataclasses.Field[Any], hint: Any) -> tuple[str, ...] | None:
    for candidate in (hint, *typing.get_args(hint)):
        if isinstance(candidate, type) and issubclass(candidate, enum.Enum):
            return tuple(member.value for member in candidate)
    choices = field.metadata.get("choices")
    return None if choices is None else tuple(choices)


def _means_the_same(value: Any, other: Any) -> bool:
    nothing: tuple[Any, ...] = (None, False, "", "no", {}, [], ())
    return bool(value == other) or (any(value is each or value == each for each in nothing) and any(other == each for each in nothing))


def _changed_defaults(signature: Signature) -> dict[str, Any]:
    """What has to be said to a version whose defaults differ from the newest."""
    return {
        name: field.default
        for name, field in FIELDS.items()
        if name in signature and field.status != OUT_OF_SCOPE and not _means_the_same(signature[name].default, field.default)
    }


def _sampling(value: Any, signature: Signature) -> dict[str, Any]:
    if "train_sampling_strategy" in signature:
        return _enumeration("train_sampling_strategy", value, signature)
    if value == "random":
        return {}
    if value == "group_by_length" and "group_by_length" in signature:
        return {"group_by_length": True}
    raise Unsupported("train_sampling_strategy", value)


def _warmup(value: Any, signature: Signature) -> dict[str, Any]:
    counts_only = "warmup_ratio" in signature and signature["warmup_ratio"].default is not None
    if not counts_only or not isinstance(value, float):
        return {"warmup_steps": value}
    return {"warmup_ratio": value} if 0 < value < 1 else {"warmup_steps": int(value)}


def _tokens_seen(value: Any, signature: Signature) -> dict[str, Any]:
    name = "include_num_input_tokens_seen"
    if name not in signature or not isinstance(signature[name].default, bool) or isinstance(value, bool):
        return {name: value}
    if value not in ("no", "all"):
        raise Unsupported(name, value)
    return {name: value == "all"}


def _enumeration(name: str, value: Any, signature: Signature) -> dict[str, Any]:
    choices = signature[name].choices
    if choices is not None and value in _ADDED_VALUES[name] and value not in choices:
        raise Unsupported(name, value)
    return {name: value}


_TRANSLATIONS: Final[dict[str, Callable[[Any, Signature], dict[str, Any]]]] = {
    "train_sampling_strategy": _sampling,
    "warmup_steps": _warmup,
    "include_num_input_tokens_seen": _tokens_seen,
    "lr_scheduler_type": functools.partial(_enumeration, "lr_scheduler_type"),
}
