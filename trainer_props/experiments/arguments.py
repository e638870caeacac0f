"""The experiment that builds TrainingArguments and trains nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.registry import Experiment, Held, register
from trainer_props.record import Record
from trainer_props.scenario import Scenario
from trainer_props.strategies.argument_values import BAD_VALUES, FURTHER_VALUES

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "build_arguments"


def build_arguments(case: Case, subject: Subject) -> Record:
    """Build the scenario's TrainingArguments and their copies; or, given a `field` and a `value`, see whether that is refused."""
    from trainer_props.running import construction  # what is heavy is imported when something runs, not when tests are collected

    if "field" in case.parameters:
        return construction.refuse(case.scenario, subject, case.parameters["field"], case.parameters["value"])
    return construction.build(case.scenario, subject)


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Valid arguments, of training runs and further ones, and arguments with one value outside its documented domain."""
    fixed = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}
    further = [name for name in FURTHER_VALUES if name not in fixed]
    bad = [
        each.name for each in BAD_VALUES
        if each.name not in fixed and not any(fixed.get(name, value) != value for name, value in each.beside.items())
    ]  # fmt: skip

    kinds = ("further", "run", *(("bad", "bad") if bad else ()))

    @st.composite
    def arguments(draw: st.DrawFn) -> Case:
        kind = draw(st.sampled_from(kinds))
        if kind == "bad":
            chosen = draw(strategies.bad_values(names=bad))
            beside = {name: value for name, value in chosen.beside.items() if name not in fixed}
            others = [name for name in further if name != chosen.name and name not in chosen.beside]
            around = {**draw(strategies.further_arguments(names=others, max_size=2)), **fixed, **beside}
            return _case(around, {"field": chosen.name, "value": chosen.value})
        said = draw(strategies.scenarios(arguments=fixed, models=held.models)).arguments if kind == "run" else fixed
        return _case({**said, **draw(strategies.further_arguments(names=further))}, {})

    return arguments()


def _case(arguments: dict[str, Any], parameters: dict[str, Any]) -> Case:
    return Case(experiment=NAME, scenario=Scenario(arguments=arguments), parameters=parameters)


register(
    Experiment(NAME, "Build TrainingArguments, copy them, write them down and read them back; or give them a value that they must refuse.",
               "test_trainer", cases, build_arguments, share=0.4, own_data=True)
)
