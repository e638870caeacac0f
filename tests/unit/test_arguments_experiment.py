"""The experiment that builds TrainingArguments: what it records, what its properties say, which bugs of 5.23 it knows."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from trainer_props import compat, strategies, subjects
from trainer_props.arguments import DEFAULTS
from trainer_props.case import Case
from trainer_props.engine.judging import Judged, judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.faults import FAULTS
from trainer_props.known_bugs import KNOWN_BUGS, KnownBug
from trainer_props.properties import PROPERTIES
from trainer_props.running import construction, prepared
from trainer_props.scenario import Scenario
from trainer_props.strategies.argument_values import BAD_VALUES, FURTHER_VALUES
from trainer_props.subjects import Subject

EXPERIMENT = EXPERIMENTS["build_arguments"]
MINE = [each for each in PROPERTIES.values() if EXPERIMENT.name in each.experiments]
STOCK = subjects.load(subjects.DEFAULT)


@pytest.fixture(autouse=True, scope="module")
def _prepared() -> Iterator[None]:
    with prepared():
        yield


def building(parameters: dict[str, object] | None = None, **arguments: object) -> Case:
    return Case(experiment=EXPERIMENT.name, scenario=Scenario(arguments=arguments), parameters=parameters or {})


def judged(case: Case, subject: Subject = STOCK) -> Judged:
    outcome = judge(case, subject, MINE)
    assert not outcome.errors
    return outcome


def new(outcome: Judged) -> set[str]:
    return {finding.property for finding in outcome.findings if finding.known_bug is None}


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(EXPERIMENT.cases(Held()))
def test_nothing_new_in_the_installed_version(case: Case) -> None:
    outcome = judged(case)
    assert outcome.refused is None
    assert not new(outcome), outcome.findings


def test_a_field_without_a_value_is_not_about_bad_values() -> None:
    record = EXPERIMENT.run(building({"field": "warmup_steps"}), STOCK)  # shrinking leaves out one parameter after another
    assert record.arguments
    assert "bad" not in record.results


@pytest.mark.parametrize("name", sorted(FURTHER_VALUES))
def test_further_values_are_accepted(name: str) -> None:
    for value in FURTHER_VALUES[name]:
        outcome = judged(building(**{name: value}))
        assert outcome.refused is None
        assert "arguments.valid_values_are_accepted" in outcome.holds
        assert not new(outcome), outcome.findings


@pytest.mark.parametrize("bad", BAD_VALUES, ids=lambda bad: f"{bad.name}={bad.value}")
def test_bad_values_are_refused_or_known_to_be_accepted(bad: strategies.BadValue) -> None:
    outcome = judged(building({"field": bad.name, "value": bad.value}, **bad.beside))
    assert not new(outcome), outcome.findings
    assert outcome.findings or "arguments.bad_values_are_refused" in outcome.holds


@pytest.mark.parametrize(
    ("name", "value", "beside"),
    [
        ("torch_empty_cache_steps", 0, {}), ("logging_steps", 0, {}), ("eval_steps", 1.5, {"eval_strategy": "steps"}),
        ("warmup_steps", -1, {}),
    ],
)
def test_what_is_refused_by_name_holds(name: str, value: object, beside: dict[str, object]) -> None:
    assert "arguments.bad_values_are_refused" in judged(building({"field": name, "value": value}, **beside)).holds


def test_a_good_value_in_the_place_of_a_bad_one_is_a_new_violation() -> None:
    """The known bugs speak about values outside the domains only: they can't hide that a check was lost."""
    finding = judged(building({"field": "warmup_steps", "value": 3})).findings[0]
    assert (finding.symptom, finding.known_bug) == ("accepted", None)


BUGS = [each for each in KNOWN_BUGS.values() if each.example.experiment == EXPERIMENT.name]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.id)
def test_examples_show_their_known_bugs(bug: KnownBug) -> None:
    outcome = judged(bug.example)
    assert [finding.known_bug for finding in outcome.findings if finding.property in bug.properties] == [bug.id]


@pytest.mark.parametrize("field", ["learning_rate", "eval_strategy", "logging_steps", "train_sampling_strategy"])
def test_another_symptom_in_a_known_place_is_new(field: str) -> None:
    """A refusal by something that is neither ValueError nor TypeError is no known bug of any field."""

    def make(parts: subjects.Parts, output_dir: str) -> object:
        import transformers

        class Raises(transformers.TrainingArguments):
            def __post_init__(self) -> None:
                if getattr(self, field) == "bad":
                    raise LookupError("what is this?")
                super().__post_init__()

        return transformers.Trainer(**{**parts.trainer_kwargs(output_dir), "args": Raises(**parts.training_arguments_kwargs(output_dir))})

    finding = judged(building({"field": field, "value": "bad"}), subjects.wrap(make)).findings[0]
    assert (finding.symptom, finding.known_bug) == ("LookupError", None)


