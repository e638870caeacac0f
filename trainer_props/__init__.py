"""Property tests for Hugging Face Trainers.

Importing this package imports neither torch nor transformers; each name is fetched from its home when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trainer_props import strategies
    from trainer_props.case import Case
    from trainer_props.checking import Violations, parametrize
    from trainer_props.scenario import Components, Data, Devices, EarlyStopping, Model, Scenario
    from trainer_props.subjects import subject
    from trainer_props.zoo.ready_trainer import regression_trainer

__all__ = [
    "Case", "Components", "Data", "Devices", "EarlyStopping", "Model", "Scenario", "Violations", "parametrize", "regression_trainer",
    "strategies", "subject",
]

_HOMES: Final = {
    "Case": "case", "Components": "scenario", "Data": "scenario", "Devices": "scenario", "EarlyStopping": "scenario", "Model": "scenario",
    "Scenario": "scenario", "Violations": "checking", "parametrize": "checking", "regression_trainer": "zoo.ready_trainer",
    "strategies": "", "subject": "subjects",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name) if home else importlib.import_module(f"{__name__}.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
