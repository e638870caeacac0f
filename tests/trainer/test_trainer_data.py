"""Iterable data sets; rows of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trainer_props

if TYPE_CHECKING:
    from trainer_props.checking import SubjectCase

EXPERIMENTS = [
    "train_on_streams",
    "train_on_tokens",
    "find_batch_size",
    "collate",
    "identical_samples",
    "reseed",
]


@trainer_props.parametrize("transformers:Trainer", experiments=EXPERIMENTS)
def test_data(case: SubjectCase) -> None:
    case.check()
