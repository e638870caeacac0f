"""The time of a session, given to experiments in turns: to each its share, and more where properties were judged too seldom so far."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from hypothesis import strategies as st

from trainer_props.case import Case
from trainer_props.engine.board import Board, Notes, Tally
from trainer_props.engine.hunting import Hunt
from trainer_props.experiments import Experiment
from trainer_props.properties import Property

ENOUGH: Final = 50
"""Evaluations of a property after which it is as well served as any."""

_URGENCY: Final = 2.0
"""So many times the time of all shares goes in addition to experiments with properties that have had fewer, while there are any."""
_MOST: Final = 4.0
"""So many times its equal part of a session a property seems to need at most, whatever its rate so far: it may be due to chance."""

_LEAST_WEIGHT: Final = 0.05
"""Of its share an experiment keeps so much in which no property applied so far."""

_CURIOSITY: Final = 3.0
"""So many times its own share an experiment gets in addition where most is new of late, and others in proportion to their news."""

_MEMORY_SECONDS: Final = 60.0
"""News counts for e times less after so many seconds in which its experiment was explored."""

_SOON: Final = 0.5
"""What has never been evaluated counts as evaluated so many times."""

_PARTS: Final = 4
"""Into so many parts the time of an experiment is cut, so that a session that ends early has still touched everything."""
_FIRST_PARTS: Final = 32
"""The first of them is so small a part, and each next one twice the one before: what shows anywhere shows soon."""
_FIRST_SECONDS, _LEAST_SECONDS = 0.25, 1.0
"""The first part of an experiment has at least so many seconds, and each later one: Hypothesis begins each with the simplest cases."""


@dataclass(frozen=True)
class Turn:
    """One experiment of a session: what is drawn, and the properties that judge it."""

    experiment: Experiment
    cases: st.SearchStrategy[Case]
    properties: tuple[Property, ...]


@dataclass(frozen=True)
class Slice:
    """Some seconds of an experiment.

    Attributes:
        number: tells it from all others of this experiment.
        hunt: what passes over cases in regions of known bugs, or None.
    """

    turn: Turn
    number: int
    seconds: float
    hunt: Hunt | None = None


@dataclass
class Harvest:
    """What came of a slice.

    Attributes:
        evaluated: for each case that was judged, the ids of the properties that were evaluated.
        fresh: cases that this process had not judged before.
        news: how much showed that had never been seen, or None where nobody looked.
    """

    evaluated: list[Collection[str]] = field(default_factory=list)
    fresh: int = 0
    news: int | None = None


class Turns:
    """Whose turn it is.

    Args:
        turns: at least one; whoever takes one out of them ends its turns.
        seconds: for all of them together.
        board: where the time and what came of it are noted, by all who share the work.
        hunting: whether regions of known bugs that show in most of their cases are thinned out.
    """

    def __init__(self, turns: Sequence[Turn], seconds: float, board: Board, *, hunting: bool = False) -> None:
        self._turns, self._seconds, self._board, self._hunting = turns, seconds, board, hunting

    def begin(self, left: float) -> Slice:
        """A slice of the experiment that had the least time for what it deserves (a run of one costs ten times a run of another).

        Args:
            left: seconds that are left.
        """
        with self._board.opened() as notes:
            tallies = [notes.tallies.setdefault(turn.experiment.name, Tally()) for turn in self._turns]
            lacking = _lacking(self._turns, tallies, _totals(notes))
            needed = [self._needed(tally, lacks) for tally, lacks in zip(tallies, lacking, strict=True)]
            weights = _weights(self._turns, tallies, needed)
            first = min(range(len(tallies)), key=lambda index: (tallies[index].spent - tallies[index].before) / weights[index])
            tally = tallies[first]
            turn = self._turns[first]
            part = weights[first] / sum(weights)
            least = _LEAST_SECONDS if tally.slices else _FIRST_SECONDS
            seconds = max(part * self._seconds / max(_PARTS, _FIRST_PARTS / 2 ** min(tally.slices, _FIRST_PARTS)), least)
            if lacking[first]:  # what goes beyond that is for others
                seconds = min(seconds, max(least, needed[first]))
            hunt = Hunt([each.id for each in turn.properties], tally) if self._hunting else None
            given = Slice(turn, tally.slices, min(left, seconds), hunt)
            tally.slices += 1
            tally.spent += given.seconds
        return given

    def _needed(self, tally: Tally, lacking: Mapping[str, int]) -> float:
        """Seconds until all of them will have enough, as far as one can tell; zero if all have."""
        if not lacking:
            return 0.0
        most = _MOST * self._seconds / len(self._turns)
        if not tally.spent:
            return most
        rates = {name: max(_rate(tally, name), _SOON / tally.spent) for name in lacking}
        return min(most, max(lack / rates[name] for name, lack in lacking.items()))

    def end(self, given: Slice, spent: float, examples: int, harvest: Harvest) -> None:
        """A slice is over.

        Args:
            spent: seconds.
            examples: cases drawn.
        """
        with self._board.opened() as notes:
            tally = notes.tallies[given.turn.experiment.name]
            tally.spent += spent - given.seconds
            tally.examples += examples
            tally.judged += len(harvest.evaluated)
            for name, number in Counter(name for names in harvest.evaluated for name in names).items():
                tally.evaluated[name] = tally.evaluated.get(name, 0) + number
            if harvest.news is not None:
                fading = math.exp(-spent / _MEMORY_SECONDS)
                tally.news, tally.watched = tally.news * fading + harvest.news, tally.watched * fading + spent
            if given.hunt is not None:
                given.hunt.note(tally)


def _totals(notes: Notes) -> Counter[str]:
    return sum((Counter(tally.evaluated) for tally in notes.tallies.values()), Counter())


def _lacking(turns: Sequence[Turn], tallies: Sequence[Tally], evaluated: Counter[str]) -> list[dict[str, int]]:
    """For each experiment the properties that lack evaluations and that get them there soonest, with the number that they lack."""
    soonest: dict[str, float] = {}
    for turn, tally in zip(turns, tallies, strict=True):
        for each in turn.properties:
            soonest[each.id] = max(soonest.get(each.id, 0.0), _rate(tally, each.id))
    lacks = {name: ENOUGH - evaluated[name] for name in soonest if evaluated[name] < ENOUGH}
    return [
        {each.id: lacks[each.id] for each in turn.properties if each.id in lacks and _rate(tally, each.id) >= soonest[each.id]}
        for turn, tally in zip(turns, tallies, strict=True)
    ]


def _weights(turns: Sequence[Turn], tallies: Sequence[Tally], needed: Sequence[float]) -> list[float]:
    """Each experiment by its share, and where properties lack evaluations, by how soon all of them will have enough."""
    shares = [_share(turn, tally) for turn, tally in zip(turns, tallies, strict=True)]
    soon = [1.0 / max(_LEAST_SECONDS, each) if each else 0.0 for each in needed]
    urgency = _URGENCY * sum(shares) / (sum(soon) or 1.0)
    return [
        (share + urgency * each) * (1.0 + _CURIOSITY * curious) for share, each, curious in zip(shares, soon, _news(tallies), strict=True)
    ]


def _news(tallies: Sequence[Tally]) -> list[float]:
    """How new what shows in each experiment is of late: 1 where most is, and where it is not known yet while it is of others."""
    rates = [tally.news / tally.watched if tally.watched else None for tally in tallies]
    most = max((rate for rate in rates if rate), default=0.0)
    return [1.0 if rate is None else rate / most for rate in rates] if most else [0.0] * len(rates)


def _share(turn: Turn, tally: Tally) -> float:
    """The part of a session's time that it deserves by itself, relative to others: little, where the properties hardly ever apply."""
    return turn.experiment.share * max(_LEAST_WEIGHT, min(1.0, (sum(tally.evaluated.values()) + 1) / (tally.judged + 1)))


def _rate(tally: Tally, name: str) -> float:
    """Evaluations of a property in a second."""
    return tally.evaluated.get(name, 0) / tally.spent if tally.spent else float("inf")
