"""`trainer-props check` and what is common to all commands: options, exit codes, lines on standard error, JSON, Ctrl-C."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainer_props import cli
from trainer_props.running import prepared

HERE = Path(__file__).parent
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a command in this process: exit code, output, errors. A check has a folder of examples of its own."""
    monkeypatch.chdir(HERE)
    monkeypatch.syspath_prepend(str(HERE))

    def call(*arguments: str) -> tuple[int, str, str]:
        if arguments[:1] == ("check",) and "--regressions" not in arguments:
            arguments = (*arguments, "--regressions", str(tmp_path_factory.mktemp("examples")))
        code = cli.run(arguments)
        out, err = capfd.readouterr()
        return code, out, err

    return call


def check(run: Run, *arguments: str, examples: int = 3, experiment: str = "train_once") -> tuple[int, str, str]:
    return run("check", *arguments, "--max-examples", str(examples), "--experiment", experiment, "--seed", "1")


# ---- what goes well ----------------------------------------------------------------------------------------------------------


def test_healthy_trainer(run: Run, tmp_path: Path) -> None:
    code, out, err = check(run, "--json", str(tmp_path / "result.json"))
    assert (code, err) == (0, "")
    assert out.startswith("checking transformers:Trainer (transformers ")
    assert "nothing new in transformers:Trainer: " in out
    data = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert {"format", "command", "subject", "profile", "seed", "interrupted", "versions", "seconds", "runs", "evaluations", "experiments",
            "properties", "violations", "known_bugs", "coverage"} <= set(data)  # fmt: skip
    assert (data["format"], data["command"], data["subject"]) == (1, "check", "transformers:Trainer")
    assert (data["profile"], data["seed"]) == ("quick", 1)
    assert (data["interrupted"], data["violations"]) == (False, [])
    assert set(data["versions"]) == {"transformers", "accelerate", "torch", "hypothesis", "python", "trainer_props"}
    (experiment,) = data["experiments"]
    assert experiment["name"] == "train_once"
    assert experiment["examples"] + experiment["refused"] == 3
    assert data["runs"] == 3
    assert {"id", "chapter", "experiment", "evaluated", "not_applicable", "violated", "known"} <= set(data["properties"][0])
    assert sum(each["evaluated"] for each in data["properties"]) == data["evaluations"] > 50
    assert not [each["id"] for each in data["properties"] if each["chapter"] == "arguments"]  # they belong to another experiment
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_new_violation(run: Run, tmp_path: Path) -> None:
    code, out, err = check(run, "subjects:Late", "--property", "steps.global_step*", "--json", str(tmp_path / "result.json"))
    assert (code, err) == (1, "")
    assert "violated steps.global_step_counts_updates--" in out
    assert "1 new violation in subjects:Late" in out
    (violation,) = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["violations"]
    assert {"id", "property", "verdict", "known_bug", "accepted", "expected", "observed", "divergence", "case", "shrunk", "script",
            "script_verified", "regression"} <= set(violation)  # fmt: skip
    assert violation["property"] == "steps.global_step_counts_updates"
    assert (violation["verdict"], violation["symptom"]) == ("violated", "too small")
    assert (violation["expected"], violation["observed"]) == (2, 1)
    assert violation["shrunk"]["complete"] is True
    assert violation["case"]["format"] == 1


def test_known_bugs_are_new_where_they_are_not_to_be_known(run: Run) -> None:
    where = ("--property", "arguments.silent_setters_keep_their_documented_defaults")
    code, out, _ = check(run, *where, examples=8, experiment="build_arguments")
    assert code == 0
    assert "known bugs seen" in out
    code, out, _ = check(run, *where, "--no-known", "--first-failure", examples=8, experiment="build_arguments")
    assert code == 1
    assert "known bugs seen" not in out


def test_first_failure_stops_exploring(run: Run, tmp_path: Path) -> None:
    check(run, "subjects:Late", "--property", "steps.*", "--first-failure", "--json", str(tmp_path / "result.json"), examples=50)
    (experiment,) = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["experiments"]
    assert experiment["examples"] < 10


def test_same_seed_tries_the_same(run: Run, tmp_path: Path) -> None:
    coverage = []
    for _ in range(2):
        check(run, "--json", str(tmp_path / "result.json"))
        coverage.append(json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["coverage"])
    assert coverage[0] == coverage[1]


def test_only_experiments_of_the_model(run: Run) -> None:
    where = ("--experiment", "train_[ohs]*", "--property", "steps.*")
    code, out, _ = run("check", "--model", "regression_layers", "--max-examples", "1", "--seed", "1", *where)
    assert code == 0
    assert "2 runs" in out  # train_once and train_on_streams; models of the Hub and encoder-decoders are others


