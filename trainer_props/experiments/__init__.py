"""The experiments: which runs belong together, and where their cases come from."""

from trainer_props.experiments import arguments, evaluate, single_run  # noqa: F401  they register
from trainer_props.experiments.registry import EXPERIMENTS, Experiment, Held, suitable

__all__ = ["EXPERIMENTS", "Experiment", "Held", "suitable"]
