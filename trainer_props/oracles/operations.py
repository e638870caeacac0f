"""Floating-point operations of training.

Source: the docstring of `Trainer.floating_point_ops`, and section 2.1 of the paper that transformers names for it (arXiv 2001.08361): a
forward and a backward pass take about six operations for each token and each weight that is no embedding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

FOR_EACH: Final = 6


def of_micro_batches(tokens: Sequence[int], weights: Iterable[tuple[int, bool]], *, counts: bool) -> list[int]:
    """The operations of each micro-batch.

    Args:
        tokens: elements of the model's main input in each micro-batch.
        weights: for each parameter its number of elements, and whether it is an embedding.
        counts: the model can say how many parameters it has; for others nothing is counted.
    """
    used = sum(size for size, embeds in weights if not embeds) if counts else 0
    return [FOR_EACH * each * used for each in tokens]
