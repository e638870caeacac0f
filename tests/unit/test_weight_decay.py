"""Which parameters are decayed."""

from __future__ import annotations

import pytest
from torch import nn

from trainer_props.oracles.weight_decay import is_decayed

NORMS = [nn.LayerNorm(4), nn.RMSNorm(4), nn.GroupNorm(2, 4), nn.BatchNorm1d(4), nn.InstanceNorm1d(4, affine=True), nn.SyncBatchNorm(4)]


@pytest.mark.parametrize("layer", NORMS, ids=lambda layer: type(layer).__name__)
def test_no_parameter_of_a_normalisation_layer_is_decayed(layer: nn.Module) -> None:
    names = [name for name, _ in layer.named_parameters()]
    assert names
    assert not any(is_decayed(f"gn.{name}", type(layer).__name__) for name in names)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("fc.bias", "Linear"),
        ("lstm.bias_ih_l0", "LSTM"),
        ("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", "Embedding"),
        ("model.layers.0.input_layernorm.weight", "LlamaRMSNorm"),
        ("model.norm.weight", "Scale"),
        ("block.final_layer_norm.weight", "FusedKernel"),
        ("norm1.weight", "Scale"),
    ],
)
def test_not_decayed(name: str, layer: str) -> None:
    assert not is_decayed(name, layer)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("a", "Line"),
        ("fc.weight", "Linear"),
        ("wte.weight", "Embedding"),
        ("lstm.weight_hh_l0", "LSTM"),
        ("normal_proj.weight", "Linear"),
        ("h.0.attn.c_attn.weight", "Conv1D"),
    ],
)
def test_decayed(name: str, layer: str) -> None:
    assert is_decayed(name, layer)
