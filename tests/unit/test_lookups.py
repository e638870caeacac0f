"""What runs look up again and again is answered from memory, and afterwards everything is as before."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from accelerate.state import GradientState
from transformers import trainer
from transformers.utils import logging

from trainer_props import compat
from trainer_props.running import output
from trainer_props.running.lookups import memoised_lookups

PATCHED = ((importlib.util, "find_spec"), (trainer, "is_sagemaker_mp_enabled"), (logging, "set_verbosity"), (torch.cuda, "traceback"))


def test_look_ups_are_put_back() -> None:
    before = [getattr(owner, name) for owner, name in PATCHED]
    with memoised_lookups():
        during = [getattr(owner, name) for owner, name in PATCHED]
        assert importlib.util.find_spec("json") is importlib.util.find_spec("json")
        assert trainer.is_sagemaker_mp_enabled() is False
    assert [getattr(owner, name) for owner, name in PATCHED] == before
    assert [new is old for new, old in zip(during, before, strict=True)] == [False, False, False, torch.cuda.is_available()]


def test_another_verbosity_is_set_all_the_same() -> None:
    before = logging.get_verbosity()
    with memoised_lookups():
        try:
            logging.set_verbosity(logging.INFO)
            assert logging.get_verbosity() == logging.INFO
        finally:
            logging.set_verbosity(before)
    assert logging.get_verbosity() == before


def test_somebody_who_has_sagemaker_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SM_HP_MP_PARAMETERS", "{}")
    original = trainer.is_sagemaker_mp_enabled
    with memoised_lookups():
        assert trainer.is_sagemaker_mp_enabled is original


def test_who_keeps_one_by_a_name_of_their_own_asks_as_usual_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    with memoised_lookups():
        find_spec = importlib.util.find_spec
        assert find_spec("json.decoder") is find_spec("json.decoder")
    monkeypatch.setitem(sys.modules, "json.decoder", ModuleType("json.decoder"))
    with pytest.raises(ValueError, match="__spec__"):
        find_spec("json.decoder")


class Loader:
    """Something a weak reference can be made of."""


def test_loaders_that_are_gone_are_forgotten_and_others_stay() -> None:
    state = GradientState()
    before, kept, lost = state.dataloader_references, Loader(), Loader()
    try:
        state.dataloader_references = [None, lost, kept]
        del lost
        gc.collect()
        assert state.dataloader_references == [None, None, kept]
        compat.forget_loaders()
        assert state.dataloader_references == [None, kept]
        assert state.active_dataloader is kept
    finally:
        state.dataloader_references = before


class TestHome:
    """Where output directories are made."""

    @pytest.fixture(autouse=True)
    def usual(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A process to which nobody has named a place for temporary files."""
        monkeypatch.delenv("TMPDIR", raising=False)
        monkeypatch.setattr("tempfile.tempdir", "/tmp")  # noqa: S108

    def test_in_memory_where_there_is_room(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(output, "_MEMORY", tmp_path)
        monkeypatch.setattr(output, "_ROOM", 1)
        assert output.home() == str(tmp_path)

    def test_not_where_there_is_little_room(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(output, "_MEMORY", tmp_path)
        found = os.statvfs(tmp_path)
        monkeypatch.setattr(output, "_ROOM", 2 * found.f_blocks * found.f_frsize)
        assert output.home() == "/tmp"  # noqa: S108

    def test_not_where_the_system_has_no_such_place(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(output, "_MEMORY", tmp_path / "missing")
        assert output.home() == "/tmp"  # noqa: S108

    def test_where_somebody_says(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(output, "_MEMORY", tmp_path)
        monkeypatch.setattr(output, "_ROOM", 1)
        monkeypatch.setenv("TMPDIR", "/tmp")  # noqa: S108
        assert output.home() == "/tmp"  # noqa: S108
        monkeypatch.delenv("TMPDIR")
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "other"))
        assert output.home() == str(tmp_path / "other")

    def test_not_for_models_of_any_size(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(output, "_MEMORY", tmp_path / "memory")
        monkeypatch.setattr(output, "_ROOM", 1)
        monkeypatch.setattr(output, "_USUAL", str(tmp_path / "disk"))
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "disk"))
        for name in ("memory", "disk"):
            (tmp_path / name).mkdir()
        monkeypatch.setattr(output, "_root", None)
        with output.output_directory() as small:
            assert Path(small).is_relative_to(tmp_path / "memory")
        with output.on_disk(), output.output_directory() as large:
            assert Path(large).is_relative_to(tmp_path / "disk")
        assert list((tmp_path / "disk").iterdir()) == []
        with output.output_directory() as small:
            assert Path(small).is_relative_to(tmp_path / "memory")
