"""The experiments: which runs belong together, and where their cases come from."""

from trainer_props.experiments import (  # noqa: F401  they register
    arguments,
    evaluate,
    resume,
    resume_after_a_kill,
    resume_among_others,
    resume_callbacks,
    resume_changed,
    single_run,
)
from trainer_props.experiments.registry import EXPERIMENTS, Body, Experiment, Held, Wanted, suitable

__all__ = ["EXPERIMENTS", "Body", "Experiment", "Held", "Wanted", "suitable"]
