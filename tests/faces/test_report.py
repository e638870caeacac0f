"""`trainer-props report`, `check --html`, and the summary of a step of GitHub Actions by the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer_props import cli
from trainer_props.reports import html, reading

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "samples" / "result.json"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command in an empty folder of this process: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(arguments)
        out, err = capfd.readouterr()
        return code, out, err

    return call


def test_report_stands_beside_the_result(run: Run, tmp_path: Path) -> None:
    shutil.copy(SAMPLE, tmp_path / "result.json")
    assert run("report", "result.json") == (0, "page written to result.html\n", "")
    assert (tmp_path / "result.html").read_text(encoding="utf-8") == html.html(json.loads(SAMPLE.read_text(encoding="utf-8")))
    assert run("report", "result.json", "--output", "other.html")[:2] == (0, "page written to other.html\n")
    assert (tmp_path / "other.html").read_bytes() == (tmp_path / "result.html").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.json",), "report none.json: No such file or directory"),
        (("broken.json",), "report broken.json: not JSON: "),
        (("later.json",), "report later.json: format 7 is unknown: this version reads format 1"),
        (("result.json", "--output", "result.json"), "--output result.json: that is the result itself"),
        (("result.json", "--output", "./x/../result.json"), "--output x/../result.json: the folder x/.. does not exist"),
        (("result.json", "--output", "folder"), "--output folder: it is a folder"),
        (("result.json", "--output", "none/page.html"), "--output none/page.html: the folder none does not exist"),
        (("page.html",), "--output page.html: that is the result itself"),
        ((), "Missing argument 'FILE'"),
    ],
)
def test_what_can_not_be_done_is_one_line(run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    shutil.copy(SAMPLE, tmp_path / "result.json")
    shutil.copy(SAMPLE, tmp_path / "page.html")
    (tmp_path / "broken.json").write_text('{"format"', encoding="utf-8")
    (tmp_path / "later.json").write_text('{"format": 7, "violations": []}', encoding="utf-8")
    (tmp_path / "folder").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    code, out, err = run("report", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"trainer-props: {message}")
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_missing_extra_is_said_before_the_work(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise html.MissingExtraError("HTML needs matplotlib: pip install 'trainer-props[html]'")

    monkeypatch.setattr(html, "require", missing)
    said = "trainer-props: HTML needs matplotlib: pip install 'trainer-props[html]'\n"
    assert run("check", "no_such:subject", "--html", "page.html") == (2, "", said)
    assert run("report", str(SAMPLE), "--output", "page.html") == (2, "", said)


def test_check_writes_the_page_of_its_result(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    where = ("--experiment", "train_once", "--property", "steps.global_step*", "--max-examples", "3", "--seed", "1")
    code, out, err = run("check", "subjects:Late", *where, "--json", "result.json", "--html", "page.html")
    assert (code, err) == (1, "")
    assert "page written to page.html\n" in out
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    result = reading.read(tmp_path / "result.json")
    assert page == html.html(result)
    assert result.repeat == (
        "trainer-props check subjects:Late --max-examples 3 --seed 1 --experiment train_once --property 'steps.global_step*'"
    )
    (violation,) = result.violations
    assert violation.statement.startswith("A finished run has taken exactly the updates")
    assert "adam_beta1" in result.never_tried
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "**1 new violation** in `subjects:Late`: " in summary
    assert f"`trainer-props replay {violation.id}`" in summary


def test_summary_that_can_not_be_written_is_no_failure(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "none" / "summary.md"))
    code, _, err = run("check", "--experiment", "build_arguments", "--property", "arguments.copies*", "--max-examples", "1", "--seed", "1")
    assert code == 0
    assert err == f"trainer-props: GITHUB_STEP_SUMMARY {tmp_path / 'none' / 'summary.md'}: No such file or directory\n"


def test_replay_tells_the_step(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").mkdir()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    code, _, _ = run("replay", "examples")
    assert code == 0
    assert "**replay: nothing to replay**" in (tmp_path / "summary.md").read_text(encoding="utf-8")
