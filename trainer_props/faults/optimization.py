"""Faults in updates: gradients, clipping, parameter groups, the optimizer, the learning rate and its schedule."""

from __future__ import annotations

import math
from typing import Any

from trainer_props.faults._swapping import with_callback
from trainer_props.faults.registry import fault


@fault(property="optimization.gradient_averages_own_micro_batches")
def short_window_divided_by_accumulation() -> Any:
    """The losses of a window are divided by `gradient_accumulation_steps`, also if it has fewer micro-batches."""
    from transformers import Trainer

    class DividesByAccumulation(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            self.current_gradient_accumulation_steps = self.args.gradient_accumulation_steps
            return super().training_step(*args, **kwargs)

    return DividesByAccumulation


@fault(property="optimization.gradient_averages_own_micro_batches")
def loss_taken_for_scaled_without_a_count() -> Any:
    """The loss of a model that takes keyword arguments is taken for one over the whole window, also where no items could be counted."""
    from transformers import Trainer

    class TakesForScaled(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            self.loss_is_scaled_for_ga = self.model_accepts_loss_kwargs or self.compute_loss_func is not None
            return super().training_step(*args, **kwargs)

    return TakesForScaled


@fault(property="optimization.applied_gradient_is_clipped")
def clipping_skipped() -> Any:
    """The norm of the gradient is measured, but the gradient is not clipped."""
    from transformers import Trainer

    class Measures(Trainer):
        def _clip_grad_norm(self, model: Any) -> Any:
            return self.accelerator.clip_grad_norm_(model.parameters(), math.inf)

    return Measures


@fault(property="optimization.applied_gradient_is_clipped")
def clipped_by_value() -> Any:
    """Every element of the gradient is clipped to `max_grad_norm`, not its norm."""
    from transformers import Trainer

    class ByValue(Trainer):
        def _clip_grad_norm(self, model: Any) -> Any:
            norm = self.accelerator.clip_grad_norm_(model.parameters(), math.inf)
            self.accelerator.clip_grad_value_(model.parameters(), self.args.max_grad_norm)
            return norm

    return ByValue


@fault(property="optimization.logged_grad_norm_is_before_clipping")
def grad_norm_after_clipping() -> Any:
    """The norm that is logged is measured after clipping."""
    from transformers import Trainer

    class After(Trainer):
        def _clip_grad_norm(self, model: Any) -> Any:
            super()._clip_grad_norm(model)
            return self.accelerator.clip_grad_norm_(model.parameters(), math.inf)

    return After


@fault(property="optimization.optimizer_follows_its_rule")
def betas_swapped() -> Any:
    """Adam gets `adam_beta1` and `adam_beta2` in each other's place."""
    from transformers import Trainer

    class Swapped(Trainer):
        @staticmethod
        def get_optimizer_cls_and_kwargs(*args: Any, **kwargs: Any) -> Any:
            kind, options = Trainer.get_optimizer_cls_and_kwargs(*args, **kwargs)
            if "betas" in options:
                options["betas"] = options["betas"][::-1]
            return kind, options

    return Swapped


@fault(property="optimization.weights_match_reference")
def averaged_weights_written_back() -> Any:
    """A callback that keeps an average of the weights writes it into the model."""
    from transformers import TrainerCallback

    class Averages(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            self._average = [parameter.detach().clone() for parameter in model.parameters()]

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            for average, parameter in zip(self._average, model.parameters(), strict=True):
                average.lerp_(parameter.detach(), 0.5)
                parameter.data.copy_(average)

    return with_callback(Averages)


@fault(property="optimization.decay_groups")
def decay_on_biases() -> Any:
    """Biases are decayed too."""
    from transformers import Trainer

    class DecaysBiases(Trainer):
        def get_decay_parameter_names(self, model: Any) -> list[str]:
            biases = [name for name, _ in model.named_parameters() if name.endswith("bias")]
            return [*super().get_decay_parameter_names(model), *biases]

    return DecaysBiases


@fault(property="optimization.frozen_parameters_stay")
def frozen_parameters_in_the_optimizer() -> Any:
    """The optimizer gets all parameters, also those that are frozen."""
    from transformers import Trainer

    class TakesAll(Trainer):
        def create_optimizer(self, *args: Any) -> Any:
            optimizer = super().create_optimizer(*args)
            frozen = [parameter for parameter in self.model.parameters() if not parameter.requires_grad]
            if frozen:
                optimizer.add_param_group({"params": frozen, "weight_decay": self.args.weight_decay})
            return optimizer

    return TakesAll


@fault(property="optimization.scheduler_steps_once_an_update")
def scheduler_stepped_twice() -> Any:
    """A callback steps the schedule after the Trainer has done so."""
    from torch.optim.lr_scheduler import LambdaLR
    from transformers import TrainerCallback

    class Steps(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, lr_scheduler: Any = None, **kwargs: Any) -> None:
            if isinstance(lr_scheduler, LambdaLR):
                lr_scheduler.step()

    return with_callback(Steps)


@fault(property="optimization.learning_rates_follow_schedule")
def schedule_counts_micro_batches() -> Any:
    """The schedule is made as long as the run has micro-batches."""
    from transformers import Trainer

    class CountsMicroBatches(Trainer):
        def create_scheduler(self, num_training_steps: int, *args: Any, **kwargs: Any) -> Any:
            return super().create_scheduler(num_training_steps * self.args.gradient_accumulation_steps, *args, **kwargs)

    return CountsMicroBatches


@fault(property="optimization.learning_rates_stay_within_bounds")
def learning_rate_scaled_by_accumulation() -> Any:
    """The learning rate is multiplied by the accumulation, for the batches are that much larger."""
    from transformers import Trainer

    class Scales(Trainer):
        def create_optimizer(self, *args: Any) -> Any:
            optimizer = super().create_optimizer(*args)
            for group in optimizer.param_groups:
                group["lr"] *= self.args.gradient_accumulation_steps
            return optimizer

    return Scales


@fault(property="optimization.logged_learning_rate_was_used")
def next_learning_rate_logged() -> Any:
    """The learning rate is asked for when it is logged, after the schedule has moved on."""
    from transformers import Trainer

    class AsksLate(Trainer):
        def _maybe_log_save_evaluate(self, *args: Any, learning_rate: Any = None, **kwargs: Any) -> None:
            super()._maybe_log_save_evaluate(*args, **kwargs)

    return AsksLate


@fault(property="optimization.warmup_rises_to_learning_rate")
def warmup_ratio_rounded_down() -> Any:
    """The ratio of warmup updates is rounded down."""
    from transformers import Trainer

    class RoundsDown(Trainer):
        def create_scheduler(self, num_training_steps: int, *args: Any, **kwargs: Any) -> Any:
            asked = self.args.warmup_steps
            self.args.warmup_steps = math.floor(num_training_steps * asked) if asked < 1 else asked
            try:
                return super().create_scheduler(num_training_steps, *args, **kwargs)
            finally:
                self.args.warmup_steps = asked

    return RoundsDown


@fault(property="optimization.warmup_of_any_length_finishes")
def decay_divided_by_what_warmup_leaves() -> Any:
    """The linear schedule divides by the number of updates after the warmup, which may be none."""
    from torch.optim.lr_scheduler import LambdaLR
    from transformers import Trainer

    class Divides(Trainer):
        def create_scheduler(self, num_training_steps: int, *args: Any, **kwargs: Any) -> Any:
            if self.args.lr_scheduler_type != "linear":
                return super().create_scheduler(num_training_steps, *args, **kwargs)
            warmup = self.args.get_warmup_steps(num_training_steps)

            def factor(step: int) -> float:
                if step < warmup:
                    return step / warmup
                return max(0.0, (num_training_steps - step) / (num_training_steps - warmup))

            self.lr_scheduler = LambdaLR(self.optimizer, factor)
            self._created_lr_scheduler = True
            return self.lr_scheduler

    return Divides


@fault(property="optimization.improvement_never_lowers_learning_rate")
def plateau_watches_the_wrong_way() -> Any:
    """A schedule that follows evaluations takes a metric that should fall for one that should rise, and the other way round."""
    from transformers import Trainer

    class WrongWay(Trainer):
        def create_scheduler(self, *args: Any, **kwargs: Any) -> Any:
            asked = self.args.lr_scheduler_kwargs
            if self.args.lr_scheduler_type == "reduce_lr_on_plateau":
                other = "min" if (asked or {}).get("mode") == "max" else "max"
                self.args.lr_scheduler_kwargs = {**(asked or {}), "mode": other}
            try:
                return super().create_scheduler(*args, **kwargs)
            finally:
                self.args.lr_scheduler_kwargs = asked

    return WrongWay
