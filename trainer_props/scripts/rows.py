"""The rows of a probe's record, as code: each function gives statements, those of its columns alone that are read."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

ORDER: Final = ("events", "batches", "updates", "evaluations", "checkpoints", "parameters")

HELPERS: Final[Mapping[str, str]] = {
    "weights_of": '''\
def weights_of(model):
    """All parameters, flat."""
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])''',
    "checkpoint_folders": '''\
def checkpoint_folders(folder):
    """Names of the checkpoints, by step."""
    names = [entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name.startswith("checkpoint-")]
    return tuple(sorted(names, key=lambda name: (len(name), name)))''',
    "saved_state": '''\
def saved_state(folder):
    """The trainer_state.json of a checkpoint."""
    if not os.path.isfile(f"{folder}/trainer_state.json"):
        return None
    with open(f"{folder}/trainer_state.json", encoding="utf-8") as file:
        return json.load(file)''',
    "saved_weights": '''\
def saved_weights(folder, model):
    """The weights of a checkpoint, flat, in the order of the model's parameters."""
    if os.path.isfile(f"{folder}/model.safetensors"):
        weights = load_file(f"{folder}/model.safetensors")
    elif os.path.isfile(f"{folder}/pytorch_model.bin"):
        weights = torch.load(f"{folder}/pytorch_model.bin", map_location="cpu", weights_only=True)
    else:
        return None
    names = [name for name, _ in model.named_parameters()]
    return torch.cat([weights[name].reshape(-1) for name in names]) if all(name in weights for name in names) else None''',
}
"""Functions that several pieces share, in the order in which they are defined."""

_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "weights_of": ("torch",),
    "checkpoint_folders": ("os",),
    "saved_state": ("os", "json"),
    "saved_weights": ("os", "torch", "load_file"),
}
_IMPORTS: Final = {
    "json": "import json",
    "os": "import os",
    "torch": "import torch",
    "load_file": "from safetensors.torch import load_file",
    "TrainerCallback": "from transformers import TrainerCallback",
}
_INDENT: Final = "    "
_MAIN_INPUT: Final = "main"
LABELS: Final = '("labels", "label", "label_ids", "start_positions", "end_positions")'
"""Inputs that are no main input, as the recorder has them."""


class Names:
    """What the pieces of a script use of it: imports and helpers."""

    def __init__(self) -> None:
        self.helpers: set[str] = set()
        self._imported: set[str] = set()

    def use(self, *names: str) -> None:
        """Say that these helpers or imports are used."""
        for name in names:
            if name in HELPERS:
                self.helpers.add(name)
                self.use(*_NEEDED.get(name, ()))
            elif name:
                self._imported.add(name)

    def weights(self) -> str:
        """An expression: all weights of the trainer's model, flat."""
        self.use("weights_of")
        return "weights_of(trainer.model)"

    def imports(self) -> list[str]:
        """Import lines."""
        return [_IMPORTS[name] for name in _IMPORTS if name in self._imported]


def namespace(columns: Mapping[str, str], read: Collection[str]) -> str:
    """An expression that makes a row with the columns that are read."""
    return f"SimpleNamespace({', '.join(f'{name}={value}' for name, value in columns.items() if name in read)})"


def batch(read: Collection[str], main_input: str | None, splits: Sequence[str], names: Names, loss: str) -> tuple[list[str], str]:
    """Statements of a forward pre-hook, and the expression of the row of this call.

    Args:
        main_input: the name of the input that counts, or None if it has to be found.
        splits: the data sets that rows of evaluations may be from; none if evaluations do not matter.
        loss: an expression of the loss.
    """
    lines: list[str] = []
    main = f'kwargs["{main_input}"]'
    several = {"size", "tokens", "width"} & set(read)
    if main_input is None and several:
        main = _MAIN_INPUT
        lines += [
            'main = kwargs.get(getattr(module, "main_input_name", "input_ids"))',
            "if main is None:",
            f"{_INDENT}tensors = {{name: value for name, value in kwargs.items() if isinstance(value, torch.Tensor) and value.dim() > 0}}",
            f"{_INDENT}main = next(value for name, value in tensors.items() if name not in {LABELS})",
        ]
        names.use("torch")
    elif len(several) > 1 or "width" in several:
        lines.append(f"main = {main}")
        main = _MAIN_INPUT
    if "samples" in read:
        names.use("torch")
        evaluated = " or ".join(f'samples(kwargs, "{split}")' for split in splits)
        lines.append(f'found = samples(kwargs, "train"){f" if module.training else {evaluated}" if splits else ""}')
    if "items" in read:
        lines.append('items = kwargs.get("num_items_in_batch")')
    columns = {
        "samples": "found and tuple(found)",
        "size": f"len({main})",
        "loss": loss,
        "step": "trainer.state.global_step",
        "epoch": "len(epochs) - 1",
        "items": "None if items is None else float(items)",
        "keys": "tuple(kwargs)",
        "tokens": f"{main}.numel()",
        "masked_tokens": 'int(kwargs["attention_mask"].sum()) if "attention_mask" in kwargs else None',
        "training": "module.training",
        "grad": "torch.is_grad_enabled()",
        "width": f"{main}.shape[1] if {main}.dim() > 1 else 1",
        "operations": "float(trainer.floating_point_ops(kwargs)) if module.training else None",
    }
    if "grad" in read:
        names.use("torch")
    return lines, namespace(columns, read)


def loss() -> list[str]:
    """Statements of a forward hook that find the loss."""
    return [
        'has_loss = any("labels" in name for name in kwargs)',
        'loss = outputs.get("loss") if isinstance(outputs, dict) else outputs[0] if has_loss else None',
    ]


def losses() -> list[str]:
    """A forward hook that writes the loss into the row of the call."""
    return [
        "def after_forward(module, args, kwargs, outputs):",
        *(f"{_INDENT}{line}" for line in loss()),
        f"{_INDENT}if loss is not None and loss.numel() == 1:",
        f"{_INDENT * 2}calls[-1].loss = loss.item()",
        "",
    ]


def own_loss(*, loss: bool, items: bool) -> list[str]:
    """The trainer's own loss function, wrapped so that the row of the call has what it was given and what it gave."""
    lines = [
        "compute_loss_func = trainer.compute_loss_func",
        "",
        "def observed_loss(outputs, labels, num_items_in_batch=None):",
        f"{_INDENT}loss = compute_loss_func(outputs, labels, num_items_in_batch=num_items_in_batch)",
    ]
    if items:
        lines.append(f"{_INDENT}calls[-1].items = None if num_items_in_batch is None else float(num_items_in_batch)")
    if loss:
        lines.append(f"{_INDENT}calls[-1].loss = loss.item()")
    return [*lines, f"{_INDENT}return loss", "", "trainer.compute_loss_func = observed_loss"]


def metrics() -> list[str]:
    """The trainer's own metric function, wrapped so that what it was given is kept."""
    return [
        "seen = []",
        "compute_metrics = trainer.compute_metrics",
        "",
        "def observed_metrics(prediction, *args, **kwargs):",
        f"{_INDENT}seen.append(prediction)",
        f"{_INDENT}return compute_metrics(prediction, *args, **kwargs)",
        "",
        "trainer.compute_metrics = observed_metrics",
    ]


def update(read: Collection[str], names: Names) -> list[str]:
    """Hooks of the optimizer that make a row of each step."""
    before = {
        "learning_rates": 'tuple(float(group["lr"]) for group in optimizer.param_groups)',
        "gradient": "gradient",
        "scheduler_epoch": 'getattr(trainer.lr_scheduler, "last_epoch", None)',
    }
    after = {"step": "len(record.updates) + 1", "batches": "len(record.batches)"}
    if "weights" in read:
        after["weights"] = names.weights()
    if not set(before) & set(read):
        return ["def after_step(optimizer, args, kwargs):", f"{_INDENT}record.updates.append({namespace(after, read)})", ""]
    lines = ["def before_step(optimizer, args, kwargs):"]
    if "gradient" in read:
        names.use("torch")
        lines += [
            f"{_INDENT}parameters = list(trainer.model.parameters())",
            f"{_INDENT}gradient = None",
            f"{_INDENT}if any(each.grad is not None for each in parameters):",
            f"{_INDENT * 2}parts = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]",
            f"{_INDENT * 2}gradient = torch.cat([part.detach().reshape(-1) for part in parts])",
        ]
    if "weights" not in read:
        return [*lines, f"{_INDENT}record.updates.append({namespace({**before, **after}, read)})", ""]
    late = [f"{_INDENT}row.{name} = {value}" for name, value in after.items() if name in read]
    lines = ["begun = []", "", *lines]
    lines += [f"{_INDENT}begun.append({namespace(before, read)})", "", "def after_step(optimizer, args, kwargs):"]
    return [*lines, f"{_INDENT}row = begun.pop()", *late, f"{_INDENT}record.updates.append(row)", ""]


def begun(*, updates: Collection[str] | None, groups: bool) -> list[str]:
    """Statements of `on_train_begin`: the optimizer exists from there on.

    Args:
        updates: the columns of updates that are read, or None if no update is.
        groups: whether parameters are asked for their group in the optimizer.
    """
    if updates is None and not groups:
        return []
    lines = ['optimizer = getattr(kwargs["optimizer"], "optimizer", kwargs["optimizer"])  # accelerate wraps it']
    if updates is not None:
        if {"learning_rates", "gradient", "scheduler_epoch"} & set(updates):
            lines.append("optimizer.register_step_pre_hook(before_step)")
        if "weights" in updates or not {"learning_rates", "gradient", "scheduler_epoch"} & set(updates):
            lines.append("optimizer.register_step_post_hook(after_step)")
    if groups:
        lines += [
            "for row, parameter in zip(record.parameters, trainer.model.parameters()):",
            f'{_INDENT}holds = [any(each is parameter for each in group["params"]) for group in optimizer.param_groups]',
            f"{_INDENT}row.groups = tuple(index for index, held in enumerate(holds) if held)",
            f'{_INDENT}row.weight_decay = optimizer.param_groups[row.groups[0]].get("weight_decay") if row.groups else None',
        ]
    return lines


def parameters(read: Collection[str]) -> list[str]:
    """Statements that make a row of each parameter of the model."""
    columns = {
        "name": "name",
        "size": "parameter.numel()",
        "trainable": "parameter.requires_grad",
        "layer": "layers[id(parameter)]",
        "dimensions": "parameter.dim()",
        "groups": "()",
        "weight_decay": "None",
    }
    lines = ["for name, parameter in trainer.model.named_parameters():", f"{_INDENT}record.parameters.append({namespace(columns, read)})"]
    if "layer" in read:
        layers = "{id(each): type(module).__name__ for module in reversed(modules) for each in module.parameters(recurse=False)}"
        lines[:0] = ["modules = list(trainer.model.modules())", f"layers = {layers}"]
    return lines


def evaluation(read: Collection[str], names: Names, *, metrics: bool, pending: bool) -> list[str]:
    """Statements of `on_evaluate` and `on_predict`.

    Args:
        metrics: the trainer has a metric function, whose calls are kept in `seen`.
        pending: the calls of forward are kept in `pending`.
    """
    lines: list[str] = []
    if {"metrics", "prefix"} & set(read):
        lines.append('metrics = dict(kwargs.get("metrics") or {})')
    if "prefix" in read:
        lines.append('clock = next((name for name in metrics if name.endswith("_runtime")), "eval_runtime")')
    columns = {
        "step": "state.global_step",
        "prefix": 'clock.removesuffix("_runtime")',
        "metrics": "metrics",
        "batches": "pending[:]",
        "predictions": "[each.predictions for each in seen] or None" if metrics else "None",
        "label_ids": "[each.label_ids for each in seen] or None" if metrics else "None",
        "calls": "len(seen)" if metrics else "0",
        "epoch": "state.epoch",
    }
    if "weights" in read:
        columns["weights"] = names.weights()
    lines.append(f"record.evaluations.append({namespace(columns, read)})")
    if pending:
        lines.append("pending.clear()")
    if metrics and {"predictions", "label_ids", "calls"} & set(read):
        lines.append("seen.clear()")
    return lines


def saved(read: Collection[str] | None, names: Names, *, rotates: bool) -> list[str]:
    """Statements of `on_save`.

    Args:
        read: the columns of checkpoints that are read, or None if none is.
        rotates: old checkpoints are removed: then those of one second must not look equally old, which in real runs they never do.
    """
    lines: list[str] = []
    if rotates or {"files", "state", "weights"} & set(read or ()):
        names.use("os")
        lines.append('folder = f"{args.output_dir}/checkpoint-{state.global_step}"')
    if read is not None and "files" in read:
        lines.append("files = tuple(sorted(os.listdir(folder))) if os.path.isdir(folder) else None")
    if rotates:
        lines += [
            "if os.path.isdir(folder):  # rotation goes by the times of folders: let them be a minute apart, as in a longer run",
            f"{_INDENT}os.utime(folder, (60 * state.global_step, 60 * state.global_step))",
        ]
    if read is None:
        return lines
    values = {
        "step": "state.global_step",
        "folders": "checkpoint_folders(args.output_dir)",
        "files": "files",
        "state": "saved_state(folder)",
        "weights": "saved_weights(folder, trainer.model)",
        "model_weights": "weights_of(trainer.model)",
        "best_model_checkpoint": 'os.path.basename(state.best_model_checkpoint or "") or None',
    }
    uses = {"folders": "checkpoint_folders", "state": "saved_state", "weights": "saved_weights", "model_weights": "weights_of",
            "best_model_checkpoint": "os"}  # fmt: skip
    names.use(*(uses[name] for name in values if name in read and name in uses))
    return [*lines, f"record.checkpoints.append({namespace(values, read)})"]


def events(read: Collection[str], names: Iterable[str]) -> list[str]:
    """Statements that add a callback which makes a row of every event."""
    columns = {
        "name": "name",
        "step": "state.global_step",
        "epoch": "state.epoch",
        "flags": '"".join(letter for letter, is_set in flags if is_set)',
        "batches": "len(record.batches)",
    }
    lines = ["def note(name):", f"{_INDENT}def handle(self, args, state, control, **kwargs):"]
    if "flags" in read:
        lines += [
            f'{_INDENT * 2}flags = [("l", control.should_log), ("v", control.should_evaluate), ("k", control.should_save),',
            f'{_INDENT * 2}         ("e", control.should_epoch_stop), ("t", control.should_training_stop)]',
        ]
    lines += [f"{_INDENT * 2}record.events.append({namespace(columns, read)})", "", f"{_INDENT}return handle", ""]
    listed = textwrap.wrap(", ".join(f'"{name}"' for name in names) + ",", 90)
    lines += ["names = (", *(f"{_INDENT}{line}" for line in listed), ")"]
    return [*lines, 'trainer.add_callback(type("Events", (TrainerCallback,), {name: note(name) for name in names})())', ""]
