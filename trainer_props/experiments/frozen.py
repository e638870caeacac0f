"""The experiment in which some parameters are frozen: from the beginning, between two calls of `train()`, or when a run is resumed."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.registry import OUTPUT, Body, Experiment, Held, Wanted, register
from trainer_props.oracles import accounting
from trainer_props.record import Record, Runs
from trainer_props.scenario import Model, Scenario
from trainer_props.serialization import code
from trainer_props.zoo import MODELS

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "train_frozen"
_FLAVOURS: Final = ("regression", "optimizer")
_MODELS: Final = tuple(dict.fromkeys(name for flavour in _FLAVOURS for name in strategies.FLAVOURS[flavour].models))
_DECIDING: Final = frozenset({"optim", "optim_args", "logging_strategy", "logging_steps", "eval_steps"})
_NEEDED: Final[dict[str, tuple[dict[str, Any], ...]]] = {
    "once": ({}, {"logging_steps": 1}), "again": ({}, *[{"optim": "sgd"}] * 3), "resume": ({},),
}  # fmt: skip
"""Arguments that let more be compared: what is logged; two calls, if the optimizer keeps nothing."""
_KEPT_WORKERS: Final = "dataloader_drop_last"


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Scenarios whose model has frozen parameters, and what is done with it.

    Parameters of a case: `how` (`once`; `again`: `train()` is called twice; `resume`: the run is stopped and resumed), `then` (names of the
    parameters that are frozen in the second part), `at` (the update after which the run is stopped).
    """
    arguments = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}
    flavours = {"regression": strategies.regression_scenarios, "optimizer": strategies.optimizer_scenarios}
    fitting = [
        scenarios for name, scenarios in flavours.items() if held.models is None or set(held.models) & set(strategies.FLAVOURS[name].models)
    ]

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        how = draw(st.sampled_from(["once", "again", "resume"]))
        needed = draw(st.sampled_from(_NEEDED[how])) if not arguments.keys() & _DECIDING else {}
        scenario = _plain(draw(draw(st.sampled_from(fitting))(arguments={**needed, **arguments}, models=held.models)), arguments)
        names = parameter_names(scenario.model.name)
        scenario = scenario.replace(model=scenario.model.replace(frozen=draw(_subsets(names, 1))))
        if how == "once":
            return Case(experiment=NAME, scenario=scenario)
        frozen = scenario.model.frozen
        then = draw(st.one_of(_subsets(names, 0), _subsets(names, len(frozen), len(frozen)))) if draw(st.booleans()) else frozen
        parameters: dict[str, Any] = {"how": how, "then": list(then)}
        if how == "resume":
            parameters["at"] = draw(st.integers(1, max(1, accounting.total_updates(scenario))))
        return Case(experiment=NAME, scenario=scenario, parameters=parameters)

    return drawn()


@functools.cache
def parameter_names(model: str) -> tuple[str, ...]:
    """The names of the parameters of a model."""
    from trainer_props import zoo  # it imports torch

    built = zoo.build_model(Model(name=model), Scenario().data.replace(kind=MODELS[model].data_kinds[0]))
    return tuple(name for name, _ in built.named_parameters())


@functools.cache
def _subsets(names: tuple[str, ...], least: int, most: int | None = None) -> st.SearchStrategy[tuple[str, ...]]:
    """Subsets in the order of the model; one parameter at least is not in them."""
    chosen = st.sets(st.sampled_from(names), min_size=least, max_size=len(names) - 1 if most is None else most)
    return chosen.map(lambda found: tuple(name for name in names if name in found))


def _plain(scenario: Scenario, held: dict[str, Any]) -> Scenario:
    """The scenario without worker processes, which take seconds, and without poisoned losses, which are counted from the beginning."""
    workers = [name for name in scenario.arguments if name.startswith("dataloader_") and name != _KEPT_WORKERS and name not in held]
    kept = scenario.without_arguments(*workers)
    return kept.replace(components=kept.components.replace(poisoned=()))  # type: ignore[no-any-return]


def run(case: Case, subject: Subject) -> Runs:
    """Two runs: as the case says, and what it is compared with.

    With `once`: `frozen`, and `constants`, where what is frozen is no parameter at all. With `again`: `again`, and `fresh`, where another
    Trainer makes the second call with the weights that the first one left. With `resume`: `part 1` and `part 2`, the resumed run.
    """
    return {"once": _once, "again": _again, "resume": _resumed}[case.parameters.get("how", "once")](case, subject)


