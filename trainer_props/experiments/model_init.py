"""The experiment that hands a `model_init` to the Trainer, beside the same run with the model that it makes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.case import Case
from trainer_props.experiments.pairs import held_arguments, pair_body
from trainer_props.experiments.registry import Body, Experiment, Held, Wanted, register, train_body
from trainer_props.experiments.repeat import begun_body
from trainer_props.experiments.resume_parts import unscored
from trainer_props.measures.pairs import BASELINE, CHANGED
from trainer_props.record import Record, Runs
from trainer_props.scenario import Scenario

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "model_init"
MODELS: Final = ("regression", "regression_layers", "regression_rms_norm", "lstm")
"""Models of our own, of which all but the first have weights that are drawn."""
_FLAVOURS: Final = {"lstm": strategies.token_scenarios}
_MOST_UPDATES: Final = 3
"""What matters shows in the first ones."""
_SEEDS: Final = (42, 0, 1, 7)
_DRAWS: Final = ("group_by_length", "batch_rebalance")
"""Sampling that draws numbers which making the model has drawn before."""


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Runs of models of our own.

    Parameters of a case: `model_init` (`plain`, or `trial`: it takes the trial of a search for hyper-parameters, and is given None),
    `trains` (1 or 2: the last of so many calls of `train()` is looked at).
    """
    arguments = held_arguments(held)
    names = [name for name in MODELS if held.models is None or name in held.models]

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        name = draw(st.sampled_from(names))
        scenarios = _FLAVOURS.get(name, strategies.regression_scenarios)
        short = {} if arguments.keys() & {"max_steps", "num_train_epochs"} else {"max_steps": draw(st.integers(1, _MOST_UPDATES))}
        scenario = _plain(draw(scenarios(arguments={**short, **arguments}, models=[name])), arguments)
        if "seed" not in arguments:
            scenario = scenario.with_arguments(seed=draw(st.sampled_from(_SEEDS)))
        parameters = {"model_init": draw(st.sampled_from(("plain", "trial"))), "trains": draw(st.sampled_from((1, 2, 2)))}
        return Case(experiment=NAME, scenario=scenario, parameters=parameters)

    return drawn()


def _plain(scenario: Scenario, held: dict[str, Any]) -> Scenario:
    """The scenario with nothing that is counted on from one training to the next, and no numbers drawn but those of the model."""
    if scenario.argument("train_sampling_strategy") in _DRAWS:
        scenario = scenario.without_arguments("train_sampling_strategy")
    of_workers = [name for name in scenario.arguments if name.startswith("dataloader_") and name != "dataloader_drop_last"]
    scenario = unscored(scenario.without_arguments(*(name for name in of_workers if name not in held)), held)
    return scenario.replace(components=scenario.components.replace(poisoned=()))  # type: ignore[no-any-return]


def run(case: Case, subject: Subject) -> Runs:
    """The run with the model that `model_init` makes after `seed` was set; then with the `model_init`, where the last training counts."""
    from trainer_props.running import run as run_scenario
    from trainer_props.running.repeating import train_again, train_from_the_beginning

    runs = Runs({BASELINE: run_scenario(case.scenario, _making(case, subject, given=True), train_from_the_beginning)})
    if runs.first.finished:
        body = train_again if case.parameters.get("trains") == 2 else train_from_the_beginning
        taken: list[bool] = []

        def observed(trainer: Any, record: Record, parts: Any) -> None:
            taken.append(trainer.model_init is not None)
            body(trainer, record, parts)

        changed = run_scenario(case.scenario, _making(case, subject, given=False), observed)
        if any(taken):
            runs[CHANGED] = changed
    return runs


def _making(case: Case, subject: Subject, *, given: bool) -> Subject:
    """The subject, which is given the `model_init` of the case, or the model that it makes."""
    from trainer_props import zoo

    scenario = case.scenario

    def model_init() -> Any:
        return zoo.build_model(scenario.model, scenario.data, drawn=True)

    def model_init_of_a_trial(trial: Any) -> Any:
        if trial is not None:
            raise TypeError(f"there is no trial, but {trial!r} is given")
        return model_init()

    def make(parts: Any, output_dir: str) -> Any:
        import torch

        if given:
            torch.manual_seed(int(scenario.argument("seed")))
            model = model_init()
            parts.model = lambda: model
        else:
            parts.model_init = model_init if case.parameters.get("model_init") != "trial" else model_init_of_a_trial
        return subject.make(parts, output_dir)

    return dataclasses.replace(subject, make=make)


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source: `by_init` tells both runs apart, `model_init` is defined with the model."""
    usual = begun_body(train_body(case, wanted), wanted)
    twice = case.parameters.get("trains") == 2
    usual = dataclasses.replace(usual, before=("if by_init:", "    trainer.train()") if twice else ())
    return pair_body(case, {}, usual, {"by_init": (False, True)})


register(
    Experiment(
        NAME,
        "Hand a model_init to the Trainer, and train once or twice; compare it with the run of the model that it makes.",
        "test_trainer",
        cases,
        run,
        MODELS,
        1.0,
        body=body,
    )
)
