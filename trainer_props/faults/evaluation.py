"""Faults in evaluation: when, on what, in which mode, and what its metrics say."""

from __future__ import annotations

from typing import Any

from trainer_props.faults._source import rewritten
from trainer_props.faults._swapping import changed, with_flow
from trainer_props.faults.registry import fault


@fault(property="evaluation.evaluations_happen_when_due")
def evaluation_delay_ignored() -> Any:
    """`eval_delay` has no effect."""
    from transformers import DefaultFlowCallback

    class NoDelay(DefaultFlowCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            control = super().on_step_end(args, state, control, **kwargs)
            if args.eval_strategy == "steps" and state.global_step % state.eval_steps == 0:
                control.should_evaluate = True
            return control

        def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            control = super().on_epoch_end(args, state, control, **kwargs)
            control.should_evaluate = args.eval_strategy == "epoch"
            return control

    return with_flow(NoDelay)


@fault(property="evaluation.evaluation_covers_the_data_in_order")
def evaluation_shuffled() -> Any:
    """Evaluation goes through its data in random order."""
    from torch.utils.data import RandomSampler
    from transformers import Trainer

    class Shuffled(Trainer):
        def _get_eval_sampler(self, eval_dataset: Any) -> Any:
            return RandomSampler(eval_dataset)

    return Shuffled


@fault(property="evaluation.evaluation_covers_the_data_in_order")
def last_evaluation_batch_dropped() -> Any:
    """Evaluation leaves out a last batch that is not full."""
    from transformers import Trainer

    class DropsLast(Trainer):
        def get_eval_dataloader(self, *args: Any) -> Any:
            dropping, self.args.dataloader_drop_last = self.args.dataloader_drop_last, True
            try:
                return super().get_eval_dataloader(*args)
            finally:
                self.args.dataloader_drop_last = dropping

    return DropsLast


@fault(property="evaluation.evaluation_batches_have_their_size")
def evaluated_with_the_training_batch_size() -> Any:
    """Evaluation takes the batch size of training."""

    def confuse(trainer: Any) -> None:
        trainer.args.per_device_eval_batch_size = trainer.args.per_device_train_batch_size

    return changed(confuse)


@fault(property="evaluation.eval_loss_is_the_mean_over_samples")
def evaluation_loss_averages_batches() -> Any:
    """The evaluation loss is the mean over batches, whatever their size."""
    from transformers import Trainer

    class AveragesBatches(Trainer):
        evaluation_loop = rewritten(Trainer, "evaluation_loop", "losses.repeat(batch_size)", "losses.repeat(1)")

    return AveragesBatches


@fault(property="evaluation.evaluation_says_its_loss")
def metrics_replace_the_loss() -> Any:
    """With `compute_metrics` its result takes the place of the loss instead of joining it."""
    from transformers import Trainer

    class Replaces(Trainer):
        def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> Any:
            output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
            if self.compute_metrics is not None:
                output.metrics.pop(f"{metric_key_prefix}_loss", None)
            return output

    return Replaces


@fault(property="evaluation.metrics_have_their_prefix")
def metric_without_prefix() -> Any:
    """The number of samples is added to the metrics under its bare name."""
    from transformers import Trainer

    class BareName(Trainer):
        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            output = super().evaluation_loop(*args, **kwargs)
            output.metrics["samples"] = output.num_samples
            return output

    return BareName


@fault(property="evaluation.evaluation_runs_in_eval_mode")
def evaluation_in_train_mode() -> Any:
    """The model is put back into train mode before each evaluation batch."""
    from transformers import Trainer

    class TrainMode(Trainer):
        def prediction_step(self, model: Any, *args: Any, **kwargs: Any) -> Any:
            model.train()
            return super().prediction_step(model, *args, **kwargs)

    return TrainMode


@fault(property="evaluation.evaluation_leaves_the_weights")
def evaluation_rounds_the_weights() -> Any:
    """Evaluation casts the model to bfloat16 and back."""
    import torch
    from transformers import Trainer

    class Rounds(Trainer):
        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            for parameter in self.model.parameters():
                parameter.data = parameter.data.to(torch.bfloat16).to(parameter.dtype)
            return super().evaluation_loop(*args, **kwargs)

    return Rounds


@fault(property="evaluation.evaluations_are_logged")
def evaluations_not_logged() -> Any:
    """The metrics of an evaluation are told to callbacks, but not logged."""
    from transformers import Trainer

    class NotLogged(Trainer):
        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            if not any(name.startswith("eval_") for name in logs):
                super().log(logs, *args, **kwargs)

    return NotLogged


@fault(property="evaluation.compute_metrics_is_asked_once")
def metrics_computed_twice() -> Any:
    """`compute_metrics` is called for the metrics, and once more for the log."""
    from transformers import EvalPrediction, Trainer

    class Twice(Trainer):
        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            output = super().evaluation_loop(*args, **kwargs)
            if self.compute_metrics is not None and output.predictions is not None:
                self.compute_metrics(EvalPrediction(predictions=output.predictions, label_ids=output.label_ids))
            return output

    return Twice


@fault(property="evaluation.eval_loss_filters_what_is_no_number")
def lost_batches_left_out_in_any_case() -> Any:
    """Evaluation losses that are NaN or infinite are left out of the mean, whether or not they are to be filtered."""
    from transformers import Trainer

    class LeavesOut(Trainer):
        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            asked, self.args.logging_nan_inf_filter = self.args.logging_nan_inf_filter, True
            try:
                return super().evaluation_loop(*args, **kwargs)
            finally:
                self.args.logging_nan_inf_filter = asked

    return LeavesOut


@fault(property="evaluation.eval_loss_filters_what_is_no_number")
def infinite_evaluation_losses_not_filtered() -> Any:
    """Of the evaluation losses only those that are NaN are left out, and infinite ones count."""
    from transformers import Trainer

    class OnlyNaN(Trainer):
        evaluation_loop = rewritten(Trainer, "evaluation_loop", "np.isfinite(losses)", "~np.isnan(losses)")

    return OnlyNaN
