"""Tiny models of transformers, through the real `from_pretrained` path: from the Hub's cache, or built from their configuration."""

from __future__ import annotations

import copy
import functools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
import transformers
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars
from torch import nn

from trainer_props.zoo.kinds import MODELS, Architecture
from trainer_props.zoo.randomness import seeded
from trainer_props.zoo.temporary import PREFIX

_LOCAL: Final = {"local_files_only": True, "token": False}
"""No network and no user's token, whatever the environment says."""


def build(name: str, seed: int, dtype: torch.dtype) -> nn.Module:
    """A new copy of a tiny model.

    It is loaded once a process for each seed and dtype; copies share nothing.

    Args:
        name: of a model with an architecture of transformers.
        seed: what the weights are made from; a checkpoint of the Hub counts as seed 0.
        dtype: of the parameters; weights are equal in all of them, since they are made in float32.
    """
    return copy.deepcopy(_loaded(name, seed, dtype))


@functools.cache
def is_cached(name: str) -> bool:
    """Whether the model's checkpoint was found in the local cache of the Hub. Looked up once a process; never asks the network."""
    architecture = _architecture(name)
    return architecture.hub_id is not None and all(
        isinstance(try_to_load_from_cache(architecture.hub_id, file), str) for file in ("config.json", "model.safetensors")
    )


@functools.cache
def _loaded(name: str, seed: int, dtype: torch.dtype) -> nn.Module:
    architecture = _architecture(name)
    auto_class = getattr(transformers, architecture.auto_class)
    with _quiet_progress(), seeded(seed), tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder:
        config = _config(name)
        if is_cached(name) and seed == 0:
            model = auto_class.from_pretrained(architecture.hub_id, config=config, use_safetensors=True, **_LOCAL)
        else:
            auto_class.from_config(config).save_pretrained(folder)
            model = auto_class.from_pretrained(folder, use_safetensors=True, **_LOCAL)
        # Checkpoints of equal runs must be equal: where the weights came from is not part of the model.
        model.config.name_or_path = model.name_or_path = ""
        # Weights that still lie in the file must not vanish with it, and training needs memory of its own.
        return copy.deepcopy(model.to(dtype))  # type: ignore[no-any-return]


def _config(name: str) -> Any:
    architecture = _architecture(name)
    config: Any
    if architecture.hub_id is not None and is_cached(name):
        config = transformers.AutoConfig.from_pretrained(architecture.hub_id, **_LOCAL)
    else:
        config = getattr(transformers, architecture.config_class)(**architecture.settings)
    for key, value in config.to_dict().items():
        if "drop" in key and isinstance(value, float):
            setattr(config, key, 0.0)
    return config


def _architecture(name: str) -> Architecture:
    architecture = MODELS[name].architecture
    if architecture is None:
        raise ValueError(f"model {name!r} is not one of transformers'")
    return architecture


@contextmanager
def _quiet_progress() -> Iterator[None]:
    """No progress bars of transformers inside; the settings are as before afterwards."""
    hub_was_silent = are_progress_bars_disabled()
    was_enabled = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            transformers.utils.logging.enable_progress_bar()
        # Enabling the bars of transformers enables those of the Hub along with them.
        if hub_was_silent:
            disable_progress_bars()
