"""The recorder: writes down what a training run does, by public means alone (a callback, forward hooks, optimizer hooks)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from trainer_props.record import Checkpoint, Evaluation, Event, MicroBatch, Parameter, Record, Update
from trainer_props.running.saved import read_state, read_weights
from trainer_props.running.watchdog import Stuck

Identify = Callable[[Mapping[str, torch.Tensor], bool], "tuple[int, ...] | None"]

_EVENTS = (
    "on_train_begin",
    "on_train_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_step_begin",
    "on_substep_end",
    "on_pre_optimizer_step",
    "on_optimizer_step",
    "on_step_end",
    "on_evaluate",
    "on_predict",
    "on_save",
    "on_log",
    "on_prediction_step",
)
_LABELS = ("labels", "label", "label_ids", "start_positions", "end_positions")
_SECONDS_BETWEEN_CHECKPOINTS = 60.0
_FIRST_CHECKPOINT = 1e9
"""The same in every run, so that one that goes on in the directory of another adds to the same row."""


class Recorder(TrainerCallback):
    """Records one run of one Trainer.

    Args:
        identify: (inputs of forward, training) -> positions in the data set, or None.
        poisoned: micro-batch number -> the value that its loss is replaced by.
        batch_budget: training micro-batches after which the run is ended as stuck.
        keep_random: keep the states of torch's global generator.
    """

    def __init__(self, identify: Identify, poisoned: Mapping[int, float], batch_budget: int, *, keep_random: bool = False) -> None:
        self.record = Record()
        self._identify = identify
        self._poisoned = poisoned
        self._budget = batch_budget
        self._keep_random = keep_random
        self._epoch = -1
        self._pending: list[MicroBatch] = []
        self._losses: list[tuple[MicroBatch, torch.Tensor]] = []
        self._seen_metrics: tuple[int, Any, Any] = (0, None, None)
        self._handles: list[Any] = []
        self._optimizer_handles: list[Any] = []
        self._current: MicroBatch | None = None
        self._function_loss: tuple[Any, Any] | None = None
        self._parameters: list[torch.nn.Parameter] = []
        self._scheduler: Any = None

    # ---- attaching -----------------------------------------------------------------------------------------------------

    def attach(self, trainer: Trainer) -> None:
        """Join a Trainer, as its last callback, and start to watch its model."""
        self._trainer = trainer
        trainer.add_callback(self)
        assert trainer.model is not None
        self._watch(trainer.model)

    def _watch_again(self) -> None:
        """Watch the model that a `model_init` made when training began."""
        self.detach()
        self._parameters, self.record.parameters = [], []
        self._watch(self._trainer.model)  # type: ignore[arg-type]

    def detach(self) -> None:
        """Leave the model and the optimizer as they were."""
        for handle in self._handles + self._optimizer_handles:
            handle.remove()
        self._handles, self._optimizer_handles = [], []

    def begin_again(self) -> Record:
        """Forget what was seen so far: what the record says is about what follows."""
        parameters = self.record.parameters
        self.record = Record(parameters=parameters, initial_weights=self._flat_weights())
        self._epoch, self._pending, self._losses, self._seen_metrics = -1, [], [], (0, None, None)
        return self.record

    def _watch(self, model: torch.nn.Module) -> None:
        self._model = model
        # Of modules that share a parameter it belongs to the first, after which it is named.
        layers = {id(each): type(module).__name__ for module in reversed(list(model.modules())) for each in module._parameters.values()}
        for name, parameter in model.named_parameters():
            self._parameters.append(parameter)
            layer = layers[id(parameter)]
            self.record.parameters.append(Parameter(name, parameter.numel(), parameter.requires_grad, layer, parameter.dim()))
        self.record.initial_weights = self._flat_weights()
        self._main_input = getattr(model, "main_input_name", "input_ids")
        self._handles += [
            model.register_forward_pre_hook(self._before_forward, with_kwargs=True),
            model.register_forward_hook(self._after_forward, with_kwargs=True),
        ]

    def _flat_weights(self) -> torch.Tensor:
        return torch.cat([parameter.detach().reshape(-1) for parameter in self._parameters]).cpu()

    # ---- forward -------------------------------------------------------------------------------------------------------

    def _before_forward(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        training = module.training
        record = self.record
        if training and len(record.batches) >= self._budget:
            raise Stuck(f"more than {self._budget} training micro-batches")
        inputs = {key: value for key, value in kwargs.items() if isinstance(value, torch.Tensor) and value.dim() > 0}
        main = inputs.get(self._main_input)
        if main is None:
            main = next((value for key, value in inputs.items() if key not in _LABELS), None)
        mask = inputs.get("attention_mask")
        items = kwargs.get("num_items_in_batch")
        batch = MicroBatch(
            samples=self._identify(inputs, training) if inputs else None,
            size=main.shape[0] if main is not None else 0,
            loss=None,
            step=self._trainer.state.global_step,
            epoch=self._epoch,
            items=float(items) if items is not None else None,
            keys=tuple(kwargs),
            tokens=main.numel() if main is not None else 0,
            masked_tokens=int(mask.sum()) if mask is not None else None,
            training=training,
            grad=torch.is_grad_enabled(),
            width=main.shape[1] if main is not None and main.dim() > 1 else 1,
            operations=_operations(self._trainer, kwargs) if training else None,
            random=torch.get_rng_state() if self._keep_random else None,
        )
        if batch.samples is None:
            record.identified = False
        self._current = batch
        (record.batches if training else self._pending).append(batch)

    def _after_forward(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any) -> Any:
        batch, self._current = self._current, None
        if batch is None:
            return None
        self._function_loss = None
        self._last = batch
        loss = (
            outputs.get("loss")
            if isinstance(outputs, Mapping)
            else (outputs[0] if isinstance(outputs, tuple) and "labels" in " ".join(kwargs) else None)
        )
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            return None
        replaced: Any = None
        if self._poisoned and batch.training:
            value = self._poisoned.get(len(self.record.batches) - 1)
            if value is not None:
                loss = loss * 0 + value
                replaced = _with_loss(outputs, loss)
        self._losses.append((batch, loss.detach().clone()))  # on several devices the Trainer multiplies it in place
        return replaced

    def saw_loss(self, loss: torch.Tensor, items: Any) -> None:
        """The scenario's own loss function computed this loss, given this `num_items_in_batch`."""
        batch = self._last
        # DataParallel has them once for each device
        batch.items = float(items.reshape(-1)[0] if isinstance(items, torch.Tensor) else items) if items is not None else None
        self._losses.append((batch, loss.detach().mean()))

    def saw_metrics(self, predictions: Any, label_ids: Any) -> None:
        """`compute_metrics` saw these predictions."""
        calls, earlier, labels = self._seen_metrics
        self._seen_metrics = (
            calls + 1,
            [*earlier, predictions] if earlier else [predictions],
            [*labels, label_ids] if labels else [label_ids],
        )

    # ---- optimizer -----------------------------------------------------------------------------------------------------

    def _watch_optimizer(self, optimizer: Any, scheduler: Any) -> None:
        for handle in self._optimizer_handles:
            handle.remove()
        self._optimizer_handles = []
        optimizer = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
        self._scheduler = scheduler
        if not isinstance(optimizer, torch.optim.Optimizer):
            return
        self._optimizer_handles = [optimizer.register_step_pre_hook(self._before_step), optimizer.register_step_post_hook(self._after_step)]
        groups = {id(parameter): [] for parameter in self._parameters}  # type: dict[int, list[int]]
        for index, group in enumerate(optimizer.param_groups):
            for parameter in group["params"]:
                groups.setdefault(id(parameter), []).append(index)
        for parameter, description in zip(self._parameters, self.record.parameters, strict=True):
            description.groups = tuple(groups[id(parameter)])
            description.weight_decay = optimizer.param_groups[description.groups[0]].get("weight_decay") if description.groups else None

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        gradients = [parameter.grad for parameter in self._parameters]
        flat = None
        if any(gradient is not None for gradient in gradients):
            flat = torch.cat(
                [
                    gradient.detach().reshape(-1) if gradient is not None else torch.zeros_like(parameter).reshape(-1)
                    for gradient, parameter in zip(gradients, self._parameters, strict=True)
                ]
            ).cpu()
        scheduler_epoch = getattr(self._scheduler, "last_epoch", None)
        self._step = (tuple(float(group["lr"]) for group in optimizer.param_groups), flat, scheduler_epoch)

    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        learning_rates, gradient, scheduler_epoch = self._step
        record = self.record
        record.updates.append(
            Update(len(record.updates) + 1, len(record.batches), learning_rates, gradient, self._flat_weights(), scheduler_epoch)
        )

    # ---- events --------------------------------------------------------------------------------------------------------

    def _note(self, name: str, args: Any, state: Any, control: Any, kwargs: dict[str, Any]) -> None:
        flags = ""
        if control.should_log:
            flags += "l"
        if control.should_evaluate:
            flags += "v"
        if control.should_save:
            flags += "k"
        if control.should_epoch_stop:
            flags += "e"
        if control.should_training_stop:
            flags += "t"
        self.record.events.append(Event(name, state.global_step, state.epoch, flags, len(self.record.batches)))
        special = _SPECIAL.get(name)
        if special is not None:
            special(self, args, state, kwargs)

    def _train_begin(self, args: Any, state: Any, kwargs: dict[str, Any]) -> None:
        if getattr(self._trainer, "model_init", None) is not None and self._trainer.model is not self._model:
            self._watch_again()
        self._watch_optimizer(kwargs.get("optimizer"), kwargs.get("lr_scheduler"))
        self.record.state = {"max_steps": state.max_steps, "num_train_epochs": state.num_train_epochs}

    def _epoch_begin(self, args: Any, state: Any, kwargs: dict[str, Any]) -> None:
        self._epoch += 1

    def _evaluated(self, args: Any, state: Any, kwargs: dict[str, Any]) -> None:
        metrics = dict(kwargs.get("metrics") or {})
        calls, predictions, labels = self._seen_metrics
        loss_key = next((key for key in metrics if key.endswith("_runtime")), "eval_runtime")
        self.record.evaluations.append(
            Evaluation(
                state.global_step,
                loss_key.removesuffix("_runtime"),
                metrics,
                self._pending,
                predictions,
                labels,
                calls,
                self._flat_weights(),
                state.epoch,
            )
        )
        self._pending, self._seen_metrics = [], (0, None, None)

    def _logged(self, args: Any, state: Any, kwargs: dict[str, Any]) -> None:
        self.record.logs.append({**(kwargs.get("logs") or {}), "step": state.global_step})

    def _saved(self, args: Any, state: Any, kwargs: dict[str, Any]) -> None:
        best = state.best_model_checkpoint
        if not state.is_world_process_zero:  # another rank may still be writing what this one would read
            name = os.path.basename(best) if best else None
            self.record.checkpoints.append(Checkpoint(state.global_step, (), None, None, None, self._flat_weights(), name))
            return
        folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        files = tuple(sorted(os.listdir(folder))) if folder.is_dir() else None
        if folder.is_dir():
            # Tiny runs write every checkpoint within a second, which real ones never do, and rotation then takes another path.
            moment = _FIRST_CHECKPOINT + _SECONDS_BETWEEN_CHECKPOINTS * state.global_step
            os.utime(folder, (moment, moment))
        saved = read_state(folder)
        by_name = dict(zip((each.name for each in self.record.parameters), self._parameters, strict=True))
        self.record.checkpoints.append(
            Checkpoint(
                state.global_step,
                checkpoint_folders(args.output_dir),
                files,
                saved,
                read_weights(folder, by_name),
                self._flat_weights(),
                os.path.basename(best) if best else None,
            )
        )

    # ---- the end -------------------------------------------------------------------------------------------------------

    def finish(self) -> Record:
        """Complete the record: call it once the run is over, however it ended."""
        record, trainer = self.record, self._trainer
        self.detach()
        for batch, loss in self._losses:
            batch.loss = loss.item()
        state = trainer.state
        record.log_history = [dict(entry) for entry in state.log_history]
        record.final_weights = self._flat_weights()
        record.folders = checkpoint_folders(str(trainer.args.output_dir))
        record.state |= {
            key: getattr(state, key, None)
            for key in (
                "epoch", "global_step", "max_steps", "num_train_epochs", "logging_steps", "eval_steps", "save_steps",
                "num_input_tokens_seen", "best_metric", "best_global_step", "total_flos",
            )
        }  # fmt: skip
        best = state.best_model_checkpoint
        record.state["best_model_checkpoint"] = os.path.basename(best) if best else None
        count = getattr(trainer, "get_total_train_batch_size", None)
        record.state["total_train_batch_size"] = count(trainer.args) if count is not None else None
        record.state["scheduler_epoch"] = getattr(self._scheduler, "last_epoch", None)
        record.state["floating_point_ops"] = getattr(getattr(trainer, "floating_point_ops", None), "__module__", None)
        if record.global_step is None:
            record.global_step = state.global_step
        return record


