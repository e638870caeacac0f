"""The source text of models."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainer_props.scenario import Data, Model
from trainer_props.scripts import layout
from trainer_props.scripts.copying import Copy, copied, merged
from trainer_props.zoo import kinds, models


@dataclass(frozen=True)
class ModelSource:
    """The source of a model.

    Attributes:
        source: what it needs at the top of the script.
        lines: what defines `model`.
    """

    source: Copy
    lines: tuple[str, ...]


def model_source(model: Model, data: Data) -> ModelSource:
    """The source that makes the model `zoo.build_model(model, data)`, weights included."""
    kind, _ = kinds.check(model, data)
    lines: list[str] = []
    if kind.architecture is not None:
        line, made, drawn = _of_transformers(model)
        source = Copy((line,), "")
    else:
        module, config = models.classes(model.name)
        source = copied(*((config,) if config is not None else ()), module)
        made, drawn = f"{module.__name__}({f'{config.__name__}()' if config is not None else ''})", _draws(model.name)
    imports = list(source.imports)
    if drawn:
        imports.append("import torch")
        lines.append(f"torch.manual_seed({model.seed})")
    lines.append(f"model = {made}{'.double()' if model.dtype == 'float64' else ''}")
    lines += [f'model.get_parameter("{name}").requires_grad_(False)' for name in model.frozen]
    return ModelSource(Copy(merged(imports), source.definitions), tuple(lines))


def _of_transformers(model: Model) -> tuple[str, str, bool]:
    """The import line, the expression, and whether its weights are drawn."""
    from trainer_props.zoo import tiny  # it imports transformers

    recipe = tiny.recipe(model.name, model.seed)
    settings = layout.keywords(recipe.settings)
    if recipe.config_from is not None:
        config = layout.call(f"{recipe.config_class}.from_pretrained", [layout.value(recipe.config_from), *settings])
    else:
        config = layout.call(recipe.config_class, settings)
    if recipe.weights_from is not None:
        made = layout.call(f"{recipe.auto_class}.from_pretrained", [layout.value(recipe.weights_from), f"config={config}"])
    else:
        made = layout.call(f"{recipe.auto_class}.from_config", [config])
    return f"from transformers import {recipe.auto_class}, {recipe.config_class}", made, recipe.weights_from is None


def _draws(name: str) -> bool:
    """Whether making the model draws random numbers."""
    from trainer_props.zoo.randomness import seeded

    with seeded(0):
        before = torch.get_rng_state()
        module, config = models.classes(name)
        module() if config is None else module(config())
        return not torch.equal(before, torch.get_rng_state())
