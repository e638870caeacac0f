"""Cases that are plainer than a given one: a setting less, a smaller number, a shorter sequence."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from typing import Any, Final

from trainer_props.case import Case
from trainer_props.experiments.sense import makes_sense

_LENGTHENING: Final = ("num_train_epochs", "max_steps", "per_device_train_batch_size", "n")
"""What makes a run longer when it is left at its default."""
_PARTS: Final = ("components", "model", "data")
OPTIONS: Final = {"lr_scheduler_type": "lr_scheduler_kwargs", "optim": "optim_args"}
"""What is chosen by name, and where its options stand, which are no others'."""


def plainer(case: Case, held: Collection[str] = (), models: Collection[str] = ()) -> Iterator[Case]:
    """The case with one setting less (an argument, a component, a parameter of the model or of the experiment) or a smaller one, as far as
    that makes sense.

    Args:
        held: names of arguments that stay as they are.
        models: names of the models that the experiment can use; empty: all.
    """
    return filter(makes_sense, itertools.chain(_less_of(case, held, models), _smaller(case, held)))


def _less_of(case: Case, held: Collection[str], models: Collection[str]) -> Iterator[Case]:
    scenario = case.scenario
    for name in scenario.arguments:
        options = OPTIONS.get(name, name)
        if name not in _LENGTHENING and not {name, options} & set(held):
            yield case.replace(scenario=scenario.without_arguments(name, options))
    for part in _PARTS:
        value = getattr(scenario, part)
        usual = type(value)()
        for name, _ in value.non_defaults():
            if name not in _LENGTHENING and ((part, name) != ("model", "name") or not models or usual.name in models):
                yield case.replace(scenario=scenario.replace(**{part: value.replace(**{name: getattr(usual, name)})}))
    for name in case.parameters:
        yield case.replace(parameters={key: value for key, value in case.parameters.items() if key != name})


def _smaller(case: Case, held: Collection[str]) -> Iterator[Case]:
    scenario = case.scenario
    for name, value in scenario.arguments.items():
        for less in () if name in held else _less(value):
            yield case.replace(scenario=scenario.with_arguments(**{name: less}))
    for part in _PARTS:
        whole = getattr(scenario, part)
        names = dict(whole.non_defaults()) | ({"n": whole.n} if part == "data" else {})
        for name, value in names.items():
            for less in _less(value):
                yield case.replace(scenario=scenario.replace(**{part: whole.replace(**{name: less})}))


def _less(value: Any) -> list[Any]:
    """Smaller values of the same kind, the smallest first."""
    if isinstance(value, int) and not isinstance(value, bool):
        return sorted({1, value // 2, value - 1} & set(range(1, value)))
    if isinstance(value, tuple) and len(value) > 1:
        return [value[:-1]]
    return []
