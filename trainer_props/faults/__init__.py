"""The faults, one module a chapter, as the properties."""

from trainer_props.faults import (  # noqa: F401  registers
    arguments,
    callbacks,
    checkpoints,
    data_order,
    devices,
    early_stopping,
    evaluation,
    evaluation_batches,
    evaluation_traces,
    find_batch_size,
    flags,
    frozen,
    generation,
    life,
    logs,
    loss,
    observe,
    optimization,
    precision,
    prediction,
    regroup,
    repeat,
    resume,
    resume_after_a_kill,
    resume_among_others,
    resume_callbacks,
    resume_changed,
    rotation,
    save_memory,
    steps,
)
from trainer_props.faults.registry import FAULTS, TEN, Fault, fault

__all__ = ["FAULTS", "TEN", "Fault", "fault"]
