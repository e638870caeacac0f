"""What was tried is counted, and what was not is known."""

from __future__ import annotations

from trainer_props import Case, Scenario
from trainer_props.engine import coverage
from trainer_props.engine.coverage import Coverage
from trainer_props.scenario import Components, Devices


def covered(*cases: Case) -> Coverage:
    found: Coverage = {}
    for case in cases:
        coverage.cover(found, case)
    return found


def case(experiment: str = "train_once", **arguments: object) -> Case:
    return Case(experiment=experiment, scenario=Scenario(arguments=arguments))


def test_values_are_counted_by_argument() -> None:
    found = covered(case(max_steps=3), case(max_steps=3, seed=1), case(max_steps=4))
    assert found["arguments"] == {"max_steps": {"3": 2, "4": 1}, "seed": {"1": 1}}


def test_pairs_are_those_that_trained_together() -> None:
    found = covered(case(seed=1, max_steps=3, optim="sgd"), case(seed=1, optim="sgd"), case("build_arguments", seed=1, data_seed=2))
    assert found["pairs"] == {"max_steps": {"optim": 1, "seed": 1}, "optim": {"seed": 2}}


def test_components_and_devices_are_counted() -> None:
    scenario = Scenario(components=Components(loss="compute_loss_func"), devices=Devices(kind="gloo", count=2))
    found = covered(Case(experiment="train_in_processes", scenario=scenario))
    assert found["components"] == {"loss": {"compute_loss_func": 1}}
    assert found["devices"] == {"gloo": {"2": 1}}


def test_what_was_never_tried_is_named() -> None:
    found = covered(case(seed=1, max_steps=3))
    assert "seed" not in coverage.never_tried(found)
    assert "optim" in coverage.never_tried(found)
    missing = coverage.pairs_never_tried(found)
    assert ("max_steps", "seed") not in missing
    assert ("optim", "seed") in missing
    assert len(missing) == coverage.DRAWN_PAIRS - 1


def test_arguments_that_no_scenario_draws_make_no_pairs() -> None:
    found = covered(case(bf16=True, seed=1))
    assert "pairs" not in found
    assert len(coverage.pairs_never_tried(found)) == coverage.DRAWN_PAIRS
