"""Text of scripts: copies of our own code, imports, values, names."""

from __future__ import annotations

import functools
import inspect
import math
import sys
import types
from typing import Any, Final

import pytest
import torch
import transformers

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.scenario import Data, Scenario
from trainer_props.scripts import layout
from trainer_props.scripts.building import source_of
from trainer_props.scripts.copying import Copy, copied, merged
from trainer_props.scripts.naming import name_of
from trainer_props.zoo import containers, kinds, models, rows
from trainer_props.zoo.content import Content

LIMIT: Final = 3
TWICE: Final = 2 * LIMIT


class Base(torch.nn.Module):
    """Of a family."""

    kind: str = "base"
    unset: int

    def __init__(self, start: float = 0.5) -> None:
        super().__init__()
        self.values: list[float] = [start]

    def scaled(self, by: int) -> list[float]:
        """Values."""
        return [by * each for each in self.values]

    def left_out(self) -> None:
        inspect.signature(self.scaled)


class Derived(Base):
    """Of a family."""

    kind = 'it\'s "derived"'

    def scaled(self, by: int, *args: Any, power: int = TWICE, **kwargs: Any) -> list[float]:
        return [math.pow(by * each, power) for each in self.values]

    def nothing(self) -> None:
        """Says nothing."""


class Calling(Base):
    def scaled(self, by: int) -> list[float]:
        return super().scaled(by)


@functools.cache
def outer(number: int) -> int:
    """Uses another."""

    def inner(other: int) -> int:
        """Inside."""
        return other + LIMIT

    return inner(number) if number else recursive(number)


def recursive(number: int) -> int:
    return recursive(number - 1) if number else len("zero")


class Outer:
    class Inner:
        pass


def uses_a_module_of_ours() -> Any:
    return layout.WIDTH


def test_a_class_takes_in_its_bases_and_what_it_uses() -> None:
    copy = copied(Derived, without={"left_out"})
    assert copy.imports == ("import math", "import torch")
    assert copy.definitions == """\
LIMIT = 3
TWICE = 2 * LIMIT


class Derived(torch.nn.Module):
    kind = 'it\\'s "derived"'

    def __init__(self, start=0.5):
        super().__init__()
        self.values = [start]

    def scaled(self, by, *args, power=TWICE, **kwargs):
        return [math.pow(by * each, power) for each in self.values]

    def nothing(self):
        pass"""


def test_functions_bring_what_they_use_once() -> None:
    copy = copied(outer, recursive, outer)
    assert copy.imports == ("import functools",)
    assert copy.definitions == """\
LIMIT = 3


def recursive(number):
    return recursive(number - 1) if number else len("zero")


@functools.cache
def outer(number):

    def inner(other):
        return other + LIMIT
    return inner(number) if number else recursive(number)"""


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Calling, "Calling.scaled calls a method of Base by super()"),
        (uses_a_module_of_ours, "uses layout, which is a module of ours or has another name here"),
        (Outer.Inner, "Inner does not stand at the top"),
    ],
)
def test_what_can_not_be_copied(target: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", r"\(").replace(")", r"\)")):
        copied(target, without={"nothing"})


OWN = [name for name, kind in kinds.MODELS.items() if kind.architecture is None]


@pytest.mark.parametrize("name", OWN)
def test_models_stand_alone(name: str) -> None:
    module, config = models.classes(name)
    copy = copied(*([] if config is None else [config]), module)
    assert ("\n" + copy.definitions).count("\nclass ") == 1 + (config is not None)
    runs_alone(copy)


@pytest.mark.parametrize("target", [containers.MapDataset, containers.Stream, containers.SizedStream, rows.padded, Content])
def test_data_stand_alone(target: Any) -> None:
    runs_alone(copied(target, without={"rows"}))


def runs_alone(copy: Copy) -> None:
    assert not any("trainer_props" in line for line in copy.imports)
    module = types.ModuleType("alone")
    sys.modules["alone"] = module
    try:
        exec("\n".join([*copy.imports, copy.definitions]), module.__dict__)  # noqa: S102  what scripts do
    finally:
        del sys.modules["alone"]


