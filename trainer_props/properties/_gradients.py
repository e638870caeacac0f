"""Comparing the gradients that a run used with the reference loop's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from trainer_props.judgement import Holds, Judgement, not_applicable
from trainer_props.oracles.clipping import clip_factor
from trainer_props.properties._prediction import Prediction, prediction
from trainer_props.properties._vectors import close_rows, flat_rows
from trainer_props.record import Record
from trainer_props.scenario import Scenario

DIRECTION: Final = 1e-6
"""How exactly directions are compared: some models compute their loss in float32, whatever their dtype."""


def same_gradients(record: Record, scenario: Scenario, tolerance: float) -> Judgement:
    """The gradients that the optimizer used are the predicted ones; of those that clipping acts on, the directions are."""
    predicted = prediction(record, scenario)
    pair = gradients(record, predicted)
    if pair is None:
        return not_applicable(predicted.reason)
    expected, observed = pair
    maximum = float(scenario.argument("max_grad_norm") or 0.0)
    if maximum > 0:
        norms = [update.gradient_norm for update in predicted.updates[: len(expected)]]
        clipped = torch.tensor([norm * (1 + 1e-4) > maximum for norm in norms])
        if bool(clipped.any()):
            length = observed.norm(dim=1, keepdim=True)
            rescaled = observed * (expected.norm(dim=1, keepdim=True) / length)
            size = expected.abs().amax(1, keepdim=True)
            aligned = (rescaled - expected).abs().amax(1, keepdim=True) <= DIRECTION * size
            rescaled = torch.where(aligned, expected.to(observed.dtype), rescaled)
            observed = torch.where(clipped.unsqueeze(1) & (length > 0), rescaled, observed)
    return close_rows("gradient", expected=expected, observed=observed, tolerance=tolerance, parameters=record.parameters)


def gradients(record: Record, predicted: Prediction) -> tuple[Tensor, Tensor] | None:
    """The predicted and the recorded gradients, as far as there are both."""
    seen = [update.gradient for update in record.updates[: len(predicted.updates)]]
    count = next((index for index, gradient in enumerate(seen) if gradient is None), len(seen))
    if not count or predicted.trainable is None:
        return None
    observed = torch.stack([gradient for gradient in seen[:count] if gradient is not None])
    rows = [update.gradient for update in predicted.updates[:count]]
    return flat_rows(rows, predicted.trainable, torch.zeros_like(observed[0])), observed


def explained_by(record: Record, scenario: Scenario, factors: Sequence[float]) -> bool:
    """Whether all gradients that were used are the predicted ones times these factors, clipped afterwards: the symptom of a wrong divisor.

    Args:
        factors: of each update.
    """
    predicted = prediction(record, scenario)
    pair = gradients(record, predicted)
    if pair is None or len(factors) < len(pair[0]):
        return False
    expected, observed = pair
    maximum = float(scenario.argument("max_grad_norm") or 0.0)
    norms = [update.gradient_norm * factor for update, factor in zip(predicted.updates, factors[: len(expected)], strict=False)]
    lengths = torch.tensor([norm * clip_factor(norm, maximum) for norm in norms], dtype=torch.float64)
    wanted = torch.nn.functional.normalize(expected, dim=1, eps=1e-300) * lengths.unsqueeze(1)
    judgement = close_rows("gradient", expected=wanted, observed=observed, tolerance=1e-5, parameters=record.parameters)
    return isinstance(judgement, Holds)
