"""Tiny models of transformers, through the real `from_pretrained` path: from the Hub if it is cached or reachable, else built from their
configuration.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import torch
import transformers
from huggingface_hub import constants, snapshot_download, try_to_load_from_cache
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars
from torch import nn

from trainer_props.zoo.kinds import MODELS, Architecture
from trainer_props.zoo.randomness import seeded
from trainer_props.zoo.temporary import PREFIX

_LOCAL: Final = {"local_files_only": True, "token": False}
"""No network and no user's token, whatever the environment says."""
_FILES: Final = ("config.json", "model.safetensors")
_PATIENCE_SECONDS: Final = 0.5


def build(name: str, seed: int, dtype: torch.dtype) -> nn.Module:
    """A new copy of a tiny model.

    It is loaded once a process for each seed and dtype; copies share nothing.

    Args:
        name: of a model with an architecture of transformers.
        seed: what the weights are made from; a checkpoint of the Hub counts as seed 0.
        dtype: of the parameters; weights are equal in all of them, since they are made in float32.
    """
    original = _loaded(name, seed, dtype)
    # A configuration is hundreds of plain values, and copying them deeply costs as much as training: one level is what a Trainer may
    # change.
    return copy.deepcopy(original, {id(original.config): copy.copy(original.config)})


@functools.cache
def is_cached(name: str) -> bool:
    """Whether the model's checkpoint is in the local cache of the Hub, after fetching it if the Hub can be reached. Looked up once a
    process.
    """
    hub_id = _architecture(name).hub_id
    if hub_id is None:
        return False
    if not _in_cache(hub_id) and _is_reachable():
        # whatever keeps it from coming, the model is then built from its configuration
        with contextlib.suppress(Exception):
            snapshot_download(hub_id, allow_patterns=list(_FILES), token=False, etag_timeout=_PATIENCE_SECONDS)
    return _in_cache(hub_id)


def _in_cache(hub_id: str) -> bool:
    return all(isinstance(try_to_load_from_cache(hub_id, file), str) for file in _FILES)


@functools.cache
def _is_reachable() -> bool:
    """Whether the Hub answers at once. A failed download would be tried again and again, for minutes."""
    if constants.HF_HUB_OFFLINE:
        return False
    address = urlsplit(constants.ENDPOINT)
    try:
        socket.create_connection((address.hostname or "", address.port or 443), timeout=_PATIENCE_SECONDS).close()
    except OSError:
        return False
    return True


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
    for key in _dropouts(config):
        setattr(config, key, 0.0)
    return config


def _dropouts(config: Any) -> list[str]:
    return [key for key, value in config.to_dict().items() if "drop" in key and isinstance(value, float) and value]


@dataclass(frozen=True)
class Recipe:
    """How somebody else makes the same model.

    Attributes:
        auto_class: the Auto class that makes it.
        config_class: the class of its configuration, `AutoConfig` where that comes from the Hub.
        settings: keyword arguments of the configuration.
        config_from: the checkpoint of the Hub that the configuration comes from; None: it is built.
        weights_from: the checkpoint that the weights come from; None: they are drawn.
    """

    auto_class: str
    config_class: str
    settings: dict[str, Any]
    config_from: str | None
    weights_from: str | None


def recipe(name: str, seed: int) -> Recipe:
    """How `build` makes a model, for the seed that is given to it."""
    architecture = _architecture(name)
    hub_id = architecture.hub_id if is_cached(name) else None
    if hub_id is None:
        settings = dict(architecture.settings)
        plain = getattr(transformers, architecture.config_class)(**settings)
    else:
        settings = {}
        plain = transformers.AutoConfig.from_pretrained(hub_id, **_LOCAL)
    settings.update(dict.fromkeys(_dropouts(plain), 0.0))
    config_class = architecture.config_class if hub_id is None else "AutoConfig"
    return Recipe(architecture.auto_class, config_class, settings, hub_id, hub_id if seed == 0 else None)


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
