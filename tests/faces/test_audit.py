"""`trainer-props audit`: what it prints, writes and returns, and what it says of faults that survive."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainer_props import cli
from trainer_props.auditing import Audit, Audited, Kill
from trainer_props.faults import FAULTS, Fault
from trainer_props.properties import PROPERTIES

Run = Callable[..., tuple[int, str, str]]
STEPS, EVENTS, RESUMED = "steps.global_step_counts_updates", "callbacks.events_are_those_of_the_plans", "resume.resumes_from_the_last_save"


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(["audit", *arguments, "--seed", "1", "--healthy-seconds", "0"])
        out, err = capfd.readouterr()
        return code, out, err

    return call


def test_a_fault_is_killed(run: Run, tmp_path: Path) -> None:
    code, out, err = run("--fault", "floor-for-ceil", "--json", str(tmp_path / "audit.json"), "--jobs", "1")
    assert (code, err) == (0, "")
    assert out.startswith("auditing 1 faults, seed 1\n")
    assert f"killed floor-for-ceil by {STEPS} after " in out
    assert "every fault is killed: 1 of 1 faults, 1 properties" in out
    data = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert (data["format"], data["seed"], data["green"], data["interrupted"]) == (1, 1, True, False)
    (fault,) = data["faults"]
    assert (fault["id"], fault["property"], fault["killed"], fault["errors"]) == ("floor-for-ceil", STEPS, True, [])
    assert 1 <= fault["kills"][STEPS] <= fault["runs"]
    assert fault["case"]["scenario"]["data"]["n"] >= 1
    assert data["properties"][STEPS]["kills"] == ["floor-for-ceil"]
    assert set(data["properties"]) == set(PROPERTIES)


def test_what_does_no_harm_survives(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def harmless() -> Any:
        import transformers

        return type("Harmless", (transformers.Trainer,), {})

    def broken() -> Any:
        raise RuntimeError("no such Trainer")

    monkeypatch.setitem(FAULTS, "harmless", Fault("harmless", "Does nothing.", STEPS, harmless))
    monkeypatch.setitem(FAULTS, "broken", Fault("broken", "Can't be made.", STEPS, broken))
    code, out, _ = run("--fault", "harmless", "--fault", "broken", "--seconds", "1")
    assert code == 1
    assert f"SURVIVES harmless {STEPS} in " in out
    assert f"SURVIVES broken {STEPS} in 0 runs: RuntimeError: no such Trainer" in out
    assert f"{STEPS} kills no fault" in out
    assert "the audit is not green: 0 of 2 faults" in out


def test_mistakes_are_one_line(run: Run) -> None:
    assert run("--fault", "flor-for-ceil")[0] == 2
    assert "did you mean 'floor-for-ceil'?" in run("--fault", "flor-for-ceil")[2]
    code, _, err = run("--fault", "floor-for-ceil", "--property", EVENTS)
    assert (code, err) == (2, "trainer-props: no fault of these was written for a property of these\n")


def test_what_properties_kill_and_miss() -> None:
    first = Audited("first", STEPS, (Kill(EVENTS, 3, 0.1), Kill(STEPS, 5, 0.2)), 30)
    second = Audited("second", STEPS, (Kill(STEPS, 1, 0.1),), 30)
    third = Audited("third", EVENTS, (), 30)
    fourth = Audited("fourth", RESUMED, (Kill(RESUMED, 2, 0.1),), 30)
    result = Audit(0, [first, second, third, fourth])
    assert result.killed_by(STEPS) == [first, second]
    assert result.only_by(STEPS) == [second]
    assert result.missed_by(EVENTS) == [second]  # the fourth shows in an experiment in which it does not judge, the third to nobody
    assert result.median_runs(STEPS) == 3
    assert result.median_runs("steps.no_such_property") is None
    assert result.survivors == [third]
    assert result.toothless == []
    assert not result.green
    assert Audit(0, [first, second, fourth]).green
    assert not Audit(0, [first], healthy=(STEPS,)).green
    assert not Audit(0, [first], interrupted=True).green
    assert Audit(0, [third]).toothless == [EVENTS]
