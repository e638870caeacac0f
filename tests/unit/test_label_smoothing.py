"""Smoothed cross entropy against `torch.nn.functional.cross_entropy`."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from trainer_props.oracles.label_smoothing import count_items, smoothed_cross_entropy


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)


@pytest.fixture
def labels() -> torch.Tensor:
    drawn = torch.randint(0, 7, (3, 5), generator=torch.Generator().manual_seed(1))
    drawn[0, 1] = drawn[1, 0] = drawn[2, 4] = -100
    return drawn


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.9, 1.0])
def test_mean_over_the_labels_equals_torch(logits: torch.Tensor, labels: torch.Tensor, epsilon: float) -> None:
    expected = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=epsilon)
    observed = smoothed_cross_entropy(logits, labels, epsilon)
    assert observed.item() == pytest.approx(expected.item(), rel=1e-14)
    (wanted,), (got,) = torch.autograd.grad(expected, logits), torch.autograd.grad(observed, logits)
    torch.testing.assert_close(got, wanted, rtol=1e-13, atol=1e-15)


def test_shifted_position_predicts_the_next_label(logits: torch.Tensor, labels: torch.Tensor) -> None:
    expected = functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), label_smoothing=0.1)
    assert smoothed_cross_entropy(logits, labels, 0.1, shift=True).item() == pytest.approx(expected.item(), rel=1e-14)
    assert expected.item() != pytest.approx(smoothed_cross_entropy(logits, labels, 0.1).item(), rel=1e-3)


def test_parts_divided_by_the_items_of_the_whole_add_up(logits: torch.Tensor, labels: torch.Tensor) -> None:
    items = count_items(labels)
    parts = sum(smoothed_cross_entropy(logits[row], labels[row], 0.1, items=items).item() for row in range(3))
    assert parts == pytest.approx(smoothed_cross_entropy(logits, labels, 0.1).item(), rel=1e-14)


def test_items_leave_out_what_is_ignored_or_never_predicted(labels: torch.Tensor) -> None:
    assert count_items(labels) == 12
    assert count_items(labels, shift=True) == 10


def test_no_label_at_all_is_not_a_number(logits: torch.Tensor) -> None:
    assert smoothed_cross_entropy(logits, torch.full((3, 5), -100), 0.1).isnan()
