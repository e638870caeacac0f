"""The table of TrainingArguments against the installed version, and what `trainer-props list arguments` makes of it."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest

from trainer_props import compat, listings
from trainer_props.arguments import DEFAULTS, DRAWN, FIELDS, FIXED, OUT_OF_SCOPE, QUIET, default
from trainer_props.cli import OK, run

newest = pytest.mark.skipif(not version("transformers").startswith("5.23."), reason="the table says what transformers 5.23 does")


@newest
def test_defaults_are_those_of_the_installed_version() -> None:
    assert {name: parameter.default for name, parameter in compat.installed_signature().items()} == DEFAULTS


@newest
def test_a_field_of_another_default_would_be_noticed() -> None:
    changed = {**DEFAULTS, "warmup_steps": 1}
    assert {name: parameter.default for name, parameter in compat.installed_signature().items()} != changed


def test_every_field_is_listed_with_its_status() -> None:
    rows = {row[0]: row for row in listings.arguments().rows}
    assert set(rows) >= set(compat.installed_signature()) & set(DEFAULTS)
    assert {status for _, _, status, _ in rows.values()} <= {DRAWN, FIXED, OUT_OF_SCOPE, "unknown"}
    assert all(why for _, _, status, why in rows.values() if status != DRAWN)


def test_a_field_of_a_new_version_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    signature = {**compat.installed_signature(), "brand_new": compat.Parameter(None)}
    monkeypatch.setattr(compat, "installed_signature", lambda: signature)
    assert compat.unknown_fields() == ["brand_new"]
    assert ("brand_new", "unknown") in {(name, status) for name, _, status, _ in listings.arguments().rows}


def test_list_arguments_prints_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "arguments", "--json"]) == OK
    printed = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in printed][: len(FIELDS)] == list(FIELDS)


def test_what_a_silent_scenario_gets_is_fixed_for_a_reason() -> None:
    assert {name: default(name) for name in QUIET} == QUIET
    assert all(FIELDS[name].why for name in QUIET)
    assert all(default(name) == DEFAULTS[name] for name in DEFAULTS if name not in QUIET)


def test_an_unknown_field_is_refused_with_the_nearest() -> None:
    with pytest.raises(KeyError, match="learning_rate"):
        default("learning_rat")
