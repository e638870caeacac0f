"""Models from their description."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Final

from torch import nn

from trainer_props.arguments import nearest
from trainer_props.scenario import Data, Model
from trainer_props.zoo import kinds, regression
from trainer_props.zoo.containers import DTYPES
from trainer_props.zoo.generator import TextGenerator
from trainer_props.zoo.randomness import seeded

_MODULES: Final[kinds.Registry[type[nn.Module]]] = kinds.Registry("model of our own", {
    "regression": regression.RegressionModel,
    "regression_dict": regression.RegressionDictModel,
    "regression_double": regression.RegressionDoubleModel,
    "regression_kwargs": regression.RegressionKwargsModel,
    "regression_kwargs_ignored": regression.RegressionKwargsIgnoredModel,
    "regression_kwargs_unaware": regression.RegressionKwargsUnawareModel,
    "regression_renamed": regression.RegressionRenamedModel,
    "regression_unlabelled": regression.RegressionUnlabelledModel,
    "regression_positions": regression.RegressionForQuestionAnswering,
    "regression_layers": regression.RegressionLayersModel,
    "regression_rms_norm": regression.RegressionRMSNormModel,
    "regression_dropout": regression.RegressionDropoutModel,
    "lstm": TextGenerator,
})  # fmt: skip


def build_model(model: Model, data: Data, *, drawn: bool = False) -> nn.Module:
    """A new model from its description, on the processor. The global random state stays as it was, unless weights are `drawn` from it.

    Args:
        model: what is wanted.
        data: what it will train on.
        drawn: the weights of a model of our own follow from the global random state, and not from `model.seed`.

    Raises:
        kinds.UnknownName: the kind of data or model, or the dtype, does not exist.
        ValueError: the model can't train on such data, or a name in `model.frozen` is not a parameter of it.
    """
    kind, _ = kinds.check(model, data)
    dtype = DTYPES[model.dtype]
    if kind.architecture is not None:
        from trainer_props.zoo import tiny

        built = tiny.build(model.name, model.seed, dtype)
    else:
        with nullcontext() if drawn else seeded(model.seed):
            module, config = classes(model.name)
            built = (module() if config is None else module(config())).to(dtype)
    _freeze(built, model.frozen)
    return built


def classes(name: str) -> tuple[type[nn.Module], type | None]:
    """The class of a model of our own, and that of the configuration that it is made from, if it is made from one.

    The source of both goes into standalone scripts: their methods use nothing but torch, transformers and what stands in their module,
    and call no method of a class of ours by `super()`.

    Raises:
        kinds.UnknownName: no such model, or not one of our own.
    """
    if name == "regression_pretrained":
        from trainer_props.zoo.regression_pretrained import RegressionConfig, RegressionPreTrainedModel  # it imports transformers

        return RegressionPreTrainedModel, RegressionConfig
    return _MODULES[name], None


@functools.cache
def class_name(name: str) -> str:
    """The name of the class of a model.

    Raises:
        kinds.UnknownName: no such model.
    """
    data_kind = kinds.DATASETS[kinds.MODELS[name].data_kinds[0]].name
    return type(build_model(Model(name=name), Data(kind=data_kind))).__name__


def provenance(name: str) -> str:
    """Where the weights of a model come from, as a phrase for reports.

    Raises:
        kinds.UnknownName: no such model.
    """
    architecture = kinds.MODELS[name].architecture
    if architecture is None:
        return "built by trainer-props"
    from trainer_props.zoo import tiny

    if tiny.is_cached(name):
        return f"{architecture.hub_id}, from the local cache of the Hub"
    return f"built tiny from {architecture.config_class}, saved, and loaded by {architecture.auto_class}.from_pretrained"


def _freeze(model: nn.Module, names: Sequence[str]) -> None:
    parameters = dict(model.named_parameters())
    for name in names:
        if name not in parameters:
            raise ValueError(f"there is no parameter {name!r} to freeze{nearest(name, list(parameters))}")
        parameters[name].requires_grad_(False)
