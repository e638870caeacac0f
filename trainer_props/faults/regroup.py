"""Faults that show when the samples of an update are cut into other micro-batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trainer_props.faults._source import rewritten
from trainer_props.faults._swapping import with_callback, with_flow
from trainer_props.faults.registry import fault


@fault(property="regroup.both_groupings_finish")
def window_taken_for_full() -> Any:
    """An update looks at the last of as many micro-batches as are accumulated, which the last update of an epoch may lack."""
    from transformers import Trainer

    class LooksAtTheLast(Trainer):
        def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
            batches, items = super().get_batch_samples(*args, **kwargs)
            if batches:
                self._last_of_the_window = batches[self.args.gradient_accumulation_steps - 1]
            return batches, items

    return LooksAtTheLast


@fault(property="regroup.ends_at_the_same_step")
def updates_of_an_epoch_counted_from_samples() -> Any:
    """The updates of an epoch are counted from whole batches: what is left of the data is not counted, however many samples it has."""
    from transformers import Trainer

    class WholeBatches(Trainer):
        set_initial_training_values = rewritten(
            Trainer,
            "set_initial_training_values",
            "math.ceil(args.num_train_epochs * num_update_steps_per_epoch)",
            "math.ceil(args.num_train_epochs * max(1, len_dataloader // args.gradient_accumulation_steps))",
        )

    return WholeBatches


@fault(property="regroup.updates_have_the_same_samples")
def batches_shuffled_and_not_samples() -> Any:
    """Whole micro-batches are shuffled, and not the samples in them."""
    import torch
    from torch.utils.data import Sampler
    from transformers import Trainer

    class Blocks(Sampler[int]):
        def __init__(self, length: int, size: int, seed: int) -> None:
            self._starts, self._length, self._size, self._seed = range(0, length, size), length, size, seed

        def __len__(self) -> int:
            return self._length

        def __iter__(self) -> Iterator[int]:
            order = torch.randperm(len(self._starts), generator=torch.Generator().manual_seed(self._seed)).tolist()
            for block in order:
                start = self._starts[block]
                yield from range(start, min(start + self._size, self._length))

    class ShufflesBatches(Trainer):
        def _get_train_sampler(self, *args: Any) -> Any:
            usual = super()._get_train_sampler(*args)
            return usual if usual is None else Blocks(len(usual), self._train_batch_size, self.args.seed)

    return ShufflesBatches


@fault(property="regroup.learning_rates_are_the_same")
def schedule_as_long_as_the_micro_batches() -> Any:
    """The schedule is as long as the run has micro-batches."""
    from transformers import Trainer

    class TooLong(Trainer):
        def create_scheduler(self, num_training_steps: int, *args: Any, **kwargs: Any) -> Any:
            return super().create_scheduler(num_training_steps * self.args.gradient_accumulation_steps, *args, **kwargs)

    return TooLong


@fault(property="regroup.log_history_has_the_same_entries")
def logging_steps_count_micro_batches() -> Any:
    """`logging_steps` counts micro-batches."""
    from transformers import DefaultFlowCallback

    class CountsMicroBatches(DefaultFlowCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            control = super().on_step_end(args, state, control, **kwargs)
            if args.logging_strategy == "steps" and state.global_step * args.gradient_accumulation_steps % state.logging_steps == 0:
                control.should_log = True
            return control

    return with_flow(CountsMicroBatches)


@fault(property="regroup.gradients_are_the_same")
def accumulated_gradients_are_added_up() -> Any:
    """The gradients of the micro-batches of an update are added up, and not averaged."""
    from transformers import Trainer

    class AddsUp(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            self.current_gradient_accumulation_steps, count = 1, self.current_gradient_accumulation_steps
            try:
                return super().training_step(*args, **kwargs) / count
            finally:
                self.current_gradient_accumulation_steps = count

    return AddsUp


@fault(property="regroup.weights_are_the_same")
def weights_decayed_with_each_micro_batch() -> Any:
    """A callback of its own decays the weights, with every micro-batch."""
    import torch
    from transformers import TrainerCallback

    class Decays(TrainerCallback):
        def _decay(self, args: Any, model: Any) -> None:
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(1 - args.learning_rate / 100)

        def on_substep_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            self._decay(args, model)

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            self._decay(args, model)

    return with_callback(Decays)


@fault(property="regroup.logged_losses_are_the_same")
def loss_of_the_last_micro_batch_reported() -> Any:
    """What is reported of an update is the loss of its last micro-batch."""
    from transformers import Trainer

    class TheLast(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().training_step(*args, **kwargs)
            return loss * self.current_gradient_accumulation_steps if self.accelerator.sync_gradients else loss * 0

    return TheLast


@fault(property="regroup.gradient_norms_are_the_same")
def norm_of_the_sum_logged() -> Any:
    """The gradient norm that is logged is that of the sum over the micro-batches."""
    from transformers import Trainer

    class OfTheSum(Trainer):
        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            if "grad_norm" in logs:
                logs = {**logs, "grad_norm": logs["grad_norm"] * self.args.gradient_accumulation_steps}
            super().log(logs, *args, **kwargs)

    return OfTheSum


@fault(property="regroup.identical_samples_give_identical_gradients")
def short_window_scaled_up() -> Any:
    """The loss of a window with fewer micro-batches than usual is scaled up, as if some had been forgotten."""
    from transformers import Trainer

    class ScalesUp(Trainer):
        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().compute_loss(*args, **kwargs)
            factor = self.args.gradient_accumulation_steps / self.current_gradient_accumulation_steps
            return loss * factor if self.model.training else loss

    return ScalesUp
