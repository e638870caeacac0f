"""The experiment that interrupts and resumes: its parts, its measures, and how its runs are judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from transformers import Trainer

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import is_refused, judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.experiments.resume import _EVENTS, BASELINE, continued
from trainer_props.faults import FAULTS
from trainer_props.measures import resume as measures
from trainer_props.oracles import accounting
from trainer_props.properties import PROPERTIES
from trainer_props.record import Event, Failure, Record, Runs
from trainer_props.running import interruption, prepared
from trainer_props.scenario import Components, Data, EarlyStopping, Model, Scenario
from trainer_props.scripts.verifying import shows
from trainer_props.scripts.writing import script

SUBJECT = subjects.load(subjects.DEFAULT)
MINE = [each for each in PROPERTIES.values() if "resume" in each.experiments]


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def case(*at: int, arguments: dict[str, Any] | None = None, **parameters: Any) -> Case:
    usual = {"per_device_train_batch_size": 2, "num_train_epochs": 2, "logging_steps": 1}
    scenario = Scenario(arguments={**usual, **(arguments or {})}, data=Data(n=8))
    return Case(experiment="resume", scenario=scenario, parameters={"interrupt_at": list(at), **parameters})


def runs_of(given: Case) -> Runs:
    runs = EXPERIMENTS["resume"].run(given, SUBJECT)
    assert isinstance(runs, Runs)
    return runs


@pytest.mark.parametrize("by", ["latest", "path"])
@pytest.mark.parametrize("at", [(1,), (4,), (5,), (2, 3), (3, 7)])
def test_parts_begin_where_the_parts_before_were_interrupted(at: tuple[int, ...], by: str) -> None:
    runs = runs_of(case(*at, by=by))
    assert list(runs) == [BASELINE, *(f"part {number + 1}" for number in range(len(at) + 1))]
    assert measures.first_steps(runs).value == list(at)
    assert [part.global_step for part in measures.parts(runs)] == [*at, 8]
    assert runs.first.global_step == 8


@pytest.mark.parametrize("event", ["on_save", "on_step_begin", "on_step_end", "on_epoch_end", "on_log", "on_epoch_begin"])
def test_an_exception_comes_at_the_next_event(event: str) -> None:
    runs = runs_of(case(3, how="exception", event=event))
    failure = runs["part 1"].failure
    assert failure is not None
    assert (failure.kind, failure.where) == ("Interrupted", "train")
    assert event in failure.message
    assert runs["part 2"].finished
    # on_log comes before the save of its step: nothing was saved, and the run begins anew
    assert measures.first_steps(runs).value == [0 if event == "on_log" else 3]
    assert len(measures.samples(runs).value) == 8


def test_an_event_that_never_comes_interrupts_nothing() -> None:
    assert list(runs_of(case(3, how="exception", event="on_evaluate"))) == [BASELINE, "part 1"]


def test_the_events_are_those_of_the_callback() -> None:
    assert set(_EVENTS) <= set(interruption.EVENTS)


def test_a_baseline_is_shared_by_cases_that_differ_in_their_interruption() -> None:
    one, other = (runs_of(case(3, **more)) for more in ({}, {"how": "exception"}))
    assert one.first is other.first
    assert runs_of(case(4)).first is one.first
    saving = {"save_strategy": "steps", "save_steps": 2}
    assert runs_of(case(3, arguments=saving)).first is not runs_of(case(4, arguments=saving)).first


@pytest.mark.parametrize("how", [{}, {"how": "exception"}], ids=str)
def test_the_same_trainer_goes_on(how: dict[str, Any]) -> None:
    judged = judge(case(3, trainer="same", **how), SUBJECT, MINE)
    assert (judged.findings, judged.errors) == ((), ())
    assert {"resume.weights_go_on_where_they_were", "resume.resumes_from_the_last_save"} <= set(judged.holds)


def test_the_same_trainer_does_not_go_on_from_nothing() -> None:
    assert list(runs_of(case(3, how="exception", event="on_log", trainer="same"))) == [BASELINE, "part 1"]


def test_one_trainer_is_given_each_time_without_what_joined_it() -> None:
    made = []

    class Kept(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            made.append((self, len(self.callback_handler.callbacks)))
            return super().train(*args, **kwargs)

    EXPERIMENTS["resume"].run(case(3, trainer="same"), subjects.wrap(Kept, "kept"))
    (baseline, _), (first, callbacks), (second, again) = made
    assert first is second
    assert first is not baseline
    assert callbacks == again


def test_of_updates_that_were_done_again_the_later_ones_count() -> None:
    assert measures.joined([0, 2, 1], [["a", "b", "c"], ["C", "D"], ["B!", "C!"]]) == ["a", "B!", "C!"]
    assert measures.joined([0], [["a"]]) == ["a"]
    assert measures.joined([0, 0], [["a", "b"], []]) == []


def test_a_metric_goes_on_where_it_was() -> None:
    scenario = Scenario(components=Components(scores=(3.0, 2.0, 1.0)))
    assert [continued(scenario, done).components.scores for done in (0, 1, 5)] == [(3.0, 2.0, 1.0), (2.0, 1.0), (1.0,)]
    assert continued(Scenario(), 3) == Scenario()


def test_the_first_run_tells_whether_a_case_is_refused() -> None:
    refused, fine = Record(failure=Failure("construction", "ValueError", "no")), Record(events=[Event("on_train_begin", 0, 0.0, "", 0)])
    assert is_refused(Runs(baseline=refused))
    assert not is_refused(Runs({BASELINE: fine, "part 1": refused}))


def test_what_finishes_uninterrupted_and_not_resumed_is_a_violation() -> None:
    class Refuses(Trainer):
        def train(self, resume_from_checkpoint: Any = None, **kwargs: Any) -> Any:
            if resume_from_checkpoint:
                raise ValueError("not again")
            return super().train(**kwargs)

    judged = judge(case(3), subjects.wrap(Refuses, "refuses"), MINE)
    assert judged.refused is None
    assert [(each.property, each.verdict) for each in judged.findings] == [("resume.a_resumed_run_comes_to_its_end", "crashed")]


def test_runs_that_fail_anyhow_say_nothing_of_resuming() -> None:
    class Fails(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("never")

    judged = judge(case(3), subjects.wrap(Fails, "fails"), MINE)
    assert (judged.findings, judged.holds, judged.errors) == ((), (), ())


@pytest.mark.parametrize(
    "given_case",
    [
        case(3), case(4), case(2, 5), case(3, how="exception"), case(3, how="exception", event="on_step_end", by="path"),
        case(3, arguments={"lr_scheduler_type": "cosine", "optim": "sgd", "optim_args": "momentum=0.9", "gradient_accumulation_steps": 1}),
        case(3, arguments={"save_strategy": "steps", "save_steps": 2, "save_total_limit": 1}),
    ],
    ids=str,
)  # fmt: skip
def test_a_run_that_goes_on_holds(given_case: Case) -> None:
    judged = judge(given_case, SUBJECT, MINE)
    assert (judged.findings, judged.errors) == ((), ())
    assert {
        "resume.ends_at_the_same_step", "resume.samples_go_on_where_they_were", "resume.weights_go_on_where_they_were",
        "resume.learning_rates_go_on_where_they_were", "resume.logged_losses_are_the_same", "resume.random_numbers_go_on_where_they_were",
        "resume.train_loss_is_of_this_call", "resume.epochs_go_on_where_they_were",
    } <= set(judged.holds)  # fmt: skip


_DROPPING = Scenario(
    arguments={"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "max_steps": 6, "logging_steps": 1},
    data=Data(n=16, n_eval=3), model=Model(name="regression_dropout"),
)  # fmt: skip


@pytest.mark.parametrize("evaluates", [False, True])
@pytest.mark.parametrize(
    "parameters", [{"interrupt_at": [1]}, {"interrupt_at": [2, 5]}, {"interrupt_at": [4]}, {"interrupt_at": [3], "how": "exception"}],
    ids=str,
)  # fmt: skip
def test_dropout_goes_on_bit_by_bit(parameters: dict[str, Any], evaluates: bool) -> None:
    scenario = _DROPPING.with_arguments(eval_strategy="steps", eval_steps=1) if evaluates else _DROPPING
    given_case = Case(experiment="resume", scenario=scenario, parameters=parameters)
    runs = runs_of(given_case)
    usual, last = runs.first, list(runs.values())[-1]
    assert len(runs) > 2
    assert usual.final_weights is not None
    assert torch.equal(usual.final_weights, last.final_weights)
    assert (judge(given_case, SUBJECT, MINE).findings, usual.results["random"]) == ((), last.results["random"])


@pytest.mark.parametrize("at", [[1], [3], [1, 3], [5]], ids=str)
def test_noise_goes_on_otherwise_within_an_epoch(at: list[int]) -> None:
    scenario = _DROPPING.replace(components=Components(collator="noise"))
    findings = judge(Case(experiment="resume", scenario=scenario, parameters={"interrupt_at": at}), SUBJECT, MINE).findings
    assert {each.known_bug for each in findings} == {"resume-random-collator"}
    between = judge(Case(experiment="resume", scenario=scenario, parameters={"interrupt_at": [4]}), SUBJECT, MINE)
    assert between.findings == ()
    assert "resume.logged_losses_are_the_same" in between.holds


def test_noise_that_goes_on_in_another_way_is_new() -> None:
    subject = subjects.wrap(FAULTS["random-states-not-restored"].make(), "faulty")
    scenario = _DROPPING.replace(components=Components(collator="noise"))
    findings = judge(Case(experiment="resume", scenario=scenario, parameters={"interrupt_at": [3]}), subject, MINE).findings
    assert {each.known_bug for each in findings if each.property == "resume.weights_go_on_where_they_were"} == {None}


@pytest.mark.parametrize("kind", ["tokens", "dynamic"])
@pytest.mark.parametrize("at", [3, 4, 5])
def test_groups_by_length_go_on_otherwise_in_a_later_epoch(kind: str, at: int) -> None:
    arguments = {"max_steps": 7, "per_device_train_batch_size": 2, "train_sampling_strategy": "group_by_length", "logging_steps": 1}
    components = Components(collator="padding" if kind == "dynamic" else "default")
    scenario = Scenario(arguments=arguments, data=Data(kind=kind, n=8), model=Model(name="lstm"), components=components)
    judged = judge(Case(experiment="resume", scenario=scenario, parameters={"interrupt_at": [at]}), SUBJECT, MINE)
    known = [("resume.samples_go_on_where_they_were", "group-by-length-draws-from-the-global-generator")]
    assert [(each.property, each.known_bug) for each in judged.findings] == (known if at == 5 else [])
    assert ("resume.weights_go_on_where_they_were" in judged.holds) == (at != 5)


@pytest.mark.parametrize(("at", "goes_on"), [(3, False), (4, True)])
def test_groups_by_length_go_on_otherwise_with_a_trainer_that_has_trained(at: int, goes_on: bool) -> None:
    arguments = {"max_steps": 7, "per_device_train_batch_size": 2, "train_sampling_strategy": "group_by_length"}
    scenario = Scenario(arguments=arguments, data=Data(kind="tokens", n=8), model=Model(name="lstm"))
    judged = judge(Case(experiment="resume", scenario=scenario, parameters={"interrupt_at": [at], "trainer": "same"}), SUBJECT, MINE)
    known = [("resume.samples_go_on_where_they_were", "group-by-length-draws-from-the-global-generator")]
    assert [(each.property, each.known_bug) for each in judged.findings] == ([] if goes_on else known)


def test_patience_is_judged_where_it_is_restored() -> None:
    arguments = {
        "eval_strategy": "steps", "eval_steps": 1, "metric_for_best_model": "score", "greater_is_better": True, "max_steps": 6,
        "restore_callback_states_from_checkpoint": True,
    }  # fmt: skip
    scenario = Scenario(
        arguments=arguments, data=Data(n=8, n_eval=1),
        components=Components(scores=(1.0, 0.5, 0.25), early_stopping=EarlyStopping(patience=2)),
    )  # fmt: skip
    stopping = Case(experiment="resume", scenario=scenario, parameters={"interrupt_at": [2]})
    assert "resume.patience_counts_through" in judge(stopping, SUBJECT, MINE).holds
    forgetful = stopping.replace(scenario=scenario.without_arguments("restore_callback_states_from_checkpoint"))
    assert "resume.patience_counts_through" in dict(judge(forgetful, SUBJECT, MINE).not_applicable)


@pytest.mark.parametrize("how", [{}, {"how": "exception"}, {"how": "exception", "event": "on_step_end"}, {"by": "path"}], ids=str)
def test_scripts_interrupt_in_the_same_way(how: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = {"eval_strategy": "steps", "eval_steps": 1, "metric_for_best_model": "score", "save_total_limit": 3, "max_steps": 4}
    found = case(2, arguments=arguments, **how)
    found = found.replace(scenario=found.scenario.replace(data=Data(n=8, n_eval=2), components=Components(scores=(0.3, 0.2, 0.1))))
    subject = subjects.wrap(FAULTS["best-forgotten"].make(), "transformers:Trainer")
    findings = [each for each in judge(found, subject, MINE).findings if each.property == "resume.the_best_is_the_same"]
    assert len(findings) == 1
    text = script(findings[0], SUBJECT)
    code, output = _executed(text, capsys)
    assert code == 0, output  # the Trainer itself does not forget
    assert not shows(text, code, output)
    code, output = _executed(text.replace("import Trainer\n", "import Trainer as Usual\n"), capsys, Trainer=FAULTS["best-forgotten"].make())
    assert shows(text, code, output)


def _executed(text: str, capsys: pytest.CaptureFixture[str], **names: Any) -> tuple[int, str]:
    namespace: dict[str, Any] = {"__name__": "script", **names}
    for line in ("from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments",):
        if names:
            text = text.replace(line, line.replace(" Trainer,", ""))
    exec(compile(text, "script.py", "exec"), namespace)  # noqa: S102  what a script is for
    capsys.readouterr()
    return namespace["main"](), capsys.readouterr().out


def test_cases_are_interrupted_within_their_runs() -> None:
    @settings(max_examples=60, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS["resume"].cases(Held()))
    def check(drawn: Case) -> None:
        at = drawn.parameters["interrupt_at"]
        assert list(at) == sorted(set(at))
        assert at[0] >= 1
        assert at[-1] <= accounting.total_updates(drawn.scenario)
        assert drawn.scenario.argument("dataloader_num_workers") == 0
        assert not drawn.scenario.components.poisoned
        assert Case.from_json(drawn.to_json()) == drawn

    check()


def test_what_is_held_stays() -> None:
    @settings(max_examples=20, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS["resume"].cases(Held(arguments={"ignore_data_skip": True, "eval_on_start": True}, forbidden=["weight_decay"])))
    def check(drawn: Case) -> None:
        assert drawn.scenario.argument("ignore_data_skip") is True
        assert drawn.scenario.argument("eval_on_start") is True
        assert drawn.scenario.argument("weight_decay") == 0.0

    check()
