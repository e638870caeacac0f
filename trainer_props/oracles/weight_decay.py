"""Which parameters are decayed: all but biases and those of normalisation layers.

Source: https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments.weight_decay, and the docstring of
`Trainer.get_decay_parameter_names`, which filters "by layer type" and by names "containing 'bias', or variation of 'norm'".
"""

from __future__ import annotations

import re

_NORM_ATTRIBUTE = re.compile(r"(?:^|_)(?:layer|rms|batch|group|instance|weight)?norm\d*(?:$|_)")


def is_bias(name: str) -> bool:
    """Whether a parameter's dotted name says that it is a bias."""
    return "bias" in name.lower()


def is_normalisation(name: str, layer: str) -> bool:
    """Whether a parameter belongs to a normalisation layer.

    Args:
        name: dotted name of the parameter.
        layer: class name of the module that owns it. Those of torch's normalisation layers, and of transformers', all say `norm`.
    """
    return "norm" in layer.lower() or any(_NORM_ATTRIBUTE.search(part) for part in name.lower().split("."))


def is_decayed(name: str, layer: str) -> bool:
    """Whether weight decay applies to a trainable parameter (arguments as for `is_normalisation`)."""
    return not is_bias(name) and not is_normalisation(name, layer)
