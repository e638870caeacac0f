"""The closed forms of optimizers against torch's own optimizers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from trainer_props.oracles import optimizers

TORCH = {
    "sgd": torch.optim.SGD, "adagrad": torch.optim.Adagrad, "rmsprop": torch.optim.RMSprop, "adamw_torch": torch.optim.AdamW,
    "adamw_torch_fused": torch.optim.AdamW,
}
VARIANTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("sgd", {}, {}),
    ("sgd", {"optim_args": "momentum=0.9"}, {"momentum": 0.9}),
    ("sgd", {"optim_args": "momentum=0.9,dampening=0.5"}, {"momentum": 0.9, "dampening": 0.5}),
    ("sgd", {"optim_args": "momentum=0.9, nesterov=True"}, {"momentum": 0.9, "nesterov": True}),
    ("adagrad", {}, {}),
    ("adagrad", {"optim_args": "lr_decay=0.1,eps=0.001"}, {"lr_decay": 0.1, "eps": 0.001}),
    ("rmsprop", {}, {}),
    ("rmsprop", {"optim_args": "alpha=0.5,eps=0.01"}, {"alpha": 0.5, "eps": 0.01}),
    ("rmsprop", {"optim_args": "momentum=0.5"}, {"momentum": 0.5}),
    ("rmsprop", {"optim_args": "momentum=0.5,centered=true"}, {"momentum": 0.5, "centered": True}),
    ("adamw_torch", {}, {}),
    ("adamw_torch", {"adam_beta1": 0.5, "adam_beta2": 0.8, "adam_epsilon": 1e-3}, {"betas": (0.5, 0.8), "eps": 1e-3}),
    ("adamw_torch_fused", {}, {"fused": True}),
]
UPDATES = 12


def by_torch(
    name: str, kwargs: dict[str, Any], weight: torch.Tensor, gradients: torch.Tensor, rates: list[float], decay: float
) -> list[torch.Tensor]:
    parameter = torch.nn.Parameter(weight.clone())
    optimizer = TORCH[name]([parameter], lr=rates[0], weight_decay=decay, **kwargs)
    after = []
    for gradient, rate in zip(gradients, rates, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        parameter.grad = gradient.clone()
        optimizer.step()
        after.append(parameter.detach().clone())
    return after


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("name", "arguments", "kwargs"), VARIANTS)
def test_rules_equal_torch(name: str, arguments: dict[str, Any], kwargs: dict[str, Any], decay: float) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(7, generator=generator, dtype=torch.float64)
    gradients = torch.randn(UPDATES, 7, generator=generator, dtype=torch.float64) * 10 ** torch.linspace(-3, 1, 7, dtype=torch.float64)
    rates = [0.1 / (1 + index) for index in range(UPDATES)]
    expected = by_torch(name, kwargs, weight, gradients, rates, decay)
    factory = optimizers.rule_factory(name, **arguments)
    whole, rules = factory(), [factory() for _ in weight]
    flat, floats = weight, weight.tolist()
    for gradient, rate, after in zip(gradients, rates, expected, strict=True):
        flat = whole.step(flat, gradient, rate, decay or None)
        floats = [rule.step(*pair, rate, decay or None) for rule, *pair in zip(rules, floats, gradient.tolist(), strict=True)]
        torch.testing.assert_close(flat, after, rtol=1e-14, atol=1e-14)
        torch.testing.assert_close(torch.tensor(floats, dtype=torch.float64), after, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", optimizers.NAMES)
def test_decay_may_differ_within_a_tensor(name: str) -> None:
    factory = optimizers.rule_factory(name)
    weight, gradient = torch.tensor([1.0, 1.0], dtype=torch.float64), torch.tensor([0.5, 0.5], dtype=torch.float64)
    mixed = factory().step(weight, gradient, 0.1, torch.tensor([0.5, 0.0], dtype=torch.float64))
    plain, decayed = factory().step(1.0, 0.5, 0.1), factory().step(1.0, 0.5, 0.1, 0.5)
    assert mixed.tolist() == pytest.approx([decayed, plain], rel=1e-15)
    assert decayed != plain


@pytest.mark.parametrize("name", ["adamw_torch", "adagrad", "rmsprop"])
def test_floats_follow_ieee_where_python_raises(name: str) -> None:
    arguments: dict[str, Any] = {"adam_epsilon": 0.0} if name == "adamw_torch" else {"optim_args": "eps=0"}
    factory = optimizers.rule_factory(name, **arguments)
    assert math.isnan(factory().step(1.0, 0.0, 0.1))
    assert torch.isnan(factory().step(torch.ones(1), torch.zeros(1), 0.1))
    assert math.isnan(factory().step(1.0, math.nan, 0.1))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("adafactor", {}),
        ("sgd", {"optim_args": "weight_decay=0.1"}),
        ("sgd", {"optim_args": "momentum=high"}),
        ("rmsprop", {"optim_args": "centered=maybe"}),
    ],
)
def test_unknown_forms_are_refused(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(optimizers.NoClosedForm):
        optimizers.rule_factory(name, **arguments)


def test_adamw_takes_no_optim_args() -> None:
    with pytest.raises(optimizers.NoClosedForm, match="the option momentum of adamw_torch"):
        optimizers.rule_factory("adamw_torch", optim_args="momentum=0.9")
