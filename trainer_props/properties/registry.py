"""The registry of properties: what a property is, and how one is declared."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from trainer_props.judgement import Judgement, NotApplicable
from trainer_props.properties.needs import Need
from trainer_props.record import Observation
from trainer_props.scenario import Scenario

Judge = Callable[[Any, Scenario], Judgement]
"""Of a record, or of `Runs` where the experiment makes several."""

SINGLE_RUN: Final = (
    "train_once",
    "train_nothing",
    "train_and_save",
    "train_on_streams",
    "train_on_tokens",
    "train_with_optimizers",
    "train_hub_models",
    "train_seq2seq",
)
"""The experiments whose record is that of one training run."""
WITH_FLAGS: Final = (*SINGLE_RUN, "train_with_flags")
"""Those, and the one whose callback sets control flags, for what holds whatever a callback asks for."""
WITH_SAVES: Final = (*WITH_FLAGS, "save_into_a_used_folder")
"""Those, and the one whose directory was used before, for what holds of a checkpoint whatever lies beside it."""


@dataclass(frozen=True)
class Property:
    """A named statement about the record of an experiment.

    Attributes:
        id: `chapter.function_name`.
        chapter: the module that states it.
        experiments: names of the experiments whose records it judges.
        statement: its docstring's first paragraph.
        source: where its truth is documented (an address).
        needs: preconditions, as data.
        tolerance: relative to max(1, |expected|); 0 means exact; for float64 where it depends on the dtype.
        catalogue: ids of the invariant catalogue that it covers.
        judge: the statement itself.
    """

    id: str
    chapter: str
    experiments: tuple[str, ...]
    statement: str
    text: str
    source: str
    needs: tuple[Need, ...]
    tolerance: float
    catalogue: tuple[int, ...]
    judge: Callable[..., Judgement]

    def __call__(self, record: Observation, scenario: Scenario) -> Judgement:
        """Judge a record, or those of several runs: not applicable if a precondition fails, else what the statement says."""
        for need in self.needs:
            if not need.met(record, scenario):
                return NotApplicable(need.reason)
        return self.judge(record, scenario)


PROPERTIES: Final[dict[str, Property]] = {}


def trainer_property(
    *,
    source: str,
    experiments: Sequence[str] = SINGLE_RUN,
    needs: Sequence[Need] = (),
    tolerance: float = 0.0,
    catalogue: Sequence[int] = (),
) -> Callable[[Judge], Judge]:
    """Register a function `(record, scenario) -> Judgement`, or `(runs, scenario)`, as a property; its docstring is the statement.

    Raises:
        ValueError: it has no docstring or no source, or its name is taken.
    """

    def register(function: Judge) -> Judge:
        chapter = function.__module__.rpartition(".")[2]
        identifier = f"{chapter}.{function.__name__}"
        text = inspect.cleandoc(function.__doc__ or "")
        if not text:
            raise ValueError(f"property {identifier} has no docstring")
        if not source.startswith("https://"):
            raise ValueError(f"property {identifier} has no source address")
        if identifier in PROPERTIES:
            raise ValueError(f"property {identifier} exists already")
        PROPERTIES[identifier] = Property(
            id=identifier,
            chapter=chapter,
            experiments=tuple(experiments),
            statement=" ".join(text.split("\n\n")[0].split()),
            text=text,
            source=source,
            needs=tuple(needs),
            tolerance=tolerance,
            catalogue=tuple(catalogue),
            judge=function,
        )
        return function

    return register
