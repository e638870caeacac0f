"""Fields of TrainingArguments that follow from given values, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from trainer_props.oracles import following


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"seed": 7, "save_total_limit": None}, {"seed": 7}),
        ({"eval_strategy": "epoch"}, {"eval_strategy": "epoch", "do_eval": True}),
        ({"eval_strategy": "epoch", "do_eval": False}, {"eval_strategy": "epoch", "do_eval": True}),
        ({"eval_strategy": "no", "do_eval": False}, {"eval_strategy": "no", "do_eval": False}),
        ({"eval_strategy": "steps"}, {"eval_strategy": "steps", "do_eval": True, "eval_steps": 500}),
        (
            {"eval_strategy": "steps", "logging_steps": 3},
            {"eval_strategy": "steps", "logging_steps": 3, "do_eval": True, "eval_steps": 3},
        ),
        ({"eval_strategy": "steps", "eval_steps": 2}, {"eval_strategy": "steps", "do_eval": True, "eval_steps": 2}),
        (
            {"load_best_model_at_end": True},
            {"load_best_model_at_end": True, "metric_for_best_model": "loss", "greater_is_better": False},
        ),
        ({"metric_for_best_model": "score"}, {"metric_for_best_model": "score", "greater_is_better": True}),
        ({"metric_for_best_model": "eval_loss"}, {"metric_for_best_model": "eval_loss", "greater_is_better": False}),
        (
            {"metric_for_best_model": "score", "greater_is_better": False},
            {"metric_for_best_model": "score", "greater_is_better": False},
        ),
        ({"include_num_input_tokens_seen": True}, {}),
        ({"include_num_input_tokens_seen": "non_padding"}, {"include_num_input_tokens_seen": "non_padding"}),
        ({"report_to": "none"}, {"report_to": []}),
        ({"report_to": ["none"]}, {"report_to": []}),
        ({"report_to": "tensorboard"}, {"report_to": ["tensorboard"]}),
        ({"report_to": "all"}, {}),
        ({"debug": "underflow_overflow tpu_metrics_debug"}, {"debug": ["underflow_overflow", "tpu_metrics_debug"]}),
        ({"torch_compile_mode": "default"}, {"torch_compile_mode": "default", "torch_compile": True}),
        ({"torch_compile_backend": "eager", "torch_compile": False}, {"torch_compile_backend": "eager", "torch_compile": True}),
        ({"gradient_checkpointing": True}, {"gradient_checkpointing": True, "activation_checkpointing": True}),
        (
            {"gradient_checkpointing": True, "activation_checkpointing": False},
            {"gradient_checkpointing": False, "activation_checkpointing": False},
        ),
        (
            {"lr_scheduler_kwargs": '{"num_cycles": "2", "inner": {"on": "False", "name": "x1", "part": "0.5"}}'},
            {"lr_scheduler_kwargs": {"num_cycles": 2, "inner": {"on": False, "name": "x1", "part": 0.5}}},
        ),
        ({"accelerator_config": "a_file.json", "gradient_checkpointing_kwargs": "another.json"}, {}),
        ({"dataloader_pin_memory": True}, {}),
    ],
)
def test_fields(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert following.fields(given) == expected
