"""To whom the time of a session goes."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import strategies as st

from trainer_props.engine.turns import ENOUGH, Turn, Turns
from trainer_props.experiments import EXPERIMENTS
from trainer_props.properties import PROPERTIES

FIRST, SECOND = list(PROPERTIES.values())[:2]
ONE = EXPERIMENTS["train_once"]


def spent(seconds: float, rates: dict[str, float], plan: list[tuple[Any, ...]]) -> dict[int, float]:
    """Seconds that each experiment of a plan had of so many, whose properties are evaluated so often in a second of each."""
    turns = [Turn(ONE, st.nothing(), properties) for properties, _ in plan]
    total: Counter[str] = Counter()
    choice = Turns(turns, lambda name: total[name])
    for _ in range(int(seconds * 10)):
        turn, part = choice.next()
        assert 0 < part <= 1
        turn.spent += 0.1
        turn.judged += 2
        for each in turn.properties:
            count = round(rates[each.id] * plan[turns.index(turn)][1] * 0.1)
            turn.evaluated[each.id] += count
            total[each.id] += count
    return {index: turn.spent for index, turn in enumerate(turns)}


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
