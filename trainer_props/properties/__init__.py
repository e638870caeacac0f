"""The properties, one module a chapter of the Trainer's documentation."""

from trainer_props.properties import (  # noqa: F401  they register
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
from trainer_props.properties.registry import PROPERTIES, SINGLE_RUN, Property, trainer_property

__all__ = ["PROPERTIES", "SINGLE_RUN", "Property", "trainer_property"]
