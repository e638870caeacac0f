"""The time of a session, given to experiments in turns: to each its share, and more where properties were judged too seldom so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from hypothesis import strategies as st

from trainer_props.case import Case
from trainer_props.experiments import Experiment
from trainer_props.properties import Property

ENOUGH: Final = 50
"""Evaluations of a property after which it is as well served as any."""

_URGENCY: Final = 4.0
"""So many times its own share an experiment gets in addition where one of its properties has had none of them."""

_LEAST_WEIGHT: Final = 0.05
"""Of its share an experiment keeps so much in which no property applied so far."""


@dataclass
class Turn:
    """The state of one experiment within a session.

    Attributes:
        experiment, cases, properties: what is drawn and judged.
        slices: how often it was its turn.
        examples: cases drawn.
        judged: cases judged.
        spent: seconds.
        evaluated: property id -> how often it was evaluated here.
    """

    experiment: Experiment
    cases: st.SearchStrategy[Case]
    properties: tuple[Property, ...]
    slices: int = 0
    examples: int = 0
    judged: int = 0
    spent: float = 0.0
    evaluated: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        """The part of a session's time that it deserves by itself, relative to others: little, where the properties hardly ever apply."""
        return self.experiment.share * max(_LEAST_WEIGHT, min(1.0, (self.evaluated.total() + 1) / (self.judged + 1)))

    def rate(self, name: str) -> float:
        """Evaluations of a property in a second."""
        return self.evaluated[name] / self.spent if self.spent else float("inf")


class Turns:
    """Whose turn it is.

    Args:
        turns: at least one.
        evaluated: property id -> how often the session evaluated it, in whatever experiment.
    """

    def __init__(self, turns: Sequence[Turn], evaluated: Callable[[str], int]) -> None:
        self._turns, self._evaluated = turns, evaluated

    def next(self) -> tuple[Turn, float]:
        """The experiment that had the least time for what it deserves (a run of one costs ten times a run of another), and the part of
        a session's time that it deserves as things are.
        """
        weights = self._weights()
        first = min(range(len(self._turns)), key=lambda index: self._turns[index].spent / weights[index])
        return self._turns[first], weights[first] / sum(weights)

    def _weights(self) -> list[float]:
        """A property that lacks evaluations makes that experiment urgent in which it gets them soonest, and no other."""
        soonest: dict[str, float] = {}
        for turn in self._turns:
            for each in turn.properties:
                soonest[each.id] = max(soonest.get(each.id, 0.0), turn.rate(each.id))
        lacks = {name: max(0.0, 1.0 - self._evaluated(name) / ENOUGH) for name in soonest}
        return [
            turn.share
            * (1.0 + _URGENCY * max((lacks[each.id] for each in turn.properties if turn.rate(each.id) >= soonest[each.id]), default=0.0))
            for turn in self._turns
        ]
