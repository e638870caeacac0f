"""Scenario and subject in, record out."""

from trainer_props.running.process import prepared
from trainer_props.running.run import Body, run, train

__all__ = ["Body", "prepared", "run", "train"]
