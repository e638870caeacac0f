"""Violations are stored at once, replayed first, and handed over as scripts; a kill loses nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trainer_props
from trainer_props import checking, cli
from trainer_props.case import Case
from trainer_props.engine import Finding
from trainer_props.regressions import Example, Pending, Store
from trainer_props.scenario import Data, Scenario

HERE = Path(__file__).parent
Run = Callable[..., tuple[int, str, str]]

GLOBAL_STEP = "steps.global_step_counts_updates"
FINISHES = "steps.run_finishes"
TWO_STEPS = Case(scenario=Scenario(arguments={"max_steps": 2}, data=Data(n=3)))
DECAY = Case(scenario=Scenario(arguments={"max_steps": 2, "weight_decay": 0.1}, data=Data(n=3)))
LATE = Finding(GLOBAL_STEP, "violated", "global_step", "too small", 2, 1, "", None, TWO_STEPS)
CHECK = ("--experiment", "train_once", "--property", GLOBAL_STEP, "--max-examples", "10", "--seed", "1")


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A folder of examples, not made yet."""
    return tmp_path / "examples"


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, examples: Path) -> Run:
    """Run a command on these examples in this process: exit code, output, errors."""
    monkeypatch.chdir(HERE)
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("COLUMNS", "200")

    def call(command: str, *arguments: str) -> tuple[int, str, str]:
        code = cli.run((command, *arguments, "--regressions", str(examples)))
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture
def no_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts take seconds to run: only some tests are about them."""
    from trainer_props import keeper

    monkeypatch.setattr(keeper, "verified", lambda text, stop=None: "")


def stored(folder: Path, subject: str, finding: Finding = LATE) -> str:
    """Store an example; its id."""
    return Store(folder).add(Example.of(finding, subject=subject, via="check")).stem


# ---- check -------------------------------------------------------------------------------------------------------------------


def test_a_violation_is_stored_scripted_and_replayed(run: Run, examples: Path, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    code, out, err = run("check", "subjects:Late", *CHECK, "--json", str(result))
    assert (code, err) == (1, "")
    (one,) = Store(examples).read().examples
    assert (one.example.property, one.example.subject, one.example.via) == (GLOBAL_STEP, "subjects:Late", "check")
    assert one.example.case.scenario.data.n == 1  # the shrunk one
    assert f"  stored    {one.path}\n  again     trainer-props replay {one.path.stem} --regressions {examples}\n" in out
    assert f"  script    trainer-props script {one.path.stem} --regressions {examples}\n" in out
    assert f"verified {one.path.with_suffix('.py')}\n" in out
    (violation,) = json.loads(result.read_text(encoding="utf-8"))["violations"]
    assert violation["regression"] == str(one.path)
    assert violation["script"] == str(one.path.with_suffix(".py"))
    assert violation["script_verified"] is True
    assert sorted(path.name for path in examples.iterdir()) == [one.path.name, one.path.with_suffix(".py").name]

    before = one.path.read_bytes()
    code, out, err = run("check", "subjects:Late", *CHECK, "--json", str(result))
    assert (code, err) == (1, "")
    assert "\nreplaying 1 regression example of " in out
    assert f"FAILING {one.path.stem}: global_step too small\n" in out
    assert "replayed 1 case of earlier failures: 1 FAILING\n" in out
    assert one.path.read_bytes() == before
    told = json.loads(result.read_text(encoding="utf-8"))["examples"]
    assert told == [{"id": one.path.stem, "file": str(one.path), "status": "FAILING", "reason": "global_step too small"}]


def test_a_script_shows_what_a_fresh_process_sees(run: Run, examples: Path) -> None:
    identifier = "repeat.the_same_seed_gives_the_same_logs"
    code, out, err = run("check", "subjects:Remembers", "--experiment", "repeat", "--property", identifier, *CHECK[4:])
    assert (code, err) == (1, "")
    (one,) = Store(examples).read().examples
    assert f"\nverified {one.path.with_suffix('.py')}\n" in out
    assert len(one.example.observed) > 2 * len(one.example.expected)  # that of the session: entries of all of its runs
    text = one.path.with_suffix(".py").read_text(encoding="utf-8")
    found = re.findall(r"(?:expected|observed): (\[(?:.|\n# {6})*)", text)
    expected, observed = (json.loads(re.sub(r"\n# +", " ", each)) for each in found)
    assert len(observed) == 2 * len(expected)


def test_only_examples_of_the_subject_and_of_what_is_chosen_are_replayed(run: Run, examples: Path) -> None:
    stored(examples, "transformers:Trainer")
    stored(examples, "subjects:Late")
    code, out, err = run("check", "transformers.trainer:Trainer", *CHECK)  # known by another name too
    assert (code, err) == (0, "")
    assert "replayed 1 case of earlier failures: 1 FIXED\n" in out
    code, out, _ = run("check", "transformers:Trainer", "--property", FINISHES, *CHECK[:2], *CHECK[4:])
    assert code == 0
    assert "replay" not in out
    code, out, _ = run("check", "transformers:Trainer", "--model", "regression_dict", *CHECK)
    assert "replay" not in out
    assert len(Store(examples).read().examples) == 2  # what is fixed stays


@pytest.mark.usefixtures("no_scripts")
def test_what_is_fixed_stays_beside_a_new_violation_of_the_same_kind(run: Run, examples: Path) -> None:
    holds = TWO_STEPS.replace(scenario=Scenario(arguments={"max_steps": 1}, data=Data(n=1)))  # one update is taken even so
    name = stored(examples, "subjects:Late", Finding(GLOBAL_STEP, "violated", "global_step", "too small", 1, 0, "", None, holds))
    code, out, _ = run("check", "subjects:Late", *CHECK)
    assert code == 1
    assert "replayed 1 case of earlier failures: 1 FIXED\n" in out
    files = {each.path.stem: each.example for each in Store(examples).read().examples}
    assert set(files) == {name, f"{name}-2"}
    assert files[name].case == holds


@pytest.mark.usefixtures("no_scripts")
def test_damaged_files_are_named_and_left_alone(run: Run, examples: Path) -> None:
    examples.mkdir()
    (examples / "torn.json").write_text('{"format": 1, ', encoding="utf-8")
    (examples / "future.json").write_text('{"format": 99}', encoding="utf-8")
    code, out, err = run("check", *CHECK)
    assert (code, err) == (0, "")
    assert f"skipped {examples / 'torn.json'}: not JSON" in out
    assert f"skipped {examples / 'future.json'}: format 99 is unknown: this version reads format 1" in out
    code, out, _ = run("replay")
    assert code == 0
    assert f"skipped {examples / 'torn.json'}: not JSON" in out
    assert sorted(path.name for path in examples.iterdir()) == ["future.json", "torn.json"]


def test_a_folder_that_can_not_be_written_to_is_told(run: Run, examples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "add", full)
    code, out, err = run("check", "subjects:Late", *CHECK)
    assert (code, err) == (1, "")
    assert f"\n  not stored: {examples}: No space left on device\n" in out


def test_known_bugs_are_not_stored(run: Run, examples: Path) -> None:
    where = ("--experiment", "build_arguments", "--property", "arguments.silent_setters*", "--max-examples", "12", "--seed", "1")
    code, out, _ = run("check", *where)
    assert code == 0
    assert "known bugs seen" in out
    assert not examples.exists()


# ---- replay ------------------------------------------------------------------------------------------------------------------


def test_replay_says_what_has_become_of_each(run: Run, examples: Path, tmp_path: Path) -> None:
    late, fixed = stored(examples, "subjects:Late"), stored(examples, "transformers:Trainer")
    gone = stored(examples, "subjects:Gone")
    result = tmp_path / "result.json"
    code, out, err = run("replay", "--json", str(result))
    assert (code, err) == (1, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert f"FAILING {late} global_step too small: expected 2, observed 1" in lines
    assert f"trainer-props replay {late} --regressions {examples} explains it" in lines
    assert "case " not in out
    assert f"FIXED {fixed}" in lines
    assert f"CANNOT RUN {gone} subject 'subjects:Gone': subjects has no 'Gone'" in lines
    data = json.loads(result.read_text(encoding="utf-8"))
    assert (data["format"], data["command"]) == (1, "replay")
    assert {each["id"]: each["status"] for each in data["examples"]} == {late: "FAILING", fixed: "FIXED", gone: "CANNOT RUN"}
    assert [each["regression"] for each in data["violations"]] == [str(examples / f"{late}.json")]
    assert run("replay", fixed)[0] == 0
    _, out, _ = run("replay", late)
    assert out.count("\n  case      Case(") == 1
    assert f"\n  script    trainer-props script {late} --regressions {examples}\n" in out
    assert run("replay", str(examples / f"{fixed}.json"), str(examples))[0] == 1
    assert run("replay", gone)[0] == 2


def test_replay_of_what_is_known(run: Run, examples: Path) -> None:
    from trainer_props.known_bugs import KNOWN_BUGS

    bug = KNOWN_BUGS["accumulation-inflates-loss"]
    finding = Finding(bug.properties[0], "violated", "loss", "too large", 1.0, 2.0, "", bug.id, bug.example)
    name = stored(examples, "transformers:Trainer", finding)
    code, out, _ = run("replay")
    assert code == 0
    assert re.search(rf"^KNOWN +{re.escape(name)} +{bug.id}$", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["replay", "steps.global_step_counts_update"], "there is no example 'steps.global_step_counts_update"),
        (["replay", "no/such.json"], "no/such.json: No such file or directory"),
        (["replay", str(HERE / "snapshots" / "events.txt")], "there is no example"),
        (["replay", "--json", "no/such/folder/result.json"], "--json no/such/folder/result.json: the folder no/such/folder does not exist"),
        (["script", "nothing"], "there is no example 'nothing'"),
        (["script"], "Missing argument"),
    ],
)
def test_mistake_is_one_line(run: Run, arguments: list[str], line: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("trainer-props: ")
    assert line in err
    assert err.count("\n") == 1


def test_nothing_to_replay(run: Run, examples: Path) -> None:
    assert run("replay") == (0, f"no regression examples in {examples}\n", "")
    assert not examples.exists()


# ---- script ------------------------------------------------------------------------------------------------------------------


def test_script_of_an_example(run: Run, examples: Path, tmp_path: Path) -> None:
    name = stored(examples, "subjects:Late")
    code, out, err = run("script", name)
    assert (code, err) == (0, "trainer-props: verified: the script was run, and fails in the same way\n")
    assert "import trainer_props" not in out
    assert "from subjects import Late" in out


def test_script_of_what_is_fixed(run: Run, examples: Path, tmp_path: Path) -> None:
    name = stored(examples, "transformers:Trainer")
    code, out, err = run("script", name, "--output", str(tmp_path / "script.py"))
    assert (code, out) == (2, "")
    assert f"{name} does not fail, so there is nothing to show: the property holds now" in err
    assert not (tmp_path / "script.py").exists()


# ---- what ran when everything was killed -------------------------------------------------------------------------------------


def killed(tmp_path: Path, examples: Path) -> str:
    """A check whose processes are gone at once; what it printed."""
    arguments = tmp_path / "held.json"
    arguments.write_text(json.dumps({"weight_decay": 0.1, "max_steps": 2}), encoding="utf-8")
    (tmp_path / "tmp").mkdir(exist_ok=True)
    ended = subprocess.run(
        [sys.executable, "-c", "from trainer_props.cli import main; main()", "check", "subjects:Deadly", *CHECK,
         "--arguments", str(arguments), "--regressions", str(examples)],
        cwd=HERE, env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), "OMP_NUM_THREADS": "1", "TEST_MARKER": str(tmp_path / "begun")},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ended.returncode == -9, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("command", ["check", "replay"])
@pytest.mark.usefixtures("no_scripts")
def test_a_killed_check_leaves_word_of_what_ran(
    command: str, run: Run, examples: Path, short_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(short_tmp_path, examples)
    (left,) = examples.iterdir()
    assert left.name.startswith(".running-")
    monkeypatch.setenv("TEST_MARKER", str(short_tmp_path / "begun"))
    where = ("subjects:Deadly", *CHECK) if command == "check" else ()
    code, out, _ = run(command, *where)
    assert code == 1
    (line,) = [line for line in out.splitlines() if line.startswith("starting with what ran when an earlier session was killed: Case(")]
    assert "'weight_decay': 0.1" in line
    assert "ended by exit code 7" in out
    (one,) = Store(examples).read().examples
    assert (one.example.property, one.example.verdict, one.example.via) == (FINISHES, "crashed", command)
    assert not left.exists()
    assert "starting with" not in run(command, *where)[1]


@pytest.mark.usefixtures("no_scripts")
def test_what_ran_on_another_subject_is_left_for_it(run: Run, examples: Path) -> None:
    pending = Pending(examples)
    pending.note(TWO_STEPS, "transformers:Trainer")
    (path,) = examples.iterdir()
    content = path.read_bytes()
    pending.close()
    examples.mkdir()
    path.write_bytes(content)  # as after a kill
    assert "starting with" not in run("check", "subjects:Late", "--first-failure", *CHECK)[1]
    assert path.exists()
    code, out, _ = run("check", *CHECK)
    assert code == 0
    assert "starting with what ran when an earlier session was killed: Case(" in out
    assert not path.exists()


# ---- pytest ------------------------------------------------------------------------------------------------------------------


def case(subject: Any, regressions: Path | None, **options: Any) -> checking.SubjectCase:
    chosen = {"experiments": ["train_once"], "properties": [GLOBAL_STEP], "max_examples": 12, **options}
    (made,) = trainer_props.parametrize(subject, regressions=regressions, **chosen).args[1]  # type: ignore[attr-defined]
    assert isinstance(made, checking.SubjectCase)
    return made


def test_pytest_stores_and_replays(examples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    with pytest.raises(trainer_props.Violations) as raised:
        case("subjects:Late", examples).check()
    (one,) = Store(examples).read().examples
    assert (one.example.via, one.example.subject) == ("pytest", "subjects:Late")
    assert str(raised.value.exceptions[0]).endswith(f"\n  trainer-props replay {one.path.stem} --regressions {examples}")
    result = case("subjects:Late", examples).run()
    assert [(Path(each.id), each.status) for each in result.replayed] == [(one.path, "FAILING")]
    assert [path.name for path in examples.iterdir()] == [one.path.name]


def test_pytest_survives_an_example_that_ends_its_process(examples: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("TEST_MARKER", str(tmp_path))
    stored(examples, "subjects:Deadly", Finding(FINISHES, "crashed", "the run", "ended by exit code 7", "it ends", "?", "", None, DECAY))
    with pytest.raises(trainer_props.Violations) as raised:
        case("subjects:Deadly", examples, properties=[FINISHES], arguments={"weight_decay": 0.0}).check()
    (error,) = raised.value.exceptions
    assert isinstance(error, checking.ViolationError)
    assert (error.finding.verdict, error.finding.case) == ("crashed", DECAY)


def test_pytest_finds_the_folder_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    (tmp_path / "pyproject.toml").write_text('[tool.trainer-props]\nregressions = "guards"\n', encoding="utf-8")
    monkeypatch.setattr(checking, "root", tmp_path)
    with pytest.raises(trainer_props.Violations) as raised:
        case("subjects:Late", None).check()
    (one,) = Store(tmp_path / "guards").read().examples
    assert str(raised.value.exceptions[0]).endswith(f"\n  trainer-props replay {one.path.stem}")
    (tmp_path / "pyproject.toml").write_text('[tool.trainer-props]\nregressions = "../elsewhere"\n', encoding="utf-8")
    with pytest.raises(ValueError, match="is outside the project"):
        case("subjects:Late", None).check()
