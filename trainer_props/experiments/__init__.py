"""The experiments: which runs belong together, and where their cases come from."""

from trainer_props.experiments import arguments, devices, evaluate, resume, single_run  # noqa: F401  they register
from trainer_props.experiments.registry import EXPERIMENTS, Body, Experiment, Held, Wanted, suitable

__all__ = ["EXPERIMENTS", "Body", "Experiment", "Held", "Wanted", "suitable"]
