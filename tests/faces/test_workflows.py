"""The commands of the workflows for GitHub Actions, run as they stand there, in a clean copy of the project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from trainer_props.fuzzing.state import FORMAT

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
NOT_COPIED = (".git", ".venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", "fuzz", "constants", "result.json", "report.html",
              ".running-*", ".adding-*")
EXAMPLE = "steps.global_step_counts_updates--00000000.json"

# What stands for the values of expressions: `${{ ... }}` is resolved by GitHub before a shell sees it.
VALUES = {"HOURS": "0.002", "PIP_EXTRA_INDEX_URL": "", "GH_TOKEN": "token"}
# The checks that run this test run all others and the type checker already.
QUICK = {"ARGS": "tests/unit/test_case.py", "WORKERS": "0"}
# `make typecheck` is what runs beside this test wherever .ci/run does: that its recipe can be read is enough here.
MAKE = """#!/bin/sh
for word; do [ "$word" = typecheck ] && exec {make} --dry-run --silent "$@"; done
exec {make} "$@"
"""
GH = """#!/bin/sh
echo "$@" >>"$GH_CALLS"
[ "$2" = list ] && echo "${GH_OPEN:-0}"
exit 0
"""


def workflow(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def steps(path: Path) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each step, with the name of its job and the environment that it is given."""
    data = workflow(path)
    for name, job in data["jobs"].items():
        for step in job["steps"]:
            yield name, step, {**data.get("env", {}), **job.get("env", {}), **step.get("env", {})}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as a checkout has it, with a remote, and with the environment of this process where `make` would install one."""
    folder = tmp_path_factory.mktemp("clean")
    project, programs = folder / "project", folder / "programs"
    shutil.copytree(ROOT, project, ignore=shutil.ignore_patterns(*NOT_COPIED))
    programs.mkdir()
    make = shutil.which("make")
    if make is None or shutil.which("git") is None:
        pytest.skip("needs make and git")
    for name, text in {"make": MAKE.format(make=make), "gh": GH, "chromedriver": "#!/bin/sh\nexit 1\n"}.items():
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    (project / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name != "ready":
            (project / ".venv" / path.name).symlink_to(path)
    git(project, "init", "--quiet", "--initial-branch", "main")
    git(project, "add", "--all")
    git(project, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "all")
    git(folder, "init", "--quiet", "--bare", "origin.git")
    git(project, "remote", "add", "origin", str(folder / "origin.git"))
    (project / ".venv" / "ready").touch()
    return folder


def git(folder: Path, *words: str) -> str:
    # whoever commits runs tests too: git tells its hooks where they are, and settings of a user may want signatures
    alone = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {"GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True, env=alone).stdout  # noqa: S607


def run(clean: Path, path: Path, named: str, **more: str) -> tuple[int, str]:
    """Run the step of this name, as GitHub does: by bash, in the checkout, stopping at the first command that fails."""
    (step, environment), = [(step, each) for _, step, each in steps(path) if named in (step.get("name"), step.get("run"))]
    given = {name: VALUES.get(name, "") if "${{" in value else value for name, value in environment.items()}
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "PYTEST_", "MAKE", "GIT_"))}
    outside["PATH"] = f"{clean / 'programs'}{os.pathsep}{outside['PATH']}"
    done = subprocess.run(
        ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]], cwd=clean / "project", check=False, text=True,
        env={**outside, "CI": "true", "GITHUB_ACTIONS": "true", **given, **more}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.returncode, done.stdout


CI, NIGHTLY = (ROOT / ".github" / "workflows" / name for name in ("ci.yml", "nightly.yml"))


def test_each_command_is_run_here() -> None:
    commands = {(path.name, step.get("name", step["run"])) for path in WORKFLOWS for _, step, _ in steps(path) if "run" in step}
    assert commands == {
        ("ci.yml", ".ci/run"), ("nightly.yml", "Set up"), ("nightly.yml", "Fuzz"), ("nightly.yml", "Bring new regression examples back"),
    }  # fmt: skip


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_boxed_in(path: Path) -> None:
    data = workflow(path)
    assert data["permissions"] == {"contents": "read"}
    assert "concurrency" in data
    assert all(job["timeout-minutes"] <= 360 for job in data["jobs"].values())
    for _, step, _ in steps(path):
        assert ("uses" in step) is not ("run" in step)
        assert re.fullmatch(r"actions/[\w/-]+@v\d+", step.get("uses", "actions/none@v1"))
        assert "${{" not in step.get("run", ""), "an expression in a command is code from whoever can name a branch"


def test_the_state_of_a_night_is_kept_and_found_by_the_next() -> None:
    given = {step["uses"].partition("@")[0]: step for _, step, _ in steps(NIGHTLY) if "uses" in step}
    restored, saved = given["actions/cache/restore"]["with"], given["actions/cache/save"]["with"]
    assert (restored["path"], restored["key"]) == (saved["path"], saved["key"]) == (".hypothesis/fuzz", saved["key"])
    assert saved["key"].startswith(restored["restore-keys"])
    assert restored["restore-keys"] == f"fuzz-{FORMAT}-", "a state that can't be read would be restored in each night from now on"
    assert "run_id" in saved["key"]
    assert given["actions/cache/save"]["if"] == given["actions/upload-artifact"]["if"] == "always()"
    assert given["actions/upload-artifact"]["with"]["name"] == given["actions/download-artifact"]["with"]["name"]


def test_the_environment_is_stored_before_a_night_can_fail() -> None:
    night = [step for name, step, _ in steps(NIGHTLY) if name == "fuzz"]
    names = [step.get("name", step.get("uses", "").partition("@")[0]) for step in night]
    restored, saved = night[names.index("actions/cache/restore")], night[names.index("actions/cache/save")]
    assert restored["id"] == "environment"
    assert restored["with"]["path"] == saved["with"]["path"] == ".venv"
    assert saved["with"]["key"] == "${{ steps.environment.outputs.cache-primary-key }}"
    assert names.index("Set up") + 1 == names.index("actions/cache/save") < names.index("Fuzz")
    assert "actions/cache" not in names, "it stores nothing when a later step fails"


@pytest.mark.timeout(900)
def test_ci(clean: Path) -> None:
    code, text = run(clean, CI, ".ci/run", **QUICK)
    assert code == 0, text
    assert "All checks passed!" in text
    assert re.search(r"^=+ \d+ passed", text, re.MULTILINE), text


@pytest.mark.timeout(900)
def test_a_night(clean: Path, tmp_path: Path) -> None:
    project, summary = clean / "project", tmp_path / "summary.md"
    os.utime(project / ".venv" / "ready", (0, 0))  # as it is restored: older than the files of the checkout
    code, text = run(clean, NIGHTLY, "Set up", RESTORED="true")
    assert (code, text) == (0, "make: '.venv/ready' is up to date.\n")
    code, text = run(clean, NIGHTLY, "Fuzz", GITHUB_STEP_SUMMARY=str(summary))
    assert code in (0, 1), text
    result = json.loads((project / "result.json").read_text(encoding="utf-8"))
    assert (result["command"], result["interrupted"], code) == ("fuzz", False, int(bool(result["violations"])))
    assert "<html" in (project / "report.html").read_text(encoding="utf-8")
    assert (project / ".hypothesis" / "fuzz" / "state.json").exists()
    assert "the campaign so far: " in summary.read_text(encoding="utf-8")
    assert len(summary.read_text(encoding="utf-8").splitlines()) < 12 + 4 * len(result["violations"])


def test_new_examples_are_brought_back(clean: Path, tmp_path: Path) -> None:
    project, calls = clean / "project", tmp_path / "calls"
    examples = project / ".hypothesis" / "regressions"
    git(project, "checkout", "--quiet", "--", ".")
    git(project, "clean", "--quiet", "--force", "-d", "--", ".hypothesis/regressions")
    step = "Bring new regression examples back"
    assert run(clean, NIGHTLY, step, GH_CALLS=str(calls)) == (0, "no new regression examples\n")
    shutil.copy(next(examples.glob("*--*.json")), examples / EXAMPLE)
    (examples / EXAMPLE).with_suffix(".py").write_text("a script is no example\n", encoding="utf-8")
    code, text = run(clean, NIGHTLY, step, GH_CALLS=str(calls), GITHUB_REF_NAME="main")
    assert (code, text) == (0, "Regression examples of the nightly job: 1, on the branch nightly/regressions\n")
    pushed = git(clean / "origin.git", "diff", "--name-only", "nightly/regressions~1", "nightly/regressions")
    assert pushed == f".hypothesis/regressions/{EXAMPLE}\n"
    asked = calls.read_text(encoding="utf-8").splitlines()
    assert [line.split()[:2] for line in asked] == [["pr", "list"], ["pr", "create"]]
    assert "--base main" in asked[1]
    git(project, "reset", "--quiet", "HEAD~1")  # the next night, not merged yet
    code, _ = run(clean, NIGHTLY, step, GH_CALLS=str(calls), GH_OPEN="1")
    assert code == 0
    assert [line.split()[1] for line in calls.read_text(encoding="utf-8").splitlines()] == ["list", "create", "list"]
