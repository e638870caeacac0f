"""The Trainer itself: its arguments, a run from beginning to end, evaluation and prediction, models of the Hub; and the same
run regrouped, observed, repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trainer_props

if TYPE_CHECKING:
    from trainer_props.checking import SubjectCase

EXPERIMENTS = [
    "build_arguments",
    "model_init",
    "evaluate_and_predict",
    "train_once",
    "train_nothing",
    "train_with_flags",
    "train_hub_models",
    "regroup",
    "observe",
    "repeat",
    "save_memory",
    "reduce_precision",
    "evaluate_in_batches",
]


@trainer_props.parametrize("transformers:Trainer", experiments=EXPERIMENTS)
def test_trainer(case: SubjectCase) -> None:
    case.check()