def checkpoint_folders(output_dir: str) -> tuple[str, ...]:
    """Names of the checkpoints in a directory, by step."""
    try:
        names = [entry.name for entry in os.scandir(output_dir) if entry.is_dir() and entry.name.startswith(f"{PREFIX_CHECKPOINT_DIR}-")]
    except OSError:
        return ()
    return tuple(sorted(names, key=lambda name: (int(tail) if (tail := name.rpartition("-")[2]).isdigit() else math.inf, name)))


def _operations(trainer: Trainer, inputs: dict[str, Any]) -> float | None:
    try:
        return float(trainer.floating_point_ops(inputs))
    except Exception:  # noqa: BLE001  one of the subject's own may need what forward is not given
        return None


def _with_loss(outputs: Any, loss: torch.Tensor) -> Any:
    """The outputs of a model with another loss."""
    if isinstance(outputs, tuple):
        return (loss, *outputs[1:])
    changed = {**outputs, "loss": loss}
    return changed if type(outputs) is dict else type(outputs)(**changed)


_SPECIAL: dict[str, Callable[[Recorder, Any, Any, dict[str, Any]], None]] = {
    "on_train_begin": Recorder._train_begin,
    "on_epoch_begin": Recorder._epoch_begin,
    "on_evaluate": Recorder._evaluated,
    "on_predict": Recorder._evaluated,
    "on_log": Recorder._logged,
    "on_save": Recorder._saved,
}


def _handler(name: str) -> Callable[..., None]:
    def handle(self: Recorder, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._note(name, args, state, control, kwargs)

    handle.__name__ = name
    return handle


for _name in _EVENTS:
    setattr(Recorder, _name, _handler(_name))
