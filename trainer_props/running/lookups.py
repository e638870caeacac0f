"""What runs ask again and again while it does not change, and what nobody reads: answered from memory, or left out, while our runs go on.

A run of a tiny model is mostly bookkeeping of this kind. Each of these was a hundredth of a run or more, and none of it is what a run
computes.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import importlib.util
import os
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, Final

_SAGEMAKER: Final = "is_sagemaker_mp_enabled"
_OF_SAGEMAKER: Final = ("SM_HP_MP_PARAMETERS", "SM_FRAMEWORK_PARAMS")
_DEVICES: Final = ("cuda", "xpu", "mtia")


@contextlib.contextmanager
def memoised_lookups() -> Iterator[None]:
    """Answer them from memory; everything is as before at the end."""
    with contextlib.ExitStack() as stack:
        _replace(stack, importlib.util, "find_spec", _meanwhile(stack, importlib.util.find_spec, _find_spec()))
        _replace(stack, importlib.metadata, "metadata", _meanwhile(stack, importlib.metadata.metadata, _metadata()))
        _sagemaker(stack)
        _verbosity(stack)
        _stacks(stack)
        yield


def _replace(stack: contextlib.ExitStack, owner: Any, name: str, value: Any) -> None:
    stack.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)


def _meanwhile(stack: contextlib.ExitStack, usual: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any]:
    """What does as `other` until the end and as `usual` after it: a module that is imported meanwhile may keep it by a name of its own."""
    ended: list[bool] = []
    stack.callback(ended.append, True)

    @functools.wraps(usual)
    def either(*args: Any, **kwargs: Any) -> Any:
        return (usual if ended else other)(*args, **kwargs)

    return either


def _find_spec() -> Callable[..., Any]:
    # transformers asks some thirty times a run whether optional packages are installed, once on every backward.
    memo = functools.lru_cache(maxsize=None)(importlib.util.find_spec)

    def find_spec(name: str, package: str | None = None) -> Any:
        return memo(name, package)

    return find_spec


def _metadata() -> Callable[..., Any]:
    # accelerate reads what is known of `datasets` twice for each loader of several processes, which is a third of such a run.
    memo = functools.lru_cache(maxsize=None)(importlib.metadata.metadata)

    def metadata(distribution_name: str) -> Any:
        return memo(distribution_name)

    return metadata


def _sagemaker(stack: contextlib.ExitStack) -> None:
    # It parses JSON from the environment, some fifty times a run; most modules have it by a name of their own.
    from transformers.utils import import_utils

    original = getattr(import_utils, _SAGEMAKER, None)
    if original is None or any(name in os.environ for name in _OF_SAGEMAKER):
        return

    no = _meanwhile(stack, original, lambda: False)
    for name, module in list(sys.modules.items()):
        if name.startswith("transformers.") and vars(module).get(_SAGEMAKER) is original:
            _replace(stack, module, _SAGEMAKER, no)


def _verbosity(stack: contextlib.ExitStack) -> None:
    # Every Trainer sets the level that is set already; logging then forgets what it knows of all loggers there are.
    from transformers.utils import logging

    original = logging.set_verbosity

    def set_verbosity(verbosity: int) -> None:
        if verbosity != logging.get_verbosity():
            original(verbosity)

    _replace(stack, logging, "set_verbosity", _meanwhile(stack, original, set_verbosity))


def _stacks(stack: contextlib.ExitStack) -> None:
    # torch keeps for each kind of device the formatted stack of the last call that seeds it, for an error on a device that is never used.
    import torch

    without = types.SimpleNamespace(format_stack=list)
    for name in _DEVICES:
        device = getattr(torch, name, None)
        if device is not None and hasattr(device, "traceback") and not device.is_available():
            _replace(stack, device, "traceback", without)
