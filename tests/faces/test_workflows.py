"""The commands of the workflows for GitHub Actions, run as they stand there, in a clean copy of the project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from trainer_props.fuzzing.state import FORMAT

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
NOT_COPIED = (".git", ".venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", "fuzz", "constants", "result.json", "report.html",
              ".running-*", ".adding-*")
BRANCH, REGRESSIONS = "nightly/regressions", ".hypothesis/regressions"
SOMEBODY = ("-c", "user.name=a", "-c", "user.email=a@example.org")

# What stands for the values of expressions: `${{ ... }}` is resolved by GitHub before a shell sees it.
VALUES = {"HOURS": "0.002", "PIP_EXTRA_INDEX_URL": "", "GH_TOKEN": "token"}
# The checks that run this test run all others and the type checker already.
QUICK = {"ARGS": "tests/unit/test_case.py", "WORKERS": "0"}
# `make typecheck` is what runs beside this test wherever .ci/run does: that its recipe can be read is enough here.
MAKE = """#!/bin/sh
for word; do [ "$word" = typecheck ] && exec {make} --dry-run --silent "$@"; done
exec {make} "$@"
"""
GH = r"""#!/bin/sh
echo "$@" | tr '\n' ' ' >>"$GH_CALLS"
echo >>"$GH_CALLS"
[ "$2" = list ] && echo "${GH_OPEN:-0}"
exit 0
"""
# Somebody else pushes to the branch just before this does.
LATE = """#!/bin/sh
[ "$1" = push ] && {git} --git-dir {origin} update-ref refs/heads/{branch} refs/heads/late
exec {git} "$@"
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
    """The project as a checkout has it, with the environment of this process where `make` would install one."""
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
    git(project, *SOMEBODY, "commit", "--quiet", "--message", "all")
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


class Examples:
    """The job that brings examples back: each night in a new checkout of one commit, as actions/checkout makes it.

    Attributes:
        origin: the repository that the checkouts are of.
        project: the checkout of the latest night.
        work: another clone, of whoever else works on the project.
        artifact: the folder that the next artifact is made of.
        asked: what `gh` was told.
    """

    def __init__(self, clean: Path, folder: Path) -> None:
        self.folder, self.origin, self.project, self.work = folder, folder / "origin.git", folder / "project", folder / "work"
        self.artifact, self.temporary, self.programs = folder / "artifact", folder / "temporary", folder / "programs"
        self.programs.mkdir()
        shutil.copy(clean / "programs" / "gh", self.programs)
        git(folder, "clone", "--quiet", "--bare", str(clean / "project"), str(self.origin))
        git(folder, "clone", "--quiet", str(self.origin), str(self.work))
        self.found()

    def found(self, **examples: str) -> None:
        """Make the artifact anew: all examples of the base, and these, by name."""
        shutil.rmtree(self.artifact, ignore_errors=True)
        shutil.copytree(self.work / REGRESSIONS, self.artifact / REGRESSIONS)
        for name, text in examples.items():
            (self.artifact / REGRESSIONS / named(name)).write_text(text, encoding="utf-8")

    def night(self, *, opened: int = 0, meanwhile: Callable[[], None] = lambda: None) -> tuple[int, str]:
        """Check out, unpack the artifact where the workflow says, and run the step; `meanwhile` comes before the step."""
        for each in (self.project, self.temporary):
            shutil.rmtree(each, ignore_errors=True)
        git(self.folder, "clone", "--quiet", "--depth", "1", f"file://{self.origin}", str(self.project))
        given, = [step["with"] for _, step, _ in steps(NIGHTLY) if step.get("uses", "").startswith("actions/download-artifact")]
        path = given.get("path", ".").replace("${{ runner.temp }}", str(self.temporary))
        shutil.copytree(self.artifact, self.project / path, symlinks=True, dirs_exist_ok=True)
        meanwhile()
        return run(
            self.folder, NIGHTLY, "Bring new regression examples back", RUNNER_TEMP=str(self.temporary), GITHUB_REF_NAME="main",
            GH_CALLS=str(self.folder / "calls"), GH_OPEN=str(opened),
        )  # fmt: skip

    def brings(self, number: int, **examples: str) -> None:
        """A night that finds these adds so many to the branch."""
        self.found(**examples)
        assert self.night() == (0, f"Regression examples of the nightly job: {number}, on the branch {BRANCH}\n")

    @property
    def asked(self) -> list[str]:
        return (self.folder / "calls").read_text(encoding="utf-8").splitlines()

    def unmerged(self) -> dict[str, str]:
        """What a pull request from the branch would show, by file: its text."""
        names = git(self.origin, "diff", "--name-only", f"main...{BRANCH}").splitlines()
        return {Path(name).name: git(self.origin, "show", f"{BRANCH}:{name}") for name in names}

    def commit(self, branch: str, **texts: str) -> None:
        """Somebody else pushes to a branch: examples by name, or the deletion of those without text."""
        git(self.work, "fetch", "--quiet")
        git(self.work, "checkout", "--quiet", "-B", branch, f"origin/{branch}")
        for name, text in texts.items():
            path = self.work / REGRESSIONS / named(name)
            path.write_text(text, encoding="utf-8") if text else path.unlink()
        git(self.work, "add", "--all")
        git(self.work, *SOMEBODY, "commit", "--quiet", "--message", "by hand")
        git(self.work, "push", "--quiet", "origin", branch)
        git(self.work, "checkout", "--quiet", "main")

    def merge(self, *words: str) -> None:
        """Merge the branch into the base, and leave it there."""
        git(self.work, "fetch", "--quiet")
        git(self.work, *SOMEBODY, "merge", "--quiet", *words, f"origin/{BRANCH}")
        if "--squash" in words:
            git(self.work, *SOMEBODY, "commit", "--quiet", "--message", "all at once")
        git(self.work, "push", "--quiet", "origin", "main")


