"""A memory that is too small: training batches above a capacity end in the error that a device without memory raises."""

from __future__ import annotations

from typing import Any, Final

import torch
from transformers import Trainer, TrainerCallback

from trainer_props.running import parameters

ERRORS: Final[dict[str, str]] = {
    "cuda": "CUDA out of memory. Tried to allocate 2.00 GiB.",
    "cpu": "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 2147483648 bytes.",
    "other": "CUDA error: device-side assert triggered",
}
"""What devices say: two that lack memory, and one whose trouble is another."""


class Memory(TrainerCallback):
    """Raises an error for training batches above a capacity.

    Args:
        trainer: whose model is watched; it also has to be given this callback.
        results: where it writes what each attempt to train begins with (`begun_weights` and `begun_states`, what the optimizer keeps), how
            many there were (`attempts`), what the state says of the last one's `batch_size`, the errors raised (`raised`), and the
            `capacity`.
        capacity: rows of the largest batch that fits.
        after: batches of each attempt that fit, whatever their size.
        error: a name of ERRORS.
    """

    def __init__(self, trainer: Trainer, results: dict[str, Any], capacity: int, after: int = 0, error: str = "cuda") -> None:
        self._trainer, self._results, self._capacity, self._after, self._error = trainer, results, capacity, after, error
        self._seen = 0
        results |= {"attempts": 0, "begun_weights": [], "begun_states": [], "raised": [], "capacity": capacity}
        assert trainer.model is not None
        trainer.model.register_forward_pre_hook(self._before_forward, with_kwargs=True)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """An attempt begins."""
        self._seen = 0
        assert self._trainer.model is not None
        self._results["attempts"] += 1
        self._results["batch_size"] = state.train_batch_size
        self._results["begun_weights"].append(parameters.values(self._trainer.model))
        self._results["begun_states"].append(parameters.states(self._trainer))

    def _before_forward(self, module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        if not module.training:
            return
        self._seen += 1
        rows = next(len(each) for each in kwargs.values() if isinstance(each, torch.Tensor) and each.dim() > 0)
        if self._seen > self._after and rows > self._capacity:
            self._results["raised"].append(ERRORS[self._error])
            raise RuntimeError(ERRORS[self._error])
