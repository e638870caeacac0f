"""Cross entropy with smoothed labels.

The label takes 1 - epsilon of the target distribution, and epsilon is spread evenly over all classes, the label's among them:
https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments.label_smoothing_factor
"""

from __future__ import annotations

from torch import Tensor

IGNORED = -100


def count_items(labels: Tensor, *, shift: bool = False) -> int:
    """How many labels are predicted.

    Args:
        labels: class indices of any shape; -100 is ignored.
        shift: position i of a row predicts label i + 1, so that the first label of a row is never predicted.
    """
    return int((labels[..., 1:] if shift else labels).ne(IGNORED).sum())


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, epsilon: float, *, shift: bool = False, items: float | None = None) -> Tensor:
    """The smoothed loss, summed over the labels that are not ignored and divided by their number.

    Args:
        logits: shape [..., classes].
        labels: class indices, shape [...]; -100 is ignored.
        epsilon: the smoothing factor; 0 gives plain cross entropy.
        shift: position i predicts label i + 1, as in causal language models.
        items: what the sum is divided by instead, `num_items_in_batch`: the number of labels in all micro-batches of an update.

    Returns:
        a scalar, differentiable with respect to the logits. Not a number if there is no label to predict.
    """
    if shift:
        logits, labels = logits[..., :-1, :], labels[..., 1:]
    kept = labels.ne(IGNORED)
    chosen = logits[kept].log_softmax(-1)
    likelihood = chosen.gather(-1, labels[kept].unsqueeze(-1)).sum()
    uniform = chosen.mean(-1).sum()
    return -((1 - epsilon) * likelihood + epsilon * uniform) / (float(kept.sum()) if items is None else items)
