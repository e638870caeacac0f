"""The probe of a script: the few lines that fill a record with what a measure reads, meaning what `running.recorder` means."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from trainer_props.scripts import layout, rows
from trainer_props.scripts.reading import Reads
from trainer_props.scripts.rows import Names

EVENTS: Final = (
    "on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_step_begin", "on_substep_end", "on_pre_optimizer_step",
    "on_optimizer_step", "on_step_end", "on_evaluate", "on_predict", "on_save", "on_log", "on_prediction_step",
)  # fmt: skip
"""The events that a record has, of those that a callback may get."""

STATE: Final[Mapping[str, str]] = {
    **{
        name: f'getattr(trainer.state, "{name}", None)'
        for name in (
            "epoch", "global_step", "max_steps", "num_train_epochs", "logging_steps", "eval_steps", "save_steps",
            "num_input_tokens_seen", "best_metric", "best_global_step", "total_flos",
        )
    },
    "best_model_checkpoint": 'os.path.basename(trainer.state.best_model_checkpoint or "") or None',
    "total_train_batch_size": "trainer.get_total_train_batch_size(trainer.args)",
    "scheduler_epoch": 'getattr(trainer.lr_scheduler, "last_epoch", None)',
    "floating_point_ops": "trainer.floating_point_ops.__module__",
}  # fmt: skip
"""The keys of `record.state`, and what they are once a run is over."""

_EMPTY: Final[Mapping[str, str]] = {
    **dict.fromkeys((*rows.ORDER, "log_history", "logs"), "[]"),
    **dict.fromkeys(("state", "arguments", "metrics", "results"), "{}"),
    "folders": "()",
    "identified": "True",
}
_ROTATION: Final = frozenset({"checkpoints", "evaluations", "failure", "final_weights", "folders", "results"})
"""The fields that depend on which checkpoints are removed."""
_INDENT: Final = "    "


@dataclass(frozen=True)
class Circumstances:
    """What of a case decides how its run is watched.

    Attributes:
        main_input: the column that the model predicts from, or None if it has to be asked for.
        splits: the data sets that rows of an evaluation may be from.
        predicts: the run calls `predict`, which ends as an evaluation does.
        rotates: old checkpoints are removed.
        own_loss: the trainer has a `compute_loss_func`.
        metrics: the trainer has a `compute_metrics`.
        budget: training micro-batches after which the run is ended as stuck, or None where it need not be.
        declared: fields of the record that are known before the run.
    """

    main_input: str | None = "input_x"
    splits: Sequence[str] = ("eval", "train")
    predicts: bool = False
    rotates: bool = False
    own_loss: bool = False
    metrics: bool = False
    budget: int | None = None
    declared: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Probe:
    """Code that fills a record.

    Attributes:
        imports: import lines.
        record: the statement that makes the record.
        definitions: module-level code, among it `watch(trainer)` if there is something to watch.
        watches: whether `watch(trainer)` is to be called before the run.
        after: statements for after the run, where `trainer` and `output_dir` are at hand.
    """

    imports: tuple[str, ...]
    record: str
    definitions: tuple[str, ...]
    watches: bool
    after: tuple[str, ...]


def state_keys(keys: Collection[str] | None) -> list[str]:
    """The keys of `record.state` to fill: all, if it can't be told which are read."""
    return [name for name in STATE if keys is None or name in keys]


def probe(reads: Reads, around: Circumstances) -> Probe:
    """The code that fills the fields and columns that are read.

    What only the body of an experiment knows (`global_step` and the like, `results`, `arguments`) is left to it.
    """
    names = Names()
    watched = _Watch(reads, around, names)
    lines = watched.lines()
    after = _after(reads, names)
    values = {name: repr(around.declared.get(name)) for name in sorted(reads.fields | watched.fields)}
    values |= {name: _EMPTY[name] for name in _EMPTY if name in values}
    record = f"record = SimpleNamespace({', '.join(f'{name}={value}' for name, value in values.items())})"
    definitions = [rows.HELPERS[name] for name in rows.HELPERS if name in names.helpers]
    if lines:
        definitions.append("\n".join(["def watch(trainer):", *_indented(_spaced(lines))]))
    return Probe(("from types import SimpleNamespace", *names.imports()), record, tuple(definitions), bool(lines), tuple(after))


