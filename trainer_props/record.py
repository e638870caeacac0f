"""The record: what a run did, as plain data.

`None` where something could not be observed; what needs it is then not applicable. Tensors are detached copies on the processor.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(slots=True)
class Event:
    """One callback event.

    Attributes:
        name: `on_step_end` and the like.
        step: `state.global_step` at that moment.
        epoch: `state.epoch` at that moment.
        flags: the control flags at that moment, as the recorder (the last callback) sees them: a string of the letters
            l (log), v (evaluate), k (save), e (epoch stop), t (training stop).
        batches: training micro-batches seen so far.
    """

    name: str
    step: int
    epoch: float | None
    flags: str
    batches: int


@dataclass(slots=True)
class MicroBatch:
    """One call of the model's forward.

    Attributes:
        samples: identities (positions in the data set) in order, or None.
        size: rows.
        loss: what forward returned, after `num_items_in_batch` was applied where the model applies it.
        step: `global_step` during the call.
        epoch: epochs begun before, from 0.
        items: the `num_items_in_batch` that forward got, or None.
        keys: names of the inputs that forward got.
        tokens: elements of the model's main input.
        masked_tokens: sum of `attention_mask`, or None without one.
        training: `model.training` during the call.
        grad: whether gradients were enabled.
        width: length of the second dimension of the main input, or 1.
        operations: the floating-point operations that the Trainer counts for it (`floating_point_ops`), or None if it can't be asked.
        random: the state of torch's global generator before the call, where the run draws random numbers while it trains.
    """

    samples: tuple[int, ...] | None
    size: int
    loss: float | None
    step: int
    epoch: int
    items: float | None
    keys: tuple[str, ...]
    tokens: int
    masked_tokens: int | None
    training: bool
    grad: bool
    width: int
    operations: float | None = None
    random: Tensor | None = None


@dataclass(slots=True)
class Update:
    """One optimizer step, seen from inside the optimizer.

    Attributes:
        step: counted from 1.
        batches: training micro-batches seen when it happened.
        learning_rates: of each parameter group, as the optimizer used them.
        gradient: the flat gradient that the optimizer used (after clipping); None where a parameter had none.
        weights: the flat weights after the step.
        scheduler_epoch: `lr_scheduler.last_epoch` when the step happened, or None.
    """

    step: int
    batches: int
    learning_rates: tuple[float, ...]
    gradient: Tensor | None
    weights: Tensor
    scheduler_epoch: int | None


@dataclass(slots=True)
class Evaluation:
    """One pass over an evaluation or prediction data set.

    Attributes:
        step: `global_step`.
        prefix: `eval`, `test` or another metric key prefix.
        metrics: what `on_evaluate` or `on_predict` was given.
        batches: the calls of forward, in order.
        predictions, label_ids: what `compute_metrics` saw, one item a call, or None.
        calls: how often `compute_metrics` was called.
        weights: the flat weights after the pass.
        epoch: `state.epoch`.
    """

    step: int
    prefix: str
    metrics: dict[str, Any]
    batches: list[MicroBatch]
    predictions: Any
    label_ids: Any
    calls: int
    weights: Tensor
    epoch: float | None


@dataclass(slots=True)
class Checkpoint:
    """What was on disk right after a save.

    Attributes:
        step: `global_step`.
        folders: all entries of the output directory that are checkpoints, by name.
        files: names of the files in the newly written checkpoint, or None if it does not exist.
        state: the `trainer_state.json` in it, as data, or None.
        weights: the weights in it, flat, in the order of the model's parameters, or None.
        model_weights: the model's own weights at that moment, flat.
        best_model_checkpoint: of the state, as a folder name.
    """

    step: int
    folders: tuple[str, ...]
    files: tuple[str, ...] | None
    state: dict[str, Any] | None
    weights: Tensor | None
    model_weights: Tensor
    best_model_checkpoint: str | None


@dataclass(slots=True)
class Failure:
    """An exception that ended a run: where (`construction` or `train` or `evaluate` ...), its type, message and the last lines of its
    traceback.
    """

    where: str
    kind: str
    message: str
    traceback: tuple[str, ...] = ()


@dataclass(slots=True)
class Record:
    """What one run did.

    Attributes:
        failure: what ended it, or None if it finished.
        stuck: the watchdog ended it: why.
        ended_at: where it was when an exception, or the clock, ended it: function, file and line; empty if that is not known.
        initial_weights: flat weights before training; `parameters` names their slices, in order.
        identified: whether samples could be identified.
        own_data: the subject brought data of its own.
        loss_reduction: what the subject declares of a loss of its own, or None.
        expected_steps: updates of the whole run by the subject's own formula, or None.
        ignored_metrics: metrics that no property may look at.
    """

    failure: Failure | None = None
    stuck: str | None = None
    ended_at: str = ""
    events: list[Event] = field(default_factory=list)
    batches: list[MicroBatch] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    log_history: list[dict[str, Any]] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)
    initial_weights: Tensor | None = None
    final_weights: Tensor | None = None
    folders: tuple[str, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    global_step: int | None = None
    training_loss: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    identified: bool = True
    own_data: bool = False
    loss_reduction: str | None = None
    expected_steps: int | None = None
    ignored_metrics: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return self.failure is None and self.stuck is None


class Runs(dict[str, Record]):
    """Records of the runs that belong to one case, by name, in the order in which they were made."""

    @property
    def first(self) -> Record:
        """The record of the run that was made first."""
        return next(iter(self.values()))


Observation = Record | Runs
"""What an experiment returns: the record of its run, or those of its runs."""


def first_record(observation: Observation) -> Record:
    """The record of the run, or of the first of several."""
    return observation.first if isinstance(observation, Runs) else observation


def all_records(observation: Observation) -> Sequence[Record]:
    """The record of the run, or those of all."""
    return tuple(observation.values()) if isinstance(observation, Runs) else (observation,)


@dataclass(slots=True)
class Parameter:
    """A named parameter: its number of elements, whether it is trainable, how the optimizer groups it.

    Attributes:
        groups: indices of the optimizer's parameter groups that hold it (one, if all is well).
        weight_decay: of its first group, or None.
        layer: class name of the module that owns it.
        dimensions: number of dimensions.
    """

    name: str
    size: int
    trainable: bool
    layer: str
    dimensions: int
    groups: tuple[int, ...] = ()
    weight_decay: float | None = None
