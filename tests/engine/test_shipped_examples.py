"""The regression examples that this repository ships: one at least for each known bug, each of which still shows it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from trainer_props import subjects
from trainer_props.engine.judging import judge
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.properties import PROPERTIES
from trainer_props.regressions import Example, Store
from trainer_props.running import prepared

FOLDER = Path(__file__).parents[2] / ".hypothesis" / "regressions"
UPDATE = "TRAINER_PROPS_UPDATE_EXAMPLES"
SUBJECT = subjects.load(subjects.DEFAULT)
CONTENTS = Store(FOLDER).read()


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def test_every_file_is_an_example() -> None:
    assert [str(each) for each in CONTENTS.skipped] == []
    assert CONTENTS.examples


@pytest.mark.parametrize("name", sorted(KNOWN_BUGS))
def test_every_known_bug_has_one(name: str) -> None:
    if os.environ.get(UPDATE):
        for finding in judge(KNOWN_BUGS[name].example, SUBJECT, list(PROPERTIES.values())).findings:
            if finding.known_bug == name:
                Store(FOLDER).add(Example.of(finding, subject=SUBJECT.name, via="check"))
    assert [each.path.name for each in Store(FOLDER).read().examples if each.example.known_bug == name], f"set {UPDATE}=1 and look at git"


@pytest.mark.parametrize("stored", CONTENTS.examples, ids=lambda each: each.path.stem)
def test_it_still_shows_its_bug(stored: object) -> None:
    example = stored.example  # type: ignore[attr-defined]
    if not SpecifierSet(KNOWN_BUGS[example.known_bug].versions).contains(version("transformers")):
        pytest.skip(f"transformers {version('transformers')} does not have {example.known_bug}")
    findings = judge(example.case, SUBJECT, [PROPERTIES[example.property]]).findings
    assert [(each.verdict, each.known_bug, each.symptom) for each in findings] == [(example.verdict, example.known_bug, example.symptom)]
