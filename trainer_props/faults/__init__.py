"""The faults, one module a chapter, as the properties."""

from trainer_props.faults import (  # noqa: F401  registers
    arguments,
    callbacks,
    checkpoints,
    data_order,
    devices,
    early_stopping,
    evaluation,
    logs,
    loss,
    optimization,
    prediction,
    resume,
    steps,
)
from trainer_props.faults.registry import FAULTS, TEN, Fault, fault

__all__ = ["FAULTS", "TEN", "Fault", "fault"]
