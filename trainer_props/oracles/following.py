"""What the fields of TrainingArguments are, once built: the values that were given, and those that are said to follow from them.

Source: the docstring of TrainingArguments (`do_eval`, `eval_steps`, `metric_for_best_model`, `greater_is_better`, `report_to`, `debug`,
`torch_compile_backend`, `torch_compile_mode`), and its deprecated aliases. A dict may be given as the JSON text that a command line hands
over, with texts in the place of numbers and truth values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from trainer_props.arguments import DEFAULTS

_ALIASES: Final = {
    "gradient_checkpointing": "activation_checkpointing", "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
}  # fmt: skip
_DICTS: Final = (
    "accelerator_config", "activation_checkpointing_kwargs", "deepspeed", "fsdp_config", "gradient_checkpointing_kwargs",
    "liger_kernel_config", "lr_scheduler_kwargs",
)  # fmt: skip
"""Given as a text that is no JSON, they are read from a file of that name."""
_UNKNOWN: Final = {
    "report_to": ("all", ["all"]), "dataloader_pin_memory": (True,), "include_num_input_tokens_seen": (True, False),
}  # fmt: skip
"""Values of which it depends on the machine, or on the version of transformers, what becomes of them."""


def fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of which the given values decide what they are, as plain data. A dict may hold more in the end than is said here.

    Args:
        given: valid values, as they are handed over. None counts as not given.
    """
    said = {name: value for name, value in given.items() if value is not None}
    read = {name: _read(value) for name, value in said.items() if value not in _UNKNOWN.get(name, ())}
    found = {name: value for name, value in read.items() if not (name in _DICTS and isinstance(value, str))}
    for alias, name in _ALIASES.items():
        if alias in found:
            found[alias] = found.setdefault(name, found[alias])
    found |= _of_evaluations(said) | _of_best_models(said)
    if said.keys() & {"torch_compile_backend", "torch_compile_mode"}:
        found["torch_compile"] = True
    if "report_to" in found:
        named = found["report_to"] if isinstance(found["report_to"], list) else [found["report_to"]]
        found["report_to"] = [] if named == ["none"] else named
    if isinstance(found.get("debug"), str):
        found["debug"] = found["debug"].split()
    return found


def _of_evaluations(said: Mapping[str, Any]) -> dict[str, Any]:
    strategy = said.get("eval_strategy", DEFAULTS["eval_strategy"])
    found: dict[str, Any] = {"do_eval": True} if strategy != "no" else {}
    if strategy == "steps" and "eval_steps" not in said:
        found["eval_steps"] = said.get("logging_steps", DEFAULTS["logging_steps"])
    return found


def _of_best_models(said: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if said.get("load_best_model_at_end") and "metric_for_best_model" not in said:
        found["metric_for_best_model"] = "loss"
    metric = found.get("metric_for_best_model", said.get("metric_for_best_model"))
    if metric is not None and "greater_is_better" not in said:
        found["greater_is_better"] = not metric.endswith("loss")
    return found


def _read(value: Any) -> Any:
    """A value, or what it says in JSON."""
    return _parsed(json.loads(value)) if isinstance(value, str) and value.startswith("{") else value


def _parsed(value: Any) -> Any:
    """Numbers and truth values in the place of the texts of them."""
    if isinstance(value, dict):
        return {key: _parsed(item) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value.lower())
    except ValueError:
        return value
    return found if isinstance(found, (bool, int, float)) else value
