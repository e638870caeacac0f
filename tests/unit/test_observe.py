"""The experiment that observes a run otherwise: its runs, its cases, and how its runs are judged."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import transformers
from hypothesis import HealthCheck, given, settings

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import Judged, judge
from trainer_props.experiments import EXPERIMENTS, Held, pairs
from trainer_props.experiments.observe import follows_evaluations
from trainer_props.measures.pairs import BASELINE, CHANGED
from trainer_props.properties import PROPERTIES
from trainer_props.record import Runs
from trainer_props.running import prepared
from trainer_props.scenario import Components, Data, EarlyStopping, Model, Scenario

SUBJECT = subjects.load(subjects.DEFAULT)
MINE = [each for each in PROPERTIES.values() if "observe" in each.experiments]
ALL = {each.id for each in MINE}


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def case(arguments: dict[str, Any] | None = None, *, data: Data | None = None, model: str = "regression", **parameters: Any) -> Case:
    usual = {"per_device_train_batch_size": 2, "num_train_epochs": 2, "logging_steps": 2}
    scenario = Scenario(arguments={**usual, **(arguments or {})}, data=data or Data(n=8, n_eval=2), model=Model(name=model))
    return Case(experiment="observe", scenario=scenario, parameters=parameters)


def judged(given_case: Case) -> Judged:
    found = judge(given_case, SUBJECT, MINE)
    assert found.errors == ()
    return found


def runs_of(given_case: Case) -> Runs:
    runs = EXPERIMENTS["observe"].run(given_case, SUBJECT)
    assert isinstance(runs, Runs)
    return runs


@pytest.mark.parametrize("at", [0, 1, 8])
def test_the_changed_run_predicts_when_it_is_told_to(at: int) -> None:
    runs = runs_of(case(predict=3, predict_at=at))
    assert [each.prefix for each in runs[BASELINE].evaluations] == []
    assert [(each.prefix, each.step) for each in runs[CHANGED].evaluations] == [("test", at)]
    assert [len(batch.samples or ()) for batch in runs[CHANGED].evaluations[0].batches] == [3]


@pytest.mark.parametrize(
    "observed",
    [
        {"logging_steps": 1}, {"logging_strategy": "epoch"}, {"eval_strategy": "steps", "eval_steps": 1}, {"eval_on_start": True},
        {"save_strategy": "steps", "save_steps": 1}, {"log_level": "info"}, {"include_num_input_tokens_seen": "all"},
    ],
    ids=str,
)  # fmt: skip
def test_an_observed_run_holds(observed: dict[str, Any]) -> None:
    found = judged(case(observe=observed))
    assert found.findings == ()
    assert set(found.holds) == ALL


def test_the_console_is_left_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    handlers, level = set(logging.getLogger("transformers").handlers), transformers.logging.get_verbosity()
    runs_of(case(observe={"disable_tqdm": False, "log_level": "info"}))
    assert capfd.readouterr() == ("", "")
    assert set(logging.getLogger("transformers").handlers) == handlers
    assert transformers.logging.get_verbosity() == level


def test_the_printer_stays() -> None:
    found = judged(case(observe={"disable_tqdm": False}))
    assert [(each.property, each.known_bug) for each in found.findings] == [
        ("observe.the_same_is_returned", "total-flos-lost-by-the-printer")
    ]


def test_an_order_of_the_global_generator_is_known() -> None:
    tokens = Data(kind="tokens", n=8, n_eval=1)
    grouped = case({"train_sampling_strategy": "group_by_length"}, data=tokens, model="lstm", observe={"eval_on_start": True})
    found = judged(grouped)
    assert [(each.property, each.known_bug) for each in found.findings] == [
        ("observe.micro_batches_have_the_same_samples", "group-by-length-draws-from-the-global-generator")
    ]


def test_cases_change_no_evaluation_that_a_run_goes_by() -> None:
    @settings(max_examples=80, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS["observe"].cases(Held(arguments={"logging_steps": 3})))
    def check(drawn: Case) -> None:
        observed = drawn.parameters.get("observe", {})
        assert observed or "predict" in drawn.parameters or drawn.scenario.components.scores
        assert "logging_steps" not in observed
        assert not (follows_evaluations(drawn.scenario) and {"eval_strategy", "save_strategy", "eval_on_start"} & set(observed))
        assert not ("predict" in drawn.parameters and drawn.scenario.components.scores)
        assert drawn.scenario.data.n_eval
        assert Case.from_json(drawn.to_json()) == drawn

    check()


REPORTED = {"report_to": ["tensorboard"]}


@pytest.mark.skipif(not pairs.tracks("tensorboard"), reason="no package of TensorBoard is installed")
def test_a_tracked_run_holds() -> None:
    found = judged(case(observe=REPORTED))
    assert found.findings == ()
    assert set(found.holds) == ALL


def test_a_tracker_without_its_package_is_no_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pairs.TRACKERS, "tensorboard", ("no_such_package",))
    found = judge(case(observe=REPORTED), SUBJECT, MINE)
    assert found.findings == ()
    assert "report_to 'tensorboard' needs one of the packages no_such_package" in str(found)


@pytest.mark.parametrize("installed", [False, True])
def test_trackers_are_drawn_where_their_package_is(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    monkeypatch.setitem(pairs.TRACKERS, "tensorboard", ("json" if installed else "no_such_package",))
    reported = []

    @settings(max_examples=200, database=None, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(EXPERIMENTS["observe"].cases(Held()))
    def check(drawn: Case) -> None:
        reported.append("report_to" in drawn.parameters.get("observe", {}))

    check()
    assert any(reported) == installed


@pytest.mark.parametrize("observed", [{"eval_strategy": "steps", "eval_steps": 1}, {"eval_on_start": True}, {}], ids=str)
@pytest.mark.parametrize("collator", ["default", "noise"])
def test_an_evaluation_that_changes_dropout_is_known(observed: dict[str, Any], collator: str) -> None:
    parameters: dict[str, Any] = {"observe": observed} if observed else {"predict": 3, "predict_at": 2}
    given_case = case(data=Data(n=8, n_eval=3), model="regression_dropout", **parameters)
    found = judged(given_case.replace(scenario=given_case.scenario.replace(components=Components(collator=collator))))
    assert {(each.property, each.known_bug) for each in found.findings} == {
        ("observe.gradients_are_the_same", "evaluation-changes-dropout"), ("observe.weights_are_the_same", "evaluation-changes-dropout")
    }  # fmt: skip


def test_saving_and_logging_leave_dropout_as_it_is() -> None:
    observed = {"save_strategy": "steps", "save_steps": 1, "logging_steps": 1, "log_level": "debug", "disable_tqdm": False}
    found = judged(case(model="regression_dropout", observe=observed))
    assert {each.known_bug for each in found.findings} == {"total-flos-lost-by-the-printer"}
    assert set(found.holds) == ALL - {"observe.the_same_is_returned"}


def test_other_evaluations_may_end_a_run_elsewhere() -> None:
    arguments = {"eval_strategy": "steps", "metric_for_best_model": "score", "greater_is_better": True}
    stopped = Components(scores=(1.0, 0.5), early_stopping=EarlyStopping(patience=1))
    given_case = case(arguments, observe={"logging_steps": 1})  # eval_steps is logging_steps where it is not given
    found = judged(given_case.replace(scenario=given_case.scenario.replace(components=stopped)))
    assert found.findings == ()
    assert dict(found.not_applicable)["observe.ends_at_the_same_step"] == "the run goes by evaluations, and is evaluated at other updates"
