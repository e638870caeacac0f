"""The experiment whose callback sets control flags: its oracle, its callback, how its runs are judged, its scripts."""

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
from trainer_props.experiments.flags import EVENTS, FLAGS
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.oracles import flags as oracle
from trainer_props.oracles.flags import Asked, flow
from trainer_props.properties import PROPERTIES
from trainer_props.record import Record
from trainer_props.running import flags as running
from trainer_props.running import prepared
from trainer_props.scenario import Data, Scenario
from trainer_props.scripts.verifying import shows
from trainer_props.scripts.writing import script

SUBJECT = subjects.load(subjects.DEFAULT)
EXPERIMENT = EXPERIMENTS["train_with_flags"]
MINE = [each for each in PROPERTIES.values() if "train_with_flags" in each.experiments]


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def scenario(n: int = 3, **arguments: Any) -> Scenario:
    usual = {"per_device_train_batch_size": 1, "num_train_epochs": 2, "gradient_accumulation_steps": 2, "optim": "sgd"}
    return Scenario(arguments={**usual, **arguments}, data=Data(n=n, n_eval=1))


def case(*plan: tuple[str, int, str], **arguments: Any) -> Case:
    return Case(experiment="train_with_flags", scenario=scenario(**arguments), parameters={"plan": plan})


def record_of(given: Case) -> Record:
    record = EXPERIMENT.run(given, SUBJECT)
    assert isinstance(record, Record)
    return record


def words(found: oracle.Flow) -> str:
    letters = {"on_train_begin": "T", "on_train_end": "t", "on_epoch_begin": "E", "on_epoch_end": "e", "on_step_begin": "S",
               "on_substep_end": "u", "on_pre_optimizer_step": "p", "on_optimizer_step": "o", "on_step_end": "s", "on_log": "l",
               "on_prediction_step": "i", "on_evaluate": "v", "on_save": "k"}  # fmt: skip
    return "".join(letters[sent.name] for sent in found.events)


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ([], "TESuposSposeESuposSposelt"),
        ([("on_step_end", 1, "should_save")], "TESuposkSposeESuposSposelt"),
        ([("on_step_begin", 2, "should_log")], "TESuposSposleESuposSposelt"),
        ([("on_substep_end", 1, "should_evaluate")], "TESuposilvSposeESuposSposelt"),
        ([("on_epoch_end", 1, "should_log")], "TESuposSposelESuposSposelt"),
        ([("on_epoch_end", 1, "should_log"), ("on_step_end", 2, "should_log")], "TESuposSposleESuposSposelt"),
        ([("on_log", 1, "should_save"), ("on_epoch_end", 1, "should_log")], "TESuposSposelkESuposSposelt"),
        ([("on_save", 1, "should_save"), ("on_step_end", 2, "should_save")], "TESuposSposkekESuposSposelt"),
        ([("on_epoch_begin", 1, "should_save")], "TESuposSposeESuposSposelt"),
        ([("on_step_end", 1, "should_epoch_stop")], "TESuposeESuposSposelt"),
        ([("on_epoch_end", 1, "should_epoch_stop")], "TESuposSposeESuposSposelt"),
        ([("on_substep_end", 1, "should_epoch_stop")], "TESueESuposSposelt"),
        ([("on_substep_end", 2, "should_training_stop")], "TESuposSposeESuelt"),
        ([("on_epoch_end", 1, "should_training_stop")], "TESuposSposelt"),
        ([("on_epoch_begin", 2, "should_training_stop")], "TESuposSposeEelt"),
        ([("on_epoch_begin", 1, "should_epoch_stop")], "TEeESuposSposelt"),
        ([("on_train_begin", 1, "should_training_stop")], "Tlt"),
    ],
    ids=str,
)
def test_the_oracle_says_what_is_documented(asked: list[tuple[str, int, str]], word: str) -> None:
    assert words(flow(scenario(logging_strategy="no"), [Asked(*each) for each in asked])) == word


def test_an_epoch_that_was_stopped_takes_nothing_from_max_steps() -> None:
    stopped = flow(scenario(max_steps=4, logging_strategy="no"), [Asked("on_step_end", 1, "should_epoch_stop")])
    assert words(stopped) == "TESuposeESuposSposeESuposelt"
    deviating = flow(
        scenario(max_steps=4, logging_strategy="no"), [Asked("on_step_end", 1, "should_epoch_stop")], (), [oracle.EPOCHS_INSTEAD_OF_STEPS]
    )
    assert words(deviating) == "TESuposeESuposSposelt"


def test_a_stop_that_is_seen_late() -> None:
    asked = [Asked("on_train_begin", 1, "should_training_stop")]
    deviating = flow(scenario(logging_strategy="no"), asked, (), [oracle.STOP_SEEN_AFTER_A_BATCH])
    assert words(deviating) == "TESuelt"
    assert deviating.groups == ((1, 2, False),)


def test_the_best_decides_beside_a_callback_and_not_instead_of_it() -> None:
    given = scenario(eval_strategy="steps", eval_steps=1, save_strategy="best", metric_for_best_model="score", max_steps=2, n=4)
    asked = [Asked("on_step_end", 2, "should_save")]
    assert words(flow(given, asked, (1.0, 0.0))).count("k") == 2
    assert words(flow(given, asked, (1.0, 0.0), [oracle.BEST_OVERRULES])).count("k") == 1
    assert words(flow(given, [], (0.0, 1.0))).count("k") == 2