class _Watch:
    """The body of `watch(trainer)`, piece by piece."""

    def __init__(self, reads: Reads, around: Circumstances, names: Names) -> None:
        self.fields = {name for name in reads.fields if name in _EMPTY}
        self._reads, self._around, self._names = reads, around, names
        self._rotates = around.rotates and bool(reads.fields & _ROTATION)
        if reads.has("updates", "batches") or reads.has("events", "batches") or around.budget is not None:
            self.fields.add("batches")
        self._evaluated = "evaluations.batches" in reads.columns
        columns = reads.columns.get("batches", frozenset()) | reads.columns.get("evaluations.batches", frozenset())
        self._columns = columns | {"samples"} if "identified" in reads.fields else columns
        self._losses = "loss" in columns
        self._items = "items" in columns and around.own_loss
        # A call of forward that may not return is noted before, and its loss is written in later; so is what another function makes of it.
        unended = around.budget is not None or bool({"failure", "stuck"} & reads.fields)
        self._noted = (self._losses and (around.own_loss or unended)) or self._items
        self._handlers: dict[str, list[str]] = {}

    def lines(self) -> list[str]:
        """All pieces, in the order of a run."""
        reads, names = self._reads, self._names
        lines = self._before()
        if "epoch" in self._columns:
            lines.append("epochs = []")
            self._handlers["on_epoch_begin"] = ["epochs.append(state.global_step)"]
        if "batches" in self.fields or self._evaluated or "identified" in reads.fields:
            lines += self._forward()
        if "updates" in reads.fields:
            lines += rows.update(reads.columns["updates"], names)
        if "evaluations" in reads.fields:
            lines += self._evaluations()
        if "checkpoints" in reads.fields or self._rotates:
            lines += ["saves = []"] if self._rotates else []
            self._handlers["on_save"] = rows.saved(reads.columns.get("checkpoints"), names, rotates=self._rotates)
        if "logs" in reads.fields:
            self._handlers["on_log"] = ['record.logs.append({**(kwargs.get("logs") or {}), "step": state.global_step})']
        begun = rows.begun(updates=reads.columns.get("updates"), groups=reads.has("parameters", "groups", "weight_decay"))
        if begun:
            self._handlers["on_train_begin"] = begun
        lines += self._callback()
        if "events" in reads.fields:
            names.use("TrainerCallback")
            lines += rows.events(reads.columns["events"], EVENTS)
        return lines

    def _before(self) -> list[str]:
        """What is written down before anything runs."""
        reads, names = self._reads, self._names
        lines = []
        if "initial_weights" in reads.fields:
            lines.append(f"record.initial_weights = {names.weights()}")
        if "parameters" in reads.fields:
            lines += rows.parameters(reads.columns["parameters"])
        return lines

    def _forward(self) -> list[str]:
        around, names = self._around, self._names
        lines = [*(["pending = []"] if self._evaluated else []), *(["calls = []"] if self._noted else [])]
        limit: list[str] = []
        if around.budget is not None:
            limit = [f"if len(record.batches) >= {around.budget}:",
                     f'{_INDENT}raise SystemExit("more than {around.budget} training micro-batches")']  # fmt: skip
        body: list[str] = []
        everywhere = self._evaluated or "identified" in self._reads.fields
        loss = "None" if self._noted else "loss.item() if loss is not None and loss.numel() == 1 else None"
        before, row = rows.batch(self._columns, around.main_input, around.splits if everywhere else (), names, loss)
        body += before
        if self._noted:
            body.append(f"calls.append({row})")
            row = "calls[-1]"
        elif self._losses:
            body += rows.loss()
        if "identified" in self._reads.fields:
            body.append("record.identified = record.identified and found is not None")
        body += self._kept(row, limit)
        if self._losses and not self._noted:
            lines += ["", "def after_forward(module, args, kwargs, outputs):", *_indented(body), ""]
            return [*lines, "trainer.model.register_forward_hook(after_forward, with_kwargs=True)", ""]
        lines += ["", "def before_forward(module, args, kwargs):", *_indented(body), ""]
        if self._losses:
            lines += rows.losses()
        if around.own_loss and (self._losses or self._items):
            lines += rows.own_loss(loss=self._losses, items=self._items)
        lines.append("trainer.model.register_forward_pre_hook(before_forward, with_kwargs=True)")
        return [*lines, *(["trainer.model.register_forward_hook(after_forward, with_kwargs=True)"] if self._losses else []), ""]

    def _kept(self, row: str, limit: list[str]) -> list[str]:
        """Where the row of a call of forward goes."""
        if "batches" in self.fields and self._evaluated:
            lines = ["if module.training:", *_indented(limit)] if limit else []
            return [*lines, f"(record.batches if module.training else pending).append({row})"]
        if "batches" in self.fields:
            return ["if module.training:", *_indented([*limit, f"record.batches.append({row})"])]
        return ["if not module.training:", f"{_INDENT}pending.append({row})"] if self._evaluated else []

    def _evaluations(self) -> list[str]:
        columns, metrics = self._reads.columns["evaluations"], self._around.metrics
        body = rows.evaluation(columns, self._names, metrics=metrics, pending=self._evaluated)
        self._handlers["on_evaluate"] = body
        if self._around.predicts:
            self._handlers["on_predict"] = body
        return [*rows.metrics(), ""] if metrics and columns & {"predictions", "label_ids", "calls"} else []

    def _callback(self) -> list[str]:
        if not self._handlers:
            return []
        self._names.use("TrainerCallback")
        lines = ["class Probe(TrainerCallback):"]
        done: dict[tuple[str, ...], str] = {}
        for name, body in self._handlers.items():
            twin = done.setdefault(tuple(body), name)
            if twin != name:
                lines += [f"{_INDENT}{name} = {twin}", ""]
            else:
                lines += [f"{_INDENT}def {name}(self, args, state, control, **kwargs):", *_indented(body, 2), ""]
        return [*lines, "trainer.add_callback(Probe())"]


