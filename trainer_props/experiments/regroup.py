"""The experiment that groups the samples of an update into fewer and larger micro-batches."""

from __future__ import annotations

import math
from typing import Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.case import Case
from trainer_props.experiments.pairs import changed_arguments, held_arguments, without_workers
from trainer_props.experiments.registry import Experiment, Held, register
from trainer_props.scenario import Scenario

NAME: Final = "regroup"
GROUPING: Final = ("per_device_train_batch_size", "gradient_accumulation_steps")
_FLAVOURS: Final = {
    "regression": strategies.regression_scenarios, "stream": strategies.stream_scenarios, "token": strategies.token_scenarios,
    "hub": strategies.hub_scenarios,
}  # fmt: skip
_KINDS: Final = ("regression", "stream", "token", "regression", "stream", "hub")
"""Simplest first; tiny models of the Hub cost ten times a regression model."""


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Runs that accumulate, and how their micro-batches are merged.

    Parameters of a case: `regroup` (batch size and accumulation of the changed run; their product is that of the baseline). Without it
    nothing is changed: batch size or accumulation is held.
    """
    arguments = held_arguments(held)
    kinds = [name for name in _KINDS if held.models is None or set(held.models) & set(strategies.FLAVOURS[name].models)]

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        kind = draw(st.sampled_from(kinds))
        is_free = not any(name in arguments for name in GROUPING)
        chosen = {"gradient_accumulation_steps": draw(st.integers(2, 2 if kind == "hub" else 4))} if is_free else {}
        scenario = _plain(draw(_FLAVOURS[kind](arguments={**arguments, **chosen}, models=held.models)), arguments)
        if not is_free:
            return Case(experiment=NAME, scenario=scenario)
        accumulation = chosen["gradient_accumulation_steps"]
        merged = draw(st.sampled_from([each for each in range(2, accumulation + 1) if accumulation % each == 0]))
        batch_size = int(scenario.argument("per_device_train_batch_size"))
        return Case(experiment=NAME, scenario=scenario, parameters={"regroup": [batch_size * merged, accumulation // merged]})

    return drawn()


def _plain(scenario: Scenario, held: dict[str, Any]) -> Scenario:
    """The scenario without poisoned losses, which are counted by micro-batches."""
    kept = without_workers(scenario, held)
    return kept.replace(components=kept.components.replace(poisoned=()))  # type: ignore[no-any-return]


def changes(case: Case) -> dict[str, int]:
    """The arguments of the changed run that differ from the baseline's."""
    return dict(zip(GROUPING, map(int, case.parameters.get("regroup", ())), strict=False))


def asks(case: Case) -> bool:
    """Whether both groupings have the same samples in an update."""
    other = changes(case)
    return not other or math.prod(other.values()) == math.prod(int(case.scenario.argument(name)) for name in GROUPING)


run, body = changed_arguments(changes)

register(
    Experiment(
        NAME,
        "Train the same updates with fewer and larger micro-batches: batch size times accumulation stays.",
        "test_trainer",
        cases,
        run,
        tuple(dict.fromkeys(name for flavour in _FLAVOURS for name in strategies.FLAVOURS[flavour].models)),
        1.5,
        body=body,
        sensible=asks,
    )
)
