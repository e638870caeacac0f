"""Real models and data sets, built from their description in a scenario.

The registries are at hand without torch; what builds things is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from trainer_props.zoo.kinds import DATASETS, MODELS, DatasetKind, MissingPackage, ModelKind, UnknownName

if TYPE_CHECKING:
    from trainer_props.zoo.collation import PaddingCollator, collator
    from trainer_props.zoo.containers import build_dataset, identify
    from trainer_props.zoo.models import build_model, class_name, provenance

__all__ = [
    "DATASETS", "MODELS", "DatasetKind", "MissingPackage", "ModelKind", "PaddingCollator", "UnknownName", "build_dataset", "build_model",
    "class_name",
    "collator", "identify", "provenance",
]

_HOMES: Final = {
    "PaddingCollator": "collation", "collator": "collation", "build_dataset": "containers", "identify": "containers",
    "build_model": "models", "class_name": "models", "provenance": "models",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
