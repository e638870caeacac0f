"""What runs need of their process: a heap that is frozen, and does not keep what nobody refers to any more."""

from __future__ import annotations

import gc
import weakref

import pytest

from trainer_props.running import prepared, process


class Ring:
    """Refers to itself, as trainers do: only a collection frees it."""

    def __init__(self) -> None:
        self.itself = self


def test_what_was_frozen_is_freed_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_RUNS_BETWEEN_THAWS", 5)
    with prepared():
        monkeypatch.setattr(process, "_runs_since_thaw", 0)
        monkeypatch.setattr(process, "_frozen_modules", -1)  # as if one were imported
        ring = Ring()
        alive = weakref.ref(ring)
        process.freeze_again()
        del ring
        gc.collect()
        assert alive() is not None
        for _ in range(3):
            process.freeze_again()
        assert alive() is not None
        process.freeze_again()
        assert alive() is None
