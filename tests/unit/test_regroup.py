"""The experiment that regroups the samples of an update: its runs, its cases, and how its runs are judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import Judged, judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.experiments.pairs import run_pair
from trainer_props.measures import pairs as measures
from trainer_props.measures.pairs import BASELINE, CHANGED
from trainer_props.oracles import accounting
from trainer_props.properties import PROPERTIES
from trainer_props.record import Runs
from trainer_props.running import prepared
from trainer_props.scenario import Components, Data, Model, Scenario

SUBJECT = subjects.load(subjects.DEFAULT)
MINE = [each for each in PROPERTIES.values() if "regroup" in each.experiments]
NUMBERS = {
    "regroup.gradients_are_the_same", "regroup.weights_are_the_same", "regroup.logged_losses_are_the_same",
    "regroup.gradient_norms_are_the_same",
}  # fmt: skip
FACTS = {
    "regroup.both_groupings_finish", "regroup.ends_at_the_same_step", "regroup.updates_have_the_same_samples",
    "regroup.learning_rates_are_the_same", "regroup.log_history_has_the_same_entries",
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def case(*to: int, arguments: dict[str, Any] | None = None, n: int = 8, model: str = "regression", **more: Any) -> Case:
    usual = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4, "num_train_epochs": 2, "logging_steps": 1, "optim": "sgd"}
    data = more.pop("data", Data(n=n))
    scenario = Scenario(arguments={**usual, **(arguments or {})}, data=data, model=Model(name=model), **more)
    return Case(experiment="regroup", scenario=scenario, parameters={"regroup": list(to)} if to else {})


def judged(given_case: Case) -> Judged:
    found = judge(given_case, SUBJECT, MINE)
    assert found.errors == ()
    return found


@pytest.mark.parametrize("to", [(4, 1), (2, 2)])
def test_the_changed_run_has_fewer_and_larger_micro_batches(to: tuple[int, int]) -> None:
    runs = EXPERIMENTS["regroup"].run(case(*to), SUBJECT)
    assert isinstance(runs, Runs)
    assert list(runs) == [BASELINE, CHANGED]
    assert {batch.size for batch in runs[BASELINE].batches} == {1}
    assert {batch.size for batch in runs[CHANGED].batches} == {to[0]}
    assert runs[CHANGED].arguments == {"per_device_train_batch_size": to[0], "gradient_accumulation_steps": to[1]}
    assert runs[BASELINE].arguments == {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}


def test_a_baseline_is_shared_by_cases_that_differ_in_their_change() -> None:
    shared = case().scenario
    first, second = (run_pair(Case(scenario=shared), SUBJECT, {"max_steps": steps}).first for steps in (1, 2))
    assert first.updates is second.updates
    assert (first.arguments, second.arguments) == ({"max_steps": -1}, {"max_steps": -1})


@pytest.mark.parametrize("optim", ["sgd", "adamw_torch"])
@pytest.mark.parametrize("n", [8, 16])
def test_even_windows_hold(n: int, optim: str) -> None:
    found = judged(case(2, 2, n=n, arguments={"optim": optim}))
    assert found.findings == ()
    assert set(found.holds) == NUMBERS | FACTS


def test_uneven_windows_are_judged_where_the_loss_counts_items() -> None:
    uneven = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    assert not NUMBERS & set(judged(case(4, 1, n=7, arguments=uneven)).holds)
    assert set(judged(case(4, 1, n=7, arguments=uneven, model="regression_kwargs")).holds) == NUMBERS | FACTS
    assert set(judged(case(4, 1, n=7, arguments=uneven, components=Components(loss="compute_loss_func"))).holds) == NUMBERS | FACTS


def test_what_is_dropped_may_differ() -> None:
    dropping = {"dataloader_drop_last": True}
    assert judged(case(4, 1, n=7, arguments=dropping)).holds == ()
    assert set(judged(case(4, 1, n=8, arguments=dropping)).holds) == NUMBERS | FACTS


def test_nothing_is_said_where_nothing_is_regrouped() -> None:
    assert judged(case()).holds == ()


@pytest.mark.parametrize(
    ("given_case", "bug"),
    [
        (case(4, 1, model="regression_kwargs_unaware"), "accumulation-inflates-loss"),
        (case(4, 1, arguments={"max_steps": 3}, data=Data(kind="stream", n=5)), "stream-leftover-gradient"),
        (case(4, 1, arguments={"max_steps": 3}, data=Data(kind="stream", n=3)), "stream-never-steps"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_known_bugs_explain_what_they_do_to_pairs(given_case: Case, bug: str) -> None:
    found = judged(given_case).findings
    assert {each.known_bug for each in found} == {bug}


def test_measures_name_the_first_difference() -> None:
    runs = EXPERIMENTS["regroup"].run(case(4, 1, model="regression_kwargs_unaware"), SUBJECT)
    one, four = (measures.gradient(runs, name, 1, 0).value for name in (BASELINE, CHANGED))  # type: ignore[arg-type]
    assert one == pytest.approx(4 * four) or abs(one) <= 1.0  # clipped


def test_cases_keep_the_product() -> None:
    @settings(max_examples=60, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS["regroup"].cases(Held()))
    def check(drawn: Case) -> None:
        batch, accumulation = drawn.parameters["regroup"]
        assert batch * accumulation == accounting.total_train_batch_size(drawn.scenario)
        assert batch > drawn.scenario.argument("per_device_train_batch_size")
        assert not drawn.scenario.components.poisoned
        assert Case.from_json(drawn.to_json()) == drawn

    check()


@pytest.mark.parametrize("held", [Held(arguments={"gradient_accumulation_steps": 4}), Held(forbidden=["per_device_train_batch_size"])])
def test_what_is_held_is_not_regrouped(held: Held) -> None:
    @settings(max_examples=10, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS["regroup"].cases(held))
    def check(drawn: Case) -> None:
        assert drawn.parameters == {}
        assert all(drawn.scenario.argument(name) == value for name, value in held.arguments.items())

    check()


def test_what_the_sampler_repeats_is_not_judged() -> None:
    rebalanced = {"train_sampling_strategy": "batch_rebalance", "gradient_accumulation_steps": 3}
    found = judged(case(3, 1, arguments=rebalanced, data=Data(kind="tokens", n=4), model="lstm"))
    assert found.findings == ()
    assert "regroup.updates_have_the_same_samples" in dict(found.not_applicable)


def alike(n: int, *, kind: str = "regression", model: str = "regression", **arguments: Any) -> Case:
    usual = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "max_steps": 4, "learning_rate": 0.0, "max_grad_norm": 0.0}
    scenario = Scenario(arguments={**usual, **arguments}, data=Data(kind=kind, n=n, alike=True), model=Model(name=model))
    return Case(experiment="identical_samples", scenario=scenario)


@pytest.mark.parametrize("kind", ["regression", "sized_stream"])
@pytest.mark.parametrize("n", [4, 5, 7])
def test_identical_samples_hold(n: int, kind: str) -> None:
    only = [PROPERTIES["regroup.identical_samples_give_identical_gradients"]]
    found = judge(alike(n, kind=kind), SUBJECT, only)
    assert kind == "sized_stream" or found.findings == ()
    assert {each.known_bug for each in found.findings} <= {"stream-leftover-gradient"}
    moving = judge(alike(n, learning_rate=0.1), SUBJECT, only)
    assert dict(moving.not_applicable) == {only[0].id: "the samples differ, or the weights move"}
    inflated = judge(alike(5, model="regression_kwargs_unaware"), SUBJECT, only)
    assert [each.known_bug for each in inflated.findings] == ["accumulation-inflates-loss"]


def test_cases_of_identical_samples_never_move() -> None:
    @settings(max_examples=30, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS["identical_samples"].cases(Held()))
    def check(drawn: Case) -> None:
        assert drawn.scenario.data.alike
        assert drawn.scenario.argument("learning_rate") == 0.0
        assert Case.from_json(drawn.to_json()) == drawn

    check()
