"""The reference loop against a loop of torch's own parts, and the two ways to a gradient against each other."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from trainer_props.oracles import gradients, reference
from trainer_props.oracles.optimizers import rule_factory

Window = list[gradients.Points]


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
        self.b = nn.Parameter(torch.tensor(-0.5, dtype=torch.float64))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.a * inputs + self.b


def windows(*sizes: tuple[int, ...]) -> list[Window]:
    """Windows of micro-batches of these sizes, of noisy points near y = 2x + 3."""
    generator = torch.Generator().manual_seed(0)

    def points(size: int) -> gradients.Points:
        inputs, noise = torch.randn(2, size, generator=generator, dtype=torch.float64)
        return gradients.Points(inputs.tolist(), [1.0] * size, (2 * inputs + 3 + 0.1 * noise).tolist(), size)

    return [[points(size) for size in window] for window in sizes]


UNEVEN = windows((4, 4, 4), (4, 4, 4), (4, 2), (3,), (1, 1))


def squared_errors(reduction: str) -> gradients.Losses:
    def losses(module: nn.Module, window: Window) -> Iterator[torch.Tensor]:
        items = sum(points.items for points in window)
        for inputs, _, labels, _ in window:
            errors = (module(torch.tensor(inputs, dtype=torch.float64)) - torch.tensor(labels, dtype=torch.float64)) ** 2
            yield errors.mean() if reduction == "mean_per_batch" else errors.sum() / items

    return losses


def plan(**changes: Any) -> reference.Plan:
    rates = [0.1, 0.08, 0.06, 0.04, 0.02]
    usual = {"rule": rule_factory("sgd"), "learning_rates": rates, "max_grad_norm": 0.0, "weight_decay": [None, None]}
    return reference.Plan(**{**usual, **changes})


def flat(updates: list[reference.ReferenceUpdate]) -> list[float]:
    return [value for update in updates for value in (*update.losses, update.loss, update.gradient_norm, *update.gradient, *update.weights)]


def by_torch(data: list[Window], rates: list[float], maximum: float, decay: float, name: str) -> list[float]:
    """The same run, of torch's own optimizer, clipping and autograd."""
    module = Line()
    kind: Any = {"sgd": torch.optim.SGD, "adamw_torch": torch.optim.AdamW}[name]
    optimizer = kind(module.parameters(), lr=1.0, weight_decay=decay)
    seen = []
    for window, rate in zip(data, rates, strict=True):
        optimizer.zero_grad()
        optimizer.param_groups[0]["lr"] = rate
        losses = list(squared_errors("mean_per_batch")(module, window))
        loss = torch.stack(losses).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(module.parameters(), maximum or math.inf)
        optimizer.step()
        clipped = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        seen += [each.item() for each in (*losses, loss, norm, *clipped, *module.parameters())]
    return seen


