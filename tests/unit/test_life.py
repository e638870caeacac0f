"""The life of a job: the small model, how steps are lived, and how lives are judged and written as scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.experiments.life import lives
from trainer_props.faults import FAULTS
from trainer_props.measures import life as measures
from trainer_props.oracles import life
from trainer_props.properties import PROPERTIES
from trainer_props.record import Record, Runs
from trainer_props.running import interruption, prepared
from trainer_props.scenario import Data, Scenario
from trainer_props.scripts.verifying import shows
from trainer_props.scripts.writing import script

SUBJECT = subjects.load(subjects.DEFAULT)
MINE = [each for each in PROPERTIES.values() if "life" in each.experiments]
USUAL = {"per_device_train_batch_size": 2, "num_train_epochs": 2, "logging_steps": 1, "save_strategy": "no"}
BY_TWO = {"save_strategy": "steps", "save_steps": 2}
EVALUATED = {"eval_strategy": "steps", "eval_steps": 1}


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def scenario(**arguments: Any) -> Scenario:
    """Eight updates, four an epoch."""
    return Scenario(arguments={**USUAL, **arguments}, data=Data(n=8, n_eval=3))


def case(*steps: list[Any], **arguments: Any) -> Case:
    return Case(experiment="life", scenario=scenario(**arguments), parameters={"life": list(steps)})


def runs_of(given_case: Case) -> Runs:
    runs = EXPERIMENTS["life"].run(given_case, SUBJECT)
    assert isinstance(runs, Runs)
    return runs


@pytest.mark.parametrize(
    ("step", "disk", "arguments", "expected"),
    [
        (["train", 3], [], {}, (0, 3, False, (3,))),
        (["train", 3], [2], BY_TWO, (2, 5, False, (2, 4, 5))),
        (["train", 3], [2], {**BY_TWO, "save_total_limit": 2}, (2, 5, False, (4, 5))),
        (["train", 9], [2], {}, (2, 8, False, (2,))),
        (["finish"], [6], BY_TWO, (6, 8, False, (6, 8))),
        (["finish"], [1], {"save_strategy": "epoch"}, (1, 8, False, (1, 4, 8))),
        (["again"], [6], {}, (6, 8, False, (6,))),
        (["crash", 3], [], BY_TWO, (0, 4, True, (2, 4))),
        (["crash", 3, "on_save"], [], {}, (0, 8, False, ())),
        (["crash", 2, "on_step_begin"], [], BY_TWO, (0, 2, True, (2,))),
        (["crash", 2, "on_pre_optimizer_step"], [], BY_TWO, (0, 2, True, (2,))),
        (["crash", 2, "on_step_end"], [], BY_TWO, (0, 3, True, (2,))),
        (["crash", 2, "on_log"], [], BY_TWO, (0, 2, True, ())),
        (["crash", 2, "on_evaluate"], [], {**BY_TWO, **EVALUATED, "logging_strategy": "no"}, (0, 2, True, ())),
        (["crash", 1, "on_epoch_end"], [], BY_TWO, (0, 4, True, (2, 4))),
        (["crash", 8, "on_log"], [], {**BY_TWO, "logging_strategy": "no"}, (0, 8, True, (2, 4, 6, 8))),
        (["crash", 8, "on_step_begin"], [], {}, (0, 8, False, ())),
    ],
)
def test_the_model_says_what_a_run_does_and_so_it_is(
    step: list[Any], disk: list[int], arguments: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    piece = life.piece(scenario(**arguments), step, disk)
    assert tuple(piece) == expected
    if not disk:
        runs = runs_of(case(step, **arguments))
        crashed = measures.endings(runs, 1).value == [measures.CRASHES]
        assert (0, measures.last_steps(runs, 1).value[0], crashed, tuple(measures.checkpoints(runs, 1).value[0])) == expected


def test_the_model_knows_what_is_possible() -> None:
    job = life.Job(scenario(**BY_TWO))
    assert [kind for kind in ("train", "crash", "finish", "change", "again", "lose", "move", "evaluate") if job.can([kind])] == [
        "train", "crash", "finish", "change",
    ]  # fmt: skip
    trained = job.after(["train", 3])
    assert (trained.done, trained.disk, trained.alive) == (3, (2, 3), True)
    assert all(trained.can([kind]) for kind in ("again", "lose", "move", "evaluate", "predict"))
    assert trained.after(["lose"]).disk == (2,)
    assert not trained.after(["change", {"save_steps": 1}]).alive
    assert not trained.after(["move"]).alive
    done = trained.after(["finish"])
    assert not any(done.can([kind]) for kind in life.TRAINING)
    assert done.after(["lose"]).can(["train", 1])
    assert life.possible(job.scenario, [["lose"], ["again"], ["train", 9], ["finish"], ["lose"], ["finish"]]) == [
        ["train", 9], ["lose"], ["finish"],
    ]  # fmt: skip


def test_the_history_is_that_of_the_runs_that_made_the_updates() -> None:
    every, never = scenario(), scenario(logging_strategy="no", **EVALUATED)
    assert life.history([every, never, every], [0, 4, 3], 5) == [[step, "loss"] for step in (1, 2, 3, 4, 5)]
    assert life.history([never, every], [0, 2], 3) == [[1, "evaluation"], [2, "evaluation"], [3, "loss"]]


def test_the_events_are_those_of_the_callback() -> None:
    assert set(life.EVENTS) <= set(interruption.EVENTS)


def test_a_life_is_lived_step_by_step() -> None:
    steps: list[list[Any]] = [
        ["train", 1], ["crash", 2, "on_step_end"], ["lose"], ["evaluate"], ["predict"], ["move"], ["change", {"save_total_limit": 1}],
        ["train", 2], ["again", 1], ["again"],
    ]  # fmt: skip
    runs = runs_of(case(*steps, **BY_TWO, **EVALUATED))
    assert list(runs) == ["baseline", "1 train", "2 crash", "4 evaluate", "5 predict", "8 train", "9 again", "10 again"]
    assert measures.first_steps(runs, 5).value == [0, 1, 1, 3, 4]
    assert measures.last_steps(runs, 5).value == [1, 4, 3, 4, 8]
    assert measures.checkpoints(runs, 7).value == [[1], [1, 2], [1], [1], [3], [4], [8]]
    assert measures.endings(runs, 7).value == [measures.ENDS, measures.CRASHES, *[measures.ENDS] * 5]
    assert [each.metrics["eval_loss"] for each in runs["4 evaluate"].evaluations] == measures.evaluations_of_the_baseline(runs, [1]).value
    judged = judge(case(*steps, **BY_TWO, **EVALUATED), SUBJECT, MINE)
    assert (judged.findings, judged.errors, judged.not_applicable) == ((), (), ())
    assert set(judged.holds) == {each.id for each in MINE}


def test_impossible_steps_are_no_part_of_a_life() -> None:
    runs = runs_of(case(["lose"], ["again"], ["evaluate"], ["finish"], ["train", 1], **BY_TWO))
    assert list(runs) == ["baseline", "4 finish"]


def test_a_failure_ends_a_life() -> None:
    given_case = case(["train", 1], ["crash", 1, "on_step_end"], ["again"], ["finish"])
    subject = subjects.wrap(FAULTS["training-is-going-on-for-ever"].make(), "busy")
    runs = EXPERIMENTS["life"].run(given_case, subject)
    assert isinstance(runs, Runs)
    assert list(runs)[-1] == "3 again"
    found = judge(given_case, subject, MINE).findings
    assert [(each.property, each.observed[-1]) for each in found] == [("life.runs_end_as_asked", "RuntimeError: this Trainer is training")]


def test_runs_are_compared_up_to_the_first_that_is_wrong() -> None:
    """What is expected of the later ones follows from what it left, and would not be right for a trainer that is mended."""
    given_case = case(["train", 2], ["train", 2], ["train", 1], ["finish"], save_total_limit=1, **BY_TWO)
    subject = subjects.wrap(FAULTS["rotation-of-own-checkpoints"].make(), "own")
    found = judge(given_case, subject, [PROPERTIES["life.checkpoints_are_those_of_the_plan"]]).findings
    assert [(each.expected, each.observed) for each in found] == [([[2], [4]], [[2], [2, 4]])]


def test_of_updates_that_were_made_again_the_later_ones_count() -> None:
    assert measures.joined([0, 2, 1], [["a", "b", "c"], ["C", "D"], ["B!", "C!"]]) == ["a", "B!", "C!"]


def test_the_history_has_losses_and_evaluations() -> None:
    entries = [{"loss": 1.0, "step": 1}, {"eval_loss": 0.5, "eval_runtime": 1.0, "step": 1}, {"train_runtime": 1.0, "step": 1}]
    assert measures.kinds(Record(log_history=entries)) == [[1, "loss"], [1, "evaluation"]]
    assert measures.losses_of_evaluations(Record(log_history=entries), [1, 2]) == [0.5, None]


# Cut short epochs, and ends of epochs that are lost, are told apart from what must be so.


@pytest.mark.parametrize(
    ("steps", "arguments", "reason"),
    [
        ([["train", 1], ["finish"]], {"save_strategy": "epoch"}, "a stop ended an epoch early"),
        ([["train", 4], ["finish"]], {"logging_strategy": "epoch"}, "what was due at the end of an epoch is lost"),
        ([["train", 4]], {}, "the job is not brought to its end"),
        ([["train", 4], ["finish"]], {"logging_strategy": "epoch", "save_strategy": "epoch"}, None),
        ([["train", 1], ["finish"]], {"logging_strategy": "epoch"}, None),
    ],
)
def test_when_the_log_history_is_judged(steps: list[list[Any]], arguments: dict[str, Any], reason: str | None) -> None:
    judged = judge(case(*steps, **arguments), SUBJECT, MINE)
    assert not judged.findings
    given_reason = dict(judged.not_applicable).get("life.log_history_has_each_entry_once")
    assert (given_reason or "")[: len(reason or "")] == (reason or "")
    assert (reason is None) == ("life.log_history_has_each_entry_once" in judged.holds)


@pytest.mark.parametrize(
    ("name", "steps", "arguments"),
    [
        ("training-is-going-on-for-ever", [["crash", 2, "on_log"], ["train", 1], ["crash", 1, "on_log"], ["again"], ["lose"]], {}),
        ("trained-weights-are-kept", [["train", 1], ["crash", 2, "on_step_end"], ["again"]], {}),
        ("history-outlives-the-crash", [["train", 1], ["crash", 1, "on_step_end"], ["again"]], {}),
        ("checkpoints-in-half-precision", [["train", 1], ["lose"], ["train", 2], ["evaluate"], ["predict"]], EVALUATED),
        ("rotation-of-own-checkpoints", [["train", 1], ["change", {"save_total_limit": 1}], ["train", 1], ["finish"]], BY_TWO),
    ],
)
def test_scripts_live_the_same_life(
    name: str, steps: list[list[Any]], arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    fault = FAULTS[name]
    given_case = case(*steps, **arguments)
    findings = judge(given_case, subjects.wrap(fault.make(), "transformers:Trainer"), [PROPERTIES[fault.property]]).findings
    text = script(findings[0], SUBJECT)
    code, output = _executed(text, capsys)
    assert code == 0, output
    assert not shows(text, code, output)
    code, output = _executed(text, capsys, Trainer=fault.make())
    assert shows(text, code, output)


def _executed(text: str, capsys: pytest.CaptureFixture[str], **names: Any) -> tuple[int, str]:
    namespace: dict[str, Any] = {"__name__": "script", **names}
    if names:
        text = text.replace("import PrinterCallback, Trainer, TrainerCallback,", "import PrinterCallback, TrainerCallback,")
        assert " Trainer," not in text
    exec(compile(text, "script.py", "exec"), namespace)  # noqa: S102  what a script is for
    capsys.readouterr()
    return namespace["main"](), capsys.readouterr().out


def test_lives_are_possible_and_short() -> None:
    @settings(max_examples=60, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS["life"].cases(Held()))
    def check(drawn: Case) -> None:
        steps = [list(step) for step in drawn.parameters["life"]]
        assert 0 < len(steps) == len(life.possible(drawn.scenario, steps))
        assert drawn.scenario.components.scores == ()
        assert drawn.scenario.argument("metric_for_best_model") is None
        assert Case.from_json(drawn.to_json()) == drawn

    check()


def test_what_is_held_stays_through_a_life() -> None:
    held = {"save_total_limit": 2, "logging_steps": 3, "max_steps": 4}

    @settings(max_examples=40, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS["life"].cases(Held(arguments=held, forbidden=["weight_decay"])))
    def check(drawn: Case) -> None:
        assert {name: drawn.scenario.argument(name) for name in held} == held
        assert drawn.scenario.argument("weight_decay") == 0.0
        changed = {name for step in drawn.parameters["life"] if step[0] == "change" for name in step[1]}
        assert not changed & {*held, "weight_decay"}

    check()


def test_lives_shrink_to_little() -> None:
    from hypothesis import find

    quiet = settings(database=None, deadline=None, max_examples=2000, suppress_health_check=list(HealthCheck))
    drawn: st.SearchStrategy[list[list[Any]]] = lives(scenario())
    assert len(find(drawn, lambda steps: any(step[0] == "again" for step in steps), settings=quiet)) <= 3
    assert len(find(drawn, lambda steps: ["lose"] in steps, settings=quiet)) <= 3
