"""Holds the chapters: each experiment is run on the real Trainer by exactly one file under tests/trainer, the one that it names."""

from __future__ import annotations

import ast
from pathlib import Path

from trainer_props.experiments import EXPERIMENTS

FOLDER = Path(__file__).resolve().parents[1] / "trainer"


def named(path: Path) -> list[str]:
    """The experiments that a file lists."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [target.id for target in node.targets if isinstance(target, ast.Name)] == ["EXPERIMENTS"]:
            return list(ast.literal_eval(node.value))
    return []


def test_each_experiment_lives_in_the_file_of_its_chapter() -> None:
    found = sorted((name, path.stem) for path in FOLDER.glob("test_*.py") for name in named(path))
    assert found == sorted((name, experiment.chapter) for name, experiment in EXPERIMENTS.items())
