"""Cases that failed before are judged first; what becomes of each is told, whatever it does to its process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import Trainer

from trainer_props.case import Case
from trainer_props.engine import FirstSeen, Plan, Replay, Replayed, Session, Shrunk
from trainer_props.engine.replaying import belongs
from trainer_props.engine.supervisor import supervise
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.properties import PROPERTIES
from trainer_props.scenario import Data, Scenario
from trainer_props.subjects import SubjectError, wrap

GLOBAL_STEP = "steps.global_step_counts_updates"
FINISHES = "steps.run_finishes"
TWO_STEPS = Case(scenario=Scenario(arguments={"max_steps": 2}, data=Data(n=3)))


class Late(Trainer):
    def set_initial_training_values(self, *args: Any) -> Any:
        *values, max_steps = super().set_initial_training_values(*args)
        return (*values, max(1, max_steps - 1))


Told = tuple[dict[str, Replayed], Any, list[Any]]


def replayed(subject: Any, *replays: Replay, how: Callable[..., Any] = supervise, **changes: Any) -> Told:
    """What became of each, the result, and the events."""
    plan = Plan(**{"experiments": (), "properties": (), "max_examples": 0, "shrink_seconds": None, "replayed": replays, **changes})
    events: list[Any] = []
    result = how(wrap(subject), plan, events.append)
    return {each.id: each for each in result.replayed}, result, events


def here(subject: Any, plan: Plan, listener: Any) -> Any:
    return Session(subject, plan, listener).run()


@pytest.mark.parametrize("how", [supervise, here])
def test_status_of_each(how: Callable[..., Any]) -> None:
    nonsense = Case(experiment="train_onc")
    told, result, events = replayed(
        Late,
        Replay("late", TWO_STEPS, GLOBAL_STEP),
        Replay("ends", TWO_STEPS, FINISHES),
        Replay("stream", TWO_STEPS, "data_order.streams_are_read_in_order"),
        Replay("experiment", nonsense, GLOBAL_STEP),
        Replay("property", TWO_STEPS, "steps.global_step"),
        Replay("elsewhere", Case(experiment="build_arguments"), GLOBAL_STEP),
        Replay("refused", Case(scenario=Scenario(arguments={"per_device_train_batch_size": "many"})), GLOBAL_STEP),
        how=how,
    )
    assert {name: (each.status, each.reason) for name, each in told.items() if name != "refused"} == {
        "late": ("FAILING", "global_step too small"),
        "ends": ("FIXED", ""),
        "stream": ("CANNOT RUN", "not applicable: the data set is map-style"),
        "experiment": ("CANNOT RUN", "there is no experiment 'train_onc': did you mean 'train_once'?"),
        "property": ("CANNOT RUN", "there is no property 'steps.global_step': did you mean 'steps.global_step_counts_updates'?"),
        "elsewhere": ("CANNOT RUN", f"{GLOBAL_STEP} is not judged in build_arguments"),
    }
    assert told["refused"].status == "CANNOT RUN"
    assert told["late"].finding is not None
    assert (told["late"].finding.expected, told["late"].finding.observed) == (2, 1)
    assert [violation.finding for violation in result.violations] == [told["late"].finding]
    assert result.runs == 2  # equal cases run once
    assert [each for each in events if isinstance(each, Replayed)] == result.replayed
    kinds = [type(each) for each in events]
    assert kinds.index(FirstSeen) < kinds.index(Replayed, kinds.index(FirstSeen))


def test_known_bug_is_known_unless_it_shall_not_be() -> None:
    bug = KNOWN_BUGS["accumulation-inflates-loss"]
    replay = Replay("bug", bug.example, bug.properties[0])
    told, result, _ = replayed(Trainer, replay, how=here)
    assert (told["bug"].status, told["bug"].reason) == ("KNOWN", bug.id)
    assert (result.violations, result.known_seen[bug.id]) == ([], 1)
    told, result, _ = replayed(Trainer, replay, how=here, known=False)
    assert told["bug"].status == "FAILING"
    assert [violation.finding.known_bug for violation in result.violations] == [bug.id]


def test_all_chosen_properties_judge_a_replayed_case_before_anything_is_drawn() -> None:
    chosen = {"experiments": ("train_once",), "properties": (GLOBAL_STEP, FINISHES), "max_examples": 3}
    told, result, events = replayed(Late, Replay("a", TWO_STEPS, FINISHES), **chosen)
    assert told["a"].status == "FIXED"
    assert next(each for each in events if isinstance(each, FirstSeen)).finding.case == TWO_STEPS
    assert result.experiments["train_once"].examples == 4
    assert result.properties[GLOBAL_STEP].violated >= 1


def test_what_fails_again_is_made_plainer_and_not_drawn() -> None:
    plain = {"max_steps": 2, "per_device_train_batch_size": 1}
    case = Case(scenario=Scenario(arguments={**plain, "weight_decay": 0.1}, data=Data(n=3)))
    chosen = {"experiments": ("train_once",), "properties": (GLOBAL_STEP,), "max_examples": 1, "seed": 3, "shrink_seconds": 20.0}
    _, result, events = replayed(Late, Replay("a", case, GLOBAL_STEP), how=here, **chosen)
    (violation,) = result.violations
    assert violation.complete
    assert violation.first.case == case
    assert violation.finding.case == Case(scenario=Scenario(arguments=plain, data=Data(n=1)))
    assert [each.violation for each in events if isinstance(each, Shrunk)] == [violation]


def test_something_else_that_a_replayed_case_shows_is_shrunk_from_where_it_is_drawn() -> None:
    large = Case(scenario=Scenario(arguments={"max_steps": 9, "weight_decay": 0.1, "logging_steps": 3}, data=Data(n=40)))
    chosen = {"experiments": ("train_once",), "properties": (GLOBAL_STEP, FINISHES), "max_examples": 20, "shrink_seconds": 20.0}
    _, result, _ = replayed(Late, Replay("a", large, FINISHES), how=here, **chosen)
    (violation,) = result.violations
    assert violation.complete
    assert violation.first.case == large
    assert violation.finding.case.scenario.data.n == 1


class Moody(Trainer):
    """Takes one update too few at every third run of this process."""

    runs = 0

    def set_initial_training_values(self, *args: Any) -> Any:
        type(self).runs += 1
        *values, max_steps = super().set_initial_training_values(*args)
        return (*values, max_steps - (type(self).runs % 3 == 0))


def test_what_did_not_always_fail_gets_several_attempts() -> None:
    Moody.runs = 0
    assert replayed(Moody, Replay("a", TWO_STEPS, GLOBAL_STEP, attempts=2), how=here)[0]["a"].status == "FIXED"
    Moody.runs = 0
    told, result, _ = replayed(Moody, Replay("a", TWO_STEPS, GLOBAL_STEP, attempts=3), how=here)
    assert told["a"].status == "FAILING"
    assert result.runs == 3


def test_a_case_whose_violation_is_not_known_is_judged_by_what_is_chosen_or_by_all() -> None:
    told, result, _ = replayed(Late, Replay("left", TWO_STEPS))
    assert told["left"].status == "FAILING"
    assert GLOBAL_STEP in {violation.finding.property for violation in result.violations}
    told, result, _ = replayed(Late, Replay("left", TWO_STEPS), properties=(FINISHES,), experiments=("train_once",))
    assert told["left"].status == "FIXED"
    assert (result.violations, result.evaluations) == ([], 1)


# ---- cases that are deadly ---------------------------------------------------------------------------------------------------


class Deadly(Trainer):
    """Dies of weight decay."""

    def train(self, *args: Any, **kwargs: Any) -> Any:
        if self.args.weight_decay > 0:
            os._exit(7)
        return super().train(*args, **kwargs)


DECAY = Case(scenario=Scenario(arguments={"max_steps": 2, "weight_decay": 0.1}, data=Data(n=3)))


def test_worker_that_dies_of_a_replayed_case_is_a_failure_and_the_others_follow() -> None:
    told, result, events = replayed(
        Deadly,
        Replay("before", TWO_STEPS, FINISHES),
        Replay("dies", DECAY, FINISHES),
        Replay("dies too", DECAY, GLOBAL_STEP),
        Replay("after", TWO_STEPS.replace(scenario=TWO_STEPS.scenario.replace(data=Data(n=4))), GLOBAL_STEP),
        experiments=("train_nothing",), properties=(FINISHES,), max_examples=2,
    )  # fmt: skip
    assert {name: each.status for name, each in told.items()} == {
        "before": "FIXED", "dies": "FAILING", "dies too": "FAILING", "after": "FIXED",
    }  # fmt: skip
    assert told["dies"].reason == "the process ended by exit code 7"
    assert len(result.replayed) == 4
    (violation,) = result.violations
    assert (violation.finding.property, violation.finding.verdict, violation.finding.case) == (FINISHES, "crashed", DECAY)
    assert [each.finding for each in events if isinstance(each, FirstSeen)] == [violation.finding]
    assert result.experiments["train_nothing"].examples == 2  # exploring goes on


@pytest.mark.parametrize(("subject", "status"), [(Deadly, "FAILING"), (Trainer, "FIXED")])
def test_the_end_of_a_process_is_judged_in_every_experiment(subject: type[Trainer], status: str) -> None:
    case = DECAY.replace(experiment="resume")
    assert case.experiment not in PROPERTIES[FINISHES].experiments
    told, result, _ = replayed(subject, Replay("dies", case, FINISHES))
    assert told["dies"].status == status, told["dies"].reason
    assert len(result.violations) == (status == "FAILING")


def test_the_end_of_a_process_belongs_to_whoever_runs_the_experiment() -> None:
    case = DECAY.replace(experiment="resume")
    assert belongs(case, FINISHES, ["resume"], ["resume.anything"])
    assert not belongs(case, FINISHES, ["train_once"], [FINISHES])
    assert not belongs(DECAY, FINISHES, ["train_once"], [GLOBAL_STEP])
    assert belongs(DECAY, FINISHES, ["train_once"], [FINISHES])


class Noted:
    """Keeps the case that runs in a file, as faces do."""

    def __init__(self, path: Path) -> None:
        from trainer_props.engine.worker import CaseFile

        self.file, self.told = CaseFile(path), 0

    def note(self, case: Case) -> None:
        self.file.note(case)

    def case(self) -> Case | None:
        self.told += 1
        return self.file.case()

    def clear(self) -> None:
        self.file.clear()


def test_the_case_that_runs_is_on_disk_where_it_is_wanted(tmp_path: Path) -> None:
    noted = Noted(tmp_path / "running.json")
    plan = Plan(experiments=(), properties=(), max_examples=0, shrink_seconds=None, replayed=[Replay("dies", DECAY, FINISHES)])
    result = supervise(wrap(Deadly), plan, running=noted)
    assert [each.status for each in result.replayed] == ["FAILING"]
    assert noted.told == 1  # it is where the supervisor learns of what its worker died
    noted.file.close()


def test_subject_without_a_trainer_ends_replaying() -> None:
    def make(parts: Any, output_dir: str) -> Any:
        return output_dir

    with pytest.raises(SubjectError):
        replayed(make, Replay("a", TWO_STEPS, GLOBAL_STEP))


def test_a_case_that_our_own_code_can_not_take_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer_props.engine import session

    judge = session.judge

    def broken(case: Case, *rest: Any) -> Any:
        if case == DECAY:
            raise RuntimeError("no idea")
        return judge(case, *rest)

    monkeypatch.setattr(session, "judge", broken)
    told, _, _ = replayed(Trainer, Replay("odd", DECAY, FINISHES), Replay("usual", TWO_STEPS, FINISHES), how=here)
    assert (told["odd"].status, told["odd"].reason) == ("CANNOT RUN", "RuntimeError: no idea")
    assert told["usual"].status == "FIXED"
