"""What of the scenario space was tried: arguments and their values, pairs of arguments, models, data, devices and components."""

from __future__ import annotations

import itertools
from typing import Any, Final

from trainer_props.arguments import DRAWN, FIELDS
from trainer_props.case import Case
from trainer_props.experiments import EXPERIMENTS

Coverage = dict[str, dict[str, dict[str, int]]]
"""Numbers of cases by kind: `arguments` and `components` (name -> value), `models` and `datasets` (name -> experiment), `devices` (kind ->
how many), `pairs` (argument -> another one, later in the alphabet: those that trained with both).
"""

PAIRS: Final = "pairs"
_ARGUMENTS: Final = "arguments"
_LONGEST: Final = 40
_DRAWN: Final = tuple(name for name, each in FIELDS.items() if each.status == DRAWN)
_PAIRS: Final = tuple(itertools.combinations(sorted(_DRAWN), 2))
DRAWN_ARGUMENTS: Final = len(_DRAWN)
DRAWN_PAIRS: Final = len(_PAIRS)
"""How many arguments scenarios draw, and how many pairs these make."""


def cover(coverage: Coverage, case: Case) -> None:
    """Count a case that was judged."""
    scenario = case.scenario
    for name, value in scenario.arguments.items():
        _count(coverage, _ARGUMENTS, name, _short(value))
    _count(coverage, "models", scenario.model.name, case.experiment)
    _count(coverage, "datasets", scenario.data.kind, case.experiment)
    _count(coverage, "devices", scenario.devices.kind, str(scenario.devices.count))
    for name, value in scenario.components.non_defaults():
        _count(coverage, "components", name, _short(value))
    if EXPERIMENTS[case.experiment].trains:
        for first, second in itertools.combinations(sorted(scenario.arguments.keys() & _DRAWN), 2):
            _count(coverage, PAIRS, first, second)


def never_tried(coverage: Coverage) -> list[str]:
    """The arguments that scenarios draw and that no case had."""
    tried = coverage.get(_ARGUMENTS, {})
    return [name for name in _DRAWN if name not in tried]


def pairs_never_tried(coverage: Coverage) -> list[tuple[str, str]]:
    """The pairs of arguments that scenarios draw and that no case trained with, in alphabetical order."""
    tried = coverage.get(PAIRS, {})
    return [(first, second) for first, second in _PAIRS if second not in tried.get(first, {})]


def _count(coverage: Coverage, kind: str, name: str, what: str) -> None:
    counts = coverage.setdefault(kind, {}).setdefault(name, {})
    counts[what] = counts.get(what, 0) + 1


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
