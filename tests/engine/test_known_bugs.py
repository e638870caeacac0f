"""Every known bug shows on the installed transformers by its own example, in its region, with its symptom."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

import pytest
from packaging.specifiers import SpecifierSet

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.properties import PROPERTIES
from trainer_props.running import prepared
from trainer_props.scenario import Components, Data, EarlyStopping, Scenario

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


def test_a_stream_that_never_steps_may_be_ended_by_early_stopping() -> None:
    arguments = {
        "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "max_steps": 1,
        "eval_strategy": "epoch", "metric_for_best_model": "loss",
    }  # fmt: skip
    components = Components(early_stopping=EarlyStopping())
    scenario = Scenario(arguments=arguments, data=Data(kind="stream", n=1, n_eval=1), components=components)
    findings = judge(Case(experiment="train_on_streams", scenario=scenario), SUBJECT, list(PROPERTIES.values())).findings
    assert {finding.known_bug for finding in findings} == {"stream-never-steps"}


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
