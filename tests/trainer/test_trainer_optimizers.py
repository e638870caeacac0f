"""Optimizers and learning-rate schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trainer_props

if TYPE_CHECKING:
    from trainer_props.checking import SubjectCase

EXPERIMENTS = ["train_with_optimizers", "train_frozen", "step_schedule"]


@trainer_props.parametrize("transformers:Trainer", experiments=EXPERIMENTS)
def test_optimizers(case: SubjectCase) -> None:
    case.check()
