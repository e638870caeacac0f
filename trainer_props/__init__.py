"""Property tests for Hugging Face Trainers.

Importing this package imports neither torch nor transformers; what needs them is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trainer_props.zoo.ready_trainer import regression_trainer

__all__ = ["regression_trainer"]

_HOMES: Final = {"regression_trainer": "trainer_props.zoo.ready_trainer"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
