"""Scenario and subject in, record out."""

from trainer_props.running.devices.backends import Errand, run_on_devices
from trainer_props.running.flags import SetFlags
from trainer_props.running.interruption import Interruption
from trainer_props.running.output import output_directory
from trainer_props.running.process import prepared
from trainer_props.running.run import Body, run, train

__all__ = ["Body", "Errand", "Interruption", "SetFlags", "output_directory", "prepared", "run", "run_on_devices", "train"]