def test_a_whole_source() -> None:
    plain = Case(scenario=Scenario(arguments={"max_steps": 3, "optim_args": 'a="b"'}, data=Data(n=2)))
    source = source_of(plain, subjects.load(subjects.DEFAULT), identify=False)
    assert "\n".join([*source.imports, "", source.definitions, "", source.build]) == """\
import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import StackDataset
from transformers import Trainer, TrainingArguments

torch.set_num_threads(1)


class RegressionModel(nn.Module):
    main_input_name = "input_x"

    def __init__(self, a=0.5, b=-0.25):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))
        self.b = nn.Parameter(torch.tensor(b))

    def forward(self, input_x, labels=None):
        y = self.a * input_x + self.b
        return (y,) if labels is None else (mse_loss(y, labels), y)


train_x = torch.tensor([0.5484886169433594, 1.7850799560546875], dtype=torch.float64)
train_dataset = StackDataset(input_x=train_x, labels=2 * train_x + 3)

model = RegressionModel().double()
args = TrainingArguments(
    output_dir=output_dir,
    max_steps=3,
    optim_args='a="b"',
    save_strategy="no", disable_tqdm=True, log_level="error", use_cpu=True, dataloader_pin_memory=False,
)
trainer = Trainer(model=model, args=args, train_dataset=train_dataset)"""


def test_imports_are_merged() -> None:
    remarked = "from here import x  # a remark"
    lines = ["from b import y, X", remarked, "import math, torch", "from b import AN, y as z", "import a.c as d", remarked, "no code"]
    assert merged(lines) == ("import math", "import a.c as d", "import torch", "from b import AN, X, y, y as z", remarked, "no code")
    assert merged(merged(lines)) == merged(lines)


@pytest.mark.parametrize(
    "value",
    [
        "plain", "it's", 'a="b"', "both ' and \"", "back\\slash", "new\nline", "\N{SNOWMAN}\U0001f600", "\u2028", "", 0, -0.0, 1e-30, True,
        None, [1, 2.0, None], (), (1,), {}, {"a": {"b": [True]}}, -math.inf, [math.inf],
    ],
)  # fmt: skip
def test_values_mean_what_they_say(value: Any) -> None:
    text = layout.value(value)
    assert repr(eval(text)) == repr(value)  # noqa: S307  what scripts do
    assert len(text.splitlines()) == 1


def test_values_look_as_people_write_them() -> None:
    assert layout.value({"a": ["b", math.nan]}) == '{"a": ["b", float("nan")]}'


def test_calls_break_where_they_are_too_long() -> None:
    assert layout.call("f", []) == "f()"
    assert layout.call("f", ["1", "a=2"]) == "f(1, a=2)"
    assert layout.call("f", ["1", "a=2"], width=8) == "f(\n    1,\n    a=2,\n)"
    assert layout.call("f", ["[\n    1,\n]"]) == "f(\n    [\n        1,\n    ],\n)"
    assert layout.sequence([]) == "[]"
    assert layout.sequence(range(3)) == "[0, 1, 2]"
    assert layout.sequence(range(8, 13), width=10) == "[\n    8, 9, 10,\n    11, 12,\n]"
    assert eval(layout.sequence(range(500))) == list(range(500))  # noqa: S307
    assert max(map(len, layout.sequence(range(500)).splitlines())) <= layout.WIDTH + len(layout.INDENT)


@pytest.mark.parametrize(
    ("text", "line", "expression", "is_class"),
    [
        ("its:f.<locals>.make", "from its import make  # it stands inside f(): move it to where it can be imported from", "make", False),
        ("a:f.<locals>.g.<locals>.A.B", "from a import A  # it stands inside f.g(): move it to where it can be imported from", "A.B", True),
        ("__main__:Mine", "from __main__ import Mine  # name the module that it stands in", "Mine", True),
        ("make", "from your_module import make  # name the module that it stands in", "make", False),
    ],
)
def test_names_that_no_script_can_import(text: str, line: str, expression: str, is_class: bool) -> None:
    name = name_of(text)
    assert (name.line, name.expression, name.is_class, name.is_stock) == (line, expression, is_class, False)


def test_names() -> None:
    stock = name_of("transformers:Trainer")
    assert (stock.line, stock.expression, stock.is_class, stock.is_stock) == ("from transformers import Trainer", "Trainer", True, True)
    assert name_of(f"{transformers.Trainer.__module__}:Trainer") == stock
    assert name_of("functools:partial").is_class
    assert not name_of("functools:reduce").is_class
    assert not name_of("functools:reduce").is_stock
    assert name_of("no_such_module:Trainer.Inner").line == "from no_such_module import Trainer"
    assert name_of("no_such_module:Trainer.inner").is_class is False
