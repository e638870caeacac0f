"""Faults in counting: updates, windows, epochs, and where a run ends."""

from __future__ import annotations

import math
from typing import Any

from trainer_props.faults._source import rewritten
from trainer_props.faults._swapping import changed, with_callback, with_flow
from trainer_props.faults.registry import fault


@fault(property="steps.global_step_counts_updates")
def floor_for_ceil() -> Any:
    """A fractional number of epochs is turned into updates by rounding down instead of up."""
    from transformers import Trainer

    class FloorForCeil(Trainer):
        def set_initial_training_values(self, args: Any, *rest: Any) -> Any:
            *values, max_steps = super().set_initial_training_values(args, *rest)
            updates_per_epoch = values[1]
            if args.max_steps < 0:
                max_steps = math.floor(args.num_train_epochs * updates_per_epoch)
            return (*values, max_steps)

    return FloorForCeil


@fault(property="steps.global_step_counts_updates")
def last_window_dropped() -> Any:
    """What is left of an epoch after its full accumulation windows makes no update."""
    from transformers import Trainer

    class LastWindowDropped(Trainer):
        def set_initial_training_values(self, args: Any, *rest: Any) -> Any:
            values = super().set_initial_training_values(args, *rest)
            epochs, updates_per_epoch, examples, samples, total_batch_size, batches_per_epoch, max_steps = values
            full = batches_per_epoch // args.gradient_accumulation_steps
            if full in {0, updates_per_epoch}:
                return values
            if args.max_steps > 0:
                epochs = math.ceil(max_steps / full)
            else:
                max_steps = math.ceil(args.num_train_epochs * full)
            return epochs, full, examples, samples, total_batch_size, full * args.gradient_accumulation_steps, max_steps

    return LastWindowDropped


@fault(property="steps.updates_close_windows")
def accumulation_ignored() -> Any:
    """`gradient_accumulation_steps` gets lost on the way: every micro-batch makes an update."""

    def forget(trainer: Any) -> None:
        trainer.args.gradient_accumulation_steps = 1

    return changed(forget)


@fault(property="steps.updates_close_windows")
def window_reaches_into_the_next_epoch() -> Any:
    """Micro-batches are counted through the whole run, so that what is left of an epoch waits for the next one to fill its window."""
    from transformers import Trainer

    class ThroughTheRun(Trainer):
        def get_batch_samples(self, epoch_iterator: Any, num_batches: int, *rest: Any) -> Any:
            if epoch_iterator is not getattr(self, "_pass", None):
                self._pass, self._taken = epoch_iterator, getattr(self, "_left_over", 0)
            batches, items = super().get_batch_samples(epoch_iterator, num_batches, *rest)
            self._left_over = len(batches) % self.args.gradient_accumulation_steps
            return batches, items

        _run_epoch = rewritten(
            Trainer, "_run_epoch",
            "(step + 1) % self.args.gradient_accumulation_steps == 0 or (step + 1) == steps_in_epoch",
            "(step + 1 + self._taken) % self.args.gradient_accumulation_steps == 0",
        )

    return ThroughTheRun


@fault(property="steps.epoch_counts_batches")
def epoch_one_batch_behind() -> Any:
    """The epoch is computed from the number of the last micro-batch, counted from zero."""
    from transformers import Trainer

    class OneBehind(Trainer):
        _run_epoch = rewritten(Trainer, "_run_epoch", "epoch + (step + 1) / steps_in_epoch", "epoch + step / steps_in_epoch")

    return OneBehind


@fault(property="steps.epoch_never_decreases")
def epoch_begins_anew() -> Any:
    """The epoch is the share of the present pass, without the passes before."""
    from transformers import Trainer

    class Anew(Trainer):
        _run_epoch = rewritten(Trainer, "_run_epoch", "epoch + (step + 1) / steps_in_epoch", "(step + 1) / steps_in_epoch")

    return Anew


@fault(property="steps.epoch_of_a_stream_counts_passes")
def passes_of_a_stream_not_counted() -> Any:
    """The epoch of a stream is the share of `max_steps` that is done, as if all were one pass."""
    from torch.utils.data import IterableDataset
    from transformers import TrainerCallback

    class ShareOfTheRun(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **kwargs: Any) -> None:
            if isinstance(train_dataloader.dataset, IterableDataset) and not hasattr(train_dataloader.dataset, "__len__"):
                state.epoch = state.global_step / state.max_steps

    return with_callback(ShareOfTheRun)


