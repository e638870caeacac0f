"""The source text of what is handed to a Trainer beside its arguments, model and data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from trainer_props.scenario import Components
from trainer_props.scripts import layout
from trainer_props.scripts.copying import Copy, copied
from trainer_props.zoo.collation import noisy
from trainer_props.zoo.rows import padded


@dataclass(frozen=True)
class Part:
    """The source of one component.

    Attributes:
        source: what it needs at the top of the script.
        keyword: the argument of the Trainer's constructor; empty if it joins the trainer once that is made.
        value: its value; or the statement that joins it.
    """

    source: Copy
    keyword: str
    value: str


def parts(components: Components) -> list[Part]:
    """The sources of the components that differ from their defaults."""
    return [part for make in _MAKERS if (part := make(components)) is not None]


def _collator(components: Components) -> Part | None:
    made = {"padding": padded, "noise": noisy}.get(components.collator)
    return None if made is None else Part(copied(made), "data_collator", made.__name__)


def _loss(components: Components) -> Part | None:
    if components.loss != "compute_loss_func":
        return None
    return Part(Copy((), _LOSS), "compute_loss_func", "summed_squared_error")


def _scores(components: Components) -> Part | None:
    if not components.scores:
        return None
    return Part(Copy((), _SCORES), "compute_metrics", f"metric({', '.join(layout.value(score) for score in components.scores)})")


def _early_stopping(components: Components) -> Part | None:
    stopping = components.early_stopping
    if stopping is None:
        return None
    value = f"[EarlyStoppingCallback({stopping.patience}, {layout.value(stopping.threshold)})]"
    return Part(Copy(("from transformers import EarlyStoppingCallback",), ""), "callbacks", value)


def _poisoned(components: Components) -> Part | None:
    if not components.poisoned:
        return None
    return Part(Copy(("import itertools",), _POISON), "", f"poison(trainer.model, {layout.value(dict(components.poisoned))})")


_MAKERS: Final[tuple[Callable[[Components], Part | None], ...]] = (_collator, _loss, _scores, _early_stopping, _poisoned)

_LOSS: Final = """\
def summed_squared_error(outputs, labels, num_items_in_batch=None):
    logits = next(iter(outputs.values())) if isinstance(outputs, dict) else outputs[0]
    items = num_items_in_batch if num_items_in_batch is not None else labels.numel()
    return ((logits - labels) ** 2).sum() / items"""

_SCORES: Final = '''\
def metric(*scores):
    """The score of each evaluation in turn, the last one repeated."""
    left = list(scores)

    def compute_metrics(prediction, compute_result=True):
        if not compute_result:
            return {}
        return {"score": left.pop(0) if len(left) > 1 else left[0]}

    return compute_metrics'''

_POISON: Final = '''\
def poison(model, values):
    """The loss of these training micro-batches, counted from 0, becomes another value."""
    numbers = itertools.count()

    def replace_loss(module, args, kwargs, outputs):
        value = values.get(next(numbers)) if module.training else None
        has_loss = any("labels" in name for name in kwargs)
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs[0] if has_loss else None
        if value is None or loss is None:
            return None
        loss = loss * 0 + value
        return type(outputs)(**{**outputs, "loss": loss}) if isinstance(outputs, dict) else (loss, *outputs[1:])

    model.register_forward_hook(replace_loss, with_kwargs=True)'''
