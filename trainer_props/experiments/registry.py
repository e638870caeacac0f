"""The registry of experiments: a way to run one or more related scenarios, and where its cases come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props.case import Case
from trainer_props.record import Record

if TYPE_CHECKING:
    from trainer_props.subjects import Subject


@dataclass(frozen=True)
class Held:
    """What a user holds fixed while the rest is drawn.

    Attributes:
        arguments: TrainingArguments with these values in every case.
        forbidden: TrainingArguments that stay at their defaults.
        models: names of models, or None for all.
        own_data: the subject brings its own model and data: only arguments and the number of samples are drawn, and only experiments
            that need no data of ours are run (`suitable`).
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    forbidden: Sequence[str] = ()
    models: Sequence[str] | None = None
    own_data: bool = False


@dataclass(frozen=True)
class Experiment:
    """A way to run one or more related scenarios.

    Attributes:
        name: stable.
        statement: what is done, in one sentence.
        chapter: the chapter of the Trainer's own test guide (a file name under tests/trainer) that it belongs to.
        cases: what is held -> a strategy for its cases.
        run: case and subject -> record.
        models: names of the models that it can use.
        share: of the time of a session, relative to others.
        own_data: it makes sense for a subject that brings its own model and data. What hands data of ours to the trainer, or is about a
            kind of data or model, does not.
    """

    name: str
    statement: str
    chapter: str
    cases: Callable[[Held], st.SearchStrategy[Case]]
    run: Callable[[Case, Subject], Record]
    models: tuple[str, ...] = ()
    share: float = 1.0
    own_data: bool = False


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
    """Those of the experiments that make sense with what is held: all, or for a subject with data of its own those that bring none."""
    return [name for name in names if EXPERIMENTS[name].own_data or not held.own_data]
