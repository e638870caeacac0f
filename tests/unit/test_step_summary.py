"""The summary of a step of GitHub Actions."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from trainer_props.reports import step_summary
from trainer_props.reports.step_summary import Failure

SAMPLE = json.loads((Path(__file__).parents[1] / "samples" / "result.json").read_text(encoding="utf-8"))


def test_violations() -> None:
    data = copy.deepcopy(SAMPLE)
    data["violations"][1]["accepted"] = True
    assert step_summary.of_result(data) == (
        "### trainer-props\n"
        "\n"
        "\N{CROSS MARK} **2 new violations** in `my_pkg.train:make_trainer`: 1234 runs, 45678 evaluations, seed 7\n"
        "\n"
        "- violated `steps.updates_close_windows`: micro-batches before each update too small, first at update 2\n"
        "  - smallest case: `train_once; gradient_accumulation_steps=2, learning_rate=0.5, max_steps=3; data.n=5`\n"
        "  - `trainer-props replay steps.updates_close_windows--fe2ede75`\n"
        "\n"
        "- crashed `steps.run_finishes`: the run ZeroDivisionError\n"
        "  - smallest case: `train_once; data.n=1`\n"
        "  - `trainer-props replay steps.run_finishes--07f050e8`\n"
        "\n"
        "known bugs seen: `loss-is-late` (12)\n"
    )


def test_nothing_new() -> None:
    data = {**SAMPLE, "violations": [], "known_bugs": [], "interrupted": True}
    assert step_summary.of_result(data) == (
        "### trainer-props\n"
        "\n"
        "\N{WHITE HEAVY CHECK MARK} **nothing new** in `my_pkg.train:make_trainer`: 1234 runs, 45678 evaluations, seed 7, **interrupted**\n"
    )


def test_a_campaign() -> None:
    campaign = {"rounds": 3, "seconds": 9000.0, "runs": 70, "evaluations": 900, "violations": 0, "still_there": [], "masked": []}
    known = [{"id": "loss-is-late", "seen": 12, "fixed": False}, {"id": "gone", "seen": 0, "fixed": True}]
    text = step_summary.of_result({**SAMPLE, "violations": [], "known_bugs": known, "campaign": campaign})
    assert text.endswith(
        "\nknown bugs seen: `loss-is-late` (12)\n"
        "\n**fixed upstream**: `gone`\n"
        "\nthe campaign so far: 70 runs, 900 evaluations in 2.5 hours\n"
    )


def test_violations_that_earlier_starts_had_found_are_named() -> None:
    there = [{"property": "steps.global_step_counts_updates", "since": "2026-11-28T01:17:00+00:00"}]
    campaign = {"rounds": 3, "seconds": 9000.0, "runs": 70, "evaluations": 900, "violations": 1, "still_there": there, "masked": []}
    text = step_summary.of_result({**SAMPLE, "campaign": campaign})
    assert text.endswith("\nfound by earlier starts, and still there: `steps.global_step_counts_updates` (since 2026-11-28)\n")
    assert f" **{len(SAMPLE['violations']) - 1} new violations, 1 still there** in " in text
    text = step_summary.of_result({**SAMPLE, "violations": SAMPLE["violations"][:1], "campaign": campaign})
    assert "\n\N{CROSS MARK} **nothing new, 1 violation still there** in " in text


def test_earlier_failures_that_could_not_be_judged_are_told() -> None:
    lost = [{"id": "steps.a--1", "file": "a", "status": "CANNOT RUN", "reason": "no_such_model"}]
    examples = [{"id": "steps.b--2", "file": "b", "status": "FIXED", "reason": ""}, *lost, *lost]
    text = step_summary.of_result({**SAMPLE, "violations": [], "examples": examples})
    assert "\nearlier failures that could not be judged: 2, first `steps.a--1`: no\\_such\\_model\n" in text


def test_trouble_is_told() -> None:
    text = step_summary.of_trouble("state.json: not JSON_x")
    assert text == "### trainer-props\n\n\N{CROSS MARK} **nothing was done**: state.json: not JSON\\_x\n"


def test_errors_of_the_check_are_told() -> None:
    assert "\nerror of the check itself: KeyError: 'x'\n" in step_summary.of_result({**SAMPLE, "errors": ["KeyError: 'x'"]})


def test_what_could_not_be_done_is_no_success() -> None:
    data = {**SAMPLE, "violations": [], "known_bugs": [], "errors": ["no space"]}
    assert "\n\N{CROSS MARK} **nothing new, but not all could be done** in " in step_summary.of_result(data)
    assert "\n\N{CROSS MARK} **could not be checked** in " in step_summary.of_result({**data, "evaluations": 0})


def test_replay() -> None:
    failing = ("FAILING", "my examples/b.json", "global_step too small")
    outcomes = [("FIXED", "a--1", ""), failing, ("CANNOT RUN", "c.json", "format 2 is unknown")]
    assert step_summary.of_replay(outcomes) == (
        "### trainer-props\n"
        "\n"
        "\N{CROSS MARK} **replay: 1 CANNOT RUN, 1 FAILING, 1 FIXED**\n"
        "\n"
        "- FAILING `my examples/b.json`: global\\_step too small\n"
        "  - `trainer-props replay 'my examples/b.json'`\n"
        "- CANNOT RUN `c.json`: format 2 is unknown\n"
    )
    assert step_summary.of_replay([("KNOWN", "a--1", "late")]).endswith("**replay: 1 KNOWN**\n")
    assert step_summary.of_replay([]).endswith("**replay: nothing to replay**\n")


def test_many_violations_are_cut() -> None:
    text = step_summary.summary("verdict", [Failure(f"p{number}", "a.b", "violated", "what") for number in range(25)], {})
    assert text.count("trainer-props replay") == 20
    assert "\nand 5 more\n" in text


@pytest.mark.parametrize(
    ("what", "shown"),
    [
        ("<script>*b* `c`\n[d](e) | & f", "&lt;script&gt;\\*b\\* \\`c\\` \\[d\\](e) \\| &amp; f"), ("x" * 400, "x" * 300 + " ..."),
    ],
)  # fmt: skip
def test_texts_are_shown_as_they_are(what: str, shown: str) -> None:
    assert f": {shown}\n" in step_summary.summary("", [Failure("id", "a.b", "violated", what)], {})


@pytest.mark.parametrize(("name", "shown"), [("a`b", "``a`b``"), ("`a", "`` `a ``"), ("a\n```b", "````a ```b````")])
def test_code_with_backticks(name: str, shown: str) -> None:
    assert f"- violated {shown}: what\n" in step_summary.summary("", [Failure("id", name, "violated", "what")], {})


def test_appends_where_there_is_a_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n", encoding="utf-8")
    monkeypatch.setenv(step_summary.VARIABLE, str(path))
    assert step_summary.wanted()
    assert step_summary.append("one \ud800\n") == ""
    assert path.read_text(encoding="utf-8") == "before\none \\ud800\n\n"


@pytest.mark.parametrize("value", [None, ""])
def test_does_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch, value: Any) -> None:
    monkeypatch.delenv(step_summary.VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(step_summary.VARIABLE, value)
    assert not step_summary.wanted()
    assert step_summary.append("text") == ""


def test_what_can_not_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(step_summary.VARIABLE, str(tmp_path / "none" / "summary.md"))
    assert step_summary.append("text") == f"GITHUB_STEP_SUMMARY {tmp_path / 'none' / 'summary.md'}: No such file or directory"