def _after(reads: Reads, names: Names) -> list[str]:
    """What is written down once the run is over."""
    lines: list[str] = []
    if "log_history" in reads.fields:
        lines.append("record.log_history = list(trainer.state.log_history)")
    if "final_weights" in reads.fields:
        lines.append(f"record.final_weights = {names.weights()}")
    if "folders" in reads.fields:
        names.use("checkpoint_folders")
        lines.append("record.folders = checkpoint_folders(output_dir)")
    if "state" in reads.fields:
        keys = state_keys(reads.keys.get("state"))
        if "best_model_checkpoint" in keys:
            names.use("os")
        items = [f'"{key}": {STATE[key]}' for key in keys]
        line = f"record.state = {{{', '.join(items)}}}"
        lines += [line] if len(line) <= layout.WIDTH else ["record.state = {", *(f"{_INDENT}{item}," for item in items), "}"]
    return lines


def _spaced(lines: list[str]) -> list[str]:
    """The lines with one empty line where there are several, before a definition and nowhere at the end."""
    spaced: list[str] = []
    for line in lines:
        if line.startswith(("def ", "class ")):
            spaced.append("")
        spaced.append(line)
    kept = [line for before, line in zip(["", *spaced], spaced, strict=False) if line or before]
    return kept[:-1] if kept and not kept[-1] else kept


def _indented(lines: Iterable[str], levels: int = 1) -> list[str]:
    return [f"{_INDENT * levels}{line}" if line else "" for line in lines]
