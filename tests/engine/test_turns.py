"""To whom the time of a session goes."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import strategies as st

from trainer_props.engine.board import Board
from trainer_props.engine.turns import ENOUGH, Harvest, Turn, Turns
from trainer_props.experiments import EXPERIMENTS
from trainer_props.properties import PROPERTIES

FIRST, SECOND = list(PROPERTIES.values())[:2]


def spent(seconds: float, rates: dict[str, float], plan: list[tuple[Any, ...]]) -> dict[int, float]:
    """Seconds that each experiment of a plan had of so many, whose properties are evaluated so often in a second of each."""
    alike = [dataclasses.replace(EXPERIMENTS["train_once"], name=str(index)) for index in range(len(plan))]
    turns = [Turn(experiment, st.nothing(), properties) for experiment, (properties, _) in zip(alike, plan, strict=True)]
    board = Board()
    choice = Turns(turns, seconds, board)
    for step in range(int(seconds * 10)):
        given = choice.begin(seconds - step * 0.1)
        assert 0 < given.seconds <= seconds
        fast = plan[turns.index(given.turn)][1]
        counts = {each.id: round(rates[each.id] * fast * 0.1) for each in given.turn.properties}
        judged = [[name for name, count in counts.items() if count > index] for index in range(max(2, *counts.values()))]
        choice.end(given, 0.1, len(judged), Harvest(judged))
    with board.opened() as notes:
        return {index: notes.tallies[str(index)].spent for index in range(len(plan))}


def test_alike_ones_get_alike() -> None:
    had = spent(10, {FIRST.id: 50.0}, [((FIRST,), 1.0)] * 4)
    assert max(had.values()) - min(had.values()) <= 0.5


def test_what_lacks_evaluations_gets_more_but_not_all() -> None:
    had = spent(20, {FIRST.id: 100.0, SECOND.id: 0.0}, [((FIRST,), 1.0), ((FIRST, SECOND), 1.0)])
    assert had[1] > 2 * had[0] > 4


def test_one_that_is_served_elsewhere_sooner_makes_nobody_urgent() -> None:
    """The first experiment evaluates the second property, slowly; its time goes to the one that does it fast, until that is enough."""
    had = spent(1, {SECOND.id: 10.0}, [((SECOND,), 1.0), ((SECOND,), 5.0)])
    assert had[1] >= 2 * had[0]


def test_once_all_had_enough_the_shares_count() -> None:
    had = spent(60, {FIRST.id: 100.0, SECOND.id: 10.0}, [((FIRST,), 1.0), ((SECOND,), 1.0)])
    assert ENOUGH / 10 < had[1] < 35
