"""Evaluation losses that are no numbers: a function of a Trainer, which scripts have too, word for word."""

from __future__ import annotations

import inspect
from typing import Any


def poison(trainer: Any, values: dict[int, float]) -> None:
    """The loss of these batches of each evaluation, counted from 0, becomes another value."""
    usual = trainer.evaluation_loop
    seen: list[Any] = []

    def evaluation_loop(*args: Any, **kwargs: Any) -> Any:
        seen.clear()
        return usual(*args, **kwargs)

    def replace_loss(module: Any, args: Any, kwargs: Any, outputs: Any) -> Any:
        if module.training:
            return None
        seen.append(kwargs)
        value = values.get(len(seen) - 1)
        has_loss = any("labels" in name for name in kwargs)
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs[0] if has_loss else None
        if value is None or loss is None:
            return None
        loss = loss * 0 + value
        return type(outputs)(**{**outputs, "loss": loss}) if isinstance(outputs, dict) else (loss, *outputs[1:])

    trainer.evaluation_loop = evaluation_loop
    trainer.model.register_forward_hook(replace_loss, with_kwargs=True, prepend=True)


def source() -> str:
    """The function, for a script, which imports `Any` for it."""
    return inspect.getsource(poison).rstrip()
