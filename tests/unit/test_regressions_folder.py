"""Which folder holds the examples, and whether git would leave them out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer_props.regressions import InvalidFolder, ignored_by_git, regressions_folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project" / "src" / "inner").mkdir(parents=True)
    (tmp_path / "project" / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    return tmp_path / "project"


def configure(project: Path, text: str) -> None:
    (project / "pyproject.toml").write_text(text)


def test_the_option_comes_first(project: Path) -> None:
    configure(project, "[tool.trainer-props]\nregressions = 'kept'\n")
    assert regressions_folder(Path("mine"), project) == Path("mine")


@pytest.mark.parametrize("start", [".", "src", "src/inner"])
def test_the_nearest_pyproject_says_where(project: Path, start: str) -> None:
    assert regressions_folder(None, project / start) == project / ".hypothesis" / "regressions"
    configure(project, "[tool.trainer-props]\nregressions = 'tests/kept'\n")
    assert regressions_folder(None, project / start) == project / "tests" / "kept"


def test_a_nearer_pyproject_hides_one_further_up(project: Path) -> None:
    configure(project, "[tool.trainer-props]\nregressions = 'kept'\n")
    configure(project / "src", "[tool]\n")
    assert regressions_folder(None, project / "src" / "inner") == project / "src" / ".hypothesis" / "regressions"


def test_without_pyproject_it_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_file", lambda self: False)  # whatever lies above the temporary directory
    monkeypatch.chdir(tmp_path)
    assert regressions_folder() == tmp_path / ".hypothesis" / "regressions"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.trainer-props]\nregressions = '../elsewhere'\n", "tool.trainer-props.regressions = '../elsewhere' is outside the project"),
        ("[tool.trainer-props]\nregressions = 'a/../../b'\n", "is outside the project"),
        ("[tool.trainer-props]\nregressions = '/'\n", "is outside the project"),
        ("[tool.trainer-props]\nregressions = 'linked/inside'\n", "is outside the project"),
        ('[tool.trainer-props]\nregressions = "a\\u0000b"\n', "is outside the project"),
        ("[tool.trainer-props]\nregressions = 3\n", "tool.trainer-props.regressions = 3 is no path"),
        ("[tool.trainer-props]\nregressions = ' '\n", "is no path"),
        ("[tool.trainer-props]\nregresions = 'x'\n", "tool.trainer-props has no key 'regresions': did you mean 'regressions'?"),
        ("[tool]\ntrainer-props = 3\n", "tool.trainer-props is no table"),
        ("[tool\n", "not TOML"),
    ],
)
def test_a_setting_that_is_no_folder_of_the_project(project: Path, tmp_path: Path, text: str, said: str) -> None:
    (project / "linked").symlink_to(tmp_path, target_is_directory=True)
    configure(project, text)
    with pytest.raises(InvalidFolder) as caught:
        regressions_folder(None, project)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{project / 'pyproject.toml'}: ")
    assert "\n" not in str(caught.value)


def test_a_pyproject_that_is_no_text(project: Path) -> None:
    (project / "pyproject.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidFolder, match="not TOML"):
        regressions_folder(None, project)


# ---- git ---------------------------------------------------------------------------------------------------------------------


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True).stdout  # noqa: S607


@pytest.fixture
def stored(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An example in a new repository."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(project / "none"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    git(project, "init", "--quiet")
    folder = project / ".hypothesis" / "regressions"
    folder.mkdir(parents=True)
    (folder / "x.json").write_text("{}\n")
    return folder / "x.json"


def remedied(said: str, folder: Path) -> None:
    """Do what the line says."""
    subprocess.run(said.partition("to keep it: ")[2], shell=True, check=True, cwd=folder)  # noqa: S602  that is how a user runs it


def test_what_git_keeps_is_not_announced(stored: Path) -> None:
    assert ignored_by_git(stored) is None


def test_the_rule_that_hypothesis_writes_is_amended_once_and_for_all(stored: Path, project: Path) -> None:
    (stored.parent.parent / ".gitignore").write_text("# of Hypothesis\n\n*\n")
    said = ignored_by_git(stored)
    assert said is not None
    assert "\n" not in said
    assert f"git ignores {stored} (" in said
    assert "line 3: *" in said
    remedied(said, project)
    assert ignored_by_git(stored) is None
    (stored.parent / "another.json").write_text("{}\n")
    assert ignored_by_git(stored.parent / "another.json") is None
    (stored.parent.parent / "examples").mkdir()
    (stored.parent.parent / "examples" / "cache").write_text("")
    assert set(git(project, "ls-files", "--others", "--exclude-standard", ".hypothesis").split()) == {
        ".hypothesis/.gitignore", ".hypothesis/regressions/x.json", ".hypothesis/regressions/another.json",
    }  # fmt: skip


def test_it_is_the_rule_that_hypothesis_writes(tmp_path: Path) -> None:
    """The file as the installed version makes it, in a process that stands in a new folder."""
    code = """
from hypothesis import given, settings, strategies as st
@settings(settings.get_profile("default"))
@given(st.integers())
def test(x):
    assert x < 5
test()"""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HYPOTHESIS_") and name != "CI"}
    failed = subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path, env=kept, capture_output=True)
    assert failed.returncode == 1
    assert (tmp_path / ".hypothesis" / ".gitignore").exists()
    git(tmp_path, "init", "--quiet")
    (tmp_path / ".hypothesis" / "regressions").mkdir()
    example = tmp_path / ".hypothesis" / "regressions" / "x.json"
    example.write_text("{}\n")
    said = ignored_by_git(example)
    assert said is not None
    assert "printf" in said
    remedied(said, tmp_path)
    assert ignored_by_git(example) is None


@pytest.mark.parametrize("rule", [".hypothesis/\n", "*.json\n", "regressions\n"])
def test_any_other_rule_is_overridden_for_the_file(stored: Path, project: Path, rule: str) -> None:
    (project / ".gitignore").write_text(rule)
    (stored.parent.parent / ".gitignore").write_text("*\n")
    if rule != ".hypothesis/\n":
        (stored.parent.parent / ".gitignore").unlink()
    said = ignored_by_git(stored)
    assert said is not None
    assert f"to keep it: git add --force {stored}" in said
    remedied(said, project)
    assert ignored_by_git(stored) is None
    assert git(project, "ls-files").split() == [".hypothesis/regressions/x.json"]


def test_the_remedy_is_safe_in_a_shell(stored: Path, project: Path) -> None:
    (project / ".gitignore").write_text(".hypothesis/\n")
    odd = stored.parent / "a b; touch $(pwd)'.json"
    odd.write_text("{}\n")
    said = ignored_by_git(odd)
    assert said is not None
    remedied(said, project)
    assert ignored_by_git(odd) is None
    assert sorted(path.name for path in project.iterdir()) == [".git", ".gitignore", ".hypothesis", "pyproject.toml", "src"]


def test_where_there_is_no_repository_or_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert ignored_by_git(path) is None
    assert ignored_by_git(tmp_path / "missing" / "x.json") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ignored_by_git(path) is None