@pytest.mark.parametrize("fault", [each for each in FAULTS.values() if each.property.startswith("arguments.")], ids=lambda fault: fault.id)
def test_faults_are_caught_by_their_property(fault: object) -> None:
    subject = subjects.wrap(fault.make())  # type: ignore[attr-defined]
    caught: set[str] = set()

    @settings(max_examples=500, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(EXPERIMENT.cases(Held()))
    def explore(case: Case) -> None:
        if fault.property not in caught:  # type: ignore[attr-defined]
            caught.update(new(judged(case, subject)))

    explore()
    for bad in BAD_VALUES:
        caught.update(new(judged(building({"field": bad.name, "value": bad.value}, **bad.beside), subject)))
    assert fault.property in caught  # type: ignore[attr-defined]


def test_every_property_of_the_chapter_has_a_fault() -> None:
    assert {each.property for each in FAULTS.values() if each.property.startswith("arguments.")} == {each.id for each in MINE}
    assert {number for each in MINE for number in each.catalogue} == {91, 92, 93}


def test_a_subject_is_judged_by_its_own_class_of_arguments() -> None:
    def make(parts: subjects.Parts, output_dir: str) -> object:
        import transformers

        kwargs = parts.training_arguments_kwargs(output_dir)
        return transformers.Trainer(**{**parts.trainer_kwargs(output_dir), "args": transformers.Seq2SeqTrainingArguments(**kwargs)})

    record = EXPERIMENT.run(building(learning_rate=0.5), subjects.wrap(make))
    assert (record.arguments["predict_with_generate"], record.arguments["learning_rate"]) == (False, 0.5)
    assert set(record.results["copies"]) == {"to_dict", "to_json_string", "parse_dict", "replace", "pickle"}


def test_tokens_are_not_recorded() -> None:
    record = EXPERIMENT.run(building(), STOCK)
    assert "hub_token" not in record.arguments
    assert set(record.arguments) == set(compat.installed_signature()) - {"hub_token"}


def test_setters_name_fields_and_parameters_that_exist() -> None:
    import inspect

    import transformers

    for setter, parameters in construction.SETTERS.items():
        assert set(parameters) <= set(inspect.signature(getattr(transformers.TrainingArguments, setter)).parameters)
        assert {field for field, _ in parameters.values()} <= set(DEFAULTS)


def test_held_and_forbidden_arguments_are_left_alone() -> None:
    arguments = {"logging_strategy": "no", "eval_strategy": "epoch", "per_device_eval_batch_size": 3}
    held = Held(arguments=arguments, forbidden=("learning_rate",))

    @settings(max_examples=60, suppress_health_check=list(HealthCheck), database=None)
    @given(EXPERIMENT.cases(held))
    def check(case: Case) -> None:
        assert {name: case.scenario.argument(name) for name in held.arguments} == held.arguments
        assert case.scenario.argument("learning_rate") == DEFAULTS["learning_rate"]
        assert case.parameters.get("field") not in {*held.arguments, "learning_rate", "logging_steps", "eval_steps"}
        if case.parameters.get("field") == "save_steps":
            assert case.scenario.argument("save_strategy") == "steps"

    check()


def test_cases_shrink_to_nothing_said() -> None:
    from hypothesis import find

    assert find(EXPERIMENT.cases(Held()), lambda case: not case.parameters, settings=settings(database=None)) == building()
    bad = find(EXPERIMENT.cases(Held()), lambda case: bool(case.parameters), settings=settings(database=None))
    assert bad == building({"field": "per_device_train_batch_size", "value": 0})


@given(strategies.bad_values(names=["warmup_steps"]))
def test_bad_values_of_one_field(bad: strategies.BadValue) -> None:
    assert bad.name == "warmup_steps"
    assert bad.value is None or isinstance(bad.value, str) or bad.value in (-1, 1.5) or math.isnan(bad.value)


@given(strategies.further_arguments(max_size=2))
def test_further_arguments_are_few_and_valid(arguments: dict[str, object]) -> None:
    assert len(arguments) <= 2
    assert all(value in FURTHER_VALUES[name] for name, value in arguments.items())


def test_names_that_do_not_exist_are_refused_with_the_nearest() -> None:
    @given(st.data())
    def draw(data: st.DataObject) -> None:
        data.draw(strategies.bad_values(names=["warmup_step"]))

    with pytest.raises(InvalidArgument, match="warmup_steps"):
        draw()
    with pytest.raises(InvalidArgument, match="documented domain"):
        given(strategies.bad_values(names=["run_name"]))(lambda bad: None)()


def test_what_is_bad_and_what_is_further_name_fields() -> None:
    assert {each.name for each in BAD_VALUES} | set(FURTHER_VALUES) <= set(DEFAULTS)
