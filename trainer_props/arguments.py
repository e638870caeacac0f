"""Every field of TrainingArguments: its documented default, and whether runs vary it, fix it, or leave it out, with the reason.

The table is written down here and not asked of the installed transformers, since oracles must know the defaults without importing it;
a test compares the two, and a field that only the installed version knows is listed as unknown.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Final

DRAWN: Final = "drawn"
FIXED: Final = "fixed"
OUT_OF_SCOPE: Final = "out of scope"


@dataclass(frozen=True)
class Field:
    """One field of TrainingArguments.

    Attributes:
        name: as transformers 5.23 spells it.
        default: the documented default, as JSON data.
        status: `drawn`, `fixed` or `out of scope`.
        why: the reason for a status other than `drawn`.
        value: what a fixed field is set to in every run.
    """

    name: str
    default: Any
    status: str = DRAWN
    why: str = ""
    value: Any = None


def _drawn(**defaults: Any) -> list[Field]:
    return [Field(name, default) for name, default in defaults.items()]


def _fixed(why: str, values: dict[str, Any], **defaults: Any) -> list[Field]:
    return [Field(name, default, FIXED, why, values.get(name, default)) for name, default in defaults.items()]


def _out(why: str, **defaults: Any) -> list[Field]:
    return [Field(name, default, OUT_OF_SCOPE, why) for name, default in defaults.items()]


_TABLE: Final = [
    *_drawn(
        per_device_train_batch_size=8, num_train_epochs=3.0, max_steps=-1, gradient_accumulation_steps=1,
        learning_rate=5e-5, lr_scheduler_type="linear", lr_scheduler_kwargs=None, warmup_steps=0,
        optim="adamw_torch_fused", optim_args=None, weight_decay=0.0, adam_beta1=0.9, adam_beta2=0.999, adam_epsilon=1e-8,
        max_grad_norm=1.0,
        label_smoothing_factor=0.0, average_tokens_across_devices=True, torch_empty_cache_steps=None,
        logging_strategy="steps", logging_steps=500, logging_first_step=False, logging_nan_inf_filter=True,
        include_num_input_tokens_seen="no",
        eval_strategy="no", eval_steps=None, eval_delay=0, per_device_eval_batch_size=8, prediction_loss_only=False, eval_on_start=False,
        eval_do_concat_batches=True, eval_accumulation_steps=None, include_for_metrics=[], batch_eval_metrics=False,
        save_steps=500, save_total_limit=None, save_only_model=False,
        load_best_model_at_end=False, metric_for_best_model=None, greater_is_better=None, seed=42, data_seed=None,
        dataloader_drop_last=False, dataloader_num_workers=0, dataloader_prefetch_factor=None, dataloader_persistent_workers=False,
        remove_unused_columns=True, label_names=None, train_sampling_strategy="random",
    ),
    Field("save_strategy", "steps", DRAWN, "'no' where a scenario is silent: a checkpoint costs as much as ten updates", "no"),
    *_fixed("every run gets a directory of its own that removes itself", {}, output_dir=None),
    *_fixed("the recorder stands in for trackers and progress bars", {"disable_tqdm": True, "report_to": "none", "log_level": "error"},
            disable_tqdm=None, report_to="none", log_level="passive"),
    *_fixed("runs on processors unless a device backend says otherwise", {"use_cpu": True, "dataloader_pin_memory": False},
            use_cpu=False, dataloader_pin_memory=True),
    *_fixed("no user's account is ever touched", {}, push_to_hub=False, hub_token=None, hub_private_repo=None, hub_model_id=None,
            hub_strategy="every_save", hub_always_push=False, hub_revision=None),
    *_out("compares two runs: belongs to the experiments on resuming and repeating", resume_from_checkpoint=None, ignore_data_skip=False,
          restore_callback_states_from_checkpoint=False, full_determinism=False, auto_find_batch_size=False, neftune_noise_alpha=None,
          enable_jit_checkpoint=False),
    *_out("says something about several devices or nodes only", log_on_each_node=True, log_level_replica="warning", save_on_each_node=False,
          eval_use_gather_object=False, accelerator_config=None, parallelism_config=None, ddp_find_unused_parameters=None,
          ddp_bucket_cap_mb=None,
          ddp_broadcast_buffers=None, ddp_static_graph=None, ddp_backend=None, ddp_timeout=1800, fsdp=None, fsdp_config=None,
          deepspeed=None,
          local_rank=-1),
    *_out("reduced precision: agreement is judged in float64", bf16=False, fp16=False, bf16_full_eval=False,
        fp16_full_eval=False, tf32=None),
    *_out("trades memory or speed by another implementation of the model", activation_checkpointing=None,
        activation_checkpointing_kwargs=None,
          gradient_checkpointing=None, gradient_checkpointing_kwargs=None, torch_compile=False, torch_compile_backend=None,
          torch_compile_mode=None,
          use_liger_kernel=False, liger_kernel_config=None, use_cache=False, optim_target_modules=None),
    *_out("names something for trackers", run_name=None, project="huggingface", trackio_space_id=None, trackio_bucket_id=None,
          trackio_static_space_id=None),
    *_out("read by scripts, not by the Trainer", do_train=False, do_eval=False, do_predict=False),
    *_out("operating-system detail of data loading", dataloader_multiprocessing_context=None, dataloader_in_order=True),
    *_out("needs a `datasets.Dataset` with a column of lengths", length_column_name="length"),
    *_out("diagnostics", debug="", skip_memory_metrics=True),
]

FIELDS: Final[dict[str, Field]] = {field.name: field for field in _TABLE}
DEFAULTS: Final[dict[str, Any]] = {field.name: field.default for field in _TABLE}
QUIET: Final[dict[str, Any]] = {
    field.name: field.value for field in _TABLE if field.value is not None and field.value != field.default
}
"""What every run sets where its scenario is silent."""
_USUAL: Final[dict[str, Any]] = DEFAULTS | QUIET


def default(name: str) -> Any:
    """The value of a field where a scenario is silent.

    Raises:
        KeyError: no such field; the message names the nearest one.
    """
    try:
        return _USUAL[name]
    except KeyError:
        raise KeyError(f"TrainingArguments has no field {name!r}{nearest(name)}") from None


def nearest(name: str, among: list[str] | None = None) -> str:
    """`: did you mean ...?` with the nearest valid name, or an empty text."""
    close = difflib.get_close_matches(name, among if among is not None else list(DEFAULTS), n=1, cutoff=0.5)
    return f": did you mean {close[0]!r}?" if close else ""
