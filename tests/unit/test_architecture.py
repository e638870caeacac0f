"""Holds ARCHITECTURE.md: who may import whom, how large a module may be."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "trainer_props"
LONGEST = 400

# The rooms from the ground up: a room imports only rooms of the rows above its own, and its own modules.
ROWS = (
    ("arguments", "serialization"),
    ("scenario",),
    ("case", "judgement", "record"),
    ("compat", "measures", "oracles"),
    ("arguments_file", "zoo"),
    ("strategies", "subjects"),
    ("running",),
    ("experiments", "faults"),
    ("properties",),
    ("known_bugs",),
    ("engine",),
    ("regressions", "scripts"),
    ("auditing", "keeper"),
    ("reports",),
    ("fuzzing",),
    ("checking", "explaining", "listings"),
    ("cli", "pytest_plugin", "stateful", ""),
)
ROW = {room: number for number, row in enumerate(ROWS) for room in row}

# Faults are planted without a look at what should catch them.
BLIND_TO = {"faults": {"oracles", "properties"}}

HEAVY = {"accelerate", "transformers"}
MAY_IMPORT_HEAVY = {"zoo", "running", "compat", "subjects", "faults"}
GROUND = {"scenario", "case", "arguments", "serialization"}


def modules() -> dict[str, Path]:
    """Every shipped module: its name without the package's (`""` is the public face) and its file."""
    found = {}
    for folder, prefix in ((ROOT / PACKAGE, ()), (ROOT / "strategies", ("strategies",))):
        for path in sorted(folder.rglob("*.py")):
            parts = (*prefix, *path.relative_to(folder).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(source: str, module: str, known: set[str], *, package: bool = False) -> Iterator[str]:
    """Full names of the modules that a source imports, anywhere in it, those for the type checker too.

    `from trainer_props import x` is an import of the module or room `x` where there is one, and of the public face otherwise.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = [PACKAGE, *module.split(".")] if module else [PACKAGE]
                kept = here[: len(here) - node.level + package]
                base = ".".join([*kept, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                is_module = inner.removeprefix(f"{PACKAGE}.") in known | set(ROW)
                yield inner if is_module else base


def room(module: str) -> str:
    """The room of a module: the first part of its name inside the package."""
    return module.partition(".")[0]


def own(names: Iterator[str]) -> set[str]:
    """The imported modules that are ours, without the package's name."""
    return {name.removeprefix(PACKAGE).removeprefix(".") for name in names if name == PACKAGE or name.startswith(f"{PACKAGE}.")}


def of_module(module: str) -> set[str]:
    path = MODULES[module]
    return set(imports(path.read_text(encoding="utf-8"), module, set(MODULES), package=path.name == "__init__.py"))


def forbidden_rooms(module: str, imported: set[str]) -> set[str]:
    """The rooms that a module may not import, of those that it does."""
    here = room(module)
    rooms = {room(name) for name in own(iter(imported))} - {here}
    return {there for there in rooms if ROW.get(there, len(ROWS)) >= ROW.get(here, -1) or there in BLIND_TO.get(here, ())}


def forbidden_libraries(module: str, imported: set[str]) -> set[str]:
    """The libraries that a module may not import, of those that it does."""
    if room(module) in MAY_IMPORT_HEAVY:
        return set()
    return {name.partition(".")[0] for name in imported} & HEAVY


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_module_stands_in_a_room(module: str) -> None:
    assert room(module) in ROW, f"{module} stands in no room: give it a row here and in ARCHITECTURE.md"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_arrows_run_one_way(module: str) -> None:
    assert not forbidden_rooms(module, of_module(module))


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_four_rooms_import_transformers_and_accelerate(module: str) -> None:
    assert not forbidden_libraries(module, of_module(module))


@pytest.mark.parametrize("module", sorted(name for name in MODULES if room(name) == "oracles"))
def test_oracles_know_values_only(module: str) -> None:
    assert {room(name) for name in own(iter(of_module(module)))} <= GROUND | {"oracles"}


def test_shipped_modules_import_strategies_by_their_package() -> None:
    assert not [module for module in MODULES if "strategies" in {name.partition(".")[0] for name in of_module(module)}]


SOURCES = [str(path.relative_to(ROOT)) for top in (PACKAGE, "strategies", "tests", "benchmarks") for path in (ROOT / top).rglob("*.py")]


@pytest.mark.parametrize("path", sorted(SOURCES))
def test_modules_stay_small(path: str) -> None:
    assert len((ROOT / path).read_text(encoding="utf-8").splitlines()) <= LONGEST


# Where a person's or a machine's files live.
TOPS = ("home", "Users", "root", "work", "tmp", "opt", "mnt")
MACHINE = re.compile(rf"(?<![\w.:/~$)}}-])/(?:{'|'.join(TOPS)})/\w")
SEARCHED = {".py", ".md", ".toml", ".txt", ".yml", ".json", ".cfg", ""}
PASSED_OVER = {".git", ".venv", ".hypothesis", "__pycache__", "build", "dist"}


def searched_files() -> list[Path]:
    """The project's own text files."""
    found = []
    for path in sorted(ROOT.iterdir()):
        if path.name in PASSED_OVER or path.suffix == ".egg-info" or path.name.endswith("_cache"):
            continue
        inside = path.rglob("*") if path.is_dir() else [path]
        found += [each for each in inside if each.is_file() and each.suffix in SEARCHED]
    return [each for each in found if not PASSED_OVER & set(each.relative_to(ROOT).parts)]


def test_no_file_names_a_path_of_a_machine() -> None:
    files = searched_files()
    assert ROOT / "Makefile" in files
    assert [f"{path.relative_to(ROOT)}: {found[0]}" for path in files if (found := MACHINE.search(path.read_text(encoding="utf-8")))] == []


def test_architecture_page_names_every_room() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    missing = {room(module) for module in MODULES} - {""} - set(re.findall(r"[a-z_]+", page))
    assert not missing


# The rules themselves, each seen to fail.


@pytest.mark.parametrize(
    ("module", "source", "rooms"),
    [
        ("scenario", "from trainer_props import case", {"case"}),
        ("scenario", "import trainer_props.engine.ledger", {"engine"}),
        ("oracles.accounting", "from trainer_props.zoo import models", {"zoo"}),
        ("oracles.accounting", "def late():\n    from trainer_props import running", {"running"}),
        ("engine.explore", "from trainer_props.reports import table", {"reports"}),
        ("engine.explore", "from ..reports import table", {"reports"}),
        ("engine.explore", "from . import ledger", set()),
        ("running.run", "from trainer_props import check", {""}),
        ("faults.steps", "from trainer_props.properties import steps", {"properties"}),
        ("properties.steps", "from trainer_props.oracles import accounting", set()),
        ("cli", "from trainer_props.reports import table", set()),
    ],
)
def test_rule_of_arrows(module: str, source: str, rooms: set[str]) -> None:
    known = {"case", "engine.ledger", "zoo", "running", "reports", "properties", "oracles"}
    assert forbidden_rooms(module, set(imports(source, module, known))) == rooms


@pytest.mark.parametrize(
    ("module", "source", "libraries"),
    [
        ("oracles.accounting", "import transformers", {"transformers"}),
        ("oracles.accounting", "from accelerate.utils import x", {"accelerate"}),
        ("properties.steps", "def f():\n    from transformers.trainer_utils import x", {"transformers"}),
        ("running.run", "from transformers import Trainer", set()),
        ("oracles.accounting", "import torch", set()),
    ],
)
def test_rule_of_libraries(module: str, source: str, libraries: set[str]) -> None:
    assert forbidden_libraries(module, set(imports(source, module, set()))) == libraries


@pytest.mark.parametrize(("before", "found"), [("see ", True), ('"', True), ("", True), ("https://example.org", False), ("docs", False)])
@pytest.mark.parametrize("top", TOPS)
def test_rule_of_paths(before: str, top: str, found: bool) -> None:
    assert bool(MACHINE.search(f"{before}/{top}/me")) is found