@pytest.mark.parametrize("name", ["sgd", "adamw_torch"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("maximum", [0.0, 1.0, 1e6])
def test_train_equals_a_loop_of_torch_parts(name: str, decay: float, maximum: float) -> None:
    chosen = plan(rule=rule_factory(name), max_grad_norm=maximum, weight_decay=[decay or None] * 2)
    updates = reference.train(gradients.squared_error(), [0.5, -0.5], UNEVEN, chosen)
    assert flat(updates) == pytest.approx(by_torch(UNEVEN, list(chosen.learning_rates), maximum, decay, name), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("reduction", gradients.REDUCTIONS)
def test_closed_form_equals_autograd(reduction: gradients.Reduction) -> None:
    closed, run = gradients.squared_error(reduction), gradients.autograd(Line(), squared_errors(reduction), reduction)
    for window in UNEVEN:
        expected, observed = run([torch.tensor([1.5, 2.0], dtype=torch.float64)], window), closed([1.5, 2.0], window)
        assert observed.losses == pytest.approx(expected.losses, rel=1e-14)
        assert observed.loss == pytest.approx(expected.loss, rel=1e-14)
        assert observed.gradient == pytest.approx(expected.gradient[0].tolist(), rel=1e-13)


def test_errors_of_two_labels_are_added() -> None:
    inputs, first, second = [0.5, -1.0, 2.0], [1.0, 2.0, 0.0], [0.0, 1.0, -1.0]
    weights = torch.tensor([1.5, 2.0], dtype=torch.float64, requires_grad=True)
    x, y, z = (torch.tensor(column, dtype=torch.float64) for column in (inputs, first, second))
    loss = ((weights[0] * x + weights[1] - y) ** 2).mean() + ((weights[1] * x + weights[0] - z) ** 2).mean()
    (wanted,) = torch.autograd.grad(loss, weights)
    ones = [1.0] * 3
    observed = gradients.squared_error()([1.5, 2.0], [gradients.Points([*inputs, *ones], [*ones, *inputs], [*first, *second], 3)])
    assert observed.loss == pytest.approx(loss.item(), rel=1e-14)
    assert observed.gradient == pytest.approx(wanted.tolist(), rel=1e-14)


def test_reductions_differ_on_uneven_micro_batches_only() -> None:
    per_batch, per_item = gradients.squared_error("mean_per_batch"), gradients.squared_error("sum_over_items")
    even, uneven = UNEVEN[0], UNEVEN[2]
    assert per_batch([1.0, 1.0], even).gradient == pytest.approx(per_item([1.0, 1.0], even).gradient, rel=1e-14)
    assert per_batch([1.0, 1.0], uneven).gradient != pytest.approx(per_item([1.0, 1.0], uneven).gradient, rel=1e-3)


def test_accumulated_items_equal_one_large_micro_batch() -> None:
    window = UNEVEN[2]
    joined = [gradients.Points(*([value for points in window for value in points[column]] for column in range(3)), 6)]
    split, whole = (gradients.squared_error("sum_over_items")([1.0, 1.0], each) for each in (window, joined))
    assert split.loss == pytest.approx(whole.loss, rel=1e-14)
    assert split.gradient == pytest.approx(whole.gradient, rel=1e-14)


def test_what_is_frozen_has_no_gradient_and_stays() -> None:
    updates = reference.train(gradients.squared_error(trainable=(True, False)), [0.5, -0.5], UNEVEN, plan(weight_decay=[0.1, 0.1]))
    assert all(update.gradient[1] is None and update.weights[1] == -0.5 for update in updates)
    assert [update.gradient_norm for update in updates] == [abs(update.gradient[0]) for update in updates]
    assert updates[-1].weights[0] != 0.5


def test_frozen_parameters_are_no_part_of_the_flat_vector() -> None:
    module = Line()
    module.b.requires_grad_(False)
    run = gradients.autograd(module, squared_errors("mean_per_batch"))
    expected = gradients.squared_error()([1.5, -0.5], UNEVEN[0]).gradient[0]
    assert run([torch.tensor([1.5], dtype=torch.float64)], UNEVEN[0]).gradient[0].tolist() == pytest.approx([expected], rel=1e-14)


def test_weights_of_the_run_serve_as_points_of_the_gradients() -> None:
    free = reference.train(gradients.squared_error(), [0.5, -0.5], UNEVEN, plan())
    before = [[0.5, -0.5], *(update.weights for update in free)]
    replayed = reference.train(gradients.squared_error(), [0.5, -0.5], UNEVEN, plan(), at=before)
    assert flat(replayed) == flat(free)
    elsewhere = reference.train(gradients.squared_error(), [0.5, -0.5], UNEVEN, plan(), at=[[0.0, 0.0]] * len(UNEVEN))
    assert elsewhere[0].loss != free[0].loss


def test_apply_takes_each_update_from_what_the_run_had() -> None:
    chosen = plan(rule=rule_factory("adamw_torch"), weight_decay=[0.1, None])
    free = reference.train(gradients.squared_error(), [0.5, -0.5], UNEVEN, chosen)
    before = [[0.5, -0.5], *(update.weights for update in free[:-1])]
    assert reference.apply([update.gradient for update in free], before, chosen) == [update.weights for update in free]


def test_prediction_ends_with_the_learning_rates() -> None:
    assert len(reference.train(gradients.squared_error(), [0.5, -0.5], UNEVEN, plan(learning_rates=[0.1, 0.1]))) == 2


def test_overflow_ends_in_infinities_and_no_exception() -> None:
    last = reference.train(gradients.squared_error(), [1e200, 0.0], UNEVEN, plan(max_grad_norm=1.0))[-1]
    assert not math.isfinite(last.loss)


def test_autograd_leaves_no_gradient_of_the_window_before() -> None:
    module = Line()
    run = gradients.autograd(copy.deepcopy(module), squared_errors("mean_per_batch"))
    point = [torch.tensor([0.5, -0.5], dtype=torch.float64)]
    first = run(point, UNEVEN[0]).gradient[0].clone()
    run(point, UNEVEN[1])
    assert torch.equal(run(point, UNEVEN[0]).gradient[0], first)
