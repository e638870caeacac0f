"""The experiment that trains on samples that are all the same, and never moves."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.case import Case
from trainer_props.experiments.pairs import held_arguments, without_workers
from trainer_props.experiments.registry import Experiment, Held, register
from trainer_props.experiments.single_run import train_once

NAME: Final = "identical_samples"
_FLAVOURS: Final = {
    "regression": strategies.regression_scenarios, "stream": strategies.stream_scenarios, "token": strategies.token_scenarios,
    "hub": strategies.hub_scenarios,
}  # fmt: skip
_KINDS: Final = ("regression", "stream", "token", "regression", "stream", "hub")
_STILL: Final[dict[str, Any]] = {"learning_rate": 0.0, "lr_scheduler_type": "linear", "max_grad_norm": 0.0}


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Runs on samples that are all the same, at learning rate 0."""
    arguments = held_arguments(held)
    kinds = [name for name in _KINDS if held.models is None or set(held.models) & set(strategies.FLAVOURS[name].models)]

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        kind = draw(st.sampled_from(kinds))
        scenario = without_workers(draw(_FLAVOURS[kind](arguments={**_STILL, **arguments}, models=held.models)), arguments)
        components = scenario.components.replace(poisoned=())
        return Case(experiment=NAME, scenario=scenario.replace(data=scenario.data.replace(alike=True), components=components))

    return drawn()


register(
    Experiment(
        NAME,
        "Train once at learning rate 0 on samples that are all the same.",
        "test_trainer_data",
        cases,
        train_once,
        tuple(dict.fromkeys(name for flavour in _FLAVOURS for name in strategies.FLAVOURS[flavour].models)),
        0.8,
    )
)
