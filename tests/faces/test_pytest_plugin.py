"""`@trainer_props.parametrize` and the plugin, here and in somebody else's repository."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import trainer_props
from trainer_props import checking
from trainer_props.experiments import EXPERIMENTS

# ---- the decorator -----------------------------------------------------------------------------------------------------------


def cases(**options: Any) -> list[checking.SubjectCase]:
    mark = trainer_props.parametrize("transformers:Trainer", **options)
    return list(mark.args[1])  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where examples are stored, in place of this repository."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(checking, "root", tmp_path)
    return tmp_path


def case(experiment: str, subject: Any = "transformers:Trainer", **options: Any) -> checking.SubjectCase:
    (made,) = trainer_props.parametrize(subject, experiments=[experiment], **options).args[1]  # type: ignore[attr-defined]
    assert isinstance(made, checking.SubjectCase)
    return made


def test_one_test_for_each_experiment() -> None:
    assert [each.experiment for each in cases()] == list(EXPERIMENTS)
    assert [each.experiment for each in cases(experiments=["train_on*"])] == [
        "train_once", "train_on_streams", "train_on_tokens", "train_on_devices",
    ]  # fmt: skip
    assert "train_once" not in {each.experiment for each in cases(models=["t5"])}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experiments": ["train_onc"]}, "experiments 'train_onc' matches none: did you mean 'train_once'?"),
        ({"experiments": "train_once"}, "experiments='train_once': a list of names is wanted, as in ['train_once']"),
        ({"properties": ["steps.run_finish"]}, "properties 'steps.run_finish' matches none: did you mean 'steps.run_finishes'?"),
        ({"properties": ["stepz.*"]}, "properties 'stepz.*' matches none: did you mean 'steps.*'?"),
        ({"models": ["lama"]}, "models 'lama' matches none: did you mean 'llama'?"),
        ({"models": ["t5"], "experiments": ["train_once"]}, "models: t5 can't be used by train_once"),
        ({"arguments": {"learning_rat": 1}}, "arguments: TrainingArguments has no field 'learning_rat': did you mean 'learning_rate'?"),
        ({"arguments": {"bf16": True}}, "arguments: bf16 can't be held (reduced precision"),
        ({"max_examples": 0}, "max_examples=0 must be positive"),
        ({"seconds": float("nan")}, "seconds=nan must be positive"),
    ],
)
def test_misuse_names_what_is_nearest(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        trainer_props.parametrize("transformers:Trainer", **options)


@pytest.mark.parametrize("subject", [None, 3, "no_colon"])
def test_what_is_no_subject(subject: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"subject {subject!r} is no Trainer class")):
        trainer_props.parametrize(subject)


# ---- check() -----------------------------------------------------------------------------------------------------------------


class Late:
    """Makes a Trainer that never takes the last update."""

    __qualname__ = "Late"

    def __call__(self, parts: Any, output_dir: str) -> Any:
        import transformers

        class Trainer(transformers.Trainer):
            def set_initial_training_values(self, *args: Any) -> Any:
                *values, max_steps = super().set_initial_training_values(*args)
                return (*values, max(1, max_steps - 1))

        return Trainer(**parts.trainer_kwargs(output_dir))


def late(parts: Any, output_dir: str) -> Any:
    return Late()(parts, output_dir)


def refusing(parts: Any, output_dir: str) -> Any:
    raise ValueError("not today")


def nothing(parts: Any, output_dir: str) -> Any:
    return None


def test_violations_are_a_group_with_a_member_for_each() -> None:
    with pytest.raises(trainer_props.Violations) as raised:
        case("train_once", late, max_examples=4, properties=["steps.global_step*", "steps.state_knows*"]).check()
    group = raised.value
    assert [each.finding.property for each in group.exceptions] == ["steps.global_step_counts_updates", "steps.state_knows_max_steps"]
    message = str(group.exceptions[0])
    assert message.startswith("violated steps.global_step_counts_updates\n")
    assert "\n  expected  2\n  observed  1\n" in message
    assert "train_once on " in group.message
    kept, rest = group.split(lambda error: isinstance(error, checking.ViolationError) and error.finding.property.endswith("max_steps"))
    assert isinstance(kept, trainer_props.Violations)
    assert isinstance(rest, trainer_props.Violations)


def test_nothing_applicable_is_a_skip_with_its_reason() -> None:
    with pytest.raises(pytest.skip.Exception, match=re.escape("train_once: nothing applicable (ValueError: not today)")):
        case("train_once", refusing, max_examples=2).check()
    with pytest.raises(pytest.skip.Exception, match=r"nothing applicable .the data set is map-style"):
        case("train_once", max_examples=2, properties=["data_order.streams_are_read_in_order"]).check()


def plain(output_dir: str, n: int, **training_arguments: Any) -> Any:
    return trainer_props.regression_trainer(output_dir=output_dir, train_len=n, **training_arguments)


def test_factory_with_data_of_its_own() -> None:
    case("train_once", plain, max_examples=6).check()
    for experiment in ("evaluate_and_predict", "train_on_streams"):
        with pytest.raises(pytest.skip.Exception, match=r"nothing applicable .the subject brings its own model and data"):
            case(experiment, plain, max_examples=2).check()
    with pytest.raises(ValueError, match="brings its own model"):
        case("train_once", plain, models=["regression"]).check()


def test_factory_that_returns_something_else() -> None:
    from trainer_props.subjects import SubjectError

    with pytest.raises(SubjectError, match=r"returned a NoneType, not a transformers\.Trainer"):
        case("train_once", nothing, max_examples=2).check()


def test_held_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match=re.escape("arguments: learning_rate='high' is a text, not a number")):
        case("train_once", arguments={"learning_rate": "high"}).check()


def test_time_limit_of_another_plugin_gets_out() -> None:
    class Expired(BaseException):
        pass

    def expires(parts: Any, output_dir: str) -> Any:
        raise Expired

    def fails(parts: Any, output_dir: str) -> Any:
        pytest.fail("took too long")

    with pytest.raises(Expired):
        case("train_once", expires, max_examples=2).check()
    with pytest.raises(pytest.fail.Exception, match="took too long"):
        case("train_once", fails, max_examples=2).check()


def test_known_bugs_are_kept_for_the_summary_and_can_be_asked_to_fail() -> None:
    options = {"properties": ["arguments.silent_setters*"], "max_examples": 12}
    checking.seen.clear()
    case("build_arguments", **options).check()
    assert [entry["bug"] for entry in checking.seen] == ["arguments-setter-defaults"]
    checking.seen.clear()
    with pytest.raises(trainer_props.Violations):
        case("build_arguments", known=False, **options).check()
    assert checking.seen == []


# ---- somebody else's repository ----------------------------------------------------------------------------------------------

THEIR_TESTS = """
import json, os
import pytest
import trainer_props

