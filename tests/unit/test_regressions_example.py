"""Regression examples as values: what is written can be read, and what can't be trusted is refused in one line."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from typing import Any

import pytest

from trainer_props import serialization
from trainer_props.case import Case
from trainer_props.engine.events import Finding
from trainer_props.experiments.pairs import CONSOLE
from trainer_props.judgement import Check, Measured
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.regressions import Example, InvalidExample, fingerprint, versions, violation_id
from trainer_props.scenario import Data, Scenario

STEPS = "steps.global_step_counts_updates"
KEYS = ("property", "verdict", "known_bug", "subject", "case", "expected", "observed", "tolerance", "versions", "found", "via")
FINDING = Finding(STEPS, "violated", "global_step", "too large", 1, 2, "at the end", None, Case(scenario=Scenario(data=Data(n=3))))


def example(finding: Finding = FINDING) -> Example:
    return Example.of(finding, subject="transformers:Trainer", via="check")


def data(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(example().to_json()) | changes


def case(**changes: Any) -> dict[str, Any]:
    return Case(scenario=Scenario(data=Data(n=3))).to_json() | changes


def refusal(changed: Any) -> str:
    with pytest.raises(InvalidExample) as caught:
        Example.from_json(changed)
    text = str(caught.value)
    assert "\n" not in text
    assert text.isprintable()
    assert len(text) <= 500
    return text


def test_it_has_the_keys_of_the_contract() -> None:
    assert set(example().to_json()) == {"format", *KEYS, "quantity", "symptom", "divergence"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"expected": math.nan, "observed": [math.inf, -math.inf, -0.0]},
        {"expected": {"loss": (1.5, None)}, "observed": {1: True}},
        {"known_bug": "some-bug", "verdict": "nondeterministic"},
        {"case": Case(experiment="build_arguments", parameters={"field": "seed", "value": 2**32}), "verdict": "crashed"},
        {"case": Case(scenario=Scenario(arguments={"learning_rate": math.nan}))},
    ],
)
def test_it_survives_its_text(changes: dict[str, Any]) -> None:
    stored = example(replace(FINDING, **changes))
    read = Example.from_json(json.loads(json.dumps(stored.to_json(), allow_nan=False)))
    assert read == stored
    assert hash(read) == hash(stored)
    assert read.id == stored.id == violation_id(replace(FINDING, **changes))
    assert read.case == stored.case


def test_what_is_compared_may_be_anything_and_of_any_length() -> None:
    stored = example(replace(FINDING, expected={"a": {3, 1}}, observed=list(range(100_000))))
    assert stored.expected == {"a": [1, 3]}
    assert isinstance(stored.observed, str)
    assert len(stored.observed) < 30_000
    assert Example.from_json(stored.to_json()) == stored


def test_the_tolerance_is_that_of_the_comparison() -> None:
    assert example().tolerance == 0.0
    assert example(replace(FINDING, check=Check("close", Measured(1, "steps.total"), tolerance=1e-9))).tolerance == 1e-9


def test_every_known_bugs_own_example_can_be_stored() -> None:
    for bug in KNOWN_BUGS.values():
        for name in bug.properties:
            stored = example(replace(FINDING, property=name, verdict="crashed", known_bug=bug.id, case=bug.example))
            assert Example.from_json(stored.to_json()) == stored


@pytest.mark.parametrize("change", [{"symptom": "too small"}, {"verdict": "hung"}, {"quantity": "epochs"}, {"known_bug": "one"}])
def test_the_fingerprint_tells_violations_apart(change: dict[str, Any]) -> None:
    assert fingerprint(replace(FINDING, **change)) != fingerprint(FINDING)
    assert fingerprint(replace(FINDING, known_bug="one")) != fingerprint(replace(FINDING, known_bug="two"))


def test_the_fingerprint_is_not_made_of_numbers() -> None:
    assert fingerprint(replace(FINDING, expected=5, observed=6, divergence="elsewhere", case=Case())) == fingerprint(FINDING)


def test_versions_name_what_is_installed() -> None:
    found = versions()
    assert set(found) == {"transformers", "accelerate", "torch", "hypothesis", "trainer_props", "python"}
    assert all(found.values())


def test_unknown_keys_are_left_for_later_versions() -> None:
    assert Example.from_json(data(added_in_2031={"x": [1]})) == example()


def test_added_keys_may_lack() -> None:
    bare = {key: value for key, value in data().items() if key not in ("quantity", "symptom", "divergence")}
    assert Example.from_json(bare).symptom == ""


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_key_is_named(key: str) -> None:
    assert refusal({name: value for name, value in data().items() if name != key}) == f"{key} missing"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (None, "an example is a JSON object, not null"),
        ([1], "an example is a JSON object, not a list"),
        (data(format=2), "format 2 is unknown: this version reads format 1"),
        (data(format=True), "format True is unknown"),
        (data(format="1"), "format '1' is unknown"),
        ({}, "format None is unknown"),
        (data(property="steps.global_step_counts_update"), "did you mean 'steps.global_step_counts_updates'?"),
        (data(property="../../x"), "there is no property '../../x'"),
        (data(property=3), "property is a number, not a text"),
        (data(property="a\n\x1b[31mb"), r"no property 'a\n\x1b[31mb'"),
        (data(verdict="broken"), "verdict 'broken' is none of violated"),
        (data(known_bug=[]), "known_bug is a list"),
        (data(subject="../../evil"), "subject '../../evil' is no name like module:attribute"),
        (data(subject=""), "subject '' is no name"),
        (data(tolerance="NaN"), "tolerance is 'NaN'"),
        (data(tolerance=True), "tolerance is True"),
        (data(tolerance=-1), "tolerance is -1"),
        (data(versions={"torch": 2}), "versions is not an object of texts"),
        (data(expected=1e999), "too large for a double"),
        (data(expected=10**30), "64 bits"),
        (data(observed="\ud800"), "half a character"),
        (data(observed={"\ud800": 1}), "half a character"),
        (data(case=5), "case: a case is a JSON object"),
        (data(case={}), "case: format None is unknown"),
        (data(case=case(format=7)), "case: format 7 is unknown"),
        (data(case=case(experiment="train_twice")), "case: there is no experiment 'train_twice': did you mean 'train_once'?"),
        (data(case=case(experiment="build_arguments")), "is judged in train_once"),
        (data(case=case(more=1)), "case: Object contains unknown field `more`"),
        (data(case=case(scenario={"data": {"n": "3"}})), "$.scenario.data.n"),
        (data(case=case(scenario={"data": {"n": True}})), "$.scenario.data.n"),
        (data(case=case(scenario={"data": {"n": -1}})), "data.n is -1"),
        (data(case=case(scenario={"data": {"n": 10**12}})), "data.n is 1000000000000"),
        (data(case=case(scenario={"data": {"seed": -1}})), "data.seed is -1"),
        (data(case=case(scenario={"data": {"kind": "regresion"}})), "no data set 'regresion': did you mean 'regression'?"),
        (data(case=case(scenario={"model": {"name": "../../lstm"}})), "no model '../../lstm'"),
        (data(case=case(scenario={"model": {"name": "lstm"}})), "can't train on 'regression'"),
        (data(case=case(scenario={"model": {"dtype": "float16"}})), "model.dtype is 'float16'"),
        (data(case=case(scenario={"components": {"collator": "x"}})), "components.collator is 'x'"),
        (data(case=case(scenario={"components": {"loss": "x"}})), "components.loss is 'x'"),
        (data(case=case(scenario={"devices": {"kind": "tpu"}})), "devices.kind is 'tpu'"),
        (data(case=case(scenario={"devices": {"count": 8}})), "devices.count is 8"),
        (data(case=case(scenario={"arguments": {"learning_rat": 1}})), "no field 'learning_rat': did you mean 'learning_rate'?"),
        (data(case=case(scenario={"arguments": {"max_steps": 10**9}})), "max_steps is 1000000000: at most 2000"),
        (data(case=case(experiment="evaluate_and_predict", parameters={"predict": 10**12})), "parameters: 1000000000000"),
        (data(case=case(experiment="evaluate_and_predict", parameters={"predict": 1, "prefix": "a'): import os"})), "is no name"),
        (data(case=case(experiment="train_with_flags", parameters={"plan": [["../on_log", 1, "should_log"]]})), "is no name"),
        (data(case=case(experiment="observe", parameters={"observe": [1]})), "parameters: observe is no object"),
        (data(case=case(experiment="regroup", parameters={"regroup": ["x", 1]})), "parameters: regroup is ['x', 1], not two"),
        (data(case=case(experiment="regroup", parameters={"regroup": 4})), "parameters: regroup is 4, not two"),
        (data(case=case(experiment="observe", parameters={"predict": 1, "predict_at": "x"})), "parameters: predict and predict_at are"),
    ],
)  # fmt: skip
def test_what_is_no_example_is_refused_by_name(changed: Any, said: str) -> None:
    assert said in refusal(changed)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("output_dir", "../../elsewhere"), ("output_dir", ""), ("resume_from_checkpoint", "/elsewhere/checkpoint-1"), ("push_to_hub", True),
        ("hub_token", "x"), ("hub_private_repo", True), ("hub_always_push", True), ("report_to", "wandb"), ("report_to", ["tensorboard"]),
        ("deepspeed", "/elsewhere/config.json"), ("fsdp_config", "config.json"), ("fsdp_config", {"path": "config.json"}),
        ("accelerator_config", "config.json"), ("ddp_backend", "gloo"), ("torch_compile_backend", "x"),
        ("disable_tqdm", False), ("run_name", "x"), ("log_level", "debug"),
    ],
)  # fmt: skip
def test_no_file_reaches_other_files_accounts_or_networks(name: str, value: Any) -> None:
    changed = data(case=case(scenario={"arguments": {name: value}}))
    assert f"case: {name} can't be set by a file (" in refusal(changed)
    if value not in CONSOLE.get(name, ()):
        for experiment, parameter in (("observe", "observe"), ("repeat", "change")):
            changed = data(case=case(experiment=experiment, parameters={parameter: {name: value}}))
            assert f"case: {name} can't be set by a file (" in refusal(changed)


@pytest.mark.parametrize(("name", "value"), [("output_dir", "../../elsewhere"), ("resume_from_checkpoint", "/x"), ("deepspeed", "c.json")])
def test_nor_does_a_value_that_is_to_be_refused(name: str, value: Any) -> None:
    bad = case(experiment="build_arguments", parameters={"field": name, "value": value})
    assert f"case: {name} can't be set by a file (" in refusal(data(case=bad, verdict="crashed"))
    assert "is no name" in refusal(data(case=case(experiment="build_arguments", parameters={"field": [name], "value": 1})))


ROWS = {"collator": "DataCollatorWithPadding", "features": [{"input_ids": [1]}]}


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"collate": {**ROWS, "collator": "pipeline"}}, "there is no collator 'pipeline'"),
        ({"collate": {**ROWS, "module": "os"}}, "of a collator there are"),
        ({"collate": 1}, "of a collator there are"),
        ({"collate": ROWS, "shell": "rm"}, "of a collator there are"),
        ({"collate": {**ROWS, "features": [1]}}, "features are objects in a list"),
        ({"collate": ROWS, "options": 1}, "options, call and tokenizer are objects"),
        ({"collate": ROWS, "copies": 100_000}, "at most 4096"),
        ({"collate": ROWS, "options": {"max_length": 1_000_000}}, "at most 4096"),
        ({"collate": ROWS, "options": {"plm_probability": 0.0}}, "plm_probability is above 0"),
        ({"collate": ROWS, "tokenizer": {"path": "x"}}, "a tokenizer is not made from path"),
    ],
)
def test_a_collator_of_a_file_is_one_that_is_known(parameters: dict[str, Any], why: str) -> None:
    crash = "collators.collating_raises_nothing"
    assert why in refusal(data(case=case(experiment="collate", parameters=parameters), property=crash, verdict="crashed"))
    accepted = data(case=case(experiment="collate", parameters={"collate": ROWS}), property=crash, verdict="crashed")
    assert Example.from_json(accepted).case.experiment == "collate"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("report_to", "none"), ("output_dir", None), ("bf16", True), ("gradient_checkpointing_kwargs", {"use_reentrant": False}),
        ("optim", "sgd"),
    ],
)  # fmt: skip
def test_what_a_subject_may_declare_can_be_read(name: str, value: Any) -> None:
    changed = data(case=case(scenario={"arguments": {name: value}}))
    assert Example.from_json(changed).case.scenario.arguments[name] == value


def test_deep_nesting_is_refused() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert refusal(data(expected=deep)) == "nested too deeply"
    assert refusal(data(case=case(parameters={"x": deep}))) == "nested too deeply"
    assert serialization.dumps(example().to_json())