def test_arguments_are_held(run: Run, tmp_path: Path) -> None:
    (tmp_path / "held.json").write_text(json.dumps({"max_steps": 2, "bf16": True}), encoding="utf-8")
    code, out, _ = check(run, "--arguments", str(tmp_path / "held.json"), "--json", str(tmp_path / "result.json"))
    assert code == 0
    assert f"{tmp_path / 'held.json'}: bf16 is not held (reduced precision" in out
    data = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert data["coverage"]["arguments"]["max_steps"] == {"2": 3}


def test_subject_with_its_own_data_is_run_where_that_makes_sense(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("check", "subjects:own_data", "--max-examples", "12", "--seed", "1", "--json", str(tmp_path / "result.json"))
    assert code == 0, out
    data = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert {each["name"] for each in data["experiments"]} == {"train_once", "train_and_save", "build_arguments"}
    assert all(each["examples"] for each in data["experiments"])
    evaluated = {each["id"] for each in data["properties"] if each["evaluated"]}
    assert {"steps.global_step_counts_updates", "optimization.optimizer_follows_its_rule"} < evaluated
    assert "checkpoints.checkpoints_hold_the_weights" in evaluated
    assert "loss.micro_batch_losses_are_the_models" not in evaluated


def test_subject_that_refuses_the_plainest_scenario_is_judged_on_others(run: Run) -> None:
    where = ("--experiment", "build_arguments", "--experiment", "train_and_save", "--max-examples", "5", "--seed", "1")
    code, out, err = run("check", "subjects:WantsEvaluation", *where)
    assert (code, err) == (0, "")
    assert "evaluation data are wanted" in out


# ---- mistakes: one line, exit code 2 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["chek"], "No such command 'chek'. Did you mean 'check'?"),
        (["check", "--secnds", "3"], "No such option: --secnds"),
        (["check", "--max-examples", "x"], "Invalid value for '--max-examples'"),
        (["check", "--max-examples", "0"], "Invalid value for '--max-examples'"),
        (["check", "--seconds", "nan"], "--seconds"),
        (["check", "--seconds", "inf"], "--seconds inf is no length of time"),
        (["check", "--profile", "nightli"], "--profile 'nightli' is none of quick, ci, nightly: did you mean 'nightly'?"),
        (["check", "--experiment", "train_onc"], "--experiment 'train_onc' matches none: did you mean 'train_once'?"),
        (["check", "--property", "stepp.*"], "--property 'stepp.*' matches none: did you mean 'steps.*'?"),
        (["check", "--property", "steps.run_finish"], "--property 'steps.run_finish' matches none: did you mean 'steps.run_finishes'?"),
        (["check", "--model", "lama"], "--model 'lama' matches none: did you mean 'llama'?"),
        (["check", "--model", "t5", "--experiment", "train_once"], "save_memory, not by train_once"),
        (["check", "--property", "arguments.set*", "--experiment", "train_once"], "judged in build_arguments, not in train_once"),
        (["fuzz", "--hours", "inf"], "--hours inf is no length of time"),
        (["check", "no_colon"], "subject 'no_colon': write it as module:attribute"),
        (["check", "no_such_module:make"], "subject 'no_such_module:make': importing no_such_module failed: ModuleNotFoundError"),
        (["check", "subjects:Lat"], "subject 'subjects:Lat': subjects has no 'Lat': did you mean 'Late'?"),
        (["check", "subjects:NUMBER"], "subject 'subjects:NUMBER' is an int: neither a Trainer class nor a factory"),
        (["check", "transformers:TrainingArguments"], "is the class TrainingArguments: neither a Trainer class nor a factory"),
        (["check", "subjects:own_data", "--model", "gpt2"], "--model gpt2: subjects:own_data brings its own model"),
        (
            ["check", "subjects:own_data", "--experiment", "train_on_*"],
            "subjects:own_data brings its own model and data, which leaves train_once, train_and_save",
        ),
        (["check", "--json", "no/such/folder/result.json"], "--json no/such/folder/result.json: the folder no/such/folder does not exist"),
        (["check", "--json", "."], "--json .: it is a folder"),
        (["check", "--arguments", "no_such_file.json"], "--arguments no_such_file.json: No such file or directory"),
        (["list", "modells"], "did you mean 'models'?"),
        (["list"], "Missing argument"),
        (["explain", "steps.run_finish"], "explain 'steps.run_finish': no such property: did you mean 'steps.run_finishes'?"),
    ],
)
def test_mistake_is_one_line(run: Run, arguments: list[str], line: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("trainer-props: ")
    assert line in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("import no_such_package", "importing user_module failed: ModuleNotFoundError: No module named 'no_such_package'"),
        ("1 / 0", "importing user_module failed: ZeroDivisionError: division by zero"),
        ("def make(", "importing user_module failed: SyntaxError"),
        ("import sys; sys.exit(3)", "importing it ends the program (sys.exit(3))"),
        ("def make(output_dir): ...", "a factory takes (parts, output_dir) or (output_dir, n, **training_arguments), not (output_dir)"),
    ],
)
def test_module_of_a_user_that_does_not_work(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, line: str) -> None:
    (tmp_path / "user_module.py").write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "user_module", raising=False)
    try:
        code, out, err = run("check", "user_module:make")
    finally:
        sys.modules.pop("user_module", None)
    assert (code, out) == (2, "")
    assert line in err
    assert err.count("\n") == 1


