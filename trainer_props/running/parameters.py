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


def differing(model: torch.nn.Module, other: torch.nn.Module) -> list[str]:
    """The entries of the state of two models that are not the same, bit for bit."""
    one, two = model.state_dict(), other.state_dict()
    same = {
        name
        for name in one.keys() & two.keys()
        if one[name].dtype == two[name].dtype and torch.allclose(one[name], two[name], rtol=0, atol=0, equal_nan=True)
    }
    return sorted((one.keys() | two.keys()) - same)


def shared(model: torch.nn.Module) -> list[list[str]]:
    """The groups of entries of a model's state that are one tensor."""
    groups: dict[int, list[str]] = {}
    for name, value in model.state_dict().items():
        groups.setdefault(value.data_ptr(), []).append(name)
    return sorted(names for names in groups.values() if len(names) > 1)
