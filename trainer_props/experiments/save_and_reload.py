"""The experiment that trains a model of transformers, saves it, and loads what was saved again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.registry import Body, Experiment, Held, Wanted, register, train_body
from trainer_props.oracles import accounting
from trainer_props.record import Record
from trainer_props.zoo import MODELS

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "save_and_reload"
_MODELS: Final = tuple(name for name, kind in MODELS.items() if kind.pretrained)


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Short scenarios of models that `from_pretrained` can load.

    Parameters of a case: `checkpoint` (whether what the last update's checkpoint holds is loaded, and not what `save_model` writes).
    """
    arguments = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}
    flavours = {
        "regression": strategies.regression_scenarios, "hub": strategies.hub_scenarios, "seq2seq": strategies.seq2seq_scenarios,
    }  # fmt: skip
    wanted = _MODELS if held.models is None else tuple(name for name in _MODELS if name in held.models)
    known = {name: [model for model in strategies.FLAVOURS[name].models if model in wanted] for name in flavours}
    fitting = [scenarios(arguments=arguments, models=known[name]) for name, scenarios in flavours.items() if known[name]]

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        scenario = draw(st.one_of(fitting))
        workers = [
            name for name in scenario.arguments if name.startswith("dataloader_") and name not in ("dataloader_drop_last", *arguments)
        ]
        scenario = scenario.without_arguments(*workers)
        if not draw(st.booleans()) or {"save_strategy", "save_steps"} & arguments.keys():
            return Case(experiment=NAME, scenario=scenario)
        # early stopping may end it after any update
        last = 1 if scenario.components.early_stopping is not None else max(1, accounting.total_updates(scenario))
        saving = {"save_strategy": "steps", "save_steps": last}
        return Case(experiment=NAME, scenario=scenario.with_arguments(**saving), parameters={"checkpoint": True})

    return drawn()


def asks(case: Case) -> bool:
    """Whether there is a checkpoint of the last update where one is loaded."""
    scenario = case.scenario
    if not case.parameters.get("checkpoint"):
        return True
    last = 1 if scenario.components.early_stopping is not None else accounting.total_updates(scenario)
    return scenario.argument("save_strategy") == "steps" and scenario.argument("save_steps") in (1, last)


def run(case: Case, subject: Subject) -> Record:
    """Train, save, and load again, by the class of the model."""
    from trainer_props.running import run as run_scenario
    from trainer_props.running import train
    from trainer_props.running.parameters import differing, shared

    def body(trainer: Any, record: Record, parts: Any) -> None:
        train(trainer, record, parts)
        folder = f"{trainer.args.output_dir}/saved"
        if case.parameters.get("checkpoint"):
            folder = f"{trainer.args.output_dir}/checkpoint-{record.global_step}"
        else:
            trainer.save_model(folder)
        reloaded = type(trainer.model).from_pretrained(folder, dtype=trainer.model.dtype)
        record.results["differing"] = differing(trainer.model, reloaded)
        record.results["shared"] = {"trained": shared(trainer.model), "reloaded": shared(reloaded)}

    return run_scenario(case.scenario, subject, body)


_DIFFERING: Final = '''\
def differing(model, other):
    """The entries of the state of two models that are not the same, bit for bit."""
    one, two = model.state_dict(), other.state_dict()
    same = {
        name
        for name in one.keys() & two.keys()
        if one[name].dtype == two[name].dtype and torch.allclose(one[name], two[name], rtol=0, atol=0, equal_nan=True)
    }
    return sorted((one.keys() | two.keys()) - same)'''
_SHARED: Final = '''\
def shared(model):
    """The groups of entries of a model's state that are one tensor."""
    groups = {}
    for name, value in model.state_dict().items():
        groups.setdefault(value.data_ptr(), []).append(name)
    return sorted(names for names in groups.values() if len(names) > 1)'''


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source."""
    lines = list(train_body(case, wanted).lines)
    if case.parameters.get("checkpoint"):
        lines.append('folder = f"{output_dir}/checkpoint-{trainer.state.global_step}"')
    else:
        lines += ['folder = f"{output_dir}/saved"', "trainer.save_model(folder)"]
    lines.append("reloaded = type(trainer.model).from_pretrained(folder, dtype=trainer.model.dtype)")
    definitions = []
    if "differing" in wanted.words:
        lines.append('record.results["differing"] = differing(trainer.model, reloaded)')
        definitions.append(_DIFFERING)
    if "shared" in wanted.words:
        lines.append('record.results["shared"] = {"trained": shared(trainer.model), "reloaded": shared(reloaded)}')
        definitions.append(_SHARED)
    return Body(lines, ["import torch"], definitions)


register(
    Experiment(
        NAME,
        "Train a model of transformers, save it, and load what was saved again.",
        "test_trainer_checkpointing",
        cases,
        run,
        _MODELS,
        0.4,
        body=body,
        sensible=asks,
    )
)
