"""The experiment that calls a data collator by itself, and trains nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props.case import Case
from trainer_props.experiments.collate_source import body, complete
from trainer_props.experiments.registry import Experiment, Held, register
from trainer_props.record import Record
from trainer_props.strategies import collation

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "collate"


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Collators with their options, and samples that go together. What is held are arguments of a training run, and here is none.

    Parameters of a case: `collate` (`collator`, its name in transformers; `features`, the samples; in it may stand what the others below
    are, where one can't be without the other; `refused`: the options are to be refused), `options` and `call` (keyword arguments of the
    collator and of each call), `tokenizer` (what it is like: `zoo.vocabulary.Vocabulary`), `given_as` (lists, tensors ...), `repeat` (how
    often each list is repeated), `copies` (how many there are of the samples), `model` (of the collator), `seed` (of global generators),
    `calls` (further ones: `again`, `reversed`, `first`; by new collators `zoo.seeding.seeding`).
    """
    return collation.collations().map(_case)


def _case(parameters: dict[str, Any]) -> Case:
    return Case(experiment=NAME, parameters=parameters)


def run(case: Case, subject: Subject) -> Record:
    """Make the collator and call it."""
    from trainer_props.running import collating  # what is heavy is imported when something runs, not when tests are collected

    return collating.collate(complete(case), subject)


register(
    Experiment(
        NAME,
        "Call one of transformers' data collators by itself, once and further times, on samples that are drawn for it; train nothing.",
        "test_trainer_data",
        cases,
        run,
        share=0.6,
        body=body,
        trains=False,
    )
)
