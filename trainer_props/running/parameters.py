"""The parameters of a model as plain data: their elements, the groups that hold them, and what the optimizer keeps of each."""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainerCallback

Values = dict[str, list[float]]


def values(model: torch.nn.Module) -> Values:
    """The elements of each parameter by name, in the order of its memory."""
    return {name: parameter.detach().reshape(-1).tolist() for name, parameter in model.named_parameters()}


def groups(trainer: Any) -> dict[str, int]:
    """How many parameter groups of the optimizer hold each parameter."""
    held = [id(each) for group in trainer.optimizer.param_groups for each in group["params"]]
    return {name: held.count(id(parameter)) for name, parameter in trainer.model.named_parameters()}


def states(trainer: Any) -> dict[str, Values]:
    """What the optimizer keeps of each parameter: name of the parameter -> name of the quantity -> its elements."""
    kept = {name: trainer.optimizer.state.get(parameter, {}) for name, parameter in trainer.model.named_parameters()}
    return {
        name: {key: torch.as_tensor(value).reshape(-1).tolist() for key, value in state.items() if value is not None}
        for name, state in kept.items()
    }


def make_constant(model: torch.nn.Module, name: str) -> None:
    """Replace a parameter by a buffer with the same values, so that there is no such parameter and the model computes the same."""
    owner, _, attribute = name.rpartition(".")
    module = model.get_submodule(owner)
    value = getattr(module, attribute).detach()
    delattr(module, attribute)
    module.register_buffer(attribute, value)


class States(TrainerCallback):
    """Writes down what the optimizer keeps of each parameter when training begins.

    Args:
        trainer: the Trainer that it is added to.
        results: where it is written, as `states`.
    """

    def __init__(self, trainer: Any, results: dict[str, Any]) -> None:
        self._trainer, self._results = trainer, results

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write it down."""
        self._results["states"] = states(self._trainer)
