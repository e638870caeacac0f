"""What others read of a run of pytest: JUnit files and the summary of a step of GitHub Actions, in one process and in several."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

THEIR_TESTS = """
import pytest
import trainer_props

def late(parts, output_dir):
    import transformers

    class Late(transformers.Trainer):
        def set_initial_training_values(self, *args):
            *values, max_steps = super().set_initial_training_values(*args)
            return (*values, max(1, max_steps - 1))

    return Late(**parts.trainer_kwargs(output_dir))

@trainer_props.parametrize("transformers:Trainer", experiments=["build_arguments"], max_examples=12, properties=["arguments.silent*"])
def test_known(case):
    case.check()

@trainer_props.parametrize(late, experiments=["train_once"], max_examples=4, properties=["steps.global_step*", "steps.state_knows*"])
def test_late(case):
    case.check()
"""
PLAIN_TEST = """
def test_plain():
    pass
"""


def run(folder: Path, *arguments: str) -> str:
    folder.mkdir()
    (folder / "test_theirs.py").write_text(THEIR_TESTS, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = ignore::DeprecationWarning\n", encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "CI", "GITHUB"))}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "--hypothesis-profile=ci", "--junit-xml=result.xml",
         *arguments],
        cwd=folder, capture_output=True, text=True, check=False, timeout=200,
        env={**kept, "OMP_NUM_THREADS": "1", "GITHUB_STEP_SUMMARY": str(folder / "summary.md")},
    )  # fmt: skip
    assert ended.returncode == 1, ended.stdout + ended.stderr
    return ended.stdout


def told(folder: Path) -> dict[str, Any]:
    """What a JUnit file says of each test: failures without places in the traceback, properties as data, the folder as a dot."""
    found = {}
    for case in ET.fromstring((folder / "result.xml").read_text(encoding="utf-8").replace(str(folder), ".")).iter("testcase"):  # noqa: S314
        properties = {each.get("name"): json.loads(each.get("value") or "") for each in case.iter("property")}
        failures = [(each.get("message"), re.sub(r'File ".*', "", each.text or "")) for each in case.iter("failure")]
        found[f"{case.get('classname')}::{case.get('name')}"] = {"properties": properties, "failures": failures}
    return found


@pytest.mark.timeout(400)
def test_junit_and_step_summary_agree_in_one_process_and_in_several(tmp_path: Path) -> None:
    run(tmp_path / "one", "-p", "no:xdist")
    run(tmp_path / "two", "--numprocesses=2")
    one = told(tmp_path / "one")
    assert one == told(tmp_path / "two")

    known = one["test_theirs::test_known[build_arguments]"]
    assert known["failures"] == []
    (entry,) = known["properties"]["trainer_props.known_bugs"]
    assert (entry["bug"], entry["experiment"]) == ("arguments-setter-defaults", "build_arguments")
    assert entry["seen"] > 0

    late = one["test_theirs::test_late[train_once]"]
    ((message, text),) = late["failures"]
    names = ["steps.global_step_counts_updates", "steps.state_knows_max_steps"]
    assert f"train_once on test_theirs:late, seed 0: {', '.join(names)}" in message
    for name in names:
        assert f"| trainer_props.checking.ViolationError: violated {name}\n" in text
        assert re.search(rf"\|   trainer-props replay {name}--\w+\n", text)
    assert text.count("| " + "  expected  2\n") == text.count("| " + "  observed  1\n") == 2
    (outcome,) = late["properties"]["trainer_props.outcome"]
    assert (outcome["subject"], outcome["experiment"], outcome["seed"]) == ("test_theirs:late", "train_once", 0)
    assert [each["property"] for each in outcome["violations"]] == names
    assert outcome["violations"][0]["case"]["scenario"]

    summaries = [(tmp_path / name / "summary.md").read_text(encoding="utf-8") for name in ("one", "two")]
    assert summaries[0] == summaries[1]
    lines = summaries[0].splitlines()
    assert lines[0] == "### trainer-props"
    assert lines[2].startswith("\N{CROSS MARK} **2 new violations** in `test_theirs:late`, `transformers:Trainer`: 2 checks, ")
    assert [line for line in lines if line.startswith("- ")] == [
        "- violated `steps.global_step_counts_updates`: global\\_step too small",
        "- violated `steps.state_knows_max_steps`: state.max\\_steps too small",
    ]
    assert sum("`trainer-props replay steps." in line for line in lines) == 2
    assert lines[-2] == f"known bugs seen: `arguments-setter-defaults` ({entry['seen']})"


def test_no_summary_for_tests_that_do_not_use_it(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text(PLAIN_TEST, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-q", "test_plain.py"]
    environment = {**kept, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert not (tmp_path / "summary.md").exists()
