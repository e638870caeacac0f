"""`--arguments FILE`: what is held, what is left out, and one line for each mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from trainer_props import arguments_file
from trainer_props.arguments import DEFAULTS, DRAWN, FIELDS
from trainer_props.arguments_file import HeldArguments, InvalidArguments


def read(folder: Path, text: str | bytes | dict[str, Any]) -> HeldArguments:
    path = folder / "arguments.json"
    data = json.dumps(text) if isinstance(text, dict) else text
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return arguments_file.read(path)


def test_what_a_real_run_wrote(tmp_path: Path) -> None:
    said = {"learning_rate": 0.5, "gradient_accumulation_steps": 3, "eval_strategy": "epoch", "report_to": "none"}
    arguments = transformers.TrainingArguments(str(tmp_path / "out"), **said)
    held = read(tmp_path, arguments.to_json_string())
    assert held.left_out == ()
    assert held.arguments["learning_rate"] == 0.5
    assert held.arguments["gradient_accumulation_steps"] == 3
    assert held.arguments["eval_strategy"] == "epoch"
    assert set(held.arguments) <= {name for name, field in FIELDS.items() if field.status == DRAWN}
    assert not (tmp_path / "out").exists()


def test_names_of_older_versions_are_understood(tmp_path: Path) -> None:
    held = read(tmp_path, {"evaluation_strategy": "epoch", "warmup_ratio": 0.25, "group_by_length": False, "save_safetensors": True})
    assert held == HeldArguments({"eval_strategy": "epoch", "warmup_steps": 0.25}, ())


def test_what_can_not_be_held_is_left_out_with_a_reason(tmp_path: Path) -> None:
    held = read(tmp_path, {"bf16": True, "output_dir": "somewhere", "max_steps": 3, "fp16": False})
    assert held.arguments == {"max_steps": 3}
    ((name, why),) = held.left_out
    assert (name, why) == ("bf16", FIELDS["bf16"].why)


def test_nothing_is_touched_by_trying_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    read(tmp_path, {"max_steps": 3})
    assert [path.name for path in tmp_path.iterdir()] == ["arguments.json"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[1]", "a JSON object of TrainingArguments is wanted, not a list"),
        ("null", "a JSON object of TrainingArguments is wanted, not null"),
        ("", "not JSON: Expecting value: line 1 column 1"),
        ('{"max_steps": 3', "not JSON: "),
        (b"\xff\xfe\x00", "not JSON: "),
        ("[" * 100_000, "not JSON: "),
        ('{"max_steps": ' + "9" * 5000 + "}", "not JSON: "),
        ('{"learning_rate": NaN}', "NaN is not JSON"),
        ('{"learning_rate": -Infinity}', "-Infinity is not JSON"),
        ('{"learning_rate": 1e999}', "learning_rate=inf is not a finite number"),
        ('{"learning_rat": 1}', "TrainingArguments has no field 'learning_rat': did you mean 'learning_rate'?"),
        ('{"learning_rate": "0.1"}', "learning_rate='0.1' is a text, not a number"),
        ('{"max_steps": 2.5}', "max_steps=2.5 is a number, not a whole number"),
        ('{"max_steps": true}', "max_steps=True is true or false, not a whole number"),
        ('{"dataloader_drop_last": 1}', "dataloader_drop_last=1 is a whole number, not true or false"),
        ('{"per_device_train_batch_size": null}', "per_device_train_batch_size=None is null, not a whole number"),
        ('{"per_device_train_batch_size": 0}', "per_device_train_batch_size=0 is below 1"),
        ('{"label_names": ["a", 3]}', "label_names=['a', 3] is a list, not a list of texts or null"),
        ('{"eval_strategy": "step"}', "eval_strategy='step' is none of its values: did you mean 'steps'?"),
        ('{"lr_scheduler_type": {"a": 1}}', "lr_scheduler_type={'a': 1} is an object, not a text"),
        ('{"max_steps": 1000000000}', "max_steps=1000000000 is too much for a check, which makes thousands of runs: at most 2000"),
        ('{"max_steps": ' + "9" * 400 + "}", "99999... is too much for a check"),
        ('{"load_best_model_at_end": true, "eval_strategy": "steps", "save_strategy": "epoch"}', "TrainingArguments refuses it: "),
        ('{"warmup_ratio": "NaN"}', "warmup_ratio='NaN' is a text, not a number or null"),
        ('{"warmup_ratio": {"a": null}}', "warmup_ratio={'a': None} is an object, not a number or null"),
        ('{"group_by_length": 1}', "group_by_length=1 is a whole number, not true or false or null"),
        ('{"per_gpu_train_batch_size": 1000000000}', "per_device_train_batch_size=1000000000 is too much for a check"),
        ('{"evaluation_strategy": ["no"]}', "eval_strategy=['no'] is a list, not a text"),
        ('{"no_cuda": false, "half_precision_backend": "apex"}', "half_precision_backend='apex' has no equivalent"),
        (" " * 1_000_001, "larger than 1000000 bytes"),
    ],
)
def test_mistake_is_one_line(tmp_path: Path, text: str | bytes, line: str) -> None:
    with pytest.raises(InvalidArguments) as raised:
        read(tmp_path, text)
    message = str(raised.value)
    assert message.startswith(f"{tmp_path / 'arguments.json'}: ")
    assert line in message
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize("name", ["no_such_file.json", "."])
def test_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArguments, match=r"No such file or directory|Is a directory"):
        arguments_file.read(tmp_path / name)


def test_defaults_of_every_drawn_field_can_be_held(tmp_path: Path) -> None:
    drawn = {name: DEFAULTS[name] for name, field in FIELDS.items() if field.status == DRAWN}
    assert read(tmp_path, drawn).arguments == drawn
