"""Several devices: DataParallel, emulated, processes with gloo, and single ranks of up to 1,024."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trainer_props

if TYPE_CHECKING:
    from trainer_props.checking import SubjectCase

EXPERIMENTS = ["train_on_devices", "train_in_processes", "shard_data", "resume_in_processes", "play_one_rank"]


@trainer_props.parametrize("transformers:Trainer", experiments=EXPERIMENTS)
def test_on_several_devices(case: SubjectCase) -> None:
    case.check()
