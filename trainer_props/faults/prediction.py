"""Faults in evaluating and predicting outside training: rows, labels, prefixes, repeated evaluations."""

from __future__ import annotations

from typing import Any

from trainer_props.faults.registry import fault


@fault(property="prediction.one_row_a_sample")
def last_prediction_batch_dropped() -> Any:
    """Prediction leaves out a last batch that is not full."""
    from transformers import Trainer

    class DropsLast(Trainer):
        def get_test_dataloader(self, *args: Any) -> Any:
            dropping, self.args.dataloader_drop_last = self.args.dataloader_drop_last, True
            try:
                return super().get_test_dataloader(*args)
            finally:
                self.args.dataloader_drop_last = dropping

    return DropsLast


@fault(property="prediction.rows_belong_to_their_samples")
def predictions_in_random_order() -> Any:
    """Prediction goes through its data in random order, and its rows are not put back."""
    from torch.utils.data import RandomSampler
    from transformers import Trainer

    class RandomOrder(Trainer):
        def _get_eval_sampler(self, eval_dataset: Any) -> Any:
            return RandomSampler(eval_dataset)

    return RandomOrder


@fault(property="prediction.labels_belong_to_their_samples")
def labels_returned_from_last_to_first() -> Any:
    """The labels are collected by putting each new batch before the others."""
    from transformers import Trainer

    class Reverses(Trainer):
        def predict(self, *args: Any, **kwargs: Any) -> Any:
            output = super().predict(*args, **kwargs)
            labels = output.label_ids
            return output if labels is None else output._replace(label_ids=labels[::-1])

    return Reverses


@fault(property="prediction.prediction_metrics_have_their_prefix")
def prefix_of_prediction_ignored() -> Any:
    """`predict` names its metrics `test_...`, whatever prefix it is given."""
    from transformers import Trainer

    class Ignores(Trainer):
        def predict(self, test_dataset: Any, ignore_keys: Any = None, metric_key_prefix: str = "test") -> Any:
            return super().predict(test_dataset, ignore_keys)

    return Ignores


@fault(property="prediction.evaluating_twice_gives_the_same")
def evaluation_loss_smoothed_over_calls() -> Any:
    """The evaluation loss is a running average over evaluations, which starts at zero."""
    from transformers import Trainer

    class Smooths(Trainer):
        _smooth = 0.0

        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            output: Any = super().evaluation_loop(*args, **kwargs)
            loss = f"{kwargs.get('metric_key_prefix', 'eval')}_loss"
            if loss in output.metrics:
                self._smooth += 0.5 * (output.metrics[loss] - self._smooth)
                output.metrics[loss] = self._smooth
            return output

    return Smooths


@fault(property="prediction.several_data_sets_are_told_apart")
def first_data_set_evaluated_for_all() -> Any:
    """Of several data sets the first is evaluated under each name."""
    from transformers import Trainer

    class TheFirst(Trainer):
        def evaluate(self, eval_dataset: Any = None, *args: Any, **kwargs: Any) -> Any:
            if isinstance(eval_dataset, dict):
                first = next(iter(eval_dataset.values()))
                eval_dataset = dict.fromkeys(eval_dataset, first)
            return super().evaluate(eval_dataset, *args, **kwargs)

    return TheFirst


@fault(property="prediction.evaluating_and_predicting_leave_the_weights")
def prediction_leaves_half_precision() -> Any:
    """`predict` casts the model to bfloat16, and only its type is restored."""
    import torch
    from transformers import Trainer

    class HalfPrecision(Trainer):
        def predict(self, *args: Any, **kwargs: Any) -> Any:
            for parameter in self.model.parameters():
                parameter.data = parameter.data.to(torch.bfloat16).to(parameter.dtype)
            return super().predict(*args, **kwargs)

    return HalfPrecision
