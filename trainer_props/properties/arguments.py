"""TrainingArguments: what they accept, and that they stay what they are when copied, written down and read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from trainer_props.judgement import HOLDS, Judgement, Violated, holds_for_all, is_true, same
from trainer_props.measures import arguments as measures
from trainer_props.oracles import fitting, following
from trainer_props.properties import sources
from trainer_props.properties.needs import FINISHED, Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario

BUILD: Final = ("build_arguments",)
REPLACE: Final = "https://docs.python.org/3/library/dataclasses.html#dataclasses.replace"

VALID = Need(
    "valid", "one value is outside its domain, or it is asked what fits together",
    lambda record, scenario: not record.results.keys() & {"bad", "plan"},
)  # fmt: skip
BAD = Need("bad", "every value is inside its domain", lambda record, scenario: "bad" in record.results)
FITTING = Need(
    "fitting", "no plan that fits together",
    lambda record, scenario: "plan" in record.results and fitting.loads_best_model(scenario) is True,
)  # fmt: skip
MISFITTING = Need(
    "misfitting", "no plan that does not fit together",
    lambda record, scenario: "plan" in record.results and fitting.loads_best_model(scenario) is False,
)  # fmt: skip


@trainer_property(source=sources.docs("TrainingArguments"), experiments=BUILD, needs=[VALID])
def valid_values_are_accepted(record: Record, scenario: Scenario) -> Judgement:
    """Values inside their documented domains can be built into arguments: nothing is raised."""
    if record.failure is None:
        return HOLDS
    outcome = measures.outcome_of_the_construction(record)
    return same("the construction", expected="it succeeds", observed=outcome, symptom=record.failure.kind, verdict="crashed")


@trainer_property(source=sources.docs("TrainingArguments"), experiments=BUILD, needs=[VALID, FINISHED])
def given_values_stay_and_others_follow(record: Record, scenario: Scenario) -> Judgement:
    """Fields have the values that were given, and those that the documentation says follow from them: `do_eval` from `eval_strategy`,
    `eval_steps` from `logging_steps`, `greater_is_better` from `metric_for_best_model`, and so on.
    """
    known = {name: value for name, value in following.fields(record.results["given"]["before"]).items() if name in record.arguments}
    expected = {
        name: {**record.arguments[name], **value} if isinstance(value, dict) and isinstance(record.arguments[name], dict) else value
        for name, value in known.items()
    }
    wrong = [name for name, value in expected.items() if _differ(value, record.arguments[name])]
    if not wrong:
        return HOLDS
    observed = measures.fields_of(record, wrong)
    return same("fields", expected={name: expected[name] for name in wrong}, observed=observed, symptom="different", at=wrong[0])


@trainer_property(source=sources.docs("TrainingArguments.to_dict"), experiments=BUILD, needs=[VALID, FINISHED], catalogue=[91])
def copies_equal_the_original(record: Record, scenario: Scenario) -> Judgement:
    """Arguments that are written down and read back equal what was written.

    The ways are `to_dict`, `to_json_string`, `HfArgumentParser.parse_dict`, `dataclasses.replace` and pickle.
    Every field is compared, apart from tokens: `to_dict` hides those on purpose.
    """
    judgements = [_same_fields("a copy of the arguments", record, "copies", way, at=way) for way in record.results["copies"]]
    return holds_for_all("copies", judgements)


@trainer_property(source=REPLACE, experiments=BUILD, needs=[VALID, FINISHED], catalogue=[91])
def replacing_values_is_building_with_them(record: Record, scenario: Scenario) -> Judgement:
    """`dataclasses.replace(TrainingArguments(...), **values)` equals arguments that are built with these values in the first place."""
    return _same_fields("arguments with values replaced", record, "replaced", at="replace")


@trainer_property(source=sources.docs("TrainingArguments.to_sanitized_dict"), experiments=BUILD, needs=[VALID, FINISHED], catalogue=[91])
def sanitized_values_are_plain(record: Record, scenario: Scenario) -> Judgement:
    """`to_sanitized_dict` has every field, as a number, a truth value or a text, and numbers are those of the field."""
    sanitized: Mapping[str, Any] = record.results["sanitized"]
    missing = [name for name in record.arguments if name not in sanitized]
    if missing:
        present = measures.has_fields(record, missing, "sanitized")
        return is_true("sanitized fields", present, expected="every field", observed=sorted(sanitized), symptom="missing", at=missing[0])
    rich = {name: value for name, value in sanitized.items() if not isinstance(value, (bool, int, float, str))}
    if rich:
        plain, wanted = measures.fields_are_plain(record, list(rich), "sanitized"), "numbers, truth values and texts"
        return is_true("sanitized values", plain, expected=wanted, observed=rich, symptom="not plain", at=next(iter(rich)))
    numbers = [name for name, value in record.arguments.items() if isinstance(value, (bool, int, float))]
    return _same_fields("sanitized numbers", record, "sanitized", names=numbers, at="to_sanitized_dict")


@trainer_property(source=sources.docs("TrainingArguments"), experiments=BUILD, needs=[VALID, FINISHED], catalogue=[92])
def building_again_changes_nothing(record: Record, scenario: Scenario) -> Judgement:
    """Deriving what follows from the given values a second time (`__post_init__`) changes no field."""
    return _same_fields("arguments built again", record, "rebuilt", at="__post_init__")


@trainer_property(source=sources.docs("TrainingArguments.to_json_string"), experiments=BUILD, needs=[VALID, FINISHED], catalogue=[92])
def copying_changes_nothing(record: Record, scenario: Scenario) -> Judgement:
    """Building arguments leaves the values that were handed in as they were, and copying and writing arguments leaves all fields."""
    kept = _same_fields("the values handed in", record, "given", "after", original=("given", "before"), at="the construction")
    if isinstance(kept, Violated):
        return kept
    return _same_fields("arguments after copying", record, "after", at="the copies")


@trainer_property(source=sources.docs("TrainingArguments.set_training"), experiments=BUILD, needs=[VALID, FINISHED], catalogue=[91])
def setters_set_what_they_are_told(record: Record, scenario: Scenario) -> Judgement:
    """Setters (`set_training`, `set_evaluate` ...) give their fields the values that the keyword arguments of the same meaning give."""
    told: Mapping[str, Mapping[str, Any]] = record.results["told"]
    known = {setter: [name for name in fields if name in record.arguments] for setter, fields in told.items()}
    judgements = [
        _same_fields("fields after a setter", record, "told", setter, names=names, at=setter) for setter, names in known.items()
    ]
    return holds_for_all("setters", judgements)


@trainer_property(source=sources.docs("TrainingArguments.set_logging"), experiments=BUILD, needs=[VALID, FINISHED], catalogue=[91])
def silent_setters_keep_their_documented_defaults(record: Record, scenario: Scenario) -> Judgement:
    """What a setter is not told gets the default that its documentation gives; where that gives none, the default of the field."""
    wrong = [
        [setter, name]
        for setter, fields in record.results["silent"].items()
        for name, value in fields.items()
        if _differ(record.arguments.get(name, measures.NO_EXCEPTION), value)
    ]
    if not wrong:
        return HOLDS
    expected, observed = measures.fields_without_setters(record, wrong), measures.fields_after_silent_setters(record, wrong)
    return same("defaults of the setters", expected=expected, observed=observed, symptom="different", at=": ".join(wrong[0]))


@trainer_property(source=sources.docs("TrainingArguments"), experiments=BUILD, needs=[BAD], catalogue=[93])
def bad_values_are_refused(record: Record, scenario: Scenario) -> Judgement:
    """A value outside the documented domain of its argument is refused at construction, by a ValueError or TypeError that names it."""
    bad = record.results["bad"]
    name, error = bad["field"], bad["error"]
    refused = measures.bad_value_is_refused_by_name(record)
    if error is None:
        observed, symptom = f"{name}={bad['value']!r} is accepted", "accepted"
    else:
        observed = f"{error['kinds'][0]}: {error['message']}"
        refusal = bool({"ValueError", "TypeError"} & set(error["kinds"]))
        symptom = "argument not named" if refusal else error["kinds"][0]
    expected = f"a ValueError or TypeError that names {name}"
    return is_true("what a bad value gets", refused, expected=expected, observed=observed, symptom=symptom, at=name)


@trainer_property(source=sources.docs("TrainingArguments.load_best_model_at_end"), experiments=BUILD, needs=[FITTING], catalogue=[93])
def plans_that_fit_are_accepted(record: Record, scenario: Scenario) -> Judgement:
    """A plan by which the best model can be loaded is accepted: the same strategy for evaluating and saving, round multiples of steps.

    Steps may be numbers, or ratios; `eval_steps` that are not given are `logging_steps`. A plan that loads no best model need not fit.
    """
    symptom = record.results["plan"]["error"]["kinds"][0] if record.results["plan"]["error"] is not None else ""
    return same("refusal of a plan", expected=None, observed=measures.refusal_of_the_plan(record), symptom=symptom)


@trainer_property(source=sources.docs("TrainingArguments.load_best_model_at_end"), experiments=BUILD, needs=[MISFITTING], catalogue=[93])
def plans_that_do_not_fit_are_refused(record: Record, scenario: Scenario) -> Judgement:
    """A plan by which the best model may not have been saved is refused by a ValueError or TypeError that says `load_best_model_at_end`."""
    refused = measures.plan_is_refused_by_name(record, "load_best_model_at_end")
    error = record.results["plan"]["error"]
    observed = "it is accepted" if error is None else f"{error['kinds'][0]}: {error['message']}"
    symptom = "accepted" if error is None else "refused otherwise"
    expected = "a ValueError or TypeError that names load_best_model_at_end"
    return is_true("what a plan gets", refused, expected=expected, observed=observed, symptom=symptom)


def _same_fields(
    quantity: str, record: Record, *way: str, at: str, names: Iterable[str] | None = None, original: tuple[str, ...] = ()
) -> Judgement:
    """What was made of the arguments this way agrees with them (or with another result: `original`), in all fields or those of `names`.

    A violation shows the fields that do not, or the exception that stands in for the fields.
    """
    expected, observed = measures.made(record, original), measures.made(record, way)
    if "error" in observed:
        raised = measures.exception_of(record, *way)
        return same(quantity, expected=measures.NO_EXCEPTION, observed=raised, symptom="an exception", at=at)
    wrong = [name for name in (expected if names is None else names) if name not in observed or _differ(expected[name], observed[name])]
    if not wrong:
        return HOLDS
    left, right = measures.fields_of(record, wrong, *original), measures.fields_of(record, wrong, *way)
    return same(quantity, expected=left, observed=right, symptom="different", at=f"{at}, {wrong[0]}")


def _differ(expected: Any, observed: Any) -> bool:
    return expected is not observed and isinstance(same("field", expected=expected, observed=observed), Violated)