def _once(case: Case, subject: Subject) -> Runs:
    from trainer_props.running import parameters, train
    from trainer_props.running import run as run_scenario

    def body(constants: bool) -> Any:
        def done(trainer: Any, record: Record, parts: Any) -> None:
            if constants:
                for name in case.scenario.model.frozen:
                    parameters.make_constant(trainer.model, name)
            record.results |= _given(trainer)
            train(trainer, record, parts)
            record.results |= _left(trainer)

        return done

    first = run_scenario(case.scenario, subject, body(constants=False))
    return Runs({"frozen": first} | ({"constants": run_scenario(case.scenario, subject, body(constants=True))} if first.finished else {}))


def _again(case: Case, subject: Subject) -> Runs:
    from trainer_props.running import run as run_scenario
    from trainer_props.running import train

    given: dict[str, Any] = {}

    def body(again: bool) -> Any:
        def done(trainer: Any, record: Record, parts: Any) -> None:
            if again:
                trainer.train()
                given.update({name: value.clone() for name, value in trainer.model.state_dict().items()})
            else:
                trainer.model.load_state_dict(given)
            _change(trainer.model, case)
            record.results |= _given(trainer)
            train(trainer, record, parts)
            record.results |= _left(trainer)

        return done

    first = run_scenario(case.scenario, subject, body(again=True))
    return Runs({"again": first} | ({"fresh": run_scenario(case.scenario, subject, body(again=False))} if first.finished else {}))


def _resumed(case: Case, subject: Subject) -> Runs:
    from trainer_props.running import Interruption, output_directory, parameters, train
    from trainer_props.running import run as run_scenario

    at = int(case.parameters.get("at", 1))

    def stopped(trainer: Any, record: Record, parts: Any) -> None:
        trainer.add_callback(Interruption([at], at))
        record.results |= _given(trainer)
        train(trainer, record, parts)
        record.results |= {**_left(trainer), "states": parameters.states(trainer)}

    def resumed(trainer: Any, record: Record, parts: Any) -> None:
        _change(trainer.model, case)
        trainer.add_callback(parameters.States(trainer, record.results))
        record.results |= _given(trainer)
        output = trainer.train(resume_from_checkpoint=f"{trainer.args.output_dir}/checkpoint-{at}")
        record.results |= _left(trainer)
        record.global_step, record.training_loss, record.metrics = output.global_step, output.training_loss, dict(output.metrics)

    with output_directory() as directory:
        first = run_scenario(case.scenario, subject, stopped, directory=directory)
        if not first.checkpoints:
            return Runs({"part 1": first})
        return Runs({"part 1": first, "part 2": run_scenario(case.scenario, subject, resumed, directory=directory)})


def _change(model: Any, case: Case) -> None:
    """Freeze what is frozen in the second part, and only that."""
    for name in changed(case):
        model.get_parameter(name).requires_grad_(name not in case.parameters["then"])


def changed(case: Case) -> list[str]:
    """The parameters that are frozen in only one of the two parts."""
    return sorted(set(case.scenario.model.frozen) ^ set(case.parameters["then"]))


def _given(trainer: Any) -> dict[str, Any]:
    """What a call of `train()` begins with."""
    from trainer_props.running import parameters

    names = [name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad]
    return {"trainable": names, "begun": parameters.values(trainer.model)}


def _left(trainer: Any) -> dict[str, Any]:
    """What a call of `train()` left."""
    from trainer_props.running import parameters

    return {"ended": parameters.values(trainer.model), "groups": parameters.groups(trainer)}


_VALUES: Final = '''\
def values(model):
    """The elements of each parameter."""
    return {name: parameter.detach().reshape(-1).tolist() for name, parameter in model.named_parameters()}'''
_GROUPS: Final = '''\
def groups(trainer):
    """How many parameter groups of the optimizer hold each parameter."""
    held = [id(each) for group in trainer.optimizer.param_groups for each in group["params"]]
    return {name: held.count(id(parameter)) for name, parameter in trainer.model.named_parameters()}'''
_STATES: Final = '''\
def states(trainer):
    """What the optimizer keeps of each parameter."""
    kept = {name: trainer.optimizer.state.get(each, {}) for name, each in trainer.model.named_parameters()}
    return {
        name: {key: torch.as_tensor(value).reshape(-1).tolist() for key, value in state.items() if value is not None}
        for name, state in kept.items()
    }'''
