"""The errand: what is done with a trainer on its devices. It travels to other processes as JSON."""

from __future__ import annotations

from typing import Any

from transformers import Trainer

from trainer_props.record import Record
from trainer_props.scenario import Value
from trainer_props.subjects import Parts


class Errand(Value, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, eq=False):
    """Train; then, if asked to, evaluate and predict.

    Attributes:
        evaluate: evaluate after training, on the scenario's evaluation data.
        predict: predict so many rows after that; 0: none.
    """

    evaluate: bool = False
    predict: int = 0

    def body(self, trainer: Trainer, record: Record, parts: Parts) -> None:
        """Do it, and keep what the trainer returned."""
        results = record.results
        results["train_batch_size"] = trainer.args.train_batch_size
        results["eval_batch_size"] = trainer.args.eval_batch_size
        results["world_size"] = trainer.args.world_size
        output = trainer.train()
        record.global_step, record.training_loss, record.metrics = output.global_step, output.training_loss, dict(output.metrics)
        if self.evaluate:
            results["evaluate"] = dict(trainer.evaluate())
        if self.predict:
            parts.expect_test(self.predict)
            predicted = trainer.predict(parts.test_dataset(self.predict))
            results["predictions"] = _rows(predicted.predictions)
            results["label_ids"] = _rows(predicted.label_ids)


def _rows(arrays: Any) -> Any:
    """Arrays of rows as lists; several as a list of those."""
    if isinstance(arrays, (tuple, list)):
        return [_rows(each) for each in arrays]
    return None if arrays is None else arrays.tolist()
