"""What a checkpoint holds: its state, and its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def read_state(folder: Path) -> dict[str, Any] | None:
    """The state of the Trainer that was saved, or None if there is none that can be read."""
    try:
        with (folder / "trainer_state.json").open(encoding="utf-8") as file:
            state = json.load(file)
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def read_weights(folder: Path, parameters: Mapping[str, torch.nn.Parameter]) -> torch.Tensor | None:
    """The weights that were saved, flat, in the order of the parameters of the model; None if one of them is missing.

    Args:
        parameters: by name. Of those that share their values one at least has to be there.
    """
    safe, plain = folder / "model.safetensors", folder / "pytorch_model.bin"
    if safe.is_file():
        from safetensors.torch import load_file

        weights = load_file(str(safe))
    elif plain.is_file():
        weights = torch.load(plain, map_location="cpu", weights_only=True)
    else:
        return None
    shared = {parameter.data_ptr(): weights[name] for name, parameter in parameters.items() if name in weights}
    parts = [weights.get(name, shared.get(parameter.data_ptr())) for name, parameter in parameters.items()]
    if any(part is None for part in parts):
        return None
    return torch.cat([part.reshape(-1) for part in parts if part is not None])
