"""The known bugs of released versions."""

from trainer_props.known_bugs import (  # noqa: F401  they register
    arguments,
    checkpoints,
    devices,
    evaluation,
    evaluation_batches,
    evaluation_traces,
    find_batch_size,
    flags,
    frozen,
    generation,
    losses,
    observe,
    precision,
    random_numbers,
    ranks,
    repeat,
    resume,
    resume_among_others,
    resume_callbacks,
    resume_changed,
    resume_in_processes,
    resume_streams,
    rotation,
    save_memory,
    sharding,
    streams,
    training,
)
from trainer_props.known_bugs.registry import KNOWN_BUGS, KnownBug, candidates, explain

__all__ = ["KNOWN_BUGS", "KnownBug", "candidates", "explain"]
