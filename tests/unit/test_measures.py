"""Measures stand alone, and every violation can be measured again."""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from trainer_props import measures, properties, subjects
from trainer_props.engine.judging import judge_record
from trainer_props.experiments import EXPERIMENTS
from trainer_props.judgement import HOLDS, Check, Measured, Violated, at_least, at_most, close, expecting, same
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.measures import MEASURES, measure, registry, steps
from trainer_props.properties import PROPERTIES
from trainer_props.record import Record
from trainer_props.running import prepared

ALLOWED = {*dir(builtins), "math", "torch"}
FIELDS = {field.name for field in fields(Record)}


# The rules of the registry.


def bound(node: ast.stmt) -> list[str]:
    """What a statement at the top of a module names; imports aside."""
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def annotated(node: ast.AST) -> Iterator[ast.expr | None]:
    for each in ast.walk(node):
        if isinstance(each, ast.FunctionDef):
            yield each.returns
        elif isinstance(each, (ast.arg, ast.AnnAssign)):
            yield each.annotation


def free(node: ast.stmt) -> set[str]:
    """Names that a definition takes from outside when it runs: not those of its decorators and annotations."""
    decorators = [each for inner in ast.walk(node) if isinstance(inner, ast.FunctionDef) for each in inner.decorator_list]
    left_out = {id(inner) for each in [*annotated(node), *decorators] if each is not None for inner in ast.walk(each)}
    names = [each for each in ast.walk(node) if isinstance(each, ast.Name) and id(each) not in left_out]
    own = {each.id for each in names if not isinstance(each.ctx, ast.Load)}
    own |= {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}
    own |= {each.name for each in ast.walk(node) if isinstance(each, ast.FunctionDef)}
    return {each.id for each in names} - own


def faults(source: str, name: str) -> set[str]:
    """Why a measure, or what it uses of its module, could not be copied into a script."""
    top = {each: node for node in ast.parse(source).body for each in bound(node)}
    found, waiting, reached = set(), [name], set()
    while waiting:
        name = waiting.pop()
        reached.add(name)
        for each in ast.walk(top[name]):
            if isinstance(each, (ast.Import, ast.ImportFrom)):
                found.add(f"{name} imports")
            elif isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "record":
                found |= {f"{name} reads record.{each.attr}"} - {f"{name} reads record.{field}" for field in FIELDS}
        for used in free(top[name]) - ALLOWED:
            if used not in top:
                found.add(f"{name} uses {used}")
            elif used not in reached:
                waiting.append(used)
    return found


def keywords(function: Any) -> list[str]:
    """The arguments of a function that can't be given by position, or need not be given."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.kind not in positional or each.default is not each.empty]


@pytest.mark.parametrize("name", sorted(MEASURES))
def test_a_measure_stands_alone(name: str) -> None:
    function = MEASURES[name]
    module = inspect.getmodule(function)
    assert module is not None
    assert not faults(inspect.getsource(module), function.__name__)
    assert not keywords(function)
    first = next(iter(inspect.signature(function).parameters.values()))
    assert first.name == {"Runs": "runs", "Record": "record"}[first.annotation]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f(record: Record) -> Any:\n    return math.fsum(len(x) for x in record.logs)", set()),
        ("@measure\ndef f(record):\n    return g(record, N)\nN = 1\ndef g(record, n):\n    return torch.ones(n)", set()),
        ("def f(record):\n    held: Any = [y for y in record.logs if (lambda z: z)(y)]\n    return held", set()),
        ("def f(record):\n    return re.findall('', '')", {"f uses re"}),
        ("from x import g\ndef f(record):\n    return g(record)", {"f uses g"}),
        ("def f(record):\n    import os", {"f imports"}),
        ("def f(record):\n    return g()\ndef g():\n    return h()\ndef h():\n    return f, wrong", {"h uses wrong"}),
        ("def f(record):\n    return N\nN = frozenset(NAMES)", {"N uses NAMES"}),
        ("def f(record):\n    return record.finished", {"f reads record.finished"}),
    ],
)
def test_rule_of_standing_alone(source: str, found: set[str]) -> None:
    assert faults(source, "f") == found


def test_rule_of_positions() -> None:
    def taking(record: Record, first: int, *, second: int, **rest: int) -> None: ...

    def leaving(record: Record, first: int = 0) -> None: ...

    assert keywords(taking) == ["second", "rest"]
    assert keywords(leaving) == ["first"]


def test_every_module_of_measures_registers() -> None:
    folder = Path(inspect.getfile(measures)).parent
    assert {name.partition(".")[0] for name in MEASURES} == {path.stem for path in folder.glob("*.py")} - {"__init__", "registry"}


def test_a_measure_says_how_it_was_taken() -> None:
    record = Record(state={"max_steps": 3})
    assert steps.state_entry(record, "max_steps") == Measured(3, "steps.state_entry", ("max_steps",))
    with pytest.raises(TypeError, match="by position"):
        steps.state_entry(record, name="max_steps")


def test_names_are_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MEASURES", {})

    def twin(record: Record) -> None: ...

    measure(twin)
    with pytest.raises(ValueError, match=r"test_measures\.twin exists already"):
        measure(twin)


# Every violation can be measured again.


def raw_violations(source: str) -> list[int]:
    """Lines that make a violation without a comparison."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [node.lineno for node in calls if isinstance(node.func, ast.Name) and node.func.id == "Violated"]


@pytest.mark.parametrize("chapter", sorted({each.chapter for each in PROPERTIES.values()}))
def test_properties_compare(chapter: str) -> None:
    path = Path(inspect.getfile(properties)).with_name(f"{chapter}.py")
    assert not raw_violations(path.read_text(encoding="utf-8"))


def test_rule_of_violations() -> None:
    assert raw_violations("def f():\n    return Violated('x', 1, 2, '')") == [2]


def test_an_expectation_is_measured_where_it_is_missed() -> None:
    record = Record(global_step=3)
    missed = expecting(same("x", expected=2, observed=steps.global_step(record)), lambda: steps.number_of_updates(record))
    assert isinstance(missed, Violated)
    assert missed.expected == 2
    assert missed.check == Check("same", Measured(3, "steps.global_step"), Measured(0, "steps.number_of_updates"))
    assert expecting(same("x", expected=3, observed=steps.global_step(record)), lambda: pytest.fail("measured")) is HOLDS


@pytest.fixture(scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("name", sorted(KNOWN_BUGS))
def test_a_violation_is_measured_again_in_another_run(name: str) -> None:
    case = KNOWN_BUGS[name].example
    subject, run = subjects.load(subjects.DEFAULT), EXPERIMENTS[case.experiment].run
    findings = judge_record(run(case, subject), case, list(PROPERTIES.values())).findings
    again = run(case, subject)
    for finding in findings:
        assert finding.check is not None
        assert not holds(finding.check, finding.expected, again)


def holds(check: Check, expected: Any, record: Record) -> bool:
    """Whether a comparison, made again from another record, holds there."""
    observed = MEASURES[check.observed.measure](record, *check.observed.arguments)
    if check.relation == "true":
        return bool(observed)
    if check.expected is not None:
        expected = MEASURES[check.expected.measure](record, *check.expected.arguments)
    if check.relation == "close":
        return close("x", expected=expected, observed=observed, tolerance=check.tolerance, scale=check.scale) == HOLDS
    relation = {"same": same, "at_most": at_most, "at_least": at_least}[check.relation]
    return relation("x", expected=expected, observed=observed) is HOLDS