_BEGINNING: Final = '''\
class Beginning(TrainerCallback):
    """Writes down what the optimizer keeps when training begins."""

    def __init__(self, trainer):
        self.trainer = trainer

    def on_train_begin(self, args, state, control, **kwargs):
        record.results["states"] = states(self.trainer)'''
_STOP: Final = '''\
class Stop(TrainerCallback):
    """Saves and stops after update {at}."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == {at}:
            control.should_save = control.should_training_stop = True'''
_MAKE_CONSTANT: Final = '''\
def make_constant(model, name):
    """Let the model have the same values, and no parameter."""
    owner, _, attribute = name.rpartition(".")
    module = model.get_submodule(owner)
    value = getattr(module, attribute).detach()
    delattr(module, attribute)
    module.register_buffer(attribute, value)'''
_GIVEN: Final = {
    "trainable": "[name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad]",
    "begun": "values(trainer.model)",
}
_LEFT: Final = {"ended": "values(trainer.model)", "groups": "groups(trainer)"}


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source: `run(output_dir, ...)` makes one of both runs."""
    how, words = case.parameters.get("how", "once"), wanted.words
    begun, left = ([f'record.results["{name}"] = {value}' for name, value in each.items() if name in words] for each in (_GIVEN, _LEFT))
    kept = [f"record.{name} = {value}" for name, value in OUTPUT.items() if name in wanted.fields]
    train, definitions = f"{'output = ' if kept else ''}trainer.train()", []
    if {"begun", "ended"} & words:
        definitions.append(_VALUES)
    if "groups" in words:
        definitions.append(_GROUPS)
    if how == "once":
        first = [
            *_if("constants", [f"make_constant(trainer.model, {code(name)})" for name in case.scenario.model.frozen]),
            *begun,
        ]
        definitions.append(_MAKE_CONSTANT)
        several = [
            "runs = {",
            *(f'    "{name}": run(f"{{output_dir}}/{name}", {name == "constants"}),' for name in ("frozen", "constants")),
        ]
        return Body([*first, train, *left, *kept], [], definitions, parameters=("constants",), several=[*several, "}"])
    change = [f"trainer.model.get_parameter({code(name)}).requires_grad_({name not in case.parameters['then']})" for name in changed(case)]
    if how == "again":
        first = _if(
            "again", ["trainer.train()", "given.update({name: value.clone() for name, value in trainer.model.state_dict().items()})"]
        )
        first += ["else:", "    trainer.model.load_state_dict(given)", *change, *begun]
        definitions.append("given = {}  # the weights that the first call leaves")
        several = ["runs = {", *(f'    "{name}": run(f"{{output_dir}}/{name}", {name == "again"}),' for name in ("again", "fresh")), "}"]
        return Body([*first, train, *left, *kept], [], definitions, parameters=("again",), several=several)
    at = int(case.parameters.get("at", 1))
    after = ['record.results["states"] = states(trainer)'] if "states" in words else []
    lines = _if("resumed", [*change, *(["trainer.add_callback(Beginning(trainer))"] if after else [])])
    lines += ["else:" if lines else "if not resumed:", "    trainer.add_callback(Stop())"]
    lines += [*begun, train.replace("()", f'(resume_from_checkpoint=f"{{output_dir}}/checkpoint-{at}" if resumed else None)')]
    lines += [*left, *kept, *_if("not resumed", after)]
    definitions += [_STOP.format(at=at), *([_STATES, _BEGINNING] if after else [])]
    several = ["runs = {", *(f'    "{name}": run(output_dir, {name == "part 2"}),' for name in ("part 1", "part 2")), "}"]
    return Body(lines, ["from transformers import TrainerCallback"], definitions, parameters=("resumed",), several=several)


def _if(condition: str, lines: list[str]) -> list[str]:
    return [f"if {condition}:", *(f"    {line}" for line in lines)] if lines else []


register(
    Experiment(
        NAME,
        "Train with frozen parameters: once, twice with others frozen, or resumed with others frozen.",
        "test_trainer_optimizers",
        cases,
        run,
        _MODELS,
        0.8,
        body=body,
        avoids=("load_best_model_at_end", "save_only_model", "save_strategy", "save_total_limit"),
    )
)
