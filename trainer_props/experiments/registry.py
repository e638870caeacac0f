"""The registry of experiments: a way to run one or more related scenarios, and where its cases come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.record import Observation
from trainer_props.zoo.kinds import MODELS, ModelKind

if TYPE_CHECKING:
    from trainer_props.subjects import Subject


_MODELS_FOR: Final[Mapping[str, Callable[[Any, ModelKind], bool]]] = {
    "label_smoothing_factor": lambda value, kind: kind.classifies and kind.pretrained,
    "train_sampling_strategy": lambda value, kind: value == "sequential" or kind.main_input_name == "input_ids",
    "label_names": lambda value, kind: set(value) == set(kind.label_names),
}
"""Arguments whose values make sense for some models alone: smoothed are scores of classes, lengths are those of tokens."""


@dataclass(frozen=True)
class Held:
    """What a user holds fixed while the rest is drawn.

    Attributes:
        arguments: TrainingArguments with these values in every case.
        forbidden: TrainingArguments that stay at their defaults.
        models: names of models, or None for all; of those that are named, or of all, the ones for which the arguments make sense.
        own_data: the subject brings its own model and data: only arguments and the number of samples are drawn, and only experiments
            that need no data of ours are run (`suitable`).
        devices: kinds and numbers of devices, or None for all; experiments on others are not run (`suitable`).
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    forbidden: Sequence[str] = ()
    models: Sequence[str] | None = None
    own_data: bool = False
    devices: Sequence[tuple[str, int]] | None = None

    def __post_init__(self) -> None:
        asked = {name: value for name, value in self.arguments.items() if name in _MODELS_FOR and value != default(name)}
        if asked and not self.own_data:
            among = [MODELS[name] for name in (MODELS if self.models is None else self.models)]
            able = [kind.name for kind in among if all(_MODELS_FOR[name](value, kind) for name, value in asked.items())]
            if self.models is not None or len(able) < len(among):
                object.__setattr__(self, "models", tuple(able))

    def counts(self, kind: str, drawn: Sequence[int]) -> tuple[int, ...]:
        """Those of the numbers of devices that are held to, if any are; they may be others than those that are usually drawn."""
        if self.devices is None:
            return tuple(drawn)
        asked = sorted({count for each, count in self.devices if each == kind})
        return tuple(count for count in drawn if count in asked) + tuple(count for count in asked if count not in drawn)


@dataclass(frozen=True)
class Body:
    """What an experiment does in a run, as source code for a standalone script.

    Attributes:
        lines: statements. At their disposal: `record` (with the fields of a record), `output_dir`, and `trainer` if there is one.
        imports: import lines that they need.
        definitions: module-level code that they need.
        trainer: whether a trainer is built before; if not, `arguments` is a dict of the keyword arguments of TrainingArguments instead.
        parameters: of several runs: what `run(output_dir, ...)`, the function that holds `lines` and returns the record, takes besides.
        varied: of several runs: the arguments of TrainingArguments in which they differ; `run(output_dir, ..., **arguments)` is given all
            of them by name, and the case's own values of them count for nothing.
        before: statements for before the run is watched, where `trainer` is built.
        prints: what the Trainer brings to print what it logs stays.
        several: statements that call it and keep the records by name in a dict `runs`; empty: there is one run.
    """

    lines: Sequence[str]
    imports: Sequence[str] = ()
    definitions: Sequence[str] = ()
    trainer: bool = True
    parameters: Sequence[str] = ()
    varied: Sequence[str] = ()
    before: Sequence[str] = ()
    prints: bool = False
    several: Sequence[str] = ()


@dataclass(frozen=True)
class Wanted:
    """What a script needs of a record.

    Attributes:
        fields: fields of the record.
        words: texts that its measures mention or are given: keys of what the fields hold are among them.
    """

    fields: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()


OUTPUT: Final[Mapping[str, str]] = {
    "global_step": "output.global_step", "training_loss": "output.training_loss", "metrics": "dict(output.metrics)",
}  # fmt: skip
"""Fields of a record that `train()` returns."""


def train_body(case: Case, wanted: Wanted) -> Body:
    """Train once, and keep what `train()` returned where it is wanted."""
    kept = [f"record.{name} = {value}" for name, value in OUTPUT.items() if name in wanted.fields]
    if len(kept) == 1:
        return Body([kept[0].replace("output", "trainer.train()")])
    return Body([f"{'output = ' if kept else ''}trainer.train()", *kept])


def _by_nothing(case: Case) -> Case | None:
    return None


def _any_case(case: Case) -> bool:
    return True


@dataclass(frozen=True)
class Experiment:
    """A way to run one or more related scenarios.

    Attributes:
        name: stable.
        statement: what is done, in one sentence.
        chapter: the chapter of the Trainer's own test guide (a file name under tests/trainer) that it belongs to.
        cases: what is held -> a strategy for its cases.
        run: case and subject -> record, or the records of several runs by name.
        models: names of the models that it can use.
        share: of the time of a session, relative to others.
        own_data: it makes sense for a subject that brings its own model and data. What hands data of ours to the trainer, or is about a
            kind of data or model, does not.
        body: case and what is wanted of its record -> what `run` does, as source code.
        devices: the kinds of devices that its scenarios have.
        avoids: arguments that are at their defaults in all of its cases, since others mean something else to what it asks.
        trains: its cases train. If not, arguments that stand in one case have not been tried together.
        confirmed_by: case -> the same on devices that show more faithfully what it shows, or None.
        sensible: whether a case is one that it asks about. What it draws always is; one from which a setting was taken away need not be.
    """

    name: str
    statement: str
    chapter: str
    cases: Callable[[Held], st.SearchStrategy[Case]]
    run: Callable[[Case, Subject], Observation]
    models: tuple[str, ...] = ()
    share: float = 1.0
    own_data: bool = False
    body: Callable[[Case, Wanted], Body] = train_body
    devices: tuple[str, ...] = ("single",)
    avoids: tuple[str, ...] = ()
    trains: bool = True
    confirmed_by: Callable[[Case], Case | None] = _by_nothing
    sensible: Callable[[Case], bool] = _any_case


EXPERIMENTS: Final[dict[str, Experiment]] = {}


def register(experiment: Experiment) -> Experiment:
    """Add an experiment.

    Raises:
        ValueError: the name is taken.
    """
    if experiment.name in EXPERIMENTS:
        raise ValueError(f"experiment {experiment.name} exists already")
    EXPERIMENTS[experiment.name] = experiment
    return experiment


def suitable(names: Sequence[str], held: Held) -> list[str]:
    """Those of the experiments that make sense with what is held: for a subject with data of its own those that bring none, those that have
    one of the models, those on devices that are asked for, and those that avoid none of the arguments.
    """
    kinds = None if held.devices is None else {kind for kind, _ in held.devices}
    able = [EXPERIMENTS[name] for name in names if EXPERIMENTS[name].own_data or not held.own_data]
    able = [each for each in able if held.models is None or held.own_data or not each.models or set(held.models) & set(each.models)]
    return [each.name for each in able if (kinds is None or kinds & set(each.devices)) and not avoided(each, held)]


def avoided(experiment: Experiment, held: Held) -> list[str]:
    """The arguments that are held at what the experiment avoids, or at what makes sense for none of its models."""
    changed = [name for name, value in held.arguments.items() if value != default(name)]
    found = [name for name in experiment.avoids if name in changed]
    if held.models is not None and experiment.models and not set(held.models) & set(experiment.models):
        found += [name for name in _MODELS_FOR if name in changed]
    return found
