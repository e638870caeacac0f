"""A worker that dies or hangs in native code is a verdict, and the session goes on."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import Trainer, TrainingArguments

from trainer_props import subjects
from trainer_props.arguments import DEFAULTS
from trainer_props.engine import Finished, FirstSeen, Plan, Progress, Result, Started, worker
from trainer_props.engine.supervisor import MOST_LOST, supervise
from trainer_props.experiments import Held
from trainer_props.properties import PROPERTIES as ALL_PROPERTIES
from trainer_props.running import prepared
from trainer_props.scripts.verifying import verify
from trainer_props.scripts.writing import script
from trainer_props.subjects import SubjectError, wrap

RUNS = sys.modules["trainer_props.running.run"]  # the package shows the function of this name


class DiesWhereItAccumulates(Trainer):
    how: Callable[[], object] = staticmethod(lambda: (faulthandler.disable(), os.abort()))

    def train(self, *args: Any, **kwargs: Any) -> Any:
        if self.args.gradient_accumulation_steps > 1:
            type(self).how()
        return super().train(*args, **kwargs)


class Killed(DiesWhereItAccumulates):
    how = staticmethod(lambda: os.kill(os.getpid(), signal.SIGKILL))


class Leaves(DiesWhereItAccumulates):
    how = staticmethod(lambda: os._exit(7))


class Sleeps(DiesWhereItAccumulates):
    how = staticmethod(lambda: ctypes.PyDLL(None).sleep(600))  # with Python's lock held: no watchdog in the process can end it


class Late(Trainer):
    def set_initial_training_values(self, *args: Any) -> Any:
        *values, max_steps = super().set_initial_training_values(*args)
        return (*values, max(1, max_steps - 1))


@pytest.fixture(scope="module", autouse=True)
def _prepared_once() -> None:
    """The imports of a first run take seconds in which a worker is silent."""
    with prepared():
        pass


@pytest.fixture(autouse=True)
def temporary(short_tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything temporary goes here, so that what is left can be seen."""
    tmp_path_factory.getbasetemp()  # made at its first use, it would be there too
    monkeypatch.setattr(tempfile, "tempdir", str(short_tmp_path))
    monkeypatch.setenv("TMPDIR", str(short_tmp_path))
    return short_tmp_path


def plan(**changes: Any) -> Plan:
    usual: dict[str, Any] = {"experiments": ("train_once", "build_arguments"), "properties": PROPERTIES, "max_examples": 6, "seed": 3}
    return Plan(**{"shrink_seconds": 1.0, **usual, **changes})


PROPERTIES = ("steps.run_finishes", "steps.global_step_counts_updates", "arguments.valid_values_are_accepted")


@pytest.mark.parametrize(
    ("subject", "symptom"), [(DiesWhereItAccumulates, "ended by SIGABRT"), (Killed, "ended by SIGKILL"), (Leaves, "ended by exit code 7")]
)
def test_worker_that_dies_is_a_crash(subject: type[Trainer], symptom: str, temporary: Path) -> None:
    events: list[Any] = []
    result = supervise(wrap(subject), plan(), events.append)
    (violation,) = result.violations
    finding = violation.finding
    assert (finding.property, finding.verdict, finding.symptom) == ("steps.run_finishes", "crashed", symptom)
    assert finding.observed == f"the process {symptom}"
    assert finding.case.scenario.argument("gradient_accumulation_steps") > 1
    assert 1 <= result.properties["steps.run_finishes"].violated <= MOST_LOST
    assert result.experiments["build_arguments"].examples == 6  # the other experiment went on
    assert result.errors == []
    assert result.interrupted is False
    kinds = [type(event) for event in events if not isinstance(event, Progress)]
    assert kinds == [Started, FirstSeen, Finished]
    assert list(temporary.iterdir()) == []


def test_worker_that_hangs_in_native_code(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RUNS, "WALL_CLOCK_SECONDS", 2.0)
    monkeypatch.setattr(RUNS, "_SECONDS_A_MICRO_BATCH", 0.0)
    result = supervise(wrap(Sleeps), plan(first_failure=True), silence=4.0)
    (violation,) = result.violations
    finding = violation.finding
    assert (finding.property, finding.verdict, finding.symptom) == ("steps.run_finishes", "hung", "silent")
    first, *stack = finding.observed.splitlines()
    assert first == "silent for 4 s"
    assert any(line.startswith("in train (engine/test_supervisor.py, line ") for line in stack)
    assert not [line for line in stack if "/work" in line or "hypothesis" in line]
    assert list(temporary.iterdir()) == []


ENDS = """
import transformers

class Ends(transformers.Trainer):
    def train(self, *args, **kwargs):
        if self.args.gradient_accumulation_steps > 1:
            raise {}("enough")
        return super().train(*args, **kwargs)
"""


