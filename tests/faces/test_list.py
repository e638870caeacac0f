"""`trainer-props list`: what it prints is what the registries hold."""

from __future__ import annotations

import json

import pytest

from trainer_props import cli, compat, listings, zoo
from trainer_props.arguments import FIELDS
from trainer_props.experiments import EXPERIMENTS
from trainer_props.faults import FAULTS
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.properties import PROPERTIES
from trainer_props.strategies.optimization import ADAPTIVE_SCHEDULES, OPTIMIZERS, SCHEDULES

HELD = {
    "properties": set(PROPERTIES), "experiments": set(EXPERIMENTS), "models": set(zoo.MODELS), "datasets": set(zoo.DATASETS),
    "arguments": set(FIELDS) | set(compat.unknown_fields()), "optimizers": set(OPTIMIZERS), "schedulers": {*SCHEDULES, *ADAPTIVE_SCHEDULES},
    "faults": set(FAULTS), "known-bugs": set(KNOWN_BUGS),
}  # fmt: skip


def test_every_listing_is_looked_at() -> None:
    assert set(HELD) == set(listings.LISTINGS)


@pytest.mark.parametrize("what", sorted(HELD))
def test_json_holds_the_whole_registry(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list", what, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    names = [next(iter(row.values())) for row in rows]
    assert len(names) == len(set(names))
    assert set(names) == HELD[what]
    assert all(text or column in {"why", "covers", "experiments", "default"} for row in rows for column, text in row.items())


@pytest.mark.parametrize("what", sorted(HELD))
def test_table_names_everything(what: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert cli.run(["list", what]) == 0
    out = capsys.readouterr().out
    assert not [name for name in HELD[what] if name not in out]


def test_a_field_of_a_new_version_is_listed_as_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "unknown_fields", lambda: ["tomorrow"])
    (row,) = [row for row in listings.arguments().rows if row[0] == "tomorrow"]
    assert row[2] == "unknown"


def test_every_argument_says_why_it_is_not_drawn() -> None:
    assert not [row for row in listings.arguments().rows if row[2] != "drawn" and not row[3]]


def test_tables_stay_readable_in_a_narrow_window(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    cli.run(["list", "models"])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 60
    assert "…" not in out
