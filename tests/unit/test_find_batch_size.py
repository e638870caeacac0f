"""The experiment that has to find a batch size: its runs, what is written down of them, and how they are judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from transformers import Trainer

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.faults import FAULTS
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.measures import find_batch_size as measures
from trainer_props.oracles import accounting
from trainer_props.properties import PROPERTIES
from trainer_props.record import Event, MicroBatch, Record, Runs
from trainer_props.running import prepared
from trainer_props.running.memory import ERRORS
from trainer_props.running.run import batch_budget
from trainer_props.scenario import Components, Data, EarlyStopping, Scenario
from trainer_props.scripts.verifying import shows
from trainer_props.scripts.writing import script

SUBJECT = subjects.load(subjects.DEFAULT)
MINE = [each for each in PROPERTIES.values() if "find_batch_size" in each.experiments]
CHAPTER = "find_batch_size."


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def case(capacity: int, *, arguments: dict[str, Any] | None = None, **parameters: Any) -> Case:
    usual = {
        "auto_find_batch_size": True, "per_device_train_batch_size": 4, "num_train_epochs": 2, "logging_steps": 1, "optim": "sgd",
        "learning_rate": 0.1, **(arguments or {}),
    }  # fmt: skip
    return Case(
        experiment="find_batch_size", scenario=Scenario(arguments=usual, data=Data(n=8)), parameters={"capacity": capacity, **parameters}
    )


def runs_of(given_case: Case) -> Runs:
    runs = EXPERIMENTS["find_batch_size"].run(given_case, SUBJECT)
    assert isinstance(runs, Runs)
    return runs


def batch(size: int) -> MicroBatch:
    return MicroBatch(tuple(range(size)), size, None, 0, 0, None, (), 0, None, training=True, grad=True, width=1)


def test_of_several_attempts_the_last_one_counts() -> None:
    record = Record(
        events=[Event("on_train_begin", 0, 0.0, "", 0), Event("on_train_begin", 0, 0.0, "", 2), Event("on_step_end", 1, 1.0, "", 3)],
        batches=[batch(4), batch(4), batch(2)],
    )
    assert measures.samples_in(record) == [[0, 1]]


@pytest.mark.parametrize("error", ["cuda", "cpu"])
@pytest.mark.parametrize(("capacity", "found", "attempts"), [(3, 3, 2), (2, 2, 3), (1, 1, 4)])
def test_the_size_that_fits_is_that_of_the_other_run(capacity: int, found: int, attempts: int, error: str) -> None:
    runs = runs_of(case(capacity, error=error))
    assert list(runs) == ["searched", "fitting"]
    results = runs.first.results
    assert (results["batch_size"], results["attempts"], results["raised"]) == (found, attempts, [ERRORS[error]] * (attempts - 1))
    assert max(each.size for each in runs["fitting"].batches) == found
    assert runs["fitting"].global_step == runs.first.global_step == 2 * -(-8 // found)


def test_memory_runs_short_after_some_batches_of_an_attempt() -> None:
    runs = runs_of(case(3, after=2))
    begins = [event.batches for event in runs.first.events if event.name == "on_train_begin"]
    assert begins == [0, 3]
    assert runs.first.results["begun_weights"][0] != runs.first.results["begun_weights"][1]


def test_what_is_resumed_goes_on_with_what_was_found() -> None:
    runs = runs_of(case(3, resume_at=2))
    assert runs["resumed"].results["attempts"] == 1
    assert runs["resumed"].events[0].step == 2
    assert {each.size for each in runs["resumed"].batches} == {3, 2}


def test_what_an_attempt_before_the_last_has_saved_is_not_resumed() -> None:
    """The last attempt stops early, so that the checkpoint is one of the attempt before, and of its batch size."""
    arguments = {
        "per_device_train_batch_size": 9, "gradient_accumulation_steps": 4, "max_steps": 5, "eval_on_start": True, "eval_steps": 1,
        "eval_strategy": "steps", "save_strategy": "best", "metric_for_best_model": "score",
    }  # fmt: skip
    found = case(6, after=3, resume_at=2, arguments=arguments)
    components = Components(early_stopping=EarlyStopping(threshold=0.5), scores=(-1.0, -1.0, 0.5, -1.0, 0.0, 0.75))
    runs = runs_of(found.replace(scenario=found.scenario.replace(data=Data(n=10, n_eval=6), components=components)))
    assert 2 in {each.step for each in runs.first.checkpoints}
    assert list(runs) == ["searched", "fitting"]


def test_a_check_before_the_resumed_run_may_spend_its_patience() -> None:
    arguments = {
        "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4, "num_train_epochs": 5, "lr_scheduler_type": "constant",
        "eval_on_start": True, "eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True,
        "metric_for_best_model": "loss", "learning_rate": 1e-5,
    }  # fmt: skip
    found = case(1, arguments=arguments, resume_at=1)
    data, components = Data(n=4, n_eval=1), Components(early_stopping=EarlyStopping())
    found = found.replace(scenario=found.scenario.replace(data=data, components=components))
    runs = runs_of(found)
    assert [each.step for each in runs["resumed"].evaluations] == [1, 1]  # the first is the best again, which is no improvement
    assert (runs["searched"].global_step, runs["resumed"].global_step) == (5, 1)
    assert "find_batch_size.resuming_keeps_the_batch_size" in judge(found, SUBJECT, MINE).holds


def test_an_error_of_another_kind_ends_the_run() -> None:
    runs = runs_of(case(3, error="other"))
    assert list(runs) == ["searched"]
    assert runs.first.failure is not None
    assert (runs.first.failure.kind, runs.first.failure.message) == ("RuntimeError", ERRORS["other"])


def test_a_run_that_may_begin_again_has_more_batches() -> None:
    scenario = case(1).scenario
    assert batch_budget(scenario) == 16 + 2 * 4 * 16
    assert batch_budget(scenario.without_arguments("auto_find_batch_size")) == 16 + 2 * 4


@pytest.mark.parametrize(
    "given_case",
    [
        case(3), case(1, error="cpu"), case(0), case(2, error="other"), case(4), case(3, resume_at=2),
        case(2, after=1, arguments={"gradient_accumulation_steps": 2}),
        case(3, arguments={"save_strategy": "steps", "save_steps": 2, "optim": "adamw_torch", "lr_scheduler_type": "cosine"}),
    ],
    ids=str,
)  # fmt: skip
def test_what_the_trainer_does_holds(given_case: Case) -> None:
    judged = judge(given_case, SUBJECT, MINE)
    assert (judged.findings, judged.errors) == ((), ())
    assert judged.holds


def test_everything_is_judged_where_all_can_be() -> None:
    first = judge(case(3, resume_at=2), SUBJECT, MINE).holds
    others = [*judge(case(0), SUBJECT, MINE).holds, *judge(case(3, error="other"), SUBJECT, MINE).holds]
    assert {*first, *others} == {each.id for each in MINE}


def test_an_attempt_that_made_updates_is_known_and_what_comes_besides_is_not() -> None:
    example = KNOWN_BUGS["failed-attempts-leave-their-weights"].example
    assert [each.known_bug for each in judge(example, SUBJECT, MINE).findings] == ["failed-attempts-leave-their-weights"]

    class Noisy(Trainer):
        def _update_auto_batch_size(self, batch_size: int) -> None:
            super()._update_auto_batch_size(batch_size)
            for parameter in self.model.parameters():
                parameter.data.add_(0.125)

    new = judge(example, subjects.wrap(Noisy, "noisy"), MINE).findings
    assert [each.known_bug for each in new if each.property == f"{CHAPTER}each_attempt_begins_anew"] == [None]


SHOWN = {
    "reason-hidden": case(0),
    "every-error-taken-for-memory": case(1, error="other"),
    "rest-of-a-window-used": case(1, after=1, arguments={"gradient_accumulation_steps": 2}),
    "in-order-once-memory-ran-short": case(3),
    "losses-logged-by-the-given-batch-size": case(3),
    "saved-when-memory-runs-short": case(3),
    "given-batch-size-remembered": case(3),
    "resumed-with-the-given-batch-size": case(3, resume_at=2),
    "gradients-scaled-to-the-given-batch-size": case(3, error="cpu"),
}


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_scripts_do_the_same(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    faulty = subjects.wrap(FAULTS[name].make(), "transformers:Trainer")
    finding = next(each for each in judge(SHOWN[name], faulty, MINE).findings if each.property == FAULTS[name].property)
    text = script(finding, SUBJECT)
    code, output = _executed(text, capsys)
    assert code == 0, output  # the Trainer itself does not do it
    code, output = _executed(text, capsys, Trainer=FAULTS[name].make())
    assert shows(text, code, output), output


def _executed(text: str, capsys: pytest.CaptureFixture[str], **names: Any) -> tuple[int, str]:
    namespace: dict[str, Any] = {"__name__": "script", **names}
    text = text.replace("PrinterCallback, Trainer,", "PrinterCallback,") if names else text
    exec(compile(text, "script.py", "exec"), namespace)  # noqa: S102  what a script is for
    capsys.readouterr()
    return namespace["main"](), capsys.readouterr().out


def test_cases_are_about_a_memory_that_is_too_small() -> None:
    @settings(max_examples=60, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS["find_batch_size"].cases(Held(arguments={"per_device_train_batch_size": 3}, forbidden=["weight_decay"])))
    def check(drawn: Case) -> None:
        assert drawn.scenario.argument("auto_find_batch_size") is True
        assert drawn.scenario.argument("per_device_train_batch_size") == 3
        assert drawn.scenario.argument("weight_decay") == 0.0
        assert drawn.parameters["capacity"] < min(accounting.batch_size(drawn.scenario), drawn.scenario.data.n)
        assert not drawn.scenario.components.poisoned
        assert Case.from_json(drawn.to_json()) == drawn

    check()
