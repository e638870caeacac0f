"""Generating: which options count, and that only a Seq2SeqTrainer is looked at."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import Trainer

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import judge
from trainer_props.properties import PROPERTIES
from trainer_props.properties.generation import options
from trainer_props.scenario import Data, Model, Scenario

JUDGED_BY = [each for each in PROPERTIES.values() if "generate" in each.experiments]
CASE = Case(
    experiment="generate",
    scenario=Scenario(
        arguments={"per_device_eval_batch_size": 2}, data=Data(kind="seq2seq", n=1, n_eval=4, length=3), model=Model(name="t5")
    ),
    parameters={
        "asked": {"generation_max_length": 3, "generation_num_beams": 2},
        "calls": [["evaluate", {"max_length": 5}], ["predict", {}]],
    },
)


@pytest.mark.parametrize(
    ("asked", "call", "expected"),
    [
        ({}, {}, {}),
        ({"generation_max_length": 3}, {}, {"max_length": 3}),
        ({"generation_max_length": 3}, {"max_length": 5}, {"max_length": 5}),
        ({"generation_max_length": 3}, {"max_new_tokens": 5}, {"max_new_tokens": 5}),
        ({"generation_max_length": 3, "generation_num_beams": 2}, {"num_beams": 1}, {"max_length": 3, "num_beams": 1}),
    ],
)
def test_a_call_says_more_than_the_arguments(asked: dict[str, Any], call: dict[str, Any], expected: dict[str, Any]) -> None:
    assert options({**asked, "calls": [("predict", call)]}, 0) == expected


def test_the_stock_trainer_stands_for_the_stock_seq2seq_trainer() -> None:
    judged = judge(CASE, subjects.load(subjects.DEFAULT), JUDGED_BY)
    assert [each.known_bug for each in judged.findings] == ["generating-fills-the-configuration"]
    assert len(judged.holds) == len(JUDGED_BY) - 1


def test_another_trainer_does_not_generate() -> None:
    class Other(Trainer):
        pass

    judged = judge(CASE, subjects.wrap(Other), JUDGED_BY)
    assert not judged.findings
    assert not judged.holds
