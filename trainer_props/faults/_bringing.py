"""Trainers that bring a collator of their own: a class derived from one of transformers', in which something is wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from trainer_props.faults._source import rewritten


def bringing(collator: type[Any]) -> Callable[[Any, str], Any]:
    """A factory of stock Trainers that put a collator of this class in the place of one of the class that it is derived from."""
    from transformers import Trainer

    def make(parts: Any, output_dir: str) -> Any:
        trainer = Trainer(**parts.trainer_kwargs(output_dir))
        usual: Any = trainer.data_collator
        if type(usual) is collator.__mro__[1]:
            options = {each.name: getattr(usual, each.name) for each in dataclasses.fields(usual)}
            trainer.data_collator = collator(**options)
        return trainer

    return make


def with_source(name: str, method: str, old: str, new: str, *, times: int = 1) -> Callable[[Any, str], Any]:
    """A factory of stock Trainers whose collator of this name has an expression of a method changed."""
    import transformers

    usual: Any = getattr(transformers, name)
    return bringing(type(f"Changed{name}", (usual,), {method: rewritten(usual, method, old, new, times=times)}))
