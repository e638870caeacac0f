"""Standalone scripts, from a finding to a process that shows it."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.events import Finding
from trainer_props.engine.judging import judge
from trainer_props.judgement import Check, Measured
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.properties import PROPERTIES
from trainer_props.running import prepared
from trainer_props.scenario import Components, Data, Scenario
from trainer_props.scripts import verifying, writing
from trainer_props.scripts.verifying import verify
from trainer_props.scripts.writing import NoScript, script

SUBJECT = subjects.load(subjects.DEFAULT)
SNAPSHOT = Path(__file__).parent / "snapshots" / "script.txt"


@pytest.fixture(autouse=True)
def _prepared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # a script has its own
    with prepared():
        yield


def findings(case: Case, subject: subjects.Subject = SUBJECT) -> Sequence[Finding]:
    return judge(case, subject, list(PROPERTIES.values())).findings


def of_bug(name: str) -> list[Finding]:
    return [finding for finding in findings(KNOWN_BUGS[name].example) if finding.known_bug == name]


def run_here(text: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """What `main()` of a script returns and prints, in this process."""
    namespace: dict[str, Any] = {"__name__": "script"}
    exec(compile(text, "script.py", "exec"), namespace)  # noqa: S102  what a script is for
    capsys.readouterr()
    return namespace["main"](), capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(KNOWN_BUGS))
def test_scripts_of_known_bugs_show_them(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = of_bug(name)
    assert found
    for finding in found:
        text = script(finding, SUBJECT)
        code, output = run_here(text, capsys)
        assert verifying.shows(text, code, output), (finding.property, output)
        assert "trainer_props" not in text


@pytest.mark.parametrize(
    ("relation", "expected", "observed", "code"),
    [
        ("same", 1, "steps.number_of_updates", 0),
        ("same", 2, "steps.number_of_updates", 1),
        ("at_most", 1, "steps.number_of_updates", 0),
        ("at_most", 0, "steps.number_of_updates", 1),
        ("at_least", 1, "steps.number_of_updates", 0),
        ("at_least", 2, "steps.number_of_updates", 1),
        ("close", 1.0000001, "steps.number_of_updates", 0),
        ("close", 1.1, "steps.number_of_updates", 1),
        ("close", [1.0, 2.0], "steps.batches_before_updates", 1),
        ("close", [1.0], "steps.batches_before_updates", 0),
        ("close", [float("nan")], "steps.batches_before_updates", 1),
        ("same", [float("inf")], "steps.batches_before_updates", 1),
        ("same", [1], "steps.batches_before_updates", 0),
        ("true", True, "callbacks.events_follow_the_grammar", 0),
    ],
)
def test_every_relation_holds_or_not(relation: str, expected: Any, observed: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    case = Case(scenario=Scenario(arguments={"max_steps": 1}, data=Data(n=1)))
    check = Check(relation, Measured(1, observed), None, 1e-6)
    finding = Finding("steps.optimizer_steps_are_global_steps", "violated", "x", "different", expected, 1, "", None, case, check)
    assert run_here(script(finding, SUBJECT), capsys)[0] == code


def test_what_the_printing_callback_takes_away_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    case = Case(scenario=Scenario(arguments={"max_steps": 1}, data=Data(n=1)))
    check = Check("true", Measured(False, "logs.history_ends_with_a_summary"))
    finding = Finding("logs.last_log_is_the_summary", "violated", "log history", "incomplete", "", "", "", None, case, check)
    assert run_here(script(finding, SUBJECT), capsys)[0] == 0


def test_nan_is_the_same_as_nan(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = {"max_steps": 1, "logging_steps": 1, "logging_nan_inf_filter": False}
    components = Components(poisoned=((0, float("nan")),))
    case = Case(scenario=Scenario(arguments=arguments, data=Data(n=1), components=components))
    for expected, code in (([float("nan")], 0), ([1.0], 1)):
        for relation in ("same", "close"):
            check = Check(relation, Measured([float("nan")], "logs.logged_losses", ([0],)))
            property_id = "logs.logged_loss_is_the_mean_since_the_last_log"
            finding = Finding(property_id, "violated", "x", "different", expected, [1], "", None, case, check)
            assert run_here(script(finding, SUBJECT), capsys)[0] == code


def test_of_a_long_list_only_the_part_that_differs_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    case = Case(scenario=Scenario(arguments={"max_steps": 40}, data=Data(n=1)))
    observed = list(range(1, 41))
    for expected, part in (([*observed[:30], 0, *observed[31:]], "[26:34] of 40"), ([*observed, 41], "[36:44] of 41")):
        check = Check("same", Measured(observed, "steps.batches_before_updates"))
        finding = Finding("steps.updates_close_windows", "violated", "x", "different", expected, observed, "", None, case, check)
        text = script(finding, SUBJECT)
        code, output = run_here(text, capsys)
        assert part in text
        assert verifying.shows(text, code, output), output


def test_the_text_of_a_script() -> None:
    finding = next(each for each in of_bug("stream-leftover-gradient") if each.property == "steps.updates_close_windows")
    text = re.sub(r"^# Versions: .*$", "# Versions: ...", script(finding, SUBJECT), flags=re.MULTILINE)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert text == SNAPSHOT.read_text(encoding="utf-8")


def test_scripts_say_versions_and_sources() -> None:
    text = script(of_bug("stream-epoch-of-all-steps")[0], SUBJECT)
    head = text.partition("\n\n")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert re.search(r"^# Versions: transformers \S+, accelerate \S+, torch \S+, Python \S+$", head, re.MULTILINE)
    assert "https://github.com/huggingface/transformers/issues/41913" in head


TRAINER = """\
import os, signal, time

