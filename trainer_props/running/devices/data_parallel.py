"""`torch.nn.DataParallel` on a machine without several GPUs: the same scattering, replicas and gathering, one replica after the other.

It shows what the Trainer makes of several devices in one process: batch sizes, the shape and the averaging of losses, what
`num_items_in_batch` becomes. It shows nothing of what parallel hardware does: order of sums, memory, time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from transformers import TrainingArguments


@contextlib.contextmanager
def emulated(count: int) -> Iterator[None]:
    """Let every TrainingArguments that is made meanwhile believe in `count` GPUs, and `torch.nn.DataParallel` use that many replicas."""

    class Emulated(_Emulated):
        devices = count

    with standing_in(Emulated, count, range(2)):
        yield


@contextlib.contextmanager
def standing_in(kind: type[nn.DataParallel[nn.Module]], count: int, usual_counts: range) -> Iterator[None]:
    """Let every TrainingArguments that is made meanwhile have `count` GPUs, where it had one of `usual_counts`; `kind` is DataParallel."""
    usual, made = nn.DataParallel, TrainingArguments.__post_init__

    def with_devices(self: Any) -> None:
        made(self)  # type: ignore[no-untyped-call]
        assert self.n_gpu in usual_counts  # asking for it sets the devices up, which would set it again
        self._n_gpu = count

    nn.DataParallel = kind  # type: ignore[misc, assignment]
    TrainingArguments.__post_init__ = with_devices  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.DataParallel = usual  # type: ignore[misc]
        TrainingArguments.__post_init__ = made  # type: ignore[method-assign]


class _Emulated(nn.DataParallel[nn.Module]):
    """The class that stands in for DataParallel; whoever asks by `isinstance` takes it for one."""

    devices = 1

    def __init__(self, module: nn.Module, *_: Any, **__: Any) -> None:
        nn.Module.__init__(self)  # that of DataParallel looks for GPUs
        self.module = module
        self.device_ids = list(range(self.devices))

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the replicas return for their shares of the inputs, gathered."""
        shares = scatter((inputs, kwargs), self.devices)
        if len(shares) == 1:
            return self.module(*shares[0][0], **shares[0][1])
        return gather([replica(self.module)(*positional, **named) for positional, named in shares])


def scatter(value: Any, count: int) -> list[Any]:
    """The shares of a value, of which there may be fewer: tensors are cut along their first dimension, the rest is handed to all."""
    if isinstance(value, torch.Tensor):
        return list(value.chunk(count))
    if isinstance(value, tuple):
        return list(zip(*(scatter(each, count) for each in value), strict=False)) if value else [()] * count
    if isinstance(value, list):
        return [list(each) for each in scatter(tuple(value), count)]
    if isinstance(value, Mapping):
        shares = zip(*(scatter(each, count) for each in value.values()), strict=False)
        return [dict(zip(value, share, strict=True)) for share in shares] if value else [{} for _ in range(count)]
    return [value] * count


def replica(module: nn.Module) -> nn.Module:
    """A copy of a module for one forward: its parameters are views of the module's own, to which gradients flow back and add up."""
    copies: dict[nn.Module, nn.Module] = {each: each._replicate_for_data_parallel() for each in module.modules()}  # noqa: SLF001
    for original, copy in copies.items():
        for name, child in original._modules.items():  # noqa: SLF001  what torch's own replicate() goes through
            copy._modules[name] = copies[child] if child is not None else None  # noqa: SLF001
        for name, parameter in original._parameters.items():  # noqa: SLF001
            setattr(copy, name, parameter.view_as(parameter) if parameter is not None else None)
    return copies[module]


def gather(outputs: list[Any]) -> Any:
    """The outputs of the replicas as one: rows of tensors one after the other, numbers in a row, containers part by part."""
    first = outputs[0]
    if isinstance(first, torch.Tensor):
        return torch.cat([each.reshape(1) if each.dim() == 0 else each for each in outputs])
    if first is None:
        return None
    if isinstance(first, Mapping):
        return type(first)(**{name: gather([each[name] for each in outputs]) for name in first})
    if isinstance(first, (tuple, list)):
        return type(first)(gather(list(parts)) for parts in zip(*outputs, strict=True))
    raise TypeError(f"{type(first).__name__} can't be gathered from several devices")
