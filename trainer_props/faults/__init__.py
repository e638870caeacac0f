"""The faults, one module a chapter, as the properties."""

from trainer_props.faults import (  # noqa: F401  registers
    arguments,
    callbacks,
    checkpoints,
    data_order,
    early_stopping,
    evaluation,
    evaluation_batches,
    evaluation_traces,
    logs,
    loss,
    optimization,
    prediction,
    resume,
    steps,
)
from trainer_props.faults.registry import FAULTS, Fault, fault

__all__ = ["FAULTS", "Fault", "fault"]
