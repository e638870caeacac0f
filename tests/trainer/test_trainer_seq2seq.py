"""Encoder-decoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trainer_props

if TYPE_CHECKING:
    from trainer_props.checking import SubjectCase

EXPERIMENTS = ["train_seq2seq", "generate"]


@trainer_props.parametrize("transformers:Trainer", experiments=EXPERIMENTS)
def test_seq2seq(case: SubjectCase) -> None:
    case.check()
