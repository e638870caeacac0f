"""Several workers do what one does, and only once."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from transformers import Trainer

from trainer_props.case import Case
from trainer_props.engine import Finished, FirstSeen, Plan, Progress, Replay, Shrunk, Started
from trainer_props.engine.board import SharedBoard
from trainer_props.engine.crew import _Crew, supervise_side_by_side
from trainer_props.engine.events import Finding, Violation
from trainer_props.engine.signals import Signals
from trainer_props.running.output import PREFIX
from trainer_props.scenario import Data, Scenario
from trainer_props.subjects import SubjectError, wrap

STEPS = "steps.global_step_counts_updates"


class Late(Trainer):
    def set_initial_training_values(self, *args: Any) -> Any:
        *values, max_steps = super().set_initial_training_values(*args)
        return (*values, max(1, max_steps - 1))


class Killed(Trainer):
    def train(self, *args: Any, **kwargs: Any) -> Any:
        if self.args.gradient_accumulation_steps > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().train(*args, **kwargs)


@pytest.fixture(autouse=True)
def temporary(short_tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything temporary goes here, so that what is left can be seen."""
    tmp_path_factory.getbasetemp()  # made at its first use, it would be there too
    monkeypatch.setattr(tempfile, "tempdir", str(short_tmp_path))
    monkeypatch.setenv("TMPDIR", str(short_tmp_path))
    return short_tmp_path


def plan(**changes: Any) -> Plan:
    usual: dict[str, Any] = {
        "experiments": ("train_once", "train_on_streams", "build_arguments"),
        "properties": ("steps.run_finishes", STEPS, "arguments.valid_values_are_accepted"),
        "max_examples": 6, "seed": 3, "shrink_seconds": 1.0,
    }  # fmt: skip
    return Plan(**{**usual, **changes})


def test_the_cases_are_the_same_however_many_work(temporary: Path) -> None:
    alone, together = (supervise_side_by_side(wrap(Trainer), plan(), jobs=jobs) for jobs in (1, 3))
    assert (alone.runs, alone.evaluations, alone.coverage, alone.properties) == (
        together.runs, together.evaluations, together.coverage, together.properties,
    )  # fmt: skip
    assert list(alone.experiments) == list(together.experiments) == list(plan().experiments)
    assert list(temporary.iterdir()) == []


def test_what_several_find_is_told_and_shrunk_once(temporary: Path) -> None:
    events: list[Any] = []
    asked = plan(experiments=("train_once", "train_and_save"), properties=(STEPS,), max_examples=None, seconds=4.0, shrink_seconds=100.0)
    result = supervise_side_by_side(wrap(Late), asked, events.append, jobs=2)
    assert result.properties[STEPS].violated > 2
    (violation,) = result.violations
    assert violation.complete
    assert violation.timeline
    told = Counter(type(event) for event in events)
    assert (told[Started], told[FirstSeen], told[Shrunk], told[Finished]) == (1, 1, 1, 1)
    last = [event for event in events if isinstance(event, Progress)][-1]
    assert last.runs <= result.runs
    assert list(temporary.iterdir()) == []


class _Log:
    """Notes every case in a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def note(self, case: Case) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.write(f"{case.key}\n")

    def case(self) -> Case | None:
        return None

    def clear(self) -> None:
        return None


def test_two_on_one_experiment_draw_other_cases(temporary: Path) -> None:
    """Without numbers of their own, both would judge the very same slices."""
    asked = plan(experiments=("train_once",), properties=(STEPS,), max_examples=None, seconds=300.0, shrink_seconds=None)
    logs = [_Log(temporary / name) for name in "ab"]

    def cases() -> list[set[str]]:
        return [set(log.file.read_text(encoding="utf-8").splitlines()) if log.file.exists() else set() for log in logs]

    def listener(event: Any) -> None:
        if isinstance(event, Progress) and min(map(len, cases())) > 40:
            signal.raise_signal(signal.SIGINT)

    supervise_side_by_side(wrap(Trainer), asked, listener, jobs=2, running=logs)
    first, second = cases()
    assert min(len(first), len(second)) > 40
    assert len(first & second) < 0.3 * min(len(first), len(second))


def test_replayed_cases_are_shared_out() -> None:
    first = supervise_side_by_side(wrap(Late), plan(experiments=("train_once",), properties=(STEPS,)), jobs=1)
    (violation,) = first.violations
    case = violation.finding.case
    cases = [replace(case, scenario=replace(case.scenario, data=replace(case.scenario.data, seed=seed))) for seed in (5, 6, 7)]
    replays = [Replay(str(index), each, STEPS) for index, each in enumerate(cases)]
    result = supervise_side_by_side(wrap(Late), plan(experiments=(), max_examples=0, replayed=replays), jobs=2)
    assert sorted((each.id, each.status) for each in result.replayed) == [("0", "FAILING"), ("1", "FAILING"), ("2", "FAILING")]
    assert result.runs >= 3


def test_the_first_failure_stops_all() -> None:
    asked = plan(max_examples=None, seconds=300.0, first_failure=True, shrink_seconds=None)
    result = supervise_side_by_side(wrap(Late), asked, jobs=2)
    assert STEPS in {violation.finding.property for violation in result.violations}
    assert result.seconds < 60
    assert not result.interrupted


def test_a_worker_that_dies_is_a_verdict_and_the_others_go_on(temporary: Path) -> None:
    result = supervise_side_by_side(wrap(Killed), plan(), jobs=2)
    (violation,) = result.violations
    assert (violation.finding.verdict, violation.finding.symptom) == ("crashed", "ended by SIGKILL")
    assert result.experiments["build_arguments"].examples == 6
    assert result.errors == []
    assert list(temporary.iterdir()) == []


def test_subject_that_gives_no_trainer_ends_it(temporary: Path) -> None:
    def make(parts: Any, output_dir: str) -> Any:
        return output_dir

    with pytest.raises(SubjectError, match=r"returned a str, not a transformers\.Trainer"):
        supervise_side_by_side(wrap(make), plan(), jobs=2)
    assert list(temporary.iterdir()) == []


class _Once:
    """Does something at the first violation."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act, self.events = act, []  # type: ignore[var-annotated]

    def __call__(self, event: Any) -> None:
        self.events.append(event)
        if isinstance(event, FirstSeen) and sum(isinstance(each, FirstSeen) for each in self.events) == 1:
            self.act()


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_keeps_what_was_found(times: int, temporary: Path) -> None:
    handler, before = signal.getsignal(signal.SIGINT), multiprocessing.active_children()
    listener = _Once(lambda: [signal.raise_signal(signal.SIGINT) for _ in range(times)] and None)
    result = supervise_side_by_side(wrap(Late), plan(max_examples=None, seconds=300.0), listener, jobs=2)
    assert result.interrupted is True
    assert result.seconds < 60
    assert STEPS in {violation.finding.property for violation in result.violations}
    assert signal.getsignal(signal.SIGINT) is handler
    assert multiprocessing.active_children() == before
    assert list(temporary.iterdir()) == []


