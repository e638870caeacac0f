"""The experiment that trains the same run with what saves memory: bf16, checkpointed activations, an emptied cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.case import Case
from trainer_props.experiments.pairs import changed_arguments, held_arguments, without_workers
from trainer_props.experiments.registry import Experiment, Held, register
from trainer_props.scenario import Scenario, thaw

NAME: Final = "save_memory"
_FLAVOURS: Final = {
    "regression": strategies.regression_scenarios, "token": strategies.token_scenarios, "hub": strategies.hub_scenarios,
    "seq2seq": strategies.seq2seq_scenarios,
}  # fmt: skip
_CHECKPOINTED: Final = ("hub", "seq2seq")
"""Those whose models can checkpoint their activations: layers of transformers."""
_LAYERS: Final = ("regression_layers", "regression_rms_norm")
"""Lines with a product of matrices, which bf16 is about."""
_CACHE: Final[tuple[dict[str, Any], ...]] = ({"torch_empty_cache_steps": 1}, {"torch_empty_cache_steps": 2})
_HALF: Final[dict[str, Any]] = {"bf16": True}
_CHECKPOINTING: Final[tuple[dict[str, Any], ...]] = (
    {"activation_checkpointing": True},
    *(
        {"activation_checkpointing": True, "activation_checkpointing_kwargs": kwargs}
        for kwargs in ({"use_reentrant": True}, {"use_reentrant": False}, {"every_n_layers": 2}, {"offload": True})
    ),
)
_KINDS: Final = ("regression", "regression", "token", "hub", "hub", "seq2seq")
"""Simplest first; tiny models of the Hub cost ten times a regression model."""
_RATES: Final = (0.001, 0.0001, 0.002)


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Runs, and how they save memory.

    Parameters of a case: `change` (arguments of the changed run). Without it nothing is changed: the argument is held.
    """
    arguments = held_arguments(held)
    kinds = [name for name in _KINDS if held.models is None or set(held.models) & set(strategies.FLAVOURS[name].models)]

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        kind = draw(st.sampled_from(kinds))
        change = draw(_changes(kind))
        chosen: dict[str, Any] = {}
        if "torch_empty_cache_steps" not in change:  # small steps of plain descent, in which rounding stays small, three times of four
            plain = draw(st.integers(0, 3)) < 3
            usual = {"optim": "sgd", "lr_scheduler_type": "linear"} if plain else {}
            chosen = {"learning_rate": draw(st.sampled_from(_RATES)), **usual}
            chosen = {name: value for name, value in chosen.items() if name not in arguments}
        models = held.models
        if kind == "regression" and "bf16" in change:
            models = [name for name in _LAYERS if models is None or name in models] or models
        scenario = _plain(draw(_FLAVOURS[kind](arguments={**arguments, **chosen}, models=models)), arguments)
        if "bf16" in change and draw(st.integers(0, 3)):
            scenario = scenario.replace(model=scenario.model.replace(dtype="float32"))
        changed = {name: value for name, value in change.items() if scenario.argument(name) != value}
        if arguments.keys() & change.keys() or not changed:
            return Case(experiment=NAME, scenario=scenario)
        return Case(experiment=NAME, scenario=scenario, parameters={"change": changed})

    return drawn()


def _changes(kind: str) -> st.SearchStrategy[Mapping[str, Any]]:
    """What saves memory in runs of this kind."""
    if kind in _CHECKPOINTED:
        return st.sampled_from([*_CHECKPOINTING, _HALF, *_CHECKPOINTING[:2]])
    return st.sampled_from([_HALF, _HALF, _HALF, *_CACHE])


def _plain(scenario: Scenario, held: dict[str, Any]) -> Scenario:
    """The scenario without worker processes, and without poisoned losses, which no precision changes."""
    kept = without_workers(scenario, held)
    return kept.replace(components=kept.components.replace(poisoned=()))  # type: ignore[no-any-return]


def changes(case: Case) -> dict[str, Any]:
    """The arguments of the changed run that differ from the baseline's."""
    return thaw(case.parameters.get("change", {}))  # type: ignore[no-any-return]


run, body = changed_arguments(changes)

register(
    Experiment(
        NAME,
        "Train again with what saves memory: bf16 or activation checkpointing.",
        "test_trainer",
        cases,
        run,
        tuple(dict.fromkeys(name for flavour in _FLAVOURS for name in strategies.FLAVOURS[flavour].models)),
        1.0,
        body=body,
    )
)