def test_flags_and_epochs_at_events() -> None:
    events = flow(scenario(logging_strategy="no"), [Asked("on_step_begin", 1, "should_save")]).events
    assert [each.flags for each in events if each.step == 0] == ["", "", "", "k", "k", "k"]
    assert [each.epoch for each in events if each.name == "on_step_end"] == pytest.approx([2 / 3, 1, 5 / 3, 2])
    assert [each.flags for each in events if each.name in ("on_step_end", "on_save")] == ["k", "", "", "", "t"]


def test_windows_that_were_cut() -> None:
    found = flow(scenario(), [Asked("on_substep_end", 2, "should_epoch_stop"), Asked("on_substep_end", 1, "should_epoch_stop")])
    assert found.stopped_windows == [1, 1]
    assert flow(scenario(), [Asked("on_substep_end", 1, "should_epoch_stop")]).batches_before_updates == [3, 4]


def test_the_events_are_those_of_the_callback() -> None:
    assert set(EVENTS) == set(running.EVENTS)
    assert set(FLAGS) == set(oracle.FLAGS)


@pytest.mark.parametrize("event", EVENTS)
def test_the_callback_sets_flags_at_any_event(event: str) -> None:
    record = record_of(case((event, 1, "should_training_stop"), eval_strategy="epoch", save_strategy="epoch"))
    sent = [each.name for each in record.events]
    first = sent.index(event)
    assert all("t" not in each.flags for each in record.events[: first + 1])
    assert all("t" in each.flags for each in record.events[first + 1 :])
    assert record.results["plan"] == [[event, 1, "should_training_stop"]]


@pytest.mark.parametrize("entry", [("on_init_end", 1, "should_log"), ("on_log", 1, "_new_step")])
def test_a_plan_of_nothing_that_exists_is_refused(entry: tuple[str, int, str]) -> None:
    with pytest.raises(ValueError, match="there is no event"):
        record_of(case(entry))


def test_a_case_without_a_plan_is_a_plain_run() -> None:
    given = Case(experiment="train_with_flags", scenario=scenario())
    assert judge(given, SUBJECT, MINE).findings == ()


@pytest.mark.parametrize(
    "given_case",
    [
        case(("on_step_end", 1, "should_save"), ("on_log", 1, "should_evaluate")),
        case(("on_step_end", 1, "should_epoch_stop"), logging_steps=2),
        case(("on_substep_end", 2, "should_training_stop")),
        case(("on_evaluate", 1, "should_save"), eval_strategy="epoch"),
        case(("on_epoch_end", 1, "should_training_stop"), gradient_accumulation_steps=1),
    ],
    ids=str,
)
def test_a_run_that_obeys_holds(given_case: Case) -> None:
    judged = judge(given_case, SUBJECT, MINE)
    assert [each for each in judged.findings if each.known_bug is None] == []
    assert judged.errors == ()
    assert {
        "flags.events_are_those_that_flags_ask_for", "flags.flags_stay_until_they_are_set_back", "flags.windows_are_cut_where_flags_say",
        "flags.epoch_is_that_of_the_last_update", "optimization.weights_match_reference", "callbacks.control_flags_are_reset",
    } <= set(judged.holds)  # fmt: skip


def test_a_trainer_that_does_not_save_is_found() -> None:
    class NeverSaves(Trainer):
        def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
            self.control.should_save = False
            super()._maybe_log_save_evaluate(*args, **kwargs)

    judged = judge(case(("on_step_end", 1, "should_save")), subjects.wrap(NeverSaves, "never saves"), MINE)
    assert "flags.events_are_those_that_flags_ask_for" in {each.property for each in judged.findings}


@pytest.mark.parametrize("name", [name for name, bug in KNOWN_BUGS.items() if bug.example.experiment == "train_with_flags"])
def test_scripts_show_the_known_bugs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    findings = [each for each in judge(KNOWN_BUGS[name].example, SUBJECT, MINE).findings if each.known_bug == name]
    assert findings
    for each in findings:
        text = script(each, SUBJECT)
        assert "class SetFlags(TrainerCallback):" in text
        namespace: dict[str, Any] = {"__name__": "script"}
        exec(compile(text, "script.py", "exec"), namespace)  # noqa: S102  what a script is for
        capsys.readouterr()
        code = namespace["main"]()
        assert shows(text, code, capsys.readouterr().out)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(EXPERIMENT.cases(Held(arguments={"gradient_accumulation_steps": 2, "num_train_epochs": 1})))
def test_cases_keep_what_is_held(given_case: Case) -> None:
    assert given_case.scenario.argument("gradient_accumulation_steps") == 2
    assert given_case.scenario.argument("num_train_epochs") == 1
    plan = given_case.parameters["plan"]
    assert 1 <= len(plan) <= 3
    assert Case.from_json(given_case.to_json()) == given_case
    if any(flag == "should_evaluate" for _, _, flag in plan):
        assert given_case.scenario.data.n_eval > 0
