"""The quickest way to a working Trainer."""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import Trainer, TrainerCallback

import trainer_props
from trainer_props import regression_trainer


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary directories of these tests are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, trainer_props, trainer_props.zoo; sys.exit(bool({'torch', 'transformers', 'accelerate'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names_that_the_package_lacks() -> None:
    with pytest.raises(AttributeError, match="no attribute 'regresion_trainer'"):
        trainer_props.regresion_trainer  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'build'"):
        trainer_props.zoo.build  # noqa: B018


def test_it_trains_towards_the_line(temporary: Path) -> None:
    trainer = regression_trainer(max_steps=60, learning_rate=0.3, disable_tqdm=True, logging_strategy="no", optim="adamw_torch")
    assert type(trainer) is Trainer
    assert [path.name.startswith("trainer-props-") for path in temporary.iterdir()] == [True]
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.state.global_step == 60
    assert trainer.evaluate()["eval_loss"] < before / 10
    del trainer
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_an_output_directory_of_ones_own_stays(tmp_path: Path, temporary: Path) -> None:
    trainer = regression_trainer(output_dir=str(tmp_path / "mine"), max_steps=1, save_steps=1, disable_tqdm=True)
    trainer.train()
    del trainer
    gc.collect()
    assert (tmp_path / "mine" / "checkpoint-1").is_dir()
    assert list(temporary.iterdir()) == []


def test_directories_go_with_the_interpreter(temporary: Path) -> None:
    code = f"""
import os, sys, tempfile
from trainer_props.zoo.temporary import make_directory, remove_with
tempfile.tempdir = {str(temporary)!r}
owner = (lambda: None)
path = make_directory()
remove_with(owner, path)
child = os.fork()
if child == 0:
    sys.exit()
os.waitpid(child, 0)
assert os.path.isdir(path), "a forked child removed it"
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("model", ["regression", "regression_pretrained", "regression_double"])
def test_lines_start_where_they_are_told(model: str) -> None:
    trainer = regression_trainer(model=model, a=1.5, b=-2.5)
    assert [parameter.item() for parameter in trainer.model.parameters()] == [1.5, -2.5]
    assert [parameter.item() for parameter in regression_trainer(model=model).model.parameters()] == [0, 0]
    if model == "regression_pretrained":
        assert (trainer.model.config.a, trainer.model.config.b) == (1.5, -2.5)


def test_lengths_and_arguments() -> None:
    trainer = regression_trainer(train_len=10, eval_len=3, per_device_train_batch_size=2, seed=7)
    assert (len(trainer.train_dataset), len(trainer.eval_dataset)) == (10, 3)
    assert (trainer.args.per_device_train_batch_size, trainer.args.seed, trainer.args.report_to) == (2, 7, [])


def test_keywords_of_the_constructor() -> None:
    callback = TrainerCallback()
    trainer = regression_trainer(callbacks=[callback], compute_metrics=lambda _: {"score": 1.0}, eval_dataset=None)
    assert callback in trainer.callback_handler.callbacks
    assert trainer.eval_dataset is None
    assert trainer.evaluate(trainer.train_dataset)["eval_score"] == 1.0


class Mine(Trainer):
    def __init__(self, *args: object, bonus: int = 0, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.bonus = bonus


def test_a_subclass_with_a_keyword_of_its_own() -> None:
    trainer = regression_trainer(trainer_class=Mine, bonus=4, callbacks=[])
    assert isinstance(trainer, Mine)
    assert trainer.bonus == 4


class Cube(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, input_x: torch.Tensor, labels: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
        y = self.c * input_x**3
        return (y,) if labels is None else ((y - labels).square().mean(), y)


def test_a_module_of_ones_own() -> None:
    trainer = regression_trainer(model=Cube(), max_steps=2, disable_tqdm=True, logging_strategy="no")
    assert trainer.train_dataset[0]["input_x"].dtype == torch.float64
    trainer.train()
    assert trainer.model.c.item() != 0


def test_other_models_by_name() -> None:
    trainer = regression_trainer(model="llama", max_steps=2, disable_tqdm=True, logging_strategy="no")
    trainer.train()
    assert trainer.state.global_step == 2


@pytest.mark.parametrize("model", ["llama", "regression_layers", Cube()])
def test_only_lines_have_a_start(model: str | nn.Module) -> None:
    with pytest.raises(ValueError, match=r"a and b say where (a|the) line"):
        regression_trainer(model=model, a=1.0)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("learning_rat", "learning_rate"), ("train_length", "train_len"), ("calbacks", "callbacks"), ("trainer_clas", "trainer_class")],
)
def test_unknown_keywords_are_answered_with_the_nearest(wrong: str, right: str, temporary: Path) -> None:
    with pytest.raises(TypeError, match=f"no keyword '{wrong}': did you mean '{right}'"):
        regression_trainer(**{wrong: 1})
    assert list(temporary.iterdir()) == []


def test_a_trainer_that_can_not_be_made_leaves_no_directory(temporary: Path) -> None:
    with pytest.raises(ValueError, match="bogus"):
        regression_trainer(lr_scheduler_type="bogus")
    assert list(temporary.iterdir()) == []
