"""The GPUs of this machine: whether there are any, how runs are put on them, and `torch.nn.DataParallel` over them.

What is computed on cards is compared with the run on one device, which is the processor.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import nn

from trainer_props.running.devices.data_parallel import standing_in
from trainer_props.running.devices.kinds import NoSuchDevices
from trainer_props.scenario import MOST_DEVICES, Scenario

DATA_PARALLEL: Final = "cuda_data_parallel"
PROCESSES: Final = "cuda_processes"


def missing() -> str:
    """Why no run on GPUs is possible here; an empty text if one is."""
    if torch.version.cuda is None:
        return "this torch is built without CUDA"
    return "" if torch.cuda.device_count() else "torch sees no GPU"


def on_cards(scenario: Scenario) -> Scenario:
    """The scenario with the arguments that let it run on GPUs.

    Raises:
        NoSuchDevices: there is none here, or there are to be too many devices.
    """
    why = missing()
    if why:
        raise NoSuchDevices(f"no devices of kind {scenario.devices.kind!r}: {why}")
    if not 1 <= scenario.devices.count <= MOST_DEVICES:
        raise NoSuchDevices(f"{scenario.devices.count} devices: 1 to {MOST_DEVICES}")
    own = scenario.devices.kind == DATA_PARALLEL or torch.cuda.device_count() >= scenario.devices.count
    return scenario.with_arguments(use_cpu=False, **({} if own else {"ddp_backend": "gloo"}))


def cards_of(count: int, cards: int) -> list[int]:
    """The card of each of so many devices: in turn, where there are fewer cards."""
    return [index % cards for index in range(count)]


@contextlib.contextmanager
def data_parallel(count: int) -> Iterator[None]:
    """Let every TrainingArguments that is made meanwhile have so many GPUs, and DataParallel use them, one several times if they are fewer.

    torch asks no device to be there once only. What it makes of one that is named twice is what it would make of two.
    """
    cards = cards_of(count, torch.cuda.device_count())

    class OnCards(nn.DataParallel[nn.Module]):
        def __init__(self, module: nn.Module, *_: Any, **__: Any) -> None:
            super().__init__(module, device_ids=cards)

    with standing_in(OnCards, count, range(1, torch.cuda.device_count() + 1)):
        yield
