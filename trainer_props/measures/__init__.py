"""Measures: what properties compare, taken from a record by functions that stand alone, so that a script can take them again."""

from trainer_props.measures.registry import MEASURES, measure

__all__ = ["MEASURES", "measure"]