def make(parts, output_dir):
    import transformers
    with open(os.environ["TRIED"], "a") as file:
        file.write(json.dumps(parts.scenario.to_json(), sort_keys=True) + "\\n")
    return transformers.Trainer(**parts.trainer_kwargs(output_dir))

def late(parts, output_dir):
    import transformers

    class Late(transformers.Trainer):
        def set_initial_training_values(self, *args):
            *values, max_steps = super().set_initial_training_values(*args)
            return (*values, max(1, max_steps - 1))

    return Late(**parts.trainer_kwargs(output_dir))

@trainer_props.parametrize(make, experiments=["train_once", "train_on_streams"], max_examples=8)
def test_healthy(case):
    case.check()

@trainer_props.parametrize(make, experiments=["build_arguments"], max_examples=12, properties=["arguments.silent_setters*"])
def test_known(case):
    case.check()

@trainer_props.parametrize(late, experiments=["train_once"], max_examples=4, properties=["steps.global_step*"])
def test_late(case):
    case.check()

@trainer_props.parametrize(make, experiments=["train_once"], max_examples=2, properties=["data_order.streams_are_read_in_order"])
def test_skipped(case):
    case.check()
"""
PLAIN_TESTS = """
import sys
import pytest

@pytest.mark.parametrize("case", [1, 2])
def test_plain(case, record_testsuite_property):
    record_testsuite_property("mine", case)
    assert not {"torch", "transformers", "hypothesis", "trainer_props.checking"} & set(sys.modules)
