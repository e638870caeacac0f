"""Holds the packaging: pins, packages, README, Hypothesis profiles."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import settings
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = [each for extra in PROJECT["project"]["optional-dependencies"].values() for each in extra]
LINES = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINS = {canonicalize_name(each.name): each for each in (Requirement(line) for line in LINES if line and not line.startswith("#"))}


def requirements(of: list[str], seen: dict[str, Requirement]) -> dict[str, Requirement]:
    """What a list of requirements pulls in on this interpreter, by name."""
    for text in of:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen[name] = requirement
        try:
            requirements(metadata.requires(name) or [], seen)
        except metadata.PackageNotFoundError:
            continue
    return seen


def test_every_pin_names_one_public_version() -> None:
    for pin in PINS.values():
        assert re.fullmatch(r"==[0-9][0-9a-z.]*", str(pin.specifier)), f"{pin}: name one version, without a local part"


def test_everything_that_is_installed_is_pinned() -> None:
    wanted = requirements([*PROJECT["project"]["dependencies"], *EXTRAS], {})
    assert not set(wanted) - set(PINS)


def test_pins_satisfy_what_the_project_asks_for() -> None:
    asked = [*PROJECT["build-system"]["requires"], *PROJECT["project"]["dependencies"], *EXTRAS]
    for requirement in map(Requirement, asked):
        (pinned,) = PINS[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(pinned.version), requirement


def test_torch_is_installed_first_and_by_its_version() -> None:
    installs = re.findall(r"@\$\(PIP_INSTALL\) (\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert installs[0] == str(PINS["torch"])
    assert len(installs) > 1


def test_every_package_ships() -> None:
    found = [path.parent.relative_to(ROOT).parts for top in ("trainer_props", "strategies") for path in (ROOT / top).rglob("__init__.py")]
    names = {".".join(("trainer_props", *parts) if parts[0] == "strategies" else parts) for parts in found}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == names


def test_everything_that_is_made_for_tests_is_installed_by_make() -> None:
    (installed,) = re.findall(r"--editable '\.\[(.*)\]'", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert installed.split(",") == sorted(PROJECT["project"]["optional-dependencies"])


def test_templates_ship() -> None:
    folder = ROOT / "trainer_props" / "reports"
    (pattern,) = PROJECT["tool"]["setuptools"]["package-data"]["trainer_props.reports"]
    assert {path.name for path in folder.glob(pattern)} == {"page.css", "page.html.jinja", "page.js", "violation.html.jinja"}


def test_readme_opens_with_the_two_commands() -> None:
    commands = re.findall(r"^\$ (.+?)(?:\s+#.*)?$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert commands[:3] == ["make check", "make test", "pip install trainer-props"]


def test_ci_profile_is_the_stock_one() -> None:
    ours = settings.get_profile("ci")
    code = "import sys; from hypothesis import settings; sys.stdout.write(repr(settings.get_profile('ci')))"
    stock = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert repr(ours) == stock
    assert (ours.max_examples, ours.derandomize, ours.database, ours.deadline) == (100, True, None, None)


@pytest.mark.parametrize(("given", "hint"), [("cii", "did you mean 'ci'?"), ("zzz", "there are default, ci, quick, nightly")])
def test_unknown_profile_is_one_line_and_bad_usage(given: str, hint: str) -> None:
    command = [sys.executable, "-m", "pytest", f"--hypothesis-profile={given}", "--collect-only", "-p", "no:cacheprovider", __file__]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    assert (ended.stdout + ended.stderr).strip() == f"ERROR: unknown --hypothesis-profile {given!r}: {hint}"
