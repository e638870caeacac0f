"""Faults of Trainers with a `model_init`."""

from __future__ import annotations

from typing import Any

from trainer_props.faults.registry import fault


@fault(property="model_init.a_run_by_model_init_finishes")
def accelerator_let_go_after_training() -> Any:
    """The accelerator is let go when training ends, to free memory."""
    from transformers import Trainer

    class LetsGo(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            output = super().train(*args, **kwargs)
            self.accelerator = None
            return output

    return LetsGo


@fault(property="model_init.training_begins_with_a_new_model")
def model_is_made_once() -> Any:
    """The model that `model_init` made first is kept, and trained on."""
    from transformers import Trainer

    class Keeps(Trainer):
        def call_model_init(self, trial: Any = None) -> Any:
            return self.model if self.model is not None else super().call_model_init(trial)

    return Keeps


@fault(property="model_init.a_new_model_is_trained_as_a_given_one")
def optimizer_is_made_once() -> Any:
    """The optimizer that was made first is kept: it goes on with the parameters of the first model."""
    from transformers import Trainer

    class Keeps(Trainer):
        _first: Any = None

        def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
            if self._first is None:
                self._first = super().create_optimizer(*args, **kwargs)
            self.optimizer = self._first
            return self.optimizer

    return Keeps


@fault(property="model_init.a_new_model_is_logged_as_a_given_one")
def gradients_of_the_first_model_are_logged() -> Any:
    """The norm that is logged is that of the gradients of the model that was made first."""
    from transformers import Trainer

    class OfTheFirst(Trainer):
        _first: Any = None

        def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
            if self._first is None:
                self._first = model
            if model is self._first:
                return super()._get_grad_norm(model, grad_norm=grad_norm)
            return sum(float(each.grad.norm()) for each in self._first.parameters() if each.grad is not None)

    return OfTheFirst