"""


def theirs(folder: Path, *arguments: str, tests: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    if tests is not None:
        (folder / "test_theirs.py").write_text(tests, encoding="utf-8")
    settings = "[pytest]\naddopts = --strict-markers\nfilterwarnings = error\n    ignore::DeprecationWarning\n"
    (folder / "pytest.ini").write_text(settings, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "CI"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments], cwd=folder, capture_output=True, text=True, check=False,
        timeout=200, env={**kept, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **environment},
    )  # fmt: skip


@pytest.mark.timeout(300)
def test_in_a_repository_of_somebody_else(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    arguments = ("--hypothesis-profile=ci", "-rsf", "--timeout=150")
    ended = theirs(tmp_path, *arguments, "--numprocesses=2", "-p", "randomly", "-p", "timeout", tests=THEIR_TESTS, TRIED=str(one))
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert re.search(r"1 failed, 3 passed, 1 skipped in ", ended.stdout), ended.stdout
    assert "violated steps.global_step_counts_updates" in ended.stdout
    assert re.search(r"SKIPPED .*train_once: nothing applicable \(", ended.stdout)
    assert "known bugs of the installed transformers" in ended.stdout
    assert re.search(r"^arguments-setter-defaults \(\d+ times\): ", ended.stdout, re.MULTILINE)
    assert "FAILED test_theirs.py::test_late[train_once]" in ended.stdout
    (example,) = (tmp_path / ".hypothesis" / "regressions").iterdir()
    assert f"  trainer-props replay {example.stem}" in ended.stdout

    # once more: in one process, in another order, only some of them
    ended = theirs(tmp_path, *arguments, "-p", "no:xdist", "-p", "no:randomly", "-k", "not late", TRIED=str(other))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    tried = one.read_text(encoding="utf-8").splitlines()
    assert len(tried) > 16
    assert sorted(tried) == sorted(other.read_text(encoding="utf-8").splitlines())


def test_nothing_changes_for_tests_that_do_not_use_it(tmp_path: Path) -> None:
    without = ("-p", "no:hypothesispytest", "-p", "no:randomly")
    ended = theirs(tmp_path, *without, "--junit-xml=result.xml", tests=PLAIN_TESTS)
    assert ended.returncode == 0, ended.stdout
    assert "known bugs" not in ended.stdout
    assert (tmp_path / "result.xml").read_text(encoding="utf-8").count("<property ") == 2
    collected = [theirs(tmp_path, *without, "--collect-only", *more).stdout for more in ((), ("-p", "no:trainer_props"))]
    collected = [re.sub(r"plugins: .*|in [\d.]+s", "", text) for text in collected]
    assert collected[0] == collected[1]
    assert "2 tests collected" in collected[0]


def test_collecting_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import sys\ndef pytest_collection_finish(session):\n"
        "    print('heavy:', sorted({'torch', 'transformers', 'accelerate'} & set(sys.modules)))\n",
        encoding="utf-8",
    )
    used = "import trainer_props\n\n@trainer_props.parametrize('their_package:MyTrainer')\ndef test_mine(case):\n    case.check()\n"
    ended = theirs(tmp_path, "--collect-only", "-q", "-s", tests=used)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "heavy: []" in ended.stdout
    assert "test_theirs.py::test_mine[train_once]" in ended.stdout


# ---- the public face ---------------------------------------------------------------------------------------------------------


def test_every_public_name_is_at_hand_and_importing_is_light() -> None:
    code = (
        "import sys, trainer_props\n"
        "assert not {'torch', 'transformers', 'hypothesis', 'msgspec'} & set(sys.modules)\n"
        "assert set(trainer_props.__all__) <= set(dir(trainer_props))\n"
        "light = [getattr(trainer_props, name) for name in trainer_props.__all__ if name != 'regression_trainer']\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
        "import trainer_props.subjects\n"
        "assert callable(trainer_props.subject) and callable(trainer_props.regression_trainer)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_public_name() -> None:
    with pytest.raises(AttributeError, match="module 'trainer_props' has no attribute 'parametrise'"):
        _ = trainer_props.parametrise
