"""Faults on several devices. On one device none of them does anything."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from trainer_props.faults._shards import shards, with_batches
from trainer_props.faults._source import rewritten
from trainer_props.faults._swapping import changed, with_callback
from trainer_props.faults.registry import fault


def _devices(args: Any) -> int:
    """In how many parts a batch is spread, over processes or within one."""
    return int(max(args.world_size, args.n_gpu))


@fault(property="devices.every_rank_comes_to_its_end")
def second_rank_asks_for_its_logs() -> Any:
    """At the end of training every rank but the first looks for a file that only the first one writes."""
    from transformers import TrainerCallback

    class ReadsLogs(TrainerCallback):
        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if not state.is_world_process_zero:
                Path(args.output_dir, "logs.txt").read_text(encoding="utf-8")

    return with_callback(ReadsLogs)


@fault(property="devices.total_batch_size_counts_devices")
def total_batch_size_of_one_device() -> Any:
    """The total train batch size is that of one device."""
    from transformers import Trainer

    class OfOneDevice(Trainer):
        def get_total_train_batch_size(self, args: Any) -> int:
            return int(args.per_device_train_batch_size * args.gradient_accumulation_steps)

    return OfOneDevice


@fault(property="devices.batch_size_of_a_process_counts_its_devices")
def batch_size_without_devices() -> Any:
    """The batch sizes of the arguments forget the devices of the process, once the trainer is made."""

    def forget(trainer: Any) -> None:
        kind = type(trainer.args)
        forgetful = {
            "train_batch_size": property(lambda self: self.per_device_train_batch_size),
            "eval_batch_size": property(lambda self: self.per_device_eval_batch_size),
        }
        trainer.args.__class__ = type(kind.__name__, (kind,), forgetful)

    return changed(forget)


@fault(property="devices.global_step_counts_with_devices")
def steps_of_one_device() -> Any:
    """The number of updates is computed as if there were one device."""
    from transformers import Trainer

    class AsIfAlone(Trainer):
        def set_initial_training_values(self, args: Any, dataloader: Any) -> Any:
            values = list(super().set_initial_training_values(args, dataloader))
            if args.max_steps < 0 and _devices(args) > 1:
                values[-1] = values[-1] * _devices(args)
                values[0] = values[0] * _devices(args)
            return tuple(values)

    return AsIfAlone


@fault(property="devices.ranks_share_no_sample")
def data_of_rank_zero_everywhere() -> Any:
    """Every rank trains on the batches of rank 0."""
    from transformers import Trainer

    class OfRankZero(Trainer):
        def get_train_dataloader(self) -> Any:
            loader = super().get_train_dataloader()
            sampler = shards(self, loader)
            if sampler is not None:
                sampler.process_index = 0
            return loader

    return OfRankZero


@fault(property="devices.updates_have_the_samples_of_one_device")
def last_rank_goes_backwards() -> Any:
    """The last rank goes through its batches from the last to the first."""
    return with_batches(lambda batches, sampler: batches[::-1] if sampler.process_index == sampler.num_processes - 1 else batches)


@fault(property="devices.all_ranks_together_pass_through_the_data")
def first_batch_in_place_of_the_last() -> Any:
    """Where the data do not fill the last batches of all ranks, each takes its first batch once more in place of its last."""

    def again(batches: list[Any], sampler: Any) -> list[Any]:
        rows = len(sampler.batch_sampler.sampler)
        return batches if rows % (sampler.batch_sampler.batch_size * sampler.num_processes) == 0 else [*batches[:-1], batches[0]]

    return with_batches(again)


@fault(property="devices.repeats_fill_the_last_batch")
def last_batches_swapped_for_the_first() -> Any:
    """Every rank but the first ends with its first batch, although there is a last one."""
    return with_batches(lambda batches, sampler: [*batches[:-1], batches[0]] if sampler.process_index else batches)


@fault(property="devices.first_gradient_is_that_of_one_device")
def gradients_added_up() -> Any:
    """Gradients are added up over devices, and not averaged."""
    from transformers import Trainer

    class AddedUp(Trainer):
        def create_accelerator_and_postprocess(self) -> None:
            super().create_accelerator_and_postprocess()
            backward, devices = self.accelerator.backward, _devices(self.args)
            self.accelerator.backward = lambda loss, **kwargs: backward(loss * devices if devices > 1 else loss, **kwargs)

    return AddedUp


@fault(property="devices.first_gradient_is_that_of_one_device")
def labels_counted_on_each_rank_alone() -> Any:
    """The items of an update are those of the rank alone, while its loss is taken for a share of all."""
    from transformers import Trainer

    class CountsAlone(Trainer):
        def _get_num_items_in_batch(self, *args: Any, **kwargs: Any) -> Any:
            items = super()._get_num_items_in_batch(*args, **kwargs)
            return items if items is None or self.args.world_size == 1 else items / self.args.world_size

    return CountsAlone


@fault(property="devices.weights_are_those_of_one_device")
def decay_grows_with_devices() -> Any:
    """Weights decay as often in an update as there are devices."""
    from transformers import Trainer

    class DecaysMore(Trainer):
        def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
            optimizer = super().create_optimizer(*args, **kwargs)
            for group in optimizer.param_groups:
                group["weight_decay"] = group.get("weight_decay", 0.0) + (0.1 if _devices(self.args) > 1 else 0.0)
            return optimizer

    return DecaysMore


@fault(property="devices.ranks_have_the_same_weights")
def gradients_stay_on_their_rank() -> Any:
    """The ranks do not exchange their gradients."""
    from transformers import Trainer

    class Alone(Trainer):
        def training_step(self, model: Any, *args: Any, **kwargs: Any) -> Any:
            with model.no_sync() if self.args.world_size > 1 else contextlib.nullcontext():
                return super().training_step(model, *args, **kwargs)

    return Alone


@fault(property="devices.learning_rates_are_those_of_one_device")
def learning_rate_grows_with_devices() -> Any:
    """The learning rate is multiplied by the number of devices."""
    from transformers import Trainer

    class Scaled(Trainer):
        def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
            optimizer = super().create_optimizer(*args, **kwargs)
            for group in optimizer.param_groups:
                group["lr"] *= max(1, _devices(self.args))
            return optimizer

    return Scaled


@fault(property="devices.the_schedule_steps_once_an_update")
def schedule_stepped_for_each_device() -> Any:
    """After an update the schedule moves once for each device."""
    from transformers import TrainerCallback

    class MovesOn(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, lr_scheduler: Any = None, **kwargs: Any) -> None:
            for _ in range(_devices(args) - 1):
                lr_scheduler.step()

    return with_callback(MovesOn)


@fault(property="devices.logged_losses_are_those_of_one_device")
def logged_loss_of_one_device() -> Any:
    """The loss that is logged is that of rank 0 alone, or under DataParallel as many times too small as there are devices."""
    from transformers import Trainer

    class OfOneDevice(Trainer):
        _maybe_log_save_evaluate = rewritten(
            Trainer, "_maybe_log_save_evaluate", "nested_gather(tr_loss, self.args.parallel_mode).mean().item()",
            "tr_loss.item() / max(1, self.args.n_gpu)",
        )  # fmt: skip

    return OfOneDevice


@fault(property="devices.logged_norms_are_those_of_one_device")
def logged_norm_grows_with_devices() -> Any:
    """The gradient norm that is logged is multiplied by the root of the number of devices."""
    from transformers import Trainer

    class Grows(Trainer):
        def log(self, logs: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            if "grad_norm" in logs and _devices(self.args) > 1:
                logs["grad_norm"] *= _devices(self.args) ** 0.5
            super().log(logs, *args, **kwargs)

    return Grows


@fault(property="devices.returned_loss_is_that_of_one_device")
def returned_loss_divided_by_devices() -> Any:
    """The training loss that is returned is divided by the number of devices once more."""
    from transformers import Trainer

    class Divided(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            output = super().train(*args, **kwargs)
            return output._replace(training_loss=output.training_loss / max(1, _devices(self.args)))

    return Divided


@fault(property="devices.evaluation_loss_is_that_of_one_device")
def evaluation_loss_of_one_rank() -> Any:
    """The loss of an evaluation is divided by the number of devices, as if it had been added up."""
    from transformers import Trainer

    class OfOneRank(Trainer):
        def prediction_step(self, *args: Any, **kwargs: Any) -> Any:
            loss, logits, labels = super().prediction_step(*args, **kwargs)
            return None if loss is None else loss / max(1, _devices(self.args)), logits, labels

    return OfOneRank


@fault(property="devices.predicted_labels_are_those_of_one_device")
def padding_kept_in_predictions() -> Any:
    """Rows that were repeated so that all ranks have as many stay among the predictions."""
    from transformers import Trainer

    class Kept(Trainer):
        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            self.gather_function = self.accelerator.gather
            return super().evaluation_loop(*args, **kwargs)

    return Kept


@fault(property="devices.predictions_are_those_of_one_device")
def predictions_of_ranks_swapped() -> Any:
    """The predictions of a batch come from the last device to the first."""
    from transformers import Trainer

    class Swapped(Trainer):
        def prediction_step(self, *args: Any, **kwargs: Any) -> Any:
            loss, logits, labels = super().prediction_step(*args, **kwargs)
            if _devices(self.args) > 1 and hasattr(logits, "flip"):
                logits = logits.flip(0)
            return loss, logits, labels

    return Swapped


@fault(property="devices.checkpoints_keep_the_state_of_every_rank")
def random_state_of_rank_zero_alone() -> Any:
    """Of the random states that of rank 0 alone is written, under the name that one device gives it."""
    from transformers import Trainer

    class OfRankZero(Trainer):
        def _save_rng_state(self, output_dir: str) -> None:
            super()._save_rng_state(output_dir)
            file = Path(output_dir, f"rng_state_{self.args.process_index}.pth")
            if self.args.world_size > 1 and self.args.process_index == 0:
                file.replace(file.with_name("rng_state.pth"))
            elif self.args.world_size > 1:
                file.unlink()

    return OfRankZero