def named(example: str) -> str:
    return f"{example}--1.json"


@pytest.fixture
def examples(clean: Path, tmp_path: Path) -> Examples:
    return Examples(clean, tmp_path)


def test_new_examples_are_brought_back(examples: Examples) -> None:
    assert examples.night() == (0, "no new regression examples\n")
    examples.found(new="a case\n")
    (examples.artifact / REGRESSIONS / named("new")).with_suffix(".py").write_text("a script is no example\n", encoding="utf-8")
    assert examples.night() == (0, f"Regression examples of the nightly job: 1, on the branch {BRANCH}\n")
    assert examples.unmerged() == {"new--1.json": "a case\n"}
    assert [line.split()[:2] for line in examples.asked] == [["pr", "list"], ["pr", "create"]]
    assert "--base main" in examples.asked[1]
    head = git(examples.origin, "rev-parse", BRANCH).strip()
    assert "--state all" in examples.asked[0]
    assert f'.headRefOid == "{head}"' in examples.asked[0]
    before = git(examples.origin, "rev-parse", BRANCH)
    assert examples.night(opened=1) == (0, f"Regression examples of the nightly job: 0, on the branch {BRANCH}\n")
    assert git(examples.origin, "rev-parse", BRANCH) == before
    assert [line.split()[1] for line in examples.asked] == ["list", "create", "list"]


def test_examples_of_earlier_nights_stay_on_the_branch(examples: Examples) -> None:
    examples.brings(1, flaky="found once\n")
    examples.brings(1, other="found later\n")
    assert examples.unmerged() == {"flaky--1.json": "found once\n", "other--1.json": "found later\n"}
    examples.found()
    assert examples.night() == (0, "no new regression examples\n")
    assert len(examples.unmerged()) == 2


def test_what_a_reviewer_did_to_the_branch_stays(examples: Examples) -> None:
    examples.brings(2, first="a case\n", second="a case\n")
    examples.commit(BRANCH, first="by hand\n", own="by hand\n")
    examples.brings(1, first="a case, on another day\n", third="a case\n")
    hand = {"first--1.json": "by hand\n", "own--1.json": "by hand\n"}
    assert examples.unmerged() == {**hand, "second--1.json": "a case\n", "third--1.json": "a case\n"}
    assert "by hand" in git(examples.origin, "log", "--format=%s", f"main..{BRANCH}")


def test_what_a_reviewer_threw_out_stays_away(examples: Examples) -> None:
    examples.brings(2, first="a case\n", second="a case\n")
    examples.commit(BRANCH, first="")
    examples.commit("main", meanwhile="on the base\n")
    examples.found(first="a case\n", third="a case\n")
    code, text = examples.night()
    assert (code, text.splitlines()) == (0, [
        f"{REGRESSIONS}/first--1.json was removed from the branch {BRANCH}, and stays away",
        f"Regression examples of the nightly job: 1, on the branch {BRANCH}",
    ])  # fmt: skip
    assert examples.unmerged() == {"second--1.json": "a case\n", "third--1.json": "a case\n"}


def test_what_was_removed_from_the_base_comes_back_when_it_is_found_again(examples: Examples) -> None:
    examples.commit("main", old="a case\n")
    examples.brings(1, new="a case\n")
    examples.commit("main", old="")
    examples.found(old="a case\n", new="a case\n")
    assert examples.night() == (0, f"Regression examples of the nightly job: 1, on the branch {BRANCH}\n")
    assert examples.unmerged() == {"new--1.json": "a case\n", "old--1.json": "a case\n"}


