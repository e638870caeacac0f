"""What fails within a property, or within what is known of it, is an error of ours: neither a violation, nor the end of the session."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from trainer_props.case import Case
from trainer_props.engine import judging
from trainer_props.judgement import is_true
from trainer_props.record import Record


def _property(judgement: Any) -> Any:
    class Property(SimpleNamespace):
        def __call__(self, record: Record, scenario: Any) -> Any:
            return judgement()

    return Property(id="steps.none", experiments=("train_once",))


def _fails() -> Any:
    raise KeyError("loss")


def test_a_property_that_fails_is_an_error() -> None:
    judged = judging.judge_record(Record(), Case(), [_property(_fails)])
    assert (judged.findings, judged.holds) == ((), ())
    (error,) = judged.errors
    assert error.startswith("property steps.none failed on Case()")
    assert error.endswith("KeyError: 'loss'")


def test_a_symptom_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "explain", lambda *_: _fails())
    violated = is_true("it", False, expected="so", observed=False, symptom="is not so")
    judged = judging.judge_record(Record(), Case(), [_property(lambda: violated)])
    assert judged.findings == ()
    assert [error.partition(" on ")[0] for error in judged.errors] == ["property steps.none failed"]
