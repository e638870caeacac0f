"""Trainer classes in which one part was exchanged: a callback, the handler of the callbacks, an argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def changed(change: Callable[[Any], None]) -> Any:
    """A Trainer class that does `change` to each Trainer once it is made."""
    from transformers import Trainer

    class Changed(Trainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            change(self)

    return Changed


def with_callback(callback: Callable[[], Any]) -> Any:
    """A Trainer class that brings a callback of its own."""
    return changed(lambda trainer: trainer.add_callback(callback()))


def with_flow(flow: Callable[[], Any]) -> Any:
    """A Trainer class with another `DefaultFlowCallback`."""
    from transformers import DefaultFlowCallback

    return exchanging(DefaultFlowCallback, lambda usual: flow())


def exchanging(kind: type, other: Callable[[Any], Any]) -> Any:
    """A Trainer class whose callbacks of a kind are replaced by what `other` makes of them."""

    def change(trainer: Any) -> None:
        callbacks = trainer.callback_handler.callbacks
        callbacks[:] = [other(each) if type(each) is kind else each for each in callbacks]

    return changed(change)


def with_handler(handler: Callable[..., Any]) -> Any:
    """A Trainer class whose callbacks are called by another `CallbackHandler`."""

    def change(trainer: Any) -> None:
        usual = trainer.callback_handler
        trainer.callback_handler = handler(usual.callbacks, usual.model, usual.processing_class, usual.optimizer, usual.lr_scheduler)

    return changed(change)
