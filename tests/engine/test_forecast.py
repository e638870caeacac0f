"""Which cases are run of those that are drawn, while properties lack evaluations."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import strategies as st

from trainer_props.case import Case
from trainer_props.engine.costs import Costs
from trainer_props.engine.drawing import draw
from trainer_props.engine.events import Finding
from trainer_props.engine.forecast import Choice, Forecast, witnesses
from trainer_props.engine.judging import Judged
from trainer_props.engine.ledger import Entry, Origin
from trainer_props.engine.shrinking import shrink
from trainer_props.scenario import Components, Data, EarlyStopping, Model, Scenario

RARE, USUAL = "chapter.rare", "chapter.usual"
ENOUGH = 20


def drawn(rng: random.Random) -> Case:
    """Any of some settings, each by chance."""
    parameters = {"how": rng.choice(["once", "again", "resume"])}
    arguments = {"max_steps": rng.randint(1, 4), "optim": rng.choice(["sgd", "adamw_torch"]), "seed": rng.randint(0, 3)}
    return Case(scenario=Scenario(arguments=arguments), parameters=parameters)


def evaluated(case: Case) -> list[str]:
    """A precondition that is declared nowhere: two settings together."""
    rare = case.parameters["how"] == "again" and case.scenario.argument("optim") == "sgd" and case.scenario.argument("max_steps") > 2
    return [USUAL, RARE] if rare else [USUAL]


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def explored(lacking: dict[str, int], *, drawing: float, running: float, cases: int = 4000) -> tuple[list[Case], Counter[str], float]:
    """What is run until nothing lacks, how often each property was evaluated, and the seconds that it took."""
    rng, clock, ran, counts = random.Random(7), Clock(), [], Counter[str]()
    choice = Choice(clock)
    choice.begin(lacking)
    for _ in range(cases):
        clock.now += drawing
        case = drawn(rng)
        if choice.passes_over(case):
            continue
        clock.now += running
        ran.append(case)
        counts.update(names := evaluated(case))
        choice.judged(names)
        if all(counts[name] >= lack for name, lack in lacking.items()):
            break
    return ran, counts, clock.now


def test_a_rare_property_gets_its_evaluations_in_fewer_runs() -> None:
    ran, counts, seconds = explored({RARE: ENOUGH}, drawing=1.0, running=20.0)
    assert counts[RARE] == ENOUGH
    assert len(ran) < ENOUGH * 12 / 3  # one in twelve has it
    assert seconds < ENOUGH * 12 * 21.0 / 2


def test_where_drawing_costs_as_much_as_running_nearly_all_is_run() -> None:
    ran, _, _ = explored({USUAL: 200}, drawing=1.0, running=1.0)
    assert len(ran) == 200


def test_nothing_is_passed_over_once_nothing_lacks() -> None:
    ran, _, _ = explored({}, drawing=1.0, running=20.0, cases=1)
    assert len(ran) == 1
    choice, rng = Choice(Clock()), random.Random(1)
    choice.begin({RARE: 1})
    while True:
        case = drawn(rng)
        if not choice.passes_over(case):
            choice.judged(evaluated(case))
            if RARE in evaluated(case):
                break
    assert not any(choice.passes_over(drawn(rng)) for _ in range(50))


def test_the_first_cases_and_every_fifth_run_whatever_they_promise() -> None:
    ran, _, _ = explored({RARE: 10**6}, drawing=0.001, running=1000.0, cases=3000)
    assert {case.parameters["how"] for case in ran[:8]} > {"again"}
    assert {case.parameters["how"] for case in ran[8:]} > {"again"}, "what is never run can't be found broken"
    others = sum(RARE not in evaluated(case) for case in ran[40:])
    assert len(ran[40:]) / 10 < others < len(ran[40:]) / 2


def test_a_forecast_learns_from_what_is_there_and_from_what_is_not() -> None:
    forecast = Forecast()
    for index in range(20):
        forecast.learn([f"seed={index}", *(["evaluates"] if index % 2 else [])], [RARE] if index % 2 else [])
    promise = forecast.promises({RARE: 2.0})
    assert 0 < promise([]) < 0.5
    assert 1.5 < promise(["evaluates"]) < 2.0  # what it is worth
    assert forecast.often(RARE) == pytest.approx(10.5 / 21)


def test_a_property_that_was_never_evaluated_is_looked_for_where_nobody_was() -> None:
    forecast = Forecast()
    for _ in range(20):
        forecast.learn(["usual"], [])
    promise = forecast.promises({RARE: 1.0})
    assert promise(["usual", "new"]) > 2 * promise(["usual"])


def test_the_witnesses_of_a_case_are_its_settings_their_names_and_the_parts_of_its_parameters() -> None:
    scenario = Scenario(
        arguments={"max_steps": 3}, model=Model(frozen=("a",)), components=Components(early_stopping=EarlyStopping(patience=2))
    )
    found = witnesses(Case(scenario=scenario, parameters={"life": [["train", 2], ["change", {"save_steps": 1}]]}))
    assert {"argument max_steps=3", "argument max_steps", "Model frozen", "Components early_stopping", "model regression"} <= found
    assert {"parameter.life[][]=train", "parameter.life[][]=change", "parameter.life[][].save_steps=1"} <= found


def test_what_was_passed_over_is_not_run_on_the_way_to_what_is_shrunk() -> None:
    """Afterwards it is: the smallest case may be one that promised nothing."""
    cases = st.integers(1, 60).map(lambda n: Case(scenario=Scenario(data=Data(n=n))))
    drawn: list[Case] = []
    draw(cases, drawn.append, number=5, max_examples=100)
    first = next(index for index, case in enumerate(drawn) if case.scenario.data.n > LARGE)
    finding = found(drawn[first])
    assert finding is not None
    entry = Entry(finding, finding, Origin("train_once", 5, 100))

    def ran(passed: frozenset[str]) -> tuple[list[int], int]:
        sizes: list[int] = []

        def judge(case: Case) -> Judged:
            sizes.append(case.scenario.data.n)
            return Judged(case, findings=tuple(filter(None, [found(case)])))

        violation = shrink(entry, cases, judge, lambda case: None, seconds=60.0, passed=passed)
        return sizes[2:], violation.finding.case.scenario.data.n  # the first two see whether it is deterministic

    assert first > 0
    sizes, smallest = ran(frozenset(case.key for case in drawn[:first]))
    assert smallest == LARGE + 1
    assert sizes[0] > LARGE
    assert min(sizes) <= LARGE
    assert ran(frozenset())[0][0] <= LARGE


LARGE = 20


def found(case: Case) -> Finding | None:
    """The violation of a trainer that can't have more samples than that."""
    if case.scenario.data.n <= LARGE:
        return None
    return Finding("chapter.rare", "violated", "samples", "too many", LARGE, case.scenario.data.n, None, None, case, None)


def test_costs_are_told_by_the_work_and_the_model() -> None:
    costs = Costs()
    alike = [Case(scenario=Scenario(arguments={"max_steps": steps}, model=Model(name=name))) for steps in (2, 8, 32) for name in ("a", "b")]
    for _ in range(10):
        for case in alike:
            costs.learn(case, 0.01 * case.scenario.argument("max_steps") * (3 if case.scenario.model.name == "b" else 1))
    assert costs.expected(alike[0]) < costs.expected(alike[2]) / 2 < costs.expected(alike[4]) / 4
    for first, second in zip(alike[::2], alike[1::2], strict=True):
        assert costs.expected(second) / costs.expected(first) == pytest.approx(3, rel=0.3)
