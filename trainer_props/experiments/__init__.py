"""The experiments: which runs belong together, and where their cases come from."""

from trainer_props.experiments import (  # noqa: F401  they register
    alike,
    arguments,
    collate,
    devices,
    evaluate,
    evaluate_in_batches,
    find_batch_size,
    flags,
    frozen,
    generate,
    life,
    model_init,
    observe,
    one_rank,
    reduce_precision,
    regroup,
    repeat,
    reseed,
    resume,
    resume_after_a_kill,
    resume_among_others,
    resume_callbacks,
    resume_changed,
    resume_in_processes,
    save_and_reload,
    save_memory,
    schedules,
    shard_data,
    single_run,
    used_folder,
)
from trainer_props.experiments.registry import EXPERIMENTS, Body, Experiment, Held, Wanted, avoided, suitable

__all__ = ["EXPERIMENTS", "Body", "Experiment", "Held", "Wanted", "avoided", "suitable"]
