"""Scripts of runs that make their model: for a class, and for a factory, whatever parameters the case still has."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import transformers

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.scripts.building import source_of


def by_parts(parts: Any, output_dir: str) -> transformers.Trainer:
    return transformers.Trainer(**parts.trainer_kwargs(output_dir))


@pytest.mark.parametrize("name", [subjects.DEFAULT, "their_package:by_parts"])
@pytest.mark.parametrize("parameters", [{"trains": 2}, {"model_init": "trial"}])
def test_a_model_is_made_or_given(name: str, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = types.ModuleType("their_package")
    package.__dict__["by_parts"] = by_parts
    monkeypatch.setitem(sys.modules, "their_package", package)
    source = source_of(Case(experiment="model_init", parameters=parameters), subjects.load(name), identify=False)
    built: dict[bool, Any] = {}
    for by_init in (False, True):
        space: dict[str, Any] = {"output_dir": str(tmp_path / "output"), "by_init": by_init}
        exec("\n".join([*source.imports, source.definitions, source.build]), space)  # noqa: S102  what scripts do
        built[by_init] = space["trainer"]
    assert built[False].model_init is None
    assert built[True].model_init is not None
    weights = [[each.tolist() for each in built[by_init].model.parameters()] for by_init in (False, True)]
    assert weights[0] == weights[1]
