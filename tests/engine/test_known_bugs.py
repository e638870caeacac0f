"""Every known bug shows on the installed transformers by its own example, in its region, with its symptom."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

import pytest
from packaging.specifiers import SpecifierSet

from trainer_props import subjects
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.properties import PROPERTIES
from trainer_props.running import prepared

INSTALLED = version("transformers")
SUBJECT = subjects.load(subjects.DEFAULT)


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


@pytest.mark.parametrize("name", sorted(KNOWN_BUGS))
def test_its_example_shows_it(name: str) -> None:
    bug = KNOWN_BUGS[name]
    if not SpecifierSet(bug.versions).contains(INSTALLED):
        pytest.skip(f"transformers {INSTALLED} is not one of {bug.versions}")
    assert bug.region(bug.example.scenario)
    findings = judge(bug.example, SUBJECT, list(PROPERTIES.values())).findings
    assert name in {finding.known_bug for finding in findings}
    assert {finding.known_bug for finding in findings} <= KNOWN_BUGS.keys(), "the example shows something new besides"


@pytest.mark.parametrize("name", sorted(KNOWN_BUGS))
def test_it_is_tied_to_what_exists(name: str) -> None:
    bug = KNOWN_BUGS[name]
    assert bug.link.startswith("https://")
    assert bug.sentence.endswith(".")
    assert bug.example.experiment in EXPERIMENTS
    for identifier in bug.properties:
        assert bug.properties.count(identifier) == 1
        assert identifier in PROPERTIES
    assert any(bug.example.experiment in PROPERTIES[identifier].experiments for identifier in bug.properties)
