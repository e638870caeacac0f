"""What is measured of the rotation of checkpoints: `index` counts the saves from 0."""

from __future__ import annotations

from trainer_props.measures.registry import measure
from trainer_props.record import Record


def checkpoints_among(names: tuple[str, ...]) -> list[str]:
    """Those of the names that a checkpoint can have."""
    return sorted(name for name in names if name.rpartition("-")[2].isdigit())


@measure
def checkpoints_after_each_save(record: Record) -> list[list[str]]:
    """The checkpoints that are left after each save, sorted by name."""
    return [checkpoints_among(each.folders) for each in record.checkpoints]


@measure
def number_of_checkpoints(record: Record, index: int) -> int:
    """How many checkpoints are left after a save."""
    return len(checkpoints_among(record.checkpoints[index].folders))


@measure
def left_of(record: Record, names: list[str]) -> list[str]:
    """Those of these folders that are there when the run is over."""
    return [name for name in names if name in record.results["left"]]


@measure
def best_checkpoint_was_saved(record: Record) -> bool:
    """Whether the checkpoint that the state calls the best when the run is over, if any, is one that the run has saved."""
    name = record.state["best_model_checkpoint"]
    return name is None or name in [f"checkpoint-{each.step}" for each in record.checkpoints]
