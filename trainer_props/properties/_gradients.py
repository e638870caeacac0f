"""Comparing the gradients that a run used with the reference loop's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from trainer_props.judgement import Judgement, Measured, Violated, not_applicable
from trainer_props.measures import optimization as measures
from trainer_props.oracles.clipping import clip_factor
from trainer_props.properties._prediction import Prediction, exact_updates, prediction
from trainer_props.properties._vectors import Element, close_rows, flat_rows, largest_so_far, wrong_elements
from trainer_props.record import Record
from trainer_props.scenario import Scenario

DIRECTION: Final = 1e-6
"""How exactly directions are compared: some models compute their loss in float32, whatever their dtype."""
_SYMPTOM: Final = 1e-5
_ENLARGED: Final = 16
"""Two sums of the same numbers may differ by so many times what one of them differs from the exact one."""


def same_gradients(record: Record, scenario: Scenario, tolerance: float) -> Judgement:
    """The gradients that the optimizer used are the predicted ones; of those that clipping acts on, the directions are."""
    predicted = prediction(record, scenario)
    pair = gradients(record, predicted)
    if pair is None:
        return not_applicable(predicted.reason)
    expected, observed = pair
    tolerances: float | Tensor = tolerance
    maximum = float(scenario.argument("max_grad_norm") or 0.0)
    norms: dict[int, float] = {}
    acts = [maximum > 0 and update.gradient_norm * (1 + 1e-4) > maximum for update in predicted.updates[: len(expected)]]
    if any(acts) and next(wrong_elements(expected, observed, tolerance), None) is not None:
        expected, observed = expected.double(), observed.double()
        wanted, seen = expected.norm(dim=1, keepdim=True), observed.norm(dim=1, keepdim=True)
        clipped = torch.tensor(acts).unsqueeze(1) & (seen > 0)
        observed = torch.where(clipped, observed * (wanted / seen), observed)
        aligned = torch.where(clipped.squeeze(1), expected.abs().amax(1) * DIRECTION, 0.0)
        tolerances = torch.clamp(aligned / largest_so_far(expected), min=tolerance)
        norms = {index + 1: float(wanted[index]) for index in clipped.squeeze(1).nonzero().flatten().tolist()}

    def measured(place: Element) -> Measured:
        if place.update in norms:
            return measures.gradient_element_at_norm(record, *place, norms[place.update])
        return measures.gradient_element(record, *place)

    def judge(tolerances: float | Tensor) -> Judgement:
        return close_rows(
            "gradient", expected=expected, observed=observed, tolerance=tolerances, parameters=record.parameters, measured=measured
        )

    judgement = judge(tolerances)
    if isinstance(judgement, Violated) and (noise := rounding(record, scenario, expected)) is not None:
        return judge(torch.maximum(torch.as_tensor(tolerances), noise))
    return judgement


def rounding(record: Record, scenario: Scenario, expected: Tensor) -> Tensor | None:
    """What rounding may make of the gradient of each update, as a share of the largest element so far; None for a run in float64.

    Args:
        expected: the predicted gradients in the dtype of the run, shape [updates, elements].
    """
    exact = exact_updates(record, scenario)
    predicted = prediction(record, scenario)
    if not exact or predicted.trainable is None or len(exact) < len(expected):
        return None
    nothing = torch.zeros(len(predicted.trainable), dtype=torch.float64)
    near, right = (
        flat_rows([update.gradient for update in updates[: len(expected)]], predicted.trainable, nothing)
        for updates in (predicted.updates, exact)
    )
    return _ENLARGED * (near - right).abs().amax(1) / largest_so_far(expected.double())


def gradients(record: Record, predicted: Prediction) -> tuple[Tensor, Tensor] | None:
    """The predicted and the recorded gradients, as far as there are both."""
    seen = [update.gradient for update in record.updates[: len(predicted.updates)]]
    count = next((index for index, gradient in enumerate(seen) if gradient is None), len(seen))
    if not count or predicted.trainable is None:
        return None
    observed = torch.stack([gradient for gradient in seen[:count] if gradient is not None])
    rows = [update.gradient for update in predicted.updates[:count]]
    return flat_rows(rows, predicted.trainable, torch.zeros_like(observed[0])), observed


def explained_by(record: Record, scenario: Scenario, factors: Sequence[float | None]) -> bool:
    """Whether all gradients that were used are the predicted ones times these factors, clipped afterwards: the symptom of a wrong divisor.

    Args:
        factors: of each update; None for one of which nothing is said.
    """
    predicted = prediction(record, scenario)
    pair = gradients(record, predicted)
    if pair is None or len(factors) < len(pair[0]):
        return False
    expected, observed = pair
    maximum = float(scenario.argument("max_grad_norm") or 0.0)
    said = [1.0 if factor is None else factor for factor in factors[: len(expected)]]
    norms = [update.gradient_norm * factor for update, factor in zip(predicted.updates, said, strict=False)]
    lengths = torch.tensor([norm * clip_factor(norm, maximum) for norm in norms], dtype=torch.float64)
    wanted = torch.nn.functional.normalize(expected, dim=1, eps=1e-300) * lengths.unsqueeze(1)
    silent = torch.tensor([factor is None for factor in factors[: len(expected)]])
    wanted = torch.where(silent.unsqueeze(1), observed.double(), wanted)
    if next(wrong_elements(wanted, observed, _SYMPTOM), None) is None:
        return True
    noise = rounding(record, scenario, wanted)
    return noise is not None and next(wrong_elements(wanted, observed, noise.clamp(min=_SYMPTOM)), None) is None
