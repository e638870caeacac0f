"""What is measured of checkpoints: `index` counts the saves from 0, in the order in which they took place."""

from __future__ import annotations

import math
from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record


@measure
def steps_of_checkpoints(record: Record) -> list[int]:
    """`global_step` at each save."""
    return [each.step for each in record.checkpoints]


@measure
def folders_after_each_save(record: Record) -> list[list[str]]:
    """Names of the checkpoints that existed after each save."""
    return [list(each.folders) for each in record.checkpoints]


@measure
def folders_at_the_end(record: Record) -> list[str]:
    """Names of the checkpoints that exist when the run is over."""
    return list(record.folders)


@measure
def save_left_its_checkpoint(record: Record, index: int) -> bool:
    """Whether the checkpoint of the step of a save existed right after it."""
    each = record.checkpoints[index]
    return f"checkpoint-{each.step}" in each.folders


@measure
def best_metric(record: Record) -> Any:
    """`state.best_metric` when the run is over."""
    return record.state["best_metric"]


@measure
def best_value(record: Record, name: str, greater: bool) -> float | None:
    """The greatest (or least) value of a metric of the evaluations; None if there is no number."""
    values = [float(each.metrics.get(name, math.nan)) for each in record.evaluations if each.prefix == "eval"]
    numbers = [value for value in values if not math.isnan(value)]
    return (max(numbers) if greater else min(numbers)) if numbers else None


@measure
def best_global_step(record: Record) -> Any:
    """`state.best_global_step` when the run is over."""
    return record.state["best_global_step"]


@measure
def best_model_checkpoint(record: Record) -> str | None:
    """The folder of `state.best_model_checkpoint` when the run is over."""
    name: str | None = record.state["best_model_checkpoint"]
    return name


@measure
def best_checkpoint_exists_after_save(record: Record, index: int) -> bool:
    """Whether the checkpoint that the state calls the best at a save, if any, existed right after it."""
    each = record.checkpoints[index]
    return each.best_model_checkpoint is None or each.best_model_checkpoint in each.folders


@measure
def best_checkpoint_exists_at_the_end(record: Record) -> bool:
    """Whether the checkpoint that the state calls the best when the run is over, if any, exists."""
    name = record.state["best_model_checkpoint"]
    return name is None or name in record.folders


@measure
def final_weights(record: Record) -> list[float] | None:
    """The weights of the model when the run is over."""
    values: list[float] | None = None if record.final_weights is None else record.final_weights.tolist()
    return values


@measure
def weights_of_the_last_update(record: Record) -> list[float] | None:
    """The weights after the last update, or before training if there is none."""
    weights = record.updates[-1].weights if record.updates else record.initial_weights
    values: list[float] | None = None if weights is None else weights.tolist()
    return values


@measure
def weights_at_the_best_checkpoint(record: Record) -> list[float] | None:
    """The weights of the model when the checkpoint was saved that the state calls the best when the run is over."""
    name = record.state["best_model_checkpoint"]
    saved = [each for each in record.checkpoints if f"checkpoint-{each.step}" == name]
    values: list[float] | None = saved[-1].model_weights.tolist() if saved else None
    return values


@measure
def checkpoint_is_complete(record: Record, index: int, names: list[str], weights: list[str]) -> bool:
    """Whether a checkpoint has all these files and one of those for weights (or the index of its parts)."""
    files = record.checkpoints[index].files or ()
    return all(name in files for name in names) and any(name in files or f"{name}.index.json" in files for name in weights)


@measure
def checkpoint_has_none_of(record: Record, index: int, names: list[str]) -> bool:
    """Whether a checkpoint has none of these files."""
    files = record.checkpoints[index].files or ()
    return not any(name in files for name in names)


@measure
def saved_weights(record: Record, index: int) -> list[float] | None:
    """The weights in a checkpoint."""
    weights = record.checkpoints[index].weights
    values: list[float] | None = None if weights is None else weights.tolist()
    return values


@measure
def weights_at_save(record: Record, index: int) -> list[float]:
    """The weights of the model at a save."""
    values: list[float] = record.checkpoints[index].model_weights.tolist()
    return values


@measure
def saved_dtype(record: Record, index: int) -> str | None:
    """The type of the weights in a checkpoint."""
    weights = record.checkpoints[index].weights
    return None if weights is None else str(weights.dtype)


@measure
def dtype_at_save(record: Record, index: int) -> str:
    """The type of the weights of the model at a save."""
    return str(record.checkpoints[index].model_weights.dtype)


@measure
def state_was_saved(record: Record, index: int) -> bool:
    """Whether a checkpoint has a `trainer_state.json`."""
    return record.checkpoints[index].state is not None


@measure
def step_and_maximum_at_save(record: Record, index: int) -> list[Any]:
    """`global_step` at a save, and `state.max_steps`."""
    return [record.checkpoints[index].step, record.state["max_steps"]]


@measure
def saved_step_and_maximum(record: Record, index: int) -> list[Any]:
    """`global_step` and `max_steps` of the state in a checkpoint."""
    state = record.checkpoints[index].state or {}
    return [state.get("global_step"), state.get("max_steps")]


@measure
def saved_best(record: Record, index: int) -> list[Any]:
    """`best_metric` and `best_global_step` of the state in a checkpoint."""
    state = record.checkpoints[index].state or {}
    return [state.get("best_metric"), state.get("best_global_step")]


@measure
def epoch_at_save(record: Record, index: int) -> float | None:
    """`state.epoch` at a save."""
    return [event.epoch for event in record.events if event.name == "on_save"][index]


@measure
def saved_epoch(record: Record, index: int) -> float | None:
    """`epoch` of the state in a checkpoint."""
    epoch: float | None = (record.checkpoints[index].state or {}).get("epoch")
    return epoch


@measure
def saved_log_history_is_the_log_history(record: Record, index: int) -> bool:
    """Whether the entries of the log history in a checkpoint are those of the run, as far as they go."""
    history = (record.checkpoints[index].state or {}).get("log_history") or []
    return all(_same_entry(left, right) for left, right in zip(record.log_history, history, strict=False))


@measure
def length_of_saved_log_history(record: Record, index: int) -> int:
    """Entries of the log history in a checkpoint."""
    return len((record.checkpoints[index].state or {}).get("log_history") or [])


@measure
def logs_before_save(record: Record, index: int) -> int:
    """How often the run had logged before a save."""
    logs = saves = 0
    for event in record.events:
        if event.name == "on_save":
            if saves == index:
                break
            saves += 1
        logs += event.name == "on_log"
    return logs


def _same_entry(left: dict[str, Any], right: dict[str, Any]) -> bool:
    """NaN is what NaN is."""
    return left.keys() == right.keys() and all(
        left[key] == right[key] or (left[key] != left[key] and right[key] != right[key]) for key in left
    )


@measure
def entries_that_differ_when_reloaded(record: Record) -> list[str]:
    """The entries of the state of the model that differ once it was saved and loaded again."""
    names: list[str] = record.results["differing"]
    return names


@measure
def entries_that_are_one_tensor(record: Record, which: str) -> list[list[str]]:
    """The groups of entries of the state that are one tensor: of the model that was `trained`, or of the one that was `reloaded`."""
    groups: list[list[str]] = record.results["shared"][which]
    return groups


@measure
def failure_after_training(record: Record) -> str:
    """`it ends`, or the class of the exception that ended the run before; what that says depends on where the output directory is."""
    return "it ends" if record.failure is None else record.failure.kind
