"""Measures: what properties compare, taken from a record by functions that stand alone, so that a script can take them again."""

from importlib import import_module
from pkgutil import iter_modules

from trainer_props.measures.registry import MEASURES, measure

__all__ = ["MEASURES", "measure"]

for _module in iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)  # they register
