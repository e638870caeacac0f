"""The faults, one module a chapter, as the properties."""

from trainer_props.faults.registry import FAULTS, Fault, fault

__all__ = ["FAULTS", "Fault", "fault"]
