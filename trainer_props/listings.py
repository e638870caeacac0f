"""What `trainer-props list` prints: each listing is made from the registry that the rest of the program uses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.table import Table
from rich.text import Text

from trainer_props import zoo
from trainer_props.arguments import FIELDS


@dataclass(frozen=True)
class Listing:
    """A table: names of columns, rows of texts and of sequences of texts."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | Sequence[str], ...], ...]

    def as_table(self) -> Table:
        """For a terminal."""
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for column in self.columns:
            table.add_column(column, overflow="fold")
        for row in self.rows:
            table.add_row(*(Text(cell if isinstance(cell, str) else ", ".join(cell)) for cell in row))
        return table

    def as_json(self) -> str:
        """A list of objects, one a row."""
        return json.dumps([dict(zip(self.columns, row, strict=True)) for row in self.rows], indent=2)


def properties() -> Listing:
    """Every property: id, experiments, catalogue ids, statement."""
    from trainer_props.properties import PROPERTIES

    return Listing(
        ("id", "experiments", "covers", "statement"),
        tuple((each.id, each.experiments, tuple(map(str, each.catalogue)), each.statement) for _, each in sorted(PROPERTIES.items())),
    )


def experiments() -> Listing:
    """Every experiment: name, chapter of the Trainer's test guide, statement."""
    from trainer_props.experiments import EXPERIMENTS

    return Listing(("name", "chapter", "statement"), tuple((each.name, each.chapter, each.statement) for each in EXPERIMENTS.values()))


def models() -> Listing:
    """Every model of the zoo."""
    rows = tuple((each.name, each.family, each.loss_reduction, each.description) for each in zoo.MODELS.values())
    return Listing(("name", "family", "loss", "description"), rows)


def datasets() -> Listing:
    """Every kind of data set of the zoo."""
    rows = tuple((each.name, each.families, each.description) for each in zoo.DATASETS.values())
    return Listing(("name", "families", "description"), rows)


def arguments() -> Listing:
    """Every field of TrainingArguments: drawn, fixed or out of scope, and why; what only the installed version has is unknown."""
    from trainer_props import compat

    rows = [(each.name, repr(each.default), each.status, each.why) for each in FIELDS.values()]
    why = "a field of the installed transformers that this version of trainer-props does not know"
    rows += [(name, "", "unknown", why) for name in compat.unknown_fields()]
    return Listing(("name", "default", "status", "why"), tuple(rows))


def optimizers() -> Listing:
    """Every optimizer that is drawn, as `TrainingArguments.optim` spells it."""
    from trainer_props.strategies.optimization import OPTIMIZERS

    return Listing(("name",), tuple((name,) for name in OPTIMIZERS))


def schedulers() -> Listing:
    """Every learning-rate schedule that is drawn, as `TrainingArguments.lr_scheduler_type` spells it."""
    from trainer_props.strategies.optimization import ADAPTIVE_SCHEDULES, SCHEDULES

    kinds = {"of the step": SCHEDULES, "follows evaluations": ADAPTIVE_SCHEDULES}
    return Listing(("name", "learning rate"), tuple((name, kind) for kind, names in kinds.items() for name in names))


def faults() -> Listing:
    """Every planted fault, and the property that it was written for."""
    from trainer_props.faults import FAULTS

    return Listing(("id", "property", "what it does"), tuple((each.id, each.property, each.sentence) for _, each in sorted(FAULTS.items())))


def known_bugs() -> Listing:
    """Every known bug of released versions."""
    from trainer_props.known_bugs import KNOWN_BUGS

    return Listing(
        ("id", "verdict", "versions", "properties", "what happens", "source"),
        tuple((each.id, each.verdict, each.versions, each.properties, each.sentence, each.link) for _, each in sorted(KNOWN_BUGS.items())),
    )


LISTINGS: Final[dict[str, Callable[[], Listing]]] = {
    "properties": properties, "experiments": experiments, "models": models, "datasets": datasets, "arguments": arguments,
    "optimizers": optimizers, "schedulers": schedulers, "faults": faults, "known-bugs": known_bugs,
}
