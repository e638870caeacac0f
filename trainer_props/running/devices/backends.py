"""Runs on several devices, on a machine that may have none: one interface, the kind of device says how it is done.

`single` is one device, `data_parallel` an emulated `torch.nn.DataParallel` in this process, `gloo` a resident pool of processes, one a
rank. What each can show, and what not, is said where it is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from trainer_props.arguments import nearest
from trainer_props.record import Runs
from trainer_props.running.devices import gloo
from trainer_props.running.devices.errand import Errand
from trainer_props.running.devices.kinds import NoSuchDevices
from trainer_props.running.run import run
from trainer_props.scenario import Scenario
from trainer_props.subjects import Subject

__all__ = ["BACKENDS", "Errand", "NoSuchDevices", "rank_name", "run_on_devices"]


def rank_name(rank: int) -> str:
    """What the record of a rank is called among `Runs`."""
    return f"rank {rank}"


def _in_this_process(scenario: Scenario, subject: Subject, errand: Errand) -> Runs:
    return Runs({rank_name(0): run(scenario, subject, errand.body)})


def _in_processes(scenario: Scenario, subject: Subject, errand: Errand) -> Runs:
    return Runs({rank_name(rank): record for rank, record in enumerate(gloo.run(scenario, subject, errand))})


BACKENDS: Final[dict[str, Callable[[Scenario, Subject, Errand], Runs]]] = {
    "single": _in_this_process, "data_parallel": _in_this_process, "gloo": _in_processes,
}  # fmt: skip
"""Kinds of devices -> what makes a run on them."""


def run_on_devices(scenario: Scenario, subject: Subject, errand: Errand) -> Runs:
    """Do the errand with the scenario's trainer on the scenario's devices; the records of its ranks, by `rank_name`.

    Raises:
        NoSuchDevices: nobody knows that kind of device, or this machine can't serve it.
        SubjectError: the subject gave no Trainer.
    """
    kind = scenario.devices.kind
    if kind not in BACKENDS:
        raise NoSuchDevices(f"there are no devices of kind {kind!r}{nearest(kind, list(BACKENDS))}")
    return BACKENDS[kind](scenario, subject, errand)
