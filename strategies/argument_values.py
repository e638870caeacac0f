"""Single values of TrainingArguments: valid ones for what no run varies, and values outside a field's documented domain."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from trainer_props.arguments import DEFAULTS, nearest

NUMBER, TYPE, NAME = "number", "type", "name"


@dataclass(frozen=True)
class BadValue:
    """A value outside the documented domain of a field.

    Attributes:
        name: the field.
        value: what it may not be.
        why: `number` (of the right type, out of range), `type` (no number at all, or a fraction where a count is wanted), `name` (none of
            the documented options).
        domain: what the documentation allows.
        beside: arguments under which the field is read; what is not named may be anything.
    """

    name: str
    value: Any
    why: str
    domain: str
    beside: Mapping[str, Any] = field(default_factory=dict)


def _numbers(domain: str, values: tuple[Any, ...], *names: str, **beside: Any) -> list[BadValue]:
    return [BadValue(name, value, NUMBER, domain, beside) for name in names for value in values]


def _types(domain: str, values: tuple[Any, ...], *names: str, **beside: Any) -> list[BadValue]:
    return [BadValue(name, value, TYPE, domain, beside) for name in names for value in values]


def _names(value: Any, *names: str) -> list[BadValue]:
    return [BadValue(name, value, NAME, "one of the documented options") for name in names]


BAD_VALUES: Final[tuple[BadValue, ...]] = (
    *_numbers("at least 1", (0, -1), "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"),
    *_numbers("at least 1, or None", (0, -1), "eval_accumulation_steps", "torch_empty_cache_steps"),
    *_numbers("at least 1, or None", (-1,), "save_total_limit", "ddp_bucket_cap_mb"),
    *_numbers("at least 0", (-1,), "dataloader_num_workers", "ddp_timeout"),
    *_numbers("at least 1, or None", (-1,), "dataloader_prefetch_factor", dataloader_num_workers=1),
    *_numbers("at least 0 and finite", (-1.0, math.nan), "learning_rate", "num_train_epochs", "weight_decay", "max_grad_norm"),
    *_numbers("at least 0 and finite", (-1.0, math.nan), "adam_epsilon"),
    *_numbers("in [0, 1)", (1.0, -0.5), "adam_beta1", "adam_beta2"),
    *_numbers("in [0, 1]", (1.5, -0.5), "label_smoothing_factor"),
    *_numbers("an integer from 0, or a ratio in [0, 1)", (-1, 1.5, math.nan), "warmup_steps"),
    *_numbers("at least 0", (-1.0,), "eval_delay"),
    *_numbers("an integer from 1, or a ratio in (0, 1)", (0, -1, 1.5), "logging_steps", logging_strategy="steps"),
    *_numbers("an integer from 1, or a ratio in (0, 1)", (-1, 1.5), "eval_steps", eval_strategy="steps"),
    *_numbers("an integer from 1, or a ratio in (0, 1)", (-1, 1.5), "save_steps", save_strategy="steps"),
    *_numbers("in [0, 2**32)", (-1, 2**32), "seed"),
    *_types("a number", ("1e-3", None), "learning_rate", "weight_decay", "max_grad_norm", "num_train_epochs"),
    *_types("an integer", (1.5, "8", None), "per_device_train_batch_size", "gradient_accumulation_steps", "max_steps", "seed"),
    *_types("an integer or None", (1.5, "8"), "torch_empty_cache_steps"),
    *_types("a number", ("10", None), "warmup_steps"),
    *_types("a number", ("10", None), "logging_steps", logging_strategy="steps"),
    *_types("a number, or None", ("10",), "eval_steps", eval_strategy="steps"),
    *_types("a number", ("10", None), "save_steps", save_strategy="steps"),
    *_names("sometimes", "eval_strategy", "logging_strategy", "save_strategy", "hub_strategy"),
    *_names("staircase", "lr_scheduler_type"),
    *_names("adamw", "optim"),
    *_names("everything", "debug", "include_num_input_tokens_seen"),
    *_names("shuffled", "train_sampling_strategy"),
    *_names("loud", "log_level", "log_level_replica"),
    *_names("thread", "dataloader_multiprocessing_context"),
    *_names(("everything",), "include_for_metrics"),
)
"""Simplest first. `ddp_backend` has none: a value of it starts a process group."""

FURTHER_VALUES: Final[dict[str, tuple[Any, ...]]] = {
    "do_train": (True,), "do_eval": (True,), "do_predict": (True,), "resume_from_checkpoint": ("checkpoint-1",),
    "ignore_data_skip": (True,),
    "restore_callback_states_from_checkpoint": (True,), "full_determinism": (True,), "auto_find_batch_size": (True,),
    "enable_jit_checkpoint": (True,),
    "neftune_noise_alpha": (5.0, 0.1), "log_on_each_node": (False,), "save_on_each_node": (True,), "eval_use_gather_object": (True,),
    "log_level": ("debug", "info", "warning", "critical", "passive"),
    "log_level_replica": ("debug", "info", "error", "critical", "passive"),
    "accelerator_config": ({"split_batches": True}, {"even_batches": False, "use_seedable_sampler": False},
                           '{"dispatch_batches": "false"}'),
    "ddp_find_unused_parameters": (True, False), "ddp_bucket_cap_mb": (25,), "ddp_broadcast_buffers": (True, False), "ddp_timeout": (60,),
    "bf16": (True,), "bf16_full_eval": (True,), "tf32": (False,),
    "activation_checkpointing": (True, False), "activation_checkpointing_kwargs": ({"use_reentrant": False}, '{"every_n_layers": "2"}'),
    "gradient_checkpointing": (True, False), "gradient_checkpointing_kwargs": ({"use_reentrant": True},),
    "torch_compile": (True,), "torch_compile_backend": ("eager", "inductor"), "torch_compile_mode": ("default", "reduce-overhead"),
    "use_liger_kernel": (True,), "liger_kernel_config": ({"rope": True},), "use_cache": (True,),
    "optim_target_modules": ("all-linear", ["q_proj", "v_proj"]),
    "run_name": ("a run", ""), "project": ("mine",), "length_column_name": ("tokens",), "trackio_space_id": ("me/space",),
    "trackio_static_space_id": (False, "s"),
    "hub_strategy": ("end", "checkpoint", "all_checkpoints"), "hub_model_id": ("me/model",), "hub_private_repo": (True, False),
    "hub_always_push": (True,),
    "hub_revision": ("main",), "report_to": ("tensorboard", ["tensorboard", "wandb"], ["none"], []), "disable_tqdm": (False, None),
    "dataloader_pin_memory": (True,), "dataloader_multiprocessing_context": ("spawn", "fork", "forkserver"),
    "dataloader_in_order": (False,),
    "debug": ("underflow_overflow", "underflow_overflow tpu_metrics_debug"), "skip_memory_metrics": (False,),
    "include_for_metrics": (["inputs"], ["inputs", "loss"]), "prediction_loss_only": (True,), "eval_do_concat_batches": (False,),
    "include_num_input_tokens_seen": (True, "all", "non_padding"), "fsdp_config": ({"min_num_params": 0}, '{"version": "2"}'),
}
"""Valid values of fields that training leaves alone, simplest first. None of them touches an account, a device or a file."""


@st.composite
def bad_values(draw: st.DrawFn, *, names: Collection[str] | None = None) -> BadValue:
    """A value outside the documented domain of a field of TrainingArguments: numbers, types and names of options, simplest first.

    Args:
        names: fields to choose from; default: all that have a documented domain.

    Raises:
        InvalidArgument: when drawing: there is nothing to choose from.
    """
    for name in names or ():
        if name not in DEFAULTS:
            raise InvalidArgument(f"names: TrainingArguments has no argument {name!r}{nearest(name)}")
    fitting = [each for each in BAD_VALUES if names is None or each.name in names]
    if not fitting:
        raise InvalidArgument(f"names={names!r}: none of these fields has a documented domain that can be left")
    return fitting[draw(st.integers(0, len(fitting) - 1))]


@st.composite
def further_arguments(draw: st.DrawFn, *, names: Collection[str] | None = None, max_size: int = 6) -> dict[str, Any]:
    """Valid values of a few fields of TrainingArguments that training runs leave alone; they stand beside any other valid arguments.

    For tests that build TrainingArguments and do not train. They shrink to none.

    Args:
        names: fields to choose from; default: all that have values here.
        max_size: at most so many.
    """
    allowed = [name for name in FURTHER_VALUES if names is None or name in names]
    if not allowed:
        return {}
    chosen = draw(st.lists(st.sampled_from(allowed), max_size=min(max_size, len(allowed)), unique=True))
    return {name: draw(st.sampled_from(FURTHER_VALUES[name])) for name in chosen}