@fault(property="steps.no_event_beyond_the_last_update")
def one_update_too_many() -> Any:
    """The run is stopped once it has gone beyond its last update."""
    from transformers import DefaultFlowCallback

    class Beyond(DefaultFlowCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            control = super().on_step_end(args, state, control, **kwargs)
            control.should_training_stop = state.global_step > state.max_steps
            return control

    return with_flow(Beyond)


@fault(property="steps.micro_batches_are_those_of_the_updates")
def batch_run_once_to_warm_up() -> Any:
    """Before the first update its first micro-batch is put through the model once more, to allocate memory."""
    import torch
    from transformers import Trainer

    class WarmUp(Trainer):
        _warm = False

        def training_step(self, model: Any, inputs: Any, *rest: Any) -> Any:
            if not self._warm:
                self._warm = True
                model.train()
                with torch.no_grad():
                    model(**self._prepare_inputs(inputs))
            return super().training_step(model, inputs, *rest)

    return WarmUp


@fault(property="steps.no_update_no_work")
def model_tried_before_training() -> Any:
    """Before training a batch is put through the model, to find a batch size that fits into memory."""
    import torch
    from transformers import Trainer

    class Tries(Trainer):
        def _inner_training_loop(self, *args: Any, **kwargs: Any) -> Any:
            batch = next(iter(self.get_train_dataloader()), None)
            if batch is not None:
                self.model.train()
                with torch.no_grad():
                    self.model(**self._prepare_inputs(batch))
            return super()._inner_training_loop(*args, **kwargs)

    return Tries


@fault(property="steps.optimizer_steps_are_global_steps")
def optimizer_stepped_twice() -> Any:
    """A callback steps the optimizer after the Trainer has done so."""
    from transformers import TrainerCallback

    class Steps(TrainerCallback):
        def on_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
            optimizer.step()

    return with_callback(Steps)


@fault(property="steps.run_finishes")
def short_window_breaks_the_run() -> Any:
    """A window that the stream is too short for ends the run with an exception."""
    from transformers import Trainer

    class NoShortWindow(Trainer):
        def get_batch_samples(self, epoch_iterator: Any, num_batches: int, *rest: Any) -> Any:
            batches, items = super().get_batch_samples(epoch_iterator, num_batches, *rest)
            if 0 < len(batches) < num_batches:
                raise RuntimeError(f"the data gave {len(batches)} batches, {num_batches} are needed")
            return batches, items

    return NoShortWindow


@fault(property="steps.state_knows_max_steps")
def max_steps_rounded_up_to_epochs() -> Any:
    """`state.max_steps` is that of whole epochs, although the last one is not finished."""
    from transformers import Trainer

    class WholeEpochs(Trainer):
        def set_initial_training_values(self, *args: Any) -> Any:
            *values, max_steps = super().set_initial_training_values(*args)
            epochs, updates_per_epoch = values[:2]
            return (*values, min(epochs * updates_per_epoch, max_steps + updates_per_epoch))

    return WholeEpochs


@fault(property="steps.state_resolves_ratios")
def ratios_rounded_down() -> Any:
    """Ratios of all updates are rounded down to whole updates, one at least."""
    from transformers import TrainerCallback

    class RoundsDown(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            for name in ("logging_steps", "eval_steps", "save_steps"):
                asked = getattr(args, name)
                if asked is not None and asked < 1:
                    setattr(state, name, max(1, int(state.max_steps * asked)))

    return with_callback(RoundsDown)


@fault(property="steps.total_train_batch_size_multiplies")
def total_batch_size_without_accumulation() -> Any:
    """The total train batch size leaves the accumulation out."""
    from transformers import Trainer

    class WithoutAccumulation(Trainer):
        def get_total_train_batch_size(self, args: Any) -> int:
            return int(args.train_batch_size * args.world_size)

    return WithoutAccumulation


@fault(property="steps.data_without_a_batch_are_refused")
def short_batch_in_spite_of_drop_last() -> Any:
    """Data too small for one batch are trained on all the same, as one short batch, although short batches are to be dropped."""
    from transformers import Trainer

    class KeepsTheShortBatch(Trainer):
        def get_train_dataloader(self) -> Any:
            if len(self.train_dataset) >= self.args.train_batch_size:
                return super().get_train_dataloader()
            dropping, self.args.dataloader_drop_last = self.args.dataloader_drop_last, False
            try:
                return super().get_train_dataloader()
            finally:
                self.args.dataloader_drop_last = dropping

    return KeepsTheShortBatch
