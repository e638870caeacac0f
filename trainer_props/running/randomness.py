"""The global generators of random numbers, which a run may use and must leave as they were."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator


@contextlib.contextmanager
def kept_generators() -> Iterator[None]:
    """Afterwards the global generators of Python, NumPy and torch's processor are where they were."""
    import numpy as np
    import torch

    python, arrays, tensors = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)
        torch.set_rng_state(tensors)
