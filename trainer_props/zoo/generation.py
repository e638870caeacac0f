"""What an encoder-decoder generates from the rows of a data set, batch by batch, by its own `generate`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig

from trainer_props import serialization
from trainer_props.scenario import Data, Model, thaw
from trainer_props.zoo.containers import build_dataset
from trainer_props.zoo.models import build_model

_GIVEN = ("input_ids", "attention_mask")


@dataclass(frozen=True)
class Batch:
    """A batch of evaluation rows.

    Attributes:
        tokens: what the model generates, row by row; all as long as the longest.
        labels: of each row, as many as it has.
        loss: the model's loss.
        scores: its logits over the vocabulary, of shape [rows, labels, tokens], and the labels that belong to them.
    """

    tokens: tuple[tuple[int, ...], ...]
    labels: tuple[tuple[int, ...], ...]
    loss: float
    scores: tuple[torch.Tensor, torch.Tensor]


def generated(model: Model, data: Data, size: int, options: Mapping[str, Any], config: Mapping[str, Any] | None) -> tuple[Batch, ...]:
    """What the model generates from the evaluation rows in their order, in batches of a size.

    Args:
        options: of `generate`.
        config: the arguments of the generation configuration that the model is given before; None: it keeps its own.
    """
    return _generated(model, data, size, serialization.dumps(options), None if config is None else serialization.dumps(config))


@functools.lru_cache(maxsize=64)
def _generated(model: Model, data: Data, size: int, options: str, config: str | None) -> tuple[Batch, ...]:
    built: Any = build_model(model, data).eval()
    if config is not None:
        built.generation_config = GenerationConfig(**serialization.loads(config))
    dataset = build_dataset(data, "eval", model=model)
    found = []
    with torch.no_grad():
        for first in range(0, data.n_eval, size):
            places = range(first, min(first + size, data.n_eval))
            inputs = dataset.rows(places)
            tokens = built.generate(**{name: inputs[name] for name in _GIVEN}, **thaw(serialization.loads(options)))
            outputs = built(**inputs)
            labels = tuple(tuple(dataset.rows([place])["labels"][0].tolist()) for place in places)
            found.append(Batch(tuple(map(tuple, tokens.tolist())), labels, float(outputs.loss), (outputs.logits, inputs["labels"])))
    return tuple(found)
