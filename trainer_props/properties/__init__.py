"""The properties, one module a chapter of the Trainer's documentation."""

from trainer_props.properties import arguments, callbacks, checkpoints, data_order, early_stopping, evaluation, logs, loss, optimization, prediction, steps  # noqa: F401  they register
from trainer_props.properties.registry import PROPERTIES, SINGLE_RUN, Property, trainer_property

__all__ = ["PROPERTIES", "SINGLE_RUN", "Property", "trainer_property"]