def test_what_is_merged_while_a_night_goes_on_is_not_asked_for_again(examples: Examples) -> None:
    examples.brings(1, old="a case\n")

    def merge() -> None:
        examples.merge("--squash")
        git(examples.origin, "branch", "--quiet", "--delete", "--force", BRANCH)

    examples.found(old="a case\n", new="a case\n")
    assert examples.night(meanwhile=merge) == (0, f"Regression examples of the nightly job: 1, on the branch {BRANCH}\n")
    assert examples.unmerged() == {"new--1.json": "a case\n"}
    assert git(examples.origin, "diff", "--name-status", f"main..{BRANCH}") == f"A\t{REGRESSIONS}/new--1.json\n"


def test_only_a_night_on_the_default_branch_brings_examples_back() -> None:
    condition = workflow(NIGHTLY)["jobs"]["examples"]["if"]
    assert condition == "always() && (github.event_name == 'schedule' || github.ref_name == github.event.repository.default_branch)"


@pytest.mark.parametrize("how", ["--no-ff", "--ff-only", "--squash"])
def test_a_branch_that_was_merged_goes_on_from_the_base(examples: Examples, how: str) -> None:
    examples.brings(2, old="a case\n", merged="a case\n")
    if how != "--ff-only":
        examples.commit("main", meanwhile="on the base\n")
    examples.merge(how)
    examples.brings(1, old="a smaller case\n")
    assert examples.unmerged() == {"old--1.json": "a smaller case\n"}
    git(examples.origin, "branch", "--quiet", "--delete", "--force", BRANCH)
    examples.brings(1, new="a case\n")
    assert examples.unmerged() == {"new--1.json": "a case\n"}


def test_a_branch_that_is_in_conflict_with_the_base_goes_on(examples: Examples) -> None:
    examples.brings(1, both="by night\n")
    examples.commit("main", both="by day\n")
    examples.found(both="by night\n", new="a case\n")
    code, text = examples.night()
    assert (code, text.splitlines()) == (0, [
        f"the branch {BRANCH} goes on without what is new on main: they can't be merged",
        f"Regression examples of the nightly job: 1, on the branch {BRANCH}",
    ])  # fmt: skip
    assert examples.unmerged() == {"both--1.json": "by night\n", "new--1.json": "a case\n"}


@pytest.mark.parametrize("there", [False, True], ids=["no branch", "a branch"])
def test_what_is_pushed_meanwhile_stays(examples: Examples, there: bool) -> None:
    if there:
        examples.brings(1, old="a case\n")
    git(examples.work, "push", "--quiet", "origin", "main:late")
    examples.commit("late", late="by hand\n")
    (examples.programs / "git").write_text(LATE.format(git=shutil.which("git"), origin=examples.origin, branch=BRANCH), encoding="utf-8")
    (examples.programs / "git").chmod(0o755)
    examples.found(new="a case\n")
    code, text = examples.night()
    assert (code, "rejected" in text) == (1, True), text
    assert examples.unmerged() == {"late--1.json": "by hand\n"}


def test_an_artifact_brings_nothing_but_examples(examples: Examples, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n", encoding="utf-8")
    examples.found(new="a case\n")
    regressions = examples.artifact / REGRESSIONS
    for path in (".ci/bring-back", ".git/hooks/pre-commit", ".git/hooks/pre-push", ".git/hooks/post-checkout"):
        (examples.artifact / path).parent.mkdir(parents=True, exist_ok=True)
        (examples.artifact / path).write_text("#!/bin/sh\necho run by the one that may write\n", encoding="utf-8")
        (examples.artifact / path).chmod(0o755)
    for path in ("README.md", f"{REGRESSIONS}/no example.json", f"{REGRESSIONS}/script--1.py", f"{REGRESSIONS}/.gitattributes"):
        (examples.artifact / path).write_text("anything\n", encoding="utf-8")
    for folder in (regressions / "folder--1.json", examples.artifact / "else" / "where"):
        folder.mkdir(parents=True)
        (folder / "within--1.json").write_text("anything\n", encoding="utf-8")
    (regressions / "link--1.json").symlink_to(tmp_path / "secret")
    assert examples.night() == (0, f"Regression examples of the nightly job: 1, on the branch {BRANCH}\n")
    assert examples.unmerged() == {"new--1.json": "a case\n"}
    assert git(examples.project, "status", "--porcelain") == f"A  {REGRESSIONS}/new--1.json\n"


@pytest.mark.parametrize("link", [REGRESSIONS, ".hypothesis"])
def test_an_artifact_that_leads_elsewhere_brings_nothing(examples: Examples, tmp_path: Path, link: str) -> None:
    elsewhere = tmp_path / "elsewhere" / Path(REGRESSIONS).relative_to(link)
    elsewhere.mkdir(parents=True)
    (elsewhere / "secret--1.json").write_text("secret\n", encoding="utf-8")
    shutil.rmtree(examples.artifact / link)
    (examples.artifact / link).symlink_to(tmp_path / "elsewhere")
    assert examples.night() == (0, "no new regression examples\n")
