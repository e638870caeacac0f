"""Checkpoints, best model, rotation, early stopping, resuming."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

import trainer_props
from trainer_props.stateful import job_machine

if TYPE_CHECKING:
    from trainer_props.checking import SubjectCase

EXPERIMENTS = [
    "train_and_save",
    "save_into_a_used_folder",
    "resume",
    "life",
    "resume_among_others",
    "resume_callbacks",
    "resume_changed",
    "save_and_reload",
    "resume_after_a_kill",
]


@trainer_props.parametrize("transformers:Trainer", experiments=EXPERIMENTS)
def test_checkpointing(case: SubjectCase) -> None:
    case.check()


TestJobs = job_machine("transformers:Trainer").TestCase
TestJobs.settings = settings(max_examples=10, stateful_step_count=8, deadline=None, suppress_health_check=list(HealthCheck))
