"""Gradient clipping against `torch.nn.utils.clip_grad_norm_`."""

from __future__ import annotations

import math

import pytest
import torch

from trainer_props.oracles.clipping import clip_factor, total_norm


@pytest.mark.parametrize("maximum", [0.1, 1.0, 5.0, 100.0])
def test_clipping_equals_torch(maximum: float) -> None:
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.nn.Parameter(torch.zeros(size, dtype=torch.float64)) for size in (3, 1, 5)]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 3
    before = [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, maximum))
    assert total_norm(before) == pytest.approx(norm, rel=1e-15)
    assert total_norm([element for part in before for element in part.tolist()]) == pytest.approx(norm, rel=1e-15)
    factor = clip_factor(norm, maximum)
    for parameter, gradient in zip(parameters, before, strict=True):
        torch.testing.assert_close(parameter.grad, gradient * factor, rtol=1e-15, atol=0)


def test_small_gradients_pass_unchanged() -> None:
    assert clip_factor(0.5, 1.0) == 1.0
    assert clip_factor(0.0, 1.0) == 1.0


def test_zero_switches_clipping_off() -> None:
    assert clip_factor(1e9, 0.0) == 1.0


def test_large_gradients_end_just_below_the_limit() -> None:
    assert 1 - 1e-6 < 4.0 * clip_factor(4.0, 1.0) < 1


def test_what_is_not_a_number_stays_so() -> None:
    assert math.isnan(clip_factor(math.nan, 1.0))
    assert clip_factor(math.inf, 1.0) == 0.0
