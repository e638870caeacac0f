"""`trainer-props explain`: the declared facts of a property, and a failure of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from trainer_props import cli, explaining
from trainer_props.engine import Result
from trainer_props.faults import FAULTS
from trainer_props.properties import PROPERTIES
from trainer_props.properties.needs import Need

IDENTIFIER = "steps.total_train_batch_size_multiplies"


def test_explained_with_a_failure(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "_EXPLORE_SECONDS", 60.0)  # the first failure ends it
    assert cli.run(["explain", IDENTIFIER]) == 0
    out = capsys.readouterr().out
    known = PROPERTIES[IDENTIFIER]
    assert out.startswith(f"{IDENTIFIER}\n{known.text}\n")
    for text in (known.source, ", ".join(known.experiments), "exact", *(need.reason for need in known.needs)):
        assert text in out
    fault = next(each for each in FAULTS.values() if each.property == IDENTIFIER)
    assert f"kills        {fault.id}: {fault.sentence}\n" in out
    _, _, failure = out.partition(f"a failure, of the planted fault {fault.id}:\n")
    assert failure.startswith(f"violated {IDENTIFIER}\n")
    assert "  expected  " in failure
    assert "  case      Case(" in failure


@pytest.mark.parametrize("identifier", sorted(PROPERTIES))
def test_every_property_has_its_facts(identifier: str) -> None:
    known = PROPERTIES[identifier]
    found = explaining.facts(known)
    assert [text for label, text in found if label == "source"] == [known.source]
    assert len([label for label, _ in found if label == "needs"]) == max(1, len(known.needs))


def test_facts(snapshot: Callable[[str, str], None], console: Callable[[int], Console], monkeypatch: pytest.MonkeyPatch) -> None:
    need = Need("finished", "the run did not finish", lambda record, scenario: True)
    known = replace(
        PROPERTIES[IDENTIFIER], id="steps.example", text="A sentence.\n\nMore of it.", source="https://example.org", tolerance=1e-12,
        catalogue=(1, 2), experiments=("train_once", "train_seq2seq"), needs=(need,),
    )
    fault = replace(next(iter(FAULTS.values())), id="example-fault", sentence="Does harm.", property=known.id)
    monkeypatch.setattr(explaining, "FAULTS", {"example-fault": fault})
    monkeypatch.setattr(explaining, "sample", lambda each, fault: None)
    where = console(100)
    explaining.explain(known, where)
    assert isinstance(where.file, io.StringIO)
    snapshot("explain", where.file.getvalue())


def test_fault_that_does_not_fit_the_installed_version_is_passed_over() -> None:
    def make() -> None:
        raise LookupError("no such line")

    assert explaining.sample(PROPERTIES[IDENTIFIER], replace(next(iter(FAULTS.values())), make=make)) is None


def test_ctrl_c_while_a_failure_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def __init__(self, *_: object) -> None:
            pass

        def run(self) -> Result:
            return Result(seed=0, interrupted=True)

    monkeypatch.setattr(explaining, "Session", Interrupted)
    assert cli.run(["explain", IDENTIFIER]) == 130
