"""Which precisions this processor can compute in: torch has no kernel of every layer in every type for every processor."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Mapping
from typing import Final

import torch

from trainer_props import compat, zoo
from trainer_props.scenario import Data, Model, Scenario

_MIXED: Final = {"bf16": "bfloat16", "fp16": "float16"}
_FULL: Final = {"bf16_full_eval": "bfloat16", "fp16_full_eval": "float16"}


class NoSuchPrecision(compat.Unsupported):
    """A scenario asks for a precision that this processor can't compute its model in; the message says so."""

    def __init__(self, field: str, message: str) -> None:
        ValueError.__init__(self, message)
        self.field = field


def require_precision(scenario: Scenario) -> None:
    """Make sure that torch can compute the model in the precision that is asked for, on this processor.

    Raises:
        NoSuchPrecision: it can't.
    """
    model, data = scenario.model, Data(kind=scenario.data.kind, n=1, n_eval=1, length=scenario.data.length)
    mixed: dict[str, str | None] = {name: cast for name, cast in _MIXED.items() if scenario.argument(name)}
    full = {name: kind for name, kind in _FULL.items() if scenario.argument(name)}
    asked = [(name, model.dtype, cast) for name, cast in mixed.items()]
    asked += [(name, kind, cast) for name, kind in full.items() for cast in mixed.values() or (None,)]
    for name, kind, cast in asked:
        if not _computes(model.replace(frozen=()), data, kind, cast):
            raise NoSuchPrecision(name, f"torch can't compute model {model.name!r} in {cast or kind} on this processor")


@functools.lru_cache(maxsize=64)
def _computes(model: Model, data: Data, kind: str, cast: str | None) -> bool:
    module = zoo.build_model(model, data).to(getattr(torch, kind))
    inputs = zoo.build_dataset(data, "eval", model=model).rows((0,))
    context = torch.autocast("cpu", dtype=getattr(torch, cast)) if cast is not None else contextlib.nullcontext()
    try:
        with context, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a run may say more of it
            outputs = module(**inputs)
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs[0]
        loss.sum().backward()
    except RuntimeError:
        return False
    return True
