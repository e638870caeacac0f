"""Checkpoints, best model, rotation, early stopping, resuming."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trainer_props

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