def test_a_supervisor_that_is_killed_loses_nothing_that_was_told(temporary: Path) -> None:
    before = multiprocessing.active_children()

    def kill_one() -> None:
        os.kill(next(each.pid or 0 for each in multiprocessing.active_children() if each not in before), signal.SIGKILL)

    listener = _Once(kill_one)
    result = supervise_side_by_side(wrap(Late), plan(max_examples=None, seconds=3.0, shrink_seconds=None), listener, jobs=2)
    assert result.errors == []  # another one went on in its place
    told = {event.finding.key for event in listener.events if isinstance(event, FirstSeen)}
    assert {violation.first.key for violation in result.violations} == told != set()
    assert [each for each in temporary.iterdir() if each.name.startswith(PREFIX)] == []


def test_what_a_supervisor_counted_stays_counted_when_no_other_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer_props.engine.crew.MOST_STARTS", 1)
    before, told = multiprocessing.active_children(), []  # type: ignore[var-annotated]
    killed: list[int] = []

    def listen(event: Any) -> None:
        if not isinstance(event, Progress):
            return
        told.append((event.runs, event.evaluations))
        if not killed and event.runs > 5 and len(event.workers) == 2:
            killed.append(next(each.pid or 0 for each in multiprocessing.active_children() if each not in before))
            os.kill(killed[0], signal.SIGKILL)

    result = supervise_side_by_side(wrap(Trainer), plan(max_examples=None, seconds=4.0), listen, jobs=2)
    assert len(killed) == len(result.errors) == 1
    assert told == sorted(told)
    assert (result.runs, result.evaluations) >= told[-1]


def test_what_a_supervisor_had_shrunk_before_it_was_killed_stays_small() -> None:
    cases = [Case(scenario=Scenario(data=Data(n=n))) for n in (9, 1)]
    big, small = (Finding(STEPS, "violated", "global_step", "too small", 2, 1, "", None, case) for case in cases)
    violation, told = Violation(small, big, 1.5, True, 7), []  # type: ignore[var-annotated]
    with Signals() as signals:
        crew = _Crew(wrap(Late), [plan()], told.append, [None], signals)
        for event in (FirstSeen(big), Shrunk(violation)):
            crew._tell(0, event)
        assert crew._total(plan(), [], []).violations == [violation]
    assert told == [FirstSeen(big), Shrunk(violation)]


def test_a_crew_that_can_not_start_all_leaves_none_behind(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, start = multiprocessing.active_children(), _Crew._start

    def no_more(self: _Crew, part: int, plan: Plan) -> None:
        if part:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        start(self, part, plan)

    monkeypatch.setattr(_Crew, "_start", no_more)
    with pytest.raises(BlockingIOError):
        supervise_side_by_side(wrap(Trainer), plan(max_examples=None, seconds=600.0), jobs=2)
    assert multiprocessing.active_children() == before
    assert [each for each in temporary.iterdir() if each.name.startswith(PREFIX)] == []


def _add(file: Path, name: str) -> None:
    board = SharedBoard(file)
    for _ in range(50):
        with board.opened() as notes:
            notes.taken[name] = notes.taken.get(name, 0) + 1
            notes.taken["both"] = notes.taken.get("both", 0) + 1


def test_a_board_holds_what_all_have_written(temporary: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_add, args=(temporary / "board.json", name)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    with SharedBoard(temporary / "board.json").opened() as notes:
        assert notes.taken == {"a": 50, "b": 50, "both": 100}


def test_a_board_outlives_who_is_killed_while_writing(temporary: Path) -> None:
    context = multiprocessing.get_context("fork")
    file = temporary / "board.json"
    for _ in range(10):
        process = context.Process(target=_add, args=(file, "a"))
        process.start()
        threading.Event().wait(0.02)
        process.kill()
        process.join()
    begun = time.monotonic()
    with SharedBoard(file).opened() as notes:
        assert notes.taken.get("a", 0) - notes.taken.get("both", 0) in (0, 1)
    assert time.monotonic() - begun < 10


def test_only_the_first_takes_and_it_may_again(temporary: Path) -> None:
    board = SharedBoard(temporary / "board.json")
    assert [board.take("x", 1), board.take("x", 0), board.take("x", 1), board.take("y", 0)] == [True, False, True, True]
