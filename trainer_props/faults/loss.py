"""Faults in the loss: of a micro-batch, what it is divided by, and what is reported of it."""

from __future__ import annotations

from typing import Any

from trainer_props.faults._swapping import changed
from trainer_props.faults.registry import fault


@fault(property="loss.micro_batch_losses_are_the_models")
def labels_collated_as_integers() -> Any:
    """Labels are collated as integers, whatever they are."""

    def collate(trainer: Any) -> None:
        usual = trainer.data_collator

        def collator(rows: Any) -> Any:
            return {name: value.long().to(value.dtype) if name == "labels" else value for name, value in usual(rows).items()}

        trainer.data_collator = collator

    return changed(collate)


@fault(property="loss.reported_loss_averages_updates")
def reported_loss_is_the_sum_of_the_window() -> Any:
    """The reported loss of an update is the sum over its micro-batches, not their mean."""
    from transformers import Trainer

    class Sums(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            return super().training_step(*args, **kwargs) * self.current_gradient_accumulation_steps

    return Sums


@fault(property="loss.num_items_count_labels_of_window")
def items_of_the_last_micro_batch() -> Any:
    """`num_items_in_batch` counts the labels of the last micro-batch of the update."""
    from transformers import Trainer

    class OfTheLast(Trainer):
        def _get_num_items_in_batch(self, batch_samples: Any, *rest: Any) -> Any:
            return super()._get_num_items_in_batch(batch_samples[-1:], *rest)

    return OfTheLast


@fault(property="loss.num_items_count_labels_of_window")
def ignored_labels_counted() -> Any:
    """`num_items_in_batch` counts all labels, also those that are -100."""
    from transformers import Trainer

    class CountsAll(Trainer):
        def _get_num_items_in_batch(self, batch_samples: Any, *rest: Any) -> Any:
            usual = super()._get_num_items_in_batch(batch_samples, *rest)
            return usual if usual is None else usual.new_tensor(sum(batch["labels"].numel() for batch in batch_samples))

    return CountsAll


@fault(property="loss.label_smoothing")
def smoothing_weights_swapped() -> Any:
    """The cross entropy gets the weight epsilon and the mean over all classes the rest."""

    def swap(trainer: Any) -> None:
        if trainer.label_smoother is not None:
            trainer.label_smoother.epsilon = 1 - trainer.label_smoother.epsilon

    return changed(swap)