def test_factory_that_returns_something_else_is_found_in_the_worker(run: Run) -> None:
    code, _, err = check(run, "subjects:not_a_trainer")
    assert (code, err) == (2, "trainer-props: subject 'subjects:not_a_trainer' returned a str, not a transformers.Trainer\n")


def test_subject_that_refuses_everything_is_not_healthy(run: Run) -> None:
    code, out, err = check(run, "subjects:Refusing")
    assert (code, err) == (2, "trainer-props: not one training run could be judged: ValueError: not today\n")
    assert "3 of 3 cases were refused by the subject, most often: ValueError: not today" in out
    # what is judged without a training run makes it no healthier
    code, _, err = check(run, "subjects:Refusing", "--experiment", "collate")
    assert (code, err) == (2, "trainer-props: not one training run could be judged: ValueError: not today\n")


def test_missing_package_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trainer_props.engine.crew", None)  # the import system's word for: it is not there
    code, _, err = run("check")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("trainer-props: can't import trainer_props.engine.crew: ")


def test_without_a_command_there_is_help(run: Run) -> None:
    code, out, _ = run()
    assert code == 2
    assert "check" in out
    assert "explain" in out
    assert run("--help")[0] == 0


def test_typed_json_that_can_no_longer_be_written(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer_props.reports import result

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(result, "write", full)
    code, _, err = check(run, "--json", str(tmp_path / "result.json"), examples=1)
    assert code == 2
    assert err.endswith("result.json: No space left on device\n")
    code, out, err = check(run, "subjects:Late", "--property", "steps.global_step*", "--json", str(tmp_path / "result.json"))
    assert code == 1  # what was found counts for more
    assert "verified " in out
    assert err.endswith("result.json: No space left on device\n")


# ---- campaigns ---------------------------------------------------------------------------------------------------------------


def fuzz(run: Run, folder: Path, subject: str = "subjects:Late", *more: str) -> tuple[int, str, str]:
    where = ("--experiment", "train_once", "--property", "steps.glob*", "--regressions", str(folder / "examples"))
    with prepared():
        pass  # the imports of a first run would take from the time
    return run("fuzz", subject, *where, "--hours", "0.003", "--state", str(folder / "state"), *more)


def test_campaign_goes_on_where_it_stopped(run: Run, tmp_path: Path) -> None:
    code, out, err = fuzz(run, tmp_path, "subjects:Late", "--seed", "1", "--json", str(tmp_path / "result.json"))
    assert (code, err) == (1, "")
    assert out.startswith("fuzzing subjects:Late, seed 1, from the beginning in ")
    assert "1 new violation in subjects:Late" in out
    repeat = re.escape(f"to go on: trainer-props fuzz subjects:Late --hours 0.003 --state {tmp_path / 'state'} --exp")
    assert re.search(rf"in 1 round \(0:00:\d\d\); {repeat}", out)
    data = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert (data["command"], len(data["violations"]), data["violations"][0]["shrunk"]["complete"]) == ("fuzz", 1, True)
    state = json.loads((tmp_path / "state" / "state.json").read_text(encoding="utf-8"))
    assert (state["runs"], [each["shrunk"] for each in state["violations"]]) == (data["runs"], [True])
    code, out, err = fuzz(run, tmp_path)
    assert (code, err) == (1, "")
    assert "seed 1, going on in " in out
    assert "in 2 rounds " in out
    code, out, err = fuzz(run, tmp_path, "subjects:Late", "--seed", "2")
    assert (code, out) == (2, "")
    assert err == f"trainer-props: --seed 2: the campaign of {tmp_path / 'state'} has the seed 1\n"
    code, out, err = fuzz(run, tmp_path, "transformers:Trainer")
    assert (code, out) == (2, "")
    assert "a campaign on subjects:Late, not on transformers:Trainer" in err
    assert err.count("\n") == 1


def test_the_command_that_does_it_again_is_what_one_would_type() -> None:
    from trainer_props.cli.finishing import command_line

    asked = {"--seconds": 40.0, "--json": "v1.0", "--hours": 0.5, "--property": ["a.*", "b"], "--first-failure": True, "--jobs": None}
    typed = "trainer-props check a:b --seconds 40 --json v1.0 --hours 0.5 --property 'a.*' --property b --first-failure"
    assert command_line("check", "a:b", asked) == typed
