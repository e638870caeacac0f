"""Gradient clipping by the total norm, as `torch.nn.utils.clip_grad_norm_` documents it."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor

EPSILON = 1e-6
"""What is added to the norm before dividing by it."""


def total_norm(gradient: Iterable[float | Tensor]) -> float:
    """The Euclidean norm of all coordinates (floats, or flat tensors) taken as one vector."""
    return math.sqrt(sum(part * part if isinstance(part, float) else float(part @ part) for part in gradient))


def clip_factor(norm: float, max_grad_norm: float) -> float:
    """What a gradient of this norm is multiplied by.

    Args:
        norm: the total norm before clipping.
        max_grad_norm: the argument of TrainingArguments; zero switches clipping off.
    """
    if max_grad_norm <= 0:
        return 1.0
    factor = max_grad_norm / (norm + EPSILON)
    # Not min(): a factor that is not a number must stay so.
    return 1.0 if factor > 1 else factor