@pytest.mark.parametrize("kind", ["KeyboardInterrupt", "SystemExit"])
def test_what_no_except_exception_catches_is_a_crash_too(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nobody's Ctrl-C: the session goes on."""
    (tmp_path / f"ends_by_{kind}.py").write_text(ENDS.format(kind), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    subject = subjects.load(f"ends_by_{kind}:Ends")
    asked = plan(experiments=("train_once",), properties=("steps.run_finishes",), max_examples=20, shrink_seconds=100.0)
    result = supervise(subject, asked)
    assert (result.interrupted, result.errors, result.experiments["train_once"].examples) == (False, [], 20)
    (violation,) = result.violations
    finding = violation.finding
    assert (finding.verdict, finding.symptom) == ("crashed", kind)
    assert violation.complete
    assert verify(script(finding, subject), timeout=200.0, path=[str(tmp_path)]).shows


class Tidy(Trainer):
    """Answers Ctrl-C as many scripts do."""

    def train(self, *args: Any, **kwargs: Any) -> Any:
        try:
            (Path(os.environ["TMPDIR"]).parent / "begun").touch()
            time.sleep(600)
        except KeyboardInterrupt:
            sys.exit(1)


def test_what_the_subject_makes_of_ctrl_c_is_no_verdict(temporary: Path) -> None:
    def listen(event: Any) -> None:
        if isinstance(event, Progress) and any(temporary.rglob("begun")):
            signal.raise_signal(signal.SIGINT)

    result = supervise(wrap(Tidy), plan(experiments=("train_once",), max_examples=None, seconds=300.0, shrink_seconds=None), listen)
    assert (result.violations, result.errors, result.interrupted) == ([], [], True)


class Thrown:
    def __del__(self) -> None:
        raise KeyboardInterrupt


def test_what_python_drops_is_nobodys_ctrl_c() -> None:
    class Throws(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            found = super().train(*args, **kwargs)
            Thrown()
            return found

    result = supervise(wrap(Throws), plan(experiments=("train_once",)))
    assert (result.violations, result.errors, result.interrupted, result.experiments["train_once"].examples) == ([], [], False, 6)


@pytest.mark.parametrize("experiment", ["build_arguments", "collate"])
def test_an_exit_where_nothing_trains_is_no_end_either(experiment: str) -> None:
    class Exits(Trainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            sys.exit("bad configuration")

    mine = tuple(name for name, each in ALL_PROPERTIES.items() if experiment in each.experiments)
    result = supervise(wrap(Exits), plan(experiments=(experiment,), properties=mine, shrink_seconds=None))
    assert result.errors == []
    assert {violation.finding.symptom for violation in result.violations} == {"SystemExit"}


def test_one_that_has_judged_all_there_is_does_not_hang() -> None:
    """Where all arguments are held, few cases are left: they are drawn over and over, and nothing runs."""
    everything = json.loads(TrainingArguments("x", use_cpu=True).to_json_string())
    held = Held(arguments={name: value for name, value in everything.items() if name in DEFAULTS and value is not None})
    mine = tuple(name for name, each in ALL_PROPERTIES.items() if "step_schedule" in each.experiments)
    asked = plan(experiments=("step_schedule",), properties=mine, max_examples=None, seconds=200.0, held=held)
    result = supervise(wrap(Trainer), asked, silence=3.0)
    assert (result.violations, result.errors) == ([], [])
    assert 0 < result.runs < 500
    assert result.seconds < 150


def test_a_worker_that_others_end_is_no_verdict(tmp_path: Path) -> None:
    class EndedOnce(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            if not (ended := tmp_path / "ended").exists():
                ended.touch()
                os.kill(os.getpid(), signal.SIGTERM)
            return super().train(*args, **kwargs)

    result = supervise(wrap(EndedOnce), plan(experiments=("train_once",)))
    assert (result.violations, result.errors) == ([], [])
    assert result.experiments["train_once"].examples >= 6


def test_a_crash_is_told_whatever_properties_are_asked_for() -> None:
    asked = plan(properties=("steps.global_step_counts_updates",), experiments=("train_once",), first_failure=True)
    result = supervise(wrap(Killed), asked)
    assert [violation.finding.property for violation in result.violations] == ["steps.run_finishes"]


def test_what_was_seen_before_a_crash_is_shrunk_after_it() -> None:
    class LateOrDead(Late):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            if self.args.weight_decay > 0:
                os._exit(7)
            return super().train(*args, **kwargs)

    result = supervise(wrap(LateOrDead), plan(experiments=("train_once",), max_examples=30, shrink_seconds=100.0))
    found = {violation.finding.property: violation for violation in result.violations}
    assert set(found) == {"steps.run_finishes", "steps.global_step_counts_updates"}
    assert found["steps.global_step_counts_updates"].complete
    assert found["steps.global_step_counts_updates"].finding.expected == 2
    assert [violation.finding.verdict for violation in result.violations].count("crashed") == 1


def test_shrinking_that_kills_its_workers_is_given_up(tmp_path: Path) -> None:
    runs = tmp_path / "runs"

    class DiesLater(Late):
        """Ends its process in every run, once there were so many."""

        def train(self, *args: Any, **kwargs: Any) -> Any:
            with runs.open("a", encoding="utf-8") as file:
                file.write(".")
            if runs.stat().st_size > 30:
                os._exit(7)
            return super().train(*args, **kwargs)

    asked = plan(experiments=("train_once",), properties=(PROPERTIES[1],), max_examples=30, shrink_seconds=60.0)
    result = supervise(wrap(DiesLater), asked)
    (left,) = [each for each in result.violations if each.finding.property == PROPERTIES[1]]
    assert (left.complete, left.runs) == (False, MOST_LOST)
    assert runs.stat().st_size == 30 + MOST_LOST
    assert result.errors == []


def test_worker_gives_the_same_as_a_session_of_this_process() -> None:
    from trainer_props.engine import Session

    asked = plan(experiments=("train_once",), shrink_seconds=30.0)  # more than it takes: a shrink that is cut off may differ
    apart, here = supervise(wrap(Late), asked), Session(wrap(Late), asked).run()
    assert [violation.finding for violation in apart.violations] == [violation.finding for violation in here.violations] != []
    assert (apart.evaluations, apart.coverage, apart.properties) == (here.evaluations, here.coverage, here.properties)


def test_subject_that_gives_no_trainer_ends_it(temporary: Path) -> None:
    def make(parts: Any, output_dir: str) -> Any:
        return output_dir

    with pytest.raises(SubjectError, match=r"returned a str, not a transformers\.Trainer"):
        supervise(wrap(make), plan())
    assert list(temporary.iterdir()) == []


def test_fault_of_ours_is_an_error_and_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer_props.engine import session

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(session, "judge", broken)
    result = supervise(wrap(Trainer), plan())
    assert result.violations == []
    (error,) = result.errors
    assert error.startswith("RuntimeError: two lines (test_supervisor.py, line ")


def test_worker_that_dies_before_any_case_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.Session, "run", lambda self: os._exit(3))
    result = supervise(wrap(Trainer), plan())
    assert (result.violations, result.errors) == ([], ["the process ended by exit code 3 before it ran a case"])


class Interrupting:
    """A listener that sends this process Ctrl-C, once a violation is seen and then as often as asked."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, event: Any) -> None:
        if isinstance(event, FirstSeen):
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)
            self.times = 0


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_keeps_what_was_found(times: int, temporary: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    result: Result = supervise(wrap(Late), plan(max_examples=None, seconds=300.0), Interrupting(times))
    assert result.interrupted is True
    assert result.seconds < 60
    assert "steps.global_step_counts_updates" in {violation.finding.property for violation in result.violations}
    assert not any(violation.complete for violation in result.violations)
    assert signal.getsignal(signal.SIGINT) is handler
    assert list(temporary.iterdir()) == []


def test_worker_that_does_not_listen_is_ended_after_a_grace() -> None:
    result = supervise(wrap(Sleeps), plan(max_examples=None, seconds=300.0, experiments=("train_once",)), InterruptingLater(), silence=60.0)
    assert result.interrupted is True
    assert result.seconds < 30


class InterruptingLater:
    """A listener that sends this process Ctrl-C when no run has come to its end for a while; signs of life do not count."""

    def __init__(self) -> None:
        self.runs = -1
        self.timer = self.later()

    def later(self) -> threading.Timer:
        timer = threading.Timer(3.0, lambda: os.kill(os.getpid(), signal.SIGINT))
        timer.daemon = True
        timer.start()
        return timer

    def __call__(self, event: Any) -> None:
        if isinstance(event, Progress):
            if event.runs == self.runs:
                return
            self.runs = event.runs
        self.timer.cancel()
        if not isinstance(event, Finished):
            self.timer = self.later()


@pytest.mark.parametrize(("other", "error", "printed"), [(True, EOFError(), False), (True, KeyError("x"), True), (False, EOFError(), True)])
def test_data_loading_processes_say_nothing_of_a_worker_that_is_gone(
    other: bool, error: Exception, printed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    hook = worker._silent_in_others(0 if other else os.getpid())
    hook(type(error), error, None)
    assert (type(error).__name__ in capsys.readouterr().err) is printed
