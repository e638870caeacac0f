"""The properties, one module a chapter of the Trainer's documentation."""

from trainer_props.properties import (  # noqa: F401  they register
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
from trainer_props.properties.registry import PROPERTIES, SINGLE_RUN, Property, trainer_property

__all__ = ["PROPERTIES", "SINGLE_RUN", "Property", "trainer_property"]
