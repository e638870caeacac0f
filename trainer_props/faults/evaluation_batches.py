"""Faults in how an evaluation is put together from its batches."""

from __future__ import annotations

from typing import Any

from trainer_props.faults._source import rewritten
from trainer_props.faults.registry import fault


def _with_container(make: Any) -> Any:
    """A Trainer class that collects what batches give in another container; `make` makes its class from the usual one."""
    from transformers import Trainer
    from transformers.trainer_pt_utils import EvalLoopContainer

    class Collects(Trainer):
        _container = make(EvalLoopContainer)
        evaluation_loop = rewritten(Trainer, "evaluation_loop", "EvalLoopContainer(", "self._container(", times=4)

    return Collects


@fault(property="evaluation_batches.any_batches_come_to_an_end")
def moved_arrays_stacked_without_padding() -> Any:
    """What was moved away by `eval_accumulation_steps` is put together without padding."""
    import numpy as np

    def make(usual: Any) -> Any:
        class Stacks(usual):
            arrays: Any

            def to_cpu_and_numpy(self) -> None:
                before, self.arrays = self.arrays, None
                super().to_cpu_and_numpy()
                if isinstance(before, np.ndarray):
                    self.arrays = before if self.arrays is None else np.concatenate([before, self.arrays])
                elif before is not None:
                    self.arrays = before

        return Stacks

    return _with_container(make)


@fault(property="evaluation_batches.the_loss_does_not_depend_on_batches")
def short_batch_counts_as_a_full_one() -> Any:
    """The loss of a last batch that is not full counts as often as those of the others."""
    from transformers import Trainer

    class CountsAsFull(Trainer):
        evaluation_loop = rewritten(
            Trainer, "evaluation_loop", "self.gather_function(losses.repeat(batch_size))", "losses.repeat(batch_size)"
        )

    return CountsAsFull


@fault(property="evaluation_batches.sums_do_not_depend_on_batches")
def every_batch_asked_for_its_result() -> Any:
    """With `batch_eval_metrics` each batch asks for the result, and the last one's is taken."""
    from transformers import Trainer

    class AsksAlways(Trainer):
        evaluation_loop = rewritten(Trainer, "evaluation_loop", "compute_result=is_last_step", "compute_result=True")

    return AsksAlways


@fault(property="evaluation_batches.predictions_do_not_depend_on_batches")
def moved_arrays_put_before_earlier_ones() -> Any:
    """What `eval_accumulation_steps` moves is put before what was moved earlier."""
    from transformers.trainer_pt_utils import nested_concat

    def make(usual: Any) -> Any:
        class PutsBefore(usual):
            arrays: Any

            def to_cpu_and_numpy(self) -> None:
                before, self.arrays = self.arrays, None
                super().to_cpu_and_numpy()
                if before is not None:
                    together = nested_concat if self.do_nested_concat else lambda new, old: new + old
                    self.arrays = before if self.arrays is None else together(self.arrays, before)

        return PutsBefore

    return _with_container(make)


@fault(property="evaluation_batches.labels_do_not_depend_on_batches")
def labels_padded_with_zero() -> Any:
    """Labels of different lengths are padded with 0, as inputs are."""
    from transformers import Trainer

    class PadsWithZero(Trainer):
        evaluation_loop = rewritten(
            Trainer,
            "evaluation_loop",
            "all_labels = EvalLoopContainer(self.args.eval_do_concat_batches, padding_index=-100)",
            "all_labels = EvalLoopContainer(self.args.eval_do_concat_batches, padding_index=0)",
        )

    return PadsWithZero


@fault(property="evaluation_batches.predicting_says_what_evaluating_says")
def metrics_by_batch_not_asked_by_predict() -> Any:
    """With `batch_eval_metrics` `predict` returns no metrics but the loss."""
    from transformers import Trainer

    class NotByBatch(Trainer):
        evaluation_loop = rewritten(
            Trainer,
            "evaluation_loop",
            "if self.args.batch_eval_metrics:",
            'if self.args.batch_eval_metrics and description != "Prediction":',
        )

    return NotByBatch


@fault(property="evaluation_batches.batches_are_put_together_or_kept_apart")
def rows_kept_apart() -> Any:
    """With `eval_do_concat_batches=False` the list of labels has an item for each row, and not for each batch."""
    from transformers import Trainer

    class KeepsRows(Trainer):
        def predict(self, *args: Any, **kwargs: Any) -> Any:
            output = super().predict(*args, **kwargs)
            if not isinstance(output.label_ids, list):
                return output
            return output._replace(label_ids=[row[None] for batch in output.label_ids for row in batch])

    return KeepsRows


@fault(property="evaluation_batches.only_the_loss_is_returned")
def only_the_loss_ignored_by_predict() -> Any:
    """`predict` returns predictions and labels in spite of `prediction_loss_only`."""
    from transformers import Trainer

    class Ignores(Trainer):
        def predict(self, *args: Any, **kwargs: Any) -> Any:
            asked, self.args.prediction_loss_only = self.args.prediction_loss_only, False
            try:
                return super().predict(*args, **kwargs)
            finally:
                self.args.prediction_loss_only = asked

    return Ignores


@fault(property="evaluation_batches.metrics_get_what_they_ask_for")
def losses_given_with_those_of_a_full_batch() -> Any:
    """`compute_metrics` is given as many losses as full batches would have."""
    from transformers import Trainer

    class OfFullBatches(Trainer):
        evaluation_loop = rewritten(
            Trainer, "evaluation_loop", "all_losses.add(losses)",
            "all_losses.add(losses if len(losses) == batch_size else losses[-1:].repeat(batch_size))",
        )  # fmt: skip

    return OfFullBatches


@fault(property="evaluation_batches.weights_and_their_type_stay")
def prediction_leaves_single_precision() -> Any:
    """`predict` casts the model to float32."""
    from transformers import Trainer

    class SinglePrecision(Trainer):
        def predict(self, *args: Any, **kwargs: Any) -> Any:
            output = super().predict(*args, **kwargs)
            self.model.float()
            return output

    return SinglePrecision
