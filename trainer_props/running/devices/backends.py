"""Runs on several devices, on a machine that may have none: one interface, the kind of device says how it is done.

`single` is one device, `data_parallel` an emulated `torch.nn.DataParallel` in this process, `gloo` a resident pool of processes, one a
rank. What each can show, and what not, is said where it is made, and in docs/devices.md. Of `fake` ranks (`fake.play`) there may be a
thousand; they are played one by one, and by themselves, so that nothing they exchange can be asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Final

from trainer_props.arguments import nearest
from trainer_props.record import Record, Runs
from trainer_props.running.devices import cards, cuda, gloo
from trainer_props.running.devices.errand import Errand, checkpoint_files
from trainer_props.running.devices.kinds import NoSuchDevices
from trainer_props.running.output import output_directory
from trainer_props.running.run import run
from trainer_props.scenario import Scenario
from trainer_props.subjects import Subject

__all__ = ["BACKENDS", "Errand", "NoSuchDevices", "rank_name", "run_on_devices"]


def rank_name(rank: int) -> str:
    """What the record of a rank is called among `Runs`."""
    return f"rank {rank}"


def _in_this_process(scenario: Scenario, subject: Subject, errand: Errand, directory: str) -> list[Record]:
    return [run(scenario, subject, errand.body, directory=directory)]


BACKENDS: Final[dict[str, Callable[[Scenario, Subject, Errand, str], list[Record]]]] = {
    "single": _in_this_process, "data_parallel": _in_this_process, "gloo": gloo.run,
    cards.DATA_PARALLEL: lambda scenario, *rest: _in_this_process(cards.on_cards(scenario), *rest), cards.PROCESSES: cuda.run,
}  # fmt: skip
"""Kinds of devices -> what makes a run on them, in a directory; it returns the records of the ranks."""


def run_on_devices(scenario: Scenario, subject: Subject, errand: Errand, directory: str | None = None) -> Runs:
    """Do the errand with the scenario's trainer on the scenario's devices; the records of its ranks, by `rank_name`.

    Args:
        directory: an output directory that is left as it is afterwards; default: one of its own.

    Raises:
        NoSuchDevices: nobody knows that kind of device, or this machine can't serve it.
        SubjectError: the subject gave no Trainer.
    """
    kind = scenario.devices.kind
    if kind not in BACKENDS:
        raise NoSuchDevices(f"there are no devices of kind {kind!r}{nearest(kind, list(BACKENDS))}")
    with output_directory() if directory is None else nullcontext(directory) as output_dir:
        records = BACKENDS[kind](scenario, subject, errand, output_dir)
        records[0].results["files"] = checkpoint_files(output_dir)
    return Runs({rank_name(rank): record for rank, record in enumerate(records)})
