"""Faults in what becomes of frozen parameters."""

from __future__ import annotations

from typing import Any

from trainer_props.faults.registry import fault


@fault(property="frozen.frozen_parameters_keep_their_values")
def gradients_zeroed_and_kept() -> Any:
    """Gradients are set to zero and not taken away: what is frozen between two calls of `train()` goes on by its momentum and decay."""
    import functools

    from transformers import Trainer

    class Zeroed(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            self.model.zero_grad = functools.partial(type(self.model).zero_grad, self.model, set_to_none=False)
            return super().train(*args, **kwargs)

    return Zeroed


@fault(property="frozen.frozen_parameters_keep_their_values")
def frozen_parameters_decay() -> Any:
    """Weight decay is done by hand, on all parameters of the model."""
    import torch
    from transformers import Trainer

    class ByHand(Trainer):
        def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
            optimizer = super().create_optimizer(*args, **kwargs)
            optimizer.register_step_post_hook(lambda *_: self._decay())
            return optimizer

        @torch.no_grad()
        def _decay(self) -> None:
            for parameter in self.model.parameters():
                parameter.mul_(1 - 0.01 * self.args.learning_rate)

    return ByHand


@fault(property="frozen.parameter_groups_hold_what_is_trainable")
def frozen_parameters_in_a_group() -> Any:
    """The optimizer is given the frozen parameters too."""
    from transformers import Trainer

    class All(Trainer):
        def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
            made_here = self.optimizer is None
            optimizer = super().create_optimizer(*args, **kwargs)
            frozen = [parameter for parameter in self.model.parameters() if not parameter.requires_grad]
            if made_here and frozen:
                optimizer.add_param_group({"params": frozen})
            return optimizer

    return All


@fault(property="frozen.the_others_train_as_if_alone")
def gradients_averaged_over_all_parameters() -> Any:
    """Gradients are scaled by the share of the parameters that are trained."""
    from transformers import Trainer

    class Share(Trainer):
        def training_step(self, model: Any, *args: Any, **kwargs: Any) -> Any:
            loss = super().training_step(model, *args, **kwargs)
            parameters = list(model.parameters())
            trained = [parameter for parameter in parameters if parameter.grad is not None]
            for parameter in trained:
                parameter.grad.mul_(len(trained) / len(parameters))
            return loss

    return Share


@fault(property="frozen.logs_are_of_the_others_alone")
def gradient_norm_is_a_mean_over_all_parameters() -> Any:
    """The gradient norm that is logged is divided by the number of parameters, frozen ones included."""
    from transformers import Trainer

    class Mean(Trainer):
        def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
            norm = super()._get_grad_norm(model, grad_norm=grad_norm)
            return norm / sum(parameter.numel() for parameter in model.parameters())

    return Mean


@fault(property="frozen.a_second_call_trains_what_is_trainable_now")
def schedule_of_the_first_call_goes_on() -> Any:
    """A second call of `train()` keeps the schedule of the first one, which has come to its end."""
    from transformers import Trainer

    class Kept(Trainer):
        def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
            self._created_lr_scheduler = False
            return super()._prepare_for_training(*args, **kwargs)

    return Kept


@fault(property="frozen.a_resumed_optimizer_knows_its_parameters")
def optimizer_state_lost_where_some_are_frozen() -> Any:
    """Of a model with frozen parameters the state of the optimizer is not restored."""
    from transformers import Trainer

    class Lost(Trainer):
        def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
            fresh = self.optimizer.state_dict()
            super()._load_optimizer_and_scheduler(checkpoint)
            if checkpoint is not None and not all(parameter.requires_grad for parameter in self.model.parameters()):
                self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": fresh["state"]})

    return Lost
