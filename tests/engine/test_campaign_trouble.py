"""A campaign loses nothing to what goes wrong in a long night: full disks, damaged files, narrower starts, unlucky replays."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import Trainer

from trainer_props.case import Case
from trainer_props.engine import FirstSeen, Plan, Result, Shrunk
from trainer_props.engine.board import Notes
from trainer_props.engine.events import FIXED, ExperimentCount, Finding, Progress, Replayed, Violation
from trainer_props.engine.judging import judge
from trainer_props.engine.novelty import BYTES
from trainer_props.engine.totals import nothing_trained
from trainer_props.fuzzing.campaign import Campaign
from trainer_props.fuzzing.state import Seen, State, StateError, StateFolder, case_of, earlier
from trainer_props.keeper import ATTEMPTS, Keeper, afresh, verified
from trainer_props.properties import PROPERTIES
from trainer_props.regressions import Store
from trainer_props.reports.terminal import make_console
from trainer_props.scenario import Components, Data, Scenario
from trainer_props.subjects import SubjectError, wrap

STEPS, LOGS = "steps.global_step_counts_updates", "logs.learning_rate_is_that_of_the_last_update"
CASE = Case(experiment="train_once", scenario=Scenario(arguments={"max_steps": 1}, data=Data(n=2)))
INFINITE = CASE.replace(scenario=CASE.scenario.replace(components=Components(poisoned=((0, float("inf")),))))


def finding(case: Case = CASE, name: str = STEPS) -> Finding:
    return Finding(name, "violated", "global_step", "too small", 2, 1, "", None, case)


def campaign(folder: Path, carry_out: Callable[..., Result], *seen: Finding, **changes: Any) -> tuple[Campaign, State]:
    home = StateFolder(folder / "state")
    home.path.mkdir(exist_ok=True)
    state = home.read("x", 5)
    for each in seen:
        state.note(Seen.of(each.key, each, example="", shrunk=True))
    home.write(state)
    plan = Plan(**{"experiments": ("train_once",), "properties": (STEPS, LOGS), **changes})
    keeper = Keeper(Store(folder / "examples"), "x", via="fuzz")
    read = home.read("x", 0)  # as a later start has it
    return Campaign(wrap(Trainer), plan, home, read, keeper, workers=carry_out), read


def replays_of(folder: Path, *seen: Finding, **changes: Any) -> list[Any]:
    asked: list[Any] = []

    def carry_out(subject: Any, plan: Plan, listener: Any, **options: Any) -> Result:
        asked.extend(plan.replayed)
        return Result(seed=plan.seed)

    campaign(folder, carry_out, *seen, **changes)[0].run(2.0)
    return asked


# ---- time --------------------------------------------------------------------------------------------------------------------


def test_what_is_judged_first_counts_for_the_time(tmp_path: Path) -> None:
    given: list[tuple[int, float]] = []

    def carry_out(subject: Any, plan: Plan, listener: Any, **options: Any) -> Result:
        given.append((len(plan.replayed), plan.seconds or 0.0))
        time.sleep(0.5)
        return Result(seed=plan.seed, runs=len(given) % 3)

    campaign(tmp_path, carry_out, finding())[0].run(60.0)
    assert [number for number, _ in given] == [1, 0, 0]
    (_, first), (_, second), (_, third) = given
    assert first == 0.0
    assert third < second < 59.5
    assert StateFolder(tmp_path / "state").read("x", 0).rounds == 2


def test_a_time_in_which_nothing_could_be_run_is_no_clean_result(tmp_path: Path) -> None:
    result = campaign(tmp_path, lambda *_, **__: Result(seed=1))[0].run(0.5)
    (error,) = result.errors
    assert error == "0.5 s are over before anything could be run: it takes more --hours"


def test_a_subject_that_can_train_nothing_is_not_tried_for_hours(tmp_path: Path) -> None:
    rounds: list[int] = []

    def carry_out(subject: Any, plan: Plan, listener: Any, **options: Any) -> Result:
        rounds.append(plan.seed)
        counts = {name: ExperimentCount(name) for name in ("train_once", "collate")}
        counts["collate"].examples, counts["train_once"].refused = 9, 5
        return Result(seed=plan.seed, runs=14, experiments=counts, refusals={"ValueError: not today": 5})

    result = campaign(tmp_path, carry_out)[0].run(60.0)
    assert len(rounds) == 1
    assert nothing_trained(result) == "not one training run could be judged: ValueError: not today"


def test_an_example_that_is_refused_does_not_end_the_night(tmp_path: Path) -> None:
    rounds: list[int] = []

    def carry_out(subject: Any, plan: Plan, listener: Any, **options: Any) -> Result:
        rounds.append(len(plan.replayed))
        counts = {"train_once": ExperimentCount("train_once")}
        counts["train_once"].examples = 0 if plan.replayed else 3
        return Result(seed=plan.seed, runs=1 if len(rounds) < 3 else 0, experiments=counts, refusals={"ValueError: not this one": 1})

    result = campaign(tmp_path, carry_out, finding())[0].run(60.0)
    assert rounds == [1, 0, 0]
    assert nothing_trained(result) == ""


# ---- what only the state knows -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [CASE, INFINITE], ids=["plain", "infinite"])
def test_what_only_the_state_knows_is_judged_again_as_often_as_a_flaky_one_needs(tmp_path: Path, case: Case) -> None:
    (replay,) = replays_of(tmp_path, finding(case))
    assert (replay.case, replay.property, replay.attempts) == (case, STEPS, ATTEMPTS)
    assert STEPS in replay.id


def test_cases_survive_the_file_whatever_numbers_they_have(tmp_path: Path) -> None:
    home, state = StateFolder(tmp_path), State(subject="x", seed=1)
    state.note(Seen.of(finding(INFINITE).key, finding(INFINITE), example="", shrunk=True))
    home.write(state)
    (seen,) = home.read("x", 0).violations
    assert case_of(seen) == INFINITE


@pytest.mark.parametrize("changes", [{"properties": (LOGS,)}, {"experiments": ("resume",), "properties": (STEPS, "resume.finishes")}])
def test_a_narrower_start_leaves_other_violations_alone(tmp_path: Path, changes: Any) -> None:
    changes["properties"] = tuple(name for name in changes["properties"] if name in PROPERTIES)
    assert replays_of(tmp_path, finding(), **changes) == []
    assert [each.key[0] for each in StateFolder(tmp_path / "state").read("x", 0).violations] == [STEPS]


def test_what_is_fixed_is_forgotten(tmp_path: Path) -> None:
    def carry_out(subject: Any, plan: Plan, listener: Any, **options: Any) -> Result:
        for each in plan.replayed:
            listener(Replayed(each.id, FIXED if each.property == STEPS else "FAILING", None, ""))
        return Result(seed=plan.seed)

    campaign(tmp_path, carry_out, finding(), finding(name=LOGS))[0].run(2.0)
    assert [each.key[0] for each in StateFolder(tmp_path / "state").read("x", 0).violations] == [LOGS]


def test_those_of_earlier_starts_are_told_apart() -> None:
    state = State(subject="x", seed=1)
    for name in (STEPS, LOGS):
        state.note(Seen.of(finding(name=name).key, finding(name=name), example="", shrunk=True))
    keys = {each.key for each in state.violations}
    assert [each.key[0] for each in earlier(state, keys, {finding().key})] == [STEPS]
    assert earlier(state, {finding(name=LOGS).key}, {finding().key}) == []


# ---- what ends a start -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StateError("state.json: No space left on device"), "state.json: No space left on device"),
        (SubjectError("make returned None"), "make returned None"),
        (OSError(errno.EAGAIN, "no more processes"), "BlockingIOError: [Errno 11] no more processes"),
    ],
    ids=["state", "subject", "system"],
)
def test_what_was_found_before_the_trouble_is_told(tmp_path: Path, error: Exception, told: str) -> None:
    def carry_out(subject: Any, plan: Plan, listener: Any, **options: Any) -> Result:
        listener(Progress(70, 900, 7.0, 0.5, "train_once"))
        listener(FirstSeen(finding()))
        raise error

    result = campaign(tmp_path, carry_out)[0].run(300.0)
    assert [each.finding for each in result.violations] == [finding()]
    assert (result.errors, result.runs, result.evaluations) == ([told], 70, 900)


def test_runs_are_counted_once_where_the_state_can_not_be_written_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: StateFolder, state: State) -> None:
        raise StateError("state.json: No space left on device")

    def carry_out(subject: Any, plan: Plan, listener: Any, **options: Any) -> Result:
        listener(Progress(70, 900, 7.0, 0.5, "train_once"))
        monkeypatch.setattr(StateFolder, "write", full)
        return Result(seed=plan.seed, runs=71, evaluations=910, violations=[Violation(finding(), finding(), 1.0, True, 3)])

    result = campaign(tmp_path, carry_out)[0].run(60.0)
    assert (result.runs, result.evaluations, len(result.violations)) == (71, 910, 1)
    assert result.errors == ["state.json: No space left on device"]


def test_trouble_before_anything_was_run_is_trouble(tmp_path: Path) -> None:
    def carry_out(*_: Any, **__: Any) -> Result:
        raise SubjectError("make returned None")

    with pytest.raises(SubjectError, match="make returned None"):
        campaign(tmp_path, carry_out)[0].run(300.0)


def test_ctrl_c_between_two_rounds_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(self: StateFolder, state: State) -> None:
        signal.raise_signal(signal.SIGINT)

    def carry_out(*_: Any, **__: Any) -> Result:
        raise AssertionError("another round")

    begun, _ = campaign(tmp_path, carry_out)
    monkeypatch.setattr(StateFolder, "write", write)
    assert begun.run(300.0).interrupted


# ---- files -------------------------------------------------------------------------------------------------------------------


def test_damaged_hints_are_set_aside(tmp_path: Path) -> None:
    lines: list[str] = []
    folder = StateFolder(tmp_path, lines.append)
    for text in ("{", '{"tallies": {"x": {"spent": -1}}}', "\xff", ""):
        (tmp_path / "board.json").write_text(text, encoding="latin-1")
        with folder.board().opened() as notes:
            assert notes == Notes()
        assert (tmp_path / "board.json.damaged").read_text(encoding="latin-1") == text
    (tmp_path / "seen.bits").write_bytes(b"short")
    assert folder.bitmap().count() == 0
    assert (tmp_path / "seen.bits.damaged").read_bytes() == b"short"
    assert [line.partition(": ")[0] for line in lines] == [str(tmp_path / "board.json")] * 4 + [str(tmp_path / "seen.bits")]
    assert all("\n" not in line and "set aside as" in line for line in lines)


@pytest.mark.parametrize("name", ["board.json", "board.lock", "board.new", "seen.bits"])
def test_links_and_pipes_are_not_followed_nor_waited_for(tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine", encoding="utf-8")
    folder = StateFolder(tmp_path / "state")
    folder.path.mkdir()
    (folder.path / name).symlink_to(elsewhere)
    with pytest.raises(StateError, match=r"state"):
        folder.bitmap() if name == "seen.bits" else folder.board()
    assert elsewhere.read_text(encoding="utf-8") == "mine"
    (folder.path / name).unlink()
    os.mkfifo(folder.path / name)
    try:
        folder.bitmap() if name == "seen.bits" else folder.board()
    except StateError as error:
        assert "\n" not in str(error)  # noqa: PT017  either will do, as long as it ends


def test_room_for_the_bitmap_is_taken_when_it_is_made(tmp_path: Path) -> None:
    StateFolder(tmp_path).bitmap()
    assert (tmp_path / "seen.bits").stat().st_blocks * 512 >= BYTES


def test_a_bitmap_without_room_is_trouble_and_leaves_no_part_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = os.pwrite
    monkeypatch.setattr("os.pwrite", lambda handle, content, offset: usual(handle, content[:1000], offset))
    with pytest.raises(StateError, match=r"seen\.bits: No space left on device"):
        StateFolder(tmp_path).bitmap()
    assert (tmp_path / "seen.bits").stat().st_size == 0


def test_a_file_system_without_locks_is_told_apart_from_another_campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lockf(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.lockf", lockf)
    with pytest.raises(StateError, match=r"lock: No locks available"), StateFolder(tmp_path).held():
        pass


# ---- full disks --------------------------------------------------------------------------------------------------------------


class Full(Trainer):
    """Finds no room for its checkpoint."""

    error: Exception = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        raise self.error


class SaysLittle(Full):
    error = RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")


class SaysItInWords(Full):
    error = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")


SAVING = Case(experiment="train_and_save", scenario=Scenario(arguments={"max_steps": 1, "save_strategy": "steps", "save_steps": 1}))


@pytest.mark.parametrize("subject", [Full, SaysItInWords])
def test_a_full_disk_is_no_violation(subject: type[Trainer]) -> None:
    judged = judge(SAVING, wrap(subject), list(PROPERTIES.values()))
    assert judged.findings == ()
    assert judged.could_not_run is not None
    assert judged.could_not_run.startswith("no room is left on the disk")


def test_what_does_not_say_so_is_one_only_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judge(SAVING, wrap(SaysLittle), list(PROPERTIES.values())).findings
    usual = os.statvfs

    def statvfs(path: Any) -> os.statvfs_result:
        found = list(usual(path))
        found[4] = 1  # f_bavail
        return os.statvfs_result(found)

    monkeypatch.setattr("os.statvfs", statvfs)
    assert judge(SAVING, wrap(SaysLittle), list(PROPERTIES.values())).could_not_run is not None


# ---- what else may be full, or gone ------------------------------------------------------------------------------------------


def test_an_example_that_somebody_else_has_stored_is_not_forgotten(tmp_path: Path) -> None:
    ours, theirs = (Keeper(Store(tmp_path), "x", via="fuzz") for _ in range(2))
    once, otherwise = finding(), dataclasses.replace(finding(), verdict="nondeterministic")
    theirs.before(lambda event: None)(FirstSeen(once))
    ours.before(lambda event: None)(FirstSeen(once))
    (path,) = tmp_path.glob("*.json")
    ours.before(lambda event: None)(Shrunk(Violation(otherwise, once, 1.0, True, 3)))
    assert path.exists()
    assert len(list(tmp_path.glob("*.json"))) == 2
    theirs.before(lambda event: None)(Shrunk(Violation(otherwise, once, 1.0, True, 3)))
    assert not path.exists()


def test_a_script_that_can_not_be_run_is_no_end_of_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **options: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("verify", "supervise"):
        monkeypatch.setattr(f"trainer_props.keeper.{name}", full)
    assert verified("#") == "it could not be run: [Errno 28] No space left on device"
    assert afresh(finding(), wrap(Trainer)) is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_what_can_not_be_printed_ends_nothing() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        console = make_console(full)
        for _ in range(3):
            console.print("fuzzing")
        assert console.quiet
