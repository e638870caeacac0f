"""The faults, one module a chapter, as the properties."""

from trainer_props.faults import (  # noqa: F401  registers
    arguments,
    callbacks,
    checkpoints,
    data_order,
    early_stopping,
    evaluation,
    logs,
    loss,
    optimization,
    prediction,
    resume,
    resume_after_a_kill,
    resume_among_others,
    resume_callbacks,
    resume_changed,
    steps,
)
from trainer_props.faults.registry import FAULTS, Fault, fault

__all__ = ["FAULTS", "Fault", "fault"]
