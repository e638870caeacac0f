"""Faults in what an evaluation leaves behind, and in evaluation data under several names."""

from __future__ import annotations

from typing import Any

from trainer_props.faults._source import rewritten
from trainer_props.faults.registry import fault


@fault(property="evaluation_traces.optimizer_and_schedule_stay")
def evaluation_steps_the_schedule() -> Any:
    """Each evaluation steps the learning-rate schedule, as one that follows a metric asks for."""
    from transformers import Trainer

    class Steps(Trainer):
        def evaluate(self, *args: Any, **kwargs: Any) -> Any:
            metrics = super().evaluate(*args, **kwargs)
            if self.lr_scheduler is not None:
                self.lr_scheduler.last_epoch += 1
            return metrics

    return Steps


@fault(property="evaluation_traces.state_and_control_stay")
def evaluation_asks_for_a_save() -> Any:
    """Each evaluation asks for a save, whoever asked for the evaluation."""
    from transformers import Trainer

    class Asks(Trainer):
        def evaluate(self, *args: Any, **kwargs: Any) -> Any:
            metrics = super().evaluate(*args, **kwargs)
            self.control.should_save = True
            return metrics

    return Asks


@fault(property="evaluation_traces.gradients_stay")
def prediction_freezes_the_model() -> Any:
    """`predict` switches gradients off at the parameters, and never on again."""
    from transformers import Trainer

    class Freezes(Trainer):
        def predict(self, *args: Any, **kwargs: Any) -> Any:
            self.model.requires_grad_(False)
            return super().predict(*args, **kwargs)

    return Freezes


@fault(property="evaluation_traces.hooks_stay")
def hook_left_by_evaluation() -> Any:
    """Each evaluation counts its batches by a hook that it leaves on the model."""
    from transformers import Trainer

    class Counts(Trainer):
        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            seen: list[Any] = []
            self.model.register_forward_pre_hook(lambda module, given: seen.append(len(given)))
            return super().evaluation_loop(*args, **kwargs)

    return Counts


@fault(property="evaluation_traces.mode_stays")
def train_mode_after_every_evaluation() -> Any:
    """Each evaluation ends in train mode, whatever the mode was before."""
    from transformers import Trainer

    class Trains(Trainer):
        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            output = super().evaluation_loop(*args, **kwargs)
            if not self.is_in_train:
                self.model.train()
            return output

    return Trains


@fault(property="evaluation_traces.random_numbers_stay")
def seeded_before_every_evaluation() -> Any:
    """Each evaluation sets the seed, so that it can be repeated."""
    from transformers import Trainer, set_seed

    class Seeds(Trainer):
        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            set_seed(self.args.seed)
            return super().evaluation_loop(*args, **kwargs)

    return Seeds


@fault(property="evaluation_traces.each_evaluation_goes_through_all_names")
def first_name_only_during_training() -> Any:
    """During training only the first of several evaluation data sets is evaluated."""
    from transformers import Trainer

    class TheFirst(Trainer):
        def evaluate(self, eval_dataset: Any = None, *args: Any, **kwargs: Any) -> Any:
            if not self.is_in_train or eval_dataset is not None or not isinstance(self.eval_dataset, dict):
                return super().evaluate(eval_dataset, *args, **kwargs)
            name = next(iter(self.eval_dataset))
            return super().evaluate(self.eval_dataset[name], metric_key_prefix=f"eval_{name}")

    return TheFirst


@fault(property="evaluation_traces.training_evaluates_as_evaluate_does")
def batches_averaged_during_training() -> Any:
    """During training the evaluation loss is the mean over batches, whatever their size."""
    from transformers import Trainer

    class AveragesBatches(Trainer):
        evaluation_loop = rewritten(
            Trainer, "evaluation_loop", "losses.repeat(batch_size)", "losses.repeat(1 if self.is_in_train else batch_size)"
        )

    return AveragesBatches
