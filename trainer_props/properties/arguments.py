"""TrainingArguments: what they accept, and that they stay what they are when copied, written down and read back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from trainer_props.judgement import HOLDS, Judgement, Violated, holds_for_all, is_true, same
from trainer_props.properties import sources
from trainer_props.properties.needs import FINISHED, Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario

BUILD: Final = ("build_arguments",)
REPLACE: Final = "https://docs.python.org/3/library/dataclasses.html#dataclasses.replace"

VALID = Need("valid", "one value is outside its domain", lambda record, scenario: "bad" not in record.results)
BAD = Need("bad", "every value is inside its domain", lambda record, scenario: "bad" in record.results)


@trainer_property(source=sources.docs("TrainingArguments"), experiments=BUILD, needs=[VALID])
def valid_values_are_accepted(record: Record, scenario: Scenario) -> Judgement:
    """Values inside their documented domains can be built into arguments: nothing is raised."""
    if record.failure is None:
        return HOLDS
    failure = record.failure
    return Violated("the construction", "it succeeds", f"{failure.kind}: {failure.message}", failure.kind, "", "crashed")


@trainer_property(source=sources.docs("TrainingArguments.to_dict"), experiments=BUILD, needs=[VALID, FINISHED], catalogue=[91])
def copies_equal_the_original(record: Record, scenario: Scenario) -> Judgement:
    """Arguments that are written down and read back equal what was written.

    The ways are `to_dict`, `to_json_string`, `HfArgumentParser.parse_dict`, `dataclasses.replace` and pickle.
    Every field is compared, apart from tokens: `to_dict` hides those on purpose.
    """
    copies: Mapping[str, Mapping[str, Any]] = record.results["copies"]
    return holds_for_all("copies", [_same_fields("a copy of the arguments", record.arguments, copy, way) for way, copy in copies.items()])


@trainer_property(source=REPLACE, experiments=BUILD, needs=[VALID, FINISHED], catalogue=[91])
def replacing_values_is_building_with_them(record: Record, scenario: Scenario) -> Judgement:
    """`dataclasses.replace(TrainingArguments(...), **values)` equals arguments that are built with these values in the first place."""
    return _same_fields("arguments with values replaced", record.arguments, record.results["replaced"], "replace")


@trainer_property(source=sources.docs("TrainingArguments.to_sanitized_dict"), experiments=BUILD, needs=[VALID, FINISHED], catalogue=[91])
def sanitized_values_are_plain(record: Record, scenario: Scenario) -> Judgement:
    """`to_sanitized_dict` has every field, as a number, a truth value or a text, and numbers are those of the field."""
    sanitized: Mapping[str, Any] = record.results["sanitized"]
    missing = [name for name in record.arguments if name not in sanitized]
    if missing:
        return Violated("sanitized fields", "every field", sorted(sanitized), "missing", missing[0])
    rich = {name: value for name, value in sanitized.items() if not isinstance(value, (bool, int, float, str))}
    if rich:
        return Violated("sanitized values", "numbers, truth values and texts", rich, "not plain", next(iter(rich)))
    numbers = {name: value for name, value in record.arguments.items() if isinstance(value, (bool, int, float))}
    return _same_fields("sanitized numbers", numbers, sanitized, "to_sanitized_dict")


@trainer_property(source=sources.docs("TrainingArguments"), experiments=BUILD, needs=[VALID, FINISHED], catalogue=[92])
def building_again_changes_nothing(record: Record, scenario: Scenario) -> Judgement:
    """Deriving what follows from the given values a second time (`__post_init__`) changes no field."""
    return _same_fields("arguments built again", record.arguments, record.results["rebuilt"], "__post_init__")


@trainer_property(source=sources.docs("TrainingArguments.to_json_string"), experiments=BUILD, needs=[VALID, FINISHED], catalogue=[92])
def copying_changes_nothing(record: Record, scenario: Scenario) -> Judgement:
    """Building arguments leaves the values that were handed in as they were, and copying and writing arguments leaves all fields."""
    given = record.results["given"]
    kept = _same_fields("the values handed in", given["before"], given["after"], "the construction")
    if isinstance(kept, Violated):
        return kept
    return _same_fields("arguments after copying", record.arguments, record.results["after"], "the copies")


@trainer_property(source=sources.docs("TrainingArguments.set_training"), experiments=BUILD, needs=[VALID, FINISHED], catalogue=[91])
def setters_set_what_they_are_told(record: Record, scenario: Scenario) -> Judgement:
    """Setters (`set_training`, `set_evaluate` ...) give their fields the values that the keyword arguments of the same meaning give."""
    told: Mapping[str, Mapping[str, Any]] = record.results["told"]
    judgements = [_same_fields("fields after a setter", _part(record, fields), fields, setter) for setter, fields in told.items()]
    return holds_for_all("setters", judgements)


@trainer_property(source=sources.docs("TrainingArguments.set_logging"), experiments=BUILD, needs=[VALID, FINISHED], catalogue=[91])
def silent_setters_keep_their_documented_defaults(record: Record, scenario: Scenario) -> Judgement:
    """What a setter is not told gets the default that its documentation gives; where that gives none, the default of the field."""
    wrong: dict[str, Any] = {}
    right: dict[str, Any] = {}
    for setter, fields in record.results["silent"].items():
        for name, value in fields.items():
            expected = record.arguments.get(name, "no exception")
            if _differ(expected, value):
                wrong[f"{setter}: {name}"], right[f"{setter}: {name}"] = value, expected
    return is_true("defaults of the setters", not wrong, expected=right, observed=wrong, symptom="different", at=next(iter(wrong), ""))


@trainer_property(source=sources.docs("TrainingArguments"), experiments=BUILD, needs=[BAD], catalogue=[93])
def bad_values_are_refused(record: Record, scenario: Scenario) -> Judgement:
    """A value outside the documented domain of its argument is refused at construction, by a ValueError or TypeError that names it."""
    bad = record.results["bad"]
    name, error = bad["field"], bad["error"]
    expected = f"a ValueError or TypeError that names {name}"
    if error is None:
        return Violated("what a bad value gets", expected, f"{name}={bad['value']!r} is accepted", "accepted", name)
    observed = f"{error['kinds'][0]}: {error['message']}"
    if not {"ValueError", "TypeError"} & set(error["kinds"]):
        return Violated("what a bad value gets", expected, observed, error["kinds"][0], name)
    named = re.search(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", error["message"])
    return is_true("what a bad value gets", named is not None, expected=expected, observed=observed, symptom="argument not named", at=name)


def _same_fields(quantity: str, expected: Mapping[str, Any], observed: Mapping[str, Any], at: str) -> Judgement:
    """All fields agree; a violation shows those that do not, and an exception that stands in for the fields."""
    if "error" in observed:
        return Violated(quantity, "no exception", observed["error"], "an exception", at)
    wrong = [name for name, value in expected.items() if name not in observed or _differ(value, observed[name])]
    return is_true(
        quantity, not wrong, expected={name: expected[name] for name in wrong},
        observed={name: observed.get(name, "missing") for name in wrong},
        symptom="different", at=f"{at}, {wrong[0]}" if wrong else "",
    )  # fmt: skip


def _part(record: Record, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: record.arguments[name] for name in fields if name in record.arguments}


def _differ(expected: Any, observed: Any) -> bool:
    return expected is not observed and isinstance(same("field", expected=expected, observed=observed), Violated)
