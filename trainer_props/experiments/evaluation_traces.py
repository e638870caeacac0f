"""What an evaluation must not leave a trace in: functions of a Trainer that give plain data, which scripts have too, word for word."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any, Final


def plain(value: Any) -> Any:
    """Lists, numbers and texts: of a tensor its values, of a dict its pairs."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        return [[str(key), plain(item)] for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)


def optimizer(trainer: Any) -> Any:
    """The state of the optimizer, if there is one, and of the schedule."""
    return [plain(each.state_dict()) if each is not None else None for each in (trainer.optimizer, trainer.lr_scheduler)]


def state(trainer: Any) -> Any:
    """The state of the training run but for its log, and the control flags."""
    found = {**vars(trainer.state), **vars(trainer.control)}
    return plain({name: value for name, value in found.items() if name != "log_history"})


def gradients(trainer: Any) -> Any:
    """The gradient of each parameter, and whether it has one."""
    return [[name, each.requires_grad, plain(each.grad)] for name, each in trainer.model.named_parameters()]


def hooks(trainer: Any) -> Any:
    """How many hooks each module has, and which callbacks there are."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    modules = [[name, *(len(getattr(module, kind)) for kind in kinds)] for name, module in trainer.model.named_modules()]
    return [modules, [type(each).__name__ for each in trainer.callback_handler.callbacks]]


def mode(trainer: Any) -> Any:
    """Whether the modules are in train mode: each answer once."""
    return sorted({module.training for module in trainer.model.modules()})


def random(trainer: Any) -> Any:
    """The numbers that come next of torch's random number generator."""
    import torch

    with torch.random.fork_rng(devices=[]):
        return torch.rand(2).tolist()


def ahead(trainer: Any) -> Any:
    """More of these numbers: a number that a data loader draws has the bits of two of them."""
    import torch

    with torch.random.fork_rng(devices=[]):
        return torch.rand(48).tolist()


TRACES: Final[dict[str, Callable[[Any], Any]]] = {each.__name__: each for each in (optimizer, state, gradients, hooks, mode, random, ahead)}


def taken(trainer: Any) -> dict[str, Any]:
    """All traces."""
    return {name: take(trainer) for name, take in TRACES.items()}


def source(names: Collection[str]) -> list[str]:
    """The functions that take these traces, for a script, which imports `Any` for them."""
    needed = [TRACES[name] for name in TRACES if name in names]
    return [inspect.getsource(each).rstrip() for each in ([plain, *needed] if needed else [])]