import transformers


class MyTrainer(transformers.Trainer):
    def training_step(self, *args, **kwargs):
        {step}
"""
CASE = Case(scenario=Scenario(arguments={"max_steps": 1, "per_device_train_batch_size": 1}, data=Data(n=1)))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a module that scripts and this process can import."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "my_trainer.py"
    sys.modules.pop("my_trainer", None)


def test_a_script_shows_a_broken_trainer_until_it_is_mended(module: Path) -> None:
    module.write_text(TRAINER.format(step="return 2 * super().training_step(*args, **kwargs)"), encoding="utf-8")
    broken = subjects.load("my_trainer:MyTrainer")
    logged = CASE.replace(scenario=CASE.scenario.with_arguments(logging_steps=1))
    finding = next(each for each in findings(logged, broken) if each.property.startswith(("logs.", "loss.")))
    text = script(finding, broken)
    verified = verify(text, path=[str(module.parent)])
    assert verified.shows, verified.output
    module.write_text(TRAINER.format(step="return super().training_step(*args, **kwargs)"), encoding="utf-8")
    mended = verify(text, path=[str(module.parent)])
    assert (mended.shows, mended.code) == (False, 0), mended.output
    missing = verify(text)
    assert (missing.shows, missing.code) == (False, 2)
    assert "ModuleNotFoundError: No module named 'my_trainer'" in missing.output


@pytest.mark.parametrize(("step", "seconds"), [("os.kill(os.getpid(), signal.SIGSEGV)", 60), ("time.sleep(100)", 1)])
def test_a_run_that_ends_its_process_or_hangs_is_shown(module: Path, monkeypatch: pytest.MonkeyPatch, step: str, seconds: int) -> None:
    monkeypatch.setattr(writing, "SECONDS", seconds)
    module.write_text(TRAINER.format(step=step), encoding="utf-8")
    finding = Finding("steps.run_finishes", "crashed", "the run", "killed by SIGSEGV", "it ends", "killed by SIGSEGV", "", None, CASE)
    text = script(finding, subjects.load("my_trainer:MyTrainer"))
    verified = verify(text, path=[str(module.parent)])
    assert verified.shows, verified.output


def test_what_can_not_be_shown_is_said() -> None:
    finding = of_bug("max-steps-zero-trains")[0]
    with pytest.raises(NoScript, match="does not say how it measured"):
        script(dataclasses.replace(finding, check=None), SUBJECT)
    with pytest.raises(NoScript, match="identical runs differ"):
        script(dataclasses.replace(finding, verdict="nondeterministic"), SUBJECT)


def said(observed: str, body: str) -> str:
    return f"#   observed: {observed}\nimport os, sys, time\n{body}\n"


@pytest.mark.parametrize(
    ("observed", "body", "shows", "code"),
    [
        ("[1, 0.5]", "print('observed: [1, 0.50000001]'); sys.exit(1)", True, 1),
        ("[1, 0.5]", "print('observed: [1, 0.6]'); sys.exit(1)", False, 1),
        ("[1, 0.5]", "print('observed: [1, 0.5]'); sys.exit(0)", False, 0),
        ("1", "raise ValueError", False, 1),
        ("1", "print('observed: True'); sys.exit(1)", False, 1),
        ("NaN", "print('observed: NaN'); sys.exit(1)", True, 1),
        ('"No /.../a"', "print('observed: \"No /here/there/a\"'); sys.exit(1)", True, 1),
        ('"No /.../a"', "print('observed: \"No output_dir/b/a\"'); sys.exit(1)", True, 1),
        ('"of https://b/a and c/a"', "print('observed: \"of https://b/a and b/a\"'); sys.exit(1)", False, 1),
        ('[["eval_runtime", "..."], ["x", 2]]', "print('observed: [[\"eval_runtime\", 0.5], [\"x\", 2]]'); sys.exit(1)", True, 1),
        ("anything", "print('is so: false'); sys.exit(1)", True, 1),
        ("1", "os.kill(os.getpid(), 9)", False, -9),
        ("1", "print('observed: 1', flush=True); time.sleep(60)", False, None),
    ],
)
def test_only_what_was_found_is_verified(observed: str, body: str, shows: bool, code: int | None) -> None:
    verified = verify(said(observed, body), timeout=2 if code is None else 60)
    assert (verified.shows, verified.code) == (shows, code), verified.output


@pytest.mark.parametrize(
    ("printed", "varies"),
    [
        (("[1, 0.5]", "[1, 0.7]"), True),
        (("[1, 0.5]", "[1, 0.5]"), False),
        (("[1, 0.5]", "[1, 0.7, 3]"), False),
        (("[1, 0.5]", '[1, "no number"]'), False),
        (("[1, 0.5]", "torn"), False),
    ],
)
def test_numbers_may_differ_from_run_to_run(printed: Sequence[str], varies: bool) -> None:
    runs = [verifying.Verified(False, 1, f"observed: {each}\n") for each in printed]
    assert verifying.varies(said("[2, 0.1]", ""), runs) is varies
    assert not verifying.varies(said("[2, 0.1]", ""), [runs[0], dataclasses.replace(runs[1], code=0)])


def test_a_script_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "yes")
    body = "print(sorted(os.environ), os.environ['HF_HUB_OFFLINE'], os.listdir(), os.getcwd())"
    output = verify(said("1", body)).output
    assert "HF_TOKEN" not in output
    assert "ACCELERATE" not in output
    assert "] 1 ['script.py'] " in output
    assert not Path(output.split()[-1]).exists()


def test_what_a_script_starts_is_killed_with_it(tmp_path: Path) -> None:
    sign = tmp_path / "alive"
    child = f"import time; time.sleep(2); open({str(sign)!r}, 'w')"
    body = f"import subprocess\nsubprocess.Popen([sys.executable, '-c', {child!r}])\ntime.sleep(60)"
    assert verify(said("1", body), timeout=1).code is None
    time.sleep(2)
    assert not sign.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_a_script_ends_with_the_process_that_runs_it_even_if_that_is_killed(tmp_path: Path) -> None:
    sign = tmp_path / "alive"
    script_text = said("1", f"open({str(sign)!r}, 'w').write(f'{{os.getpid()}}\\n')\ntime.sleep(600)")
    running = f"from trainer_props.scripts.verifying import verify; verify({script_text!r}, timeout=600)"
    process = subprocess.Popen([sys.executable, "-c", running], env={**os.environ, "TMPDIR": str(tmp_path)})
    try:
        _until(lambda: sign.exists() and sign.read_text(encoding="utf-8").endswith("\n"))
    finally:
        process.kill()
        process.wait()
    number = int(sign.read_text(encoding="utf-8"))
    _until(lambda: not Path(f"/proc/{number}").exists() or "\nState:\tZ" in Path(f"/proc/{number}/status").read_text(encoding="utf-8"))


def _until(so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not so():
        assert time.monotonic() < end
        time.sleep(0.05)
