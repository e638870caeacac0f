"""The texts that people read, as a whole, at fixed widths and with fixed numbers."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from trainer_props.case import Case
from trainer_props.engine import events
from trainer_props.engine.board import Mask
from trainer_props.engine.events import ExperimentCount, Finding, PropertyCount, Result, Violation
from trainer_props.fuzzing.campaign import FixedUpstream, Standing
from trainer_props.fuzzing.screen import Screen, print_masks
from trainer_props.judgement import HOLDS
from trainer_props.known_bugs import KnownBug
from trainer_props.properties import Property
from trainer_props.properties.needs import FINISHED
from trainer_props.reports import replayed, terminal
from trainer_props.scenario import Components, Data, Scenario

Snapshot = Callable[[str, str], None]
MakeConsole = Callable[[int], Console]

PROPERTIES = {
    each: Property(each, each.partition(".")[0], ("train_once",), statement, statement, "https://example.org/documentation/of/the/trainer",
                   (FINISHED,), 0.0, (1,), lambda record, scenario: HOLDS)
    for each, statement in {
        "steps.global_step_counts_updates":
            "A finished run has taken exactly the updates that its arguments ask for: `max_steps`, or the windows of all epochs.",
        "logs.loss_is_logged_when_due": "The loss is logged when it is due.",
        "early_stopping.stops_when_patience_is_spent": "It stops.",
        "steps.run_finishes": "A run comes to its end.",
    }.items()
}  # fmt: skip

SCENARIO = Scenario(arguments={"max_steps": 2, "learning_rate": 0.5}, data=Data(n=3), components=Components(scores=(1.0, float("nan"))))
CASE = Case(scenario=SCENARIO)
KNOWN = KnownBug("loss-is-late", "bug",
                 "The loss of the last window is logged one update too late, or not at all where training ends with it.",
                 "https://example.org/a/very/long/address/that/must/not/be/broken/issues/12345", ">=5", (), lambda scenario: True,
                 lambda judgement, record, scenario: True, CASE)  # fmt: skip


def finding(identifier: str = "steps.global_step_counts_updates", verdict: str = "violated", observed: Any = 2) -> Finding:
    return Finding(identifier, verdict, "global_step", "too small", 3, observed, "update 2", None, CASE)


@pytest.fixture
def result(monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setattr(terminal, "PROPERTIES", PROPERTIES)
    monkeypatch.setattr(terminal, "KNOWN_BUGS", {KNOWN.id: KNOWN})
    counts = {
        "steps.global_step_counts_updates": PropertyCount("steps.global_step_counts_updates", 1200, 34, violated=7),
        "steps.run_finishes": PropertyCount("steps.run_finishes", 1234),
        "logs.loss_is_logged_when_due": PropertyCount("logs.loss_is_logged_when_due", 1000, 234, known=12),
        "early_stopping.stops_when_patience_is_spent": PropertyCount("early_stopping.stops_when_patience_is_spent", 0, 1234),
    }
    hung = finding("steps.run_finishes", "hung", "silent for 120 s\nin train (train.py, line 7)")
    return Result(
        seed=7, runs=1234, evaluations=4567, seconds=61.0, properties=counts,
        experiments={
            "train_once": ExperimentCount("train_once", 1234, refused=2),
            "train_seq2seq": ExperimentCount("train_seq2seq", could_not_run=1),
        },
        violations=[Violation(finding(), finding(), 1.5, True, 9), Violation(hung, hung, 0.0, False, 0)],
        known_seen={KNOWN.id: 12}, refusals={"ValueError: no": 2}, impossible={"datasets is not installed": 1},
    )  # fmt: skip


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [100, 60])
def test_result(result: Result, console: MakeConsole, snapshot: Snapshot, width: int) -> None:
    where = console(width)
    terminal.print_result(where, result, "my_pkg:make")
    snapshot(f"result_{width}", text_of(where))


@pytest.mark.parametrize(("still_there", "said"), [(1, "1 new violation, 1 still there"), (2, "nothing new, 2 violations still there")])
def test_what_an_earlier_start_had_found_is_not_called_new(result: Result, console: MakeConsole, still_there: int, said: str) -> None:
    where = console(100)
    terminal.print_result(where, result, "my_pkg:make", still_there=still_there)
    assert f"\n{said} in my_pkg:make: 1234 runs" in text_of(where)


def test_result_without_anything_new(result: Result, console: MakeConsole, snapshot: Snapshot) -> None:
    result.violations, result.known_seen, result.refusals, result.impossible, result.interrupted = [], {}, {}, {}, True
    result.experiments.pop("train_seq2seq")
    where = console(100)
    terminal.print_result(where, result, "my_pkg:make")
    snapshot("result_nothing_new", text_of(where))


def test_what_is_to_be_copied_stands_on_one_line_at_any_width(result: Result, console: MakeConsole) -> None:
    where = console(40)
    terminal.print_result(where, result, "my_pkg:make")
    text = text_of(where)
    for wanted in (repr(CASE), KNOWN.link, "https://example.org/documentation/of/the/trainer"):
        assert any(line.strip().endswith(wanted) for line in text.splitlines()), wanted


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_table_fits_and_names_every_property(result: Result, console: MakeConsole, width: int) -> None:
    where = console(width)
    where.print(terminal.properties_table(result, width))
    text = text_of(where)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    folded = "".join(line.strip().split(" ")[0] for line in text.splitlines()) if width < 60 else text
    for identifier in result.properties:
        assert identifier.partition(".")[2] in folded


def test_events_elsewhere_than_in_a_terminal_are_lines(result: Result, console: MakeConsole, snapshot: Snapshot) -> None:
    where = console(60)
    with terminal.Live(where) as live:
        for seconds in (0.0, 4.0, 11.0):
            live(events.Progress(int(seconds * 30), int(seconds * 900), seconds, seconds / 60, "train_with_optimizers"))
        live(events.FirstSeen(finding()))
        live(events.FirstSeen(finding("logs.loss_is_logged_when_due")))
        live(events.Shrunk(result.violations[0]))
    snapshot("events", text_of(where))


def test_replayed_cases(result: Result, console: MakeConsole, snapshot: Snapshot) -> None:
    result.violations, result.known_seen, result.refusals, result.impossible, result.properties = [], {}, {}, {}, {}
    result.replayed = [
        events.Replayed("guards/steps.one--00000001.json", events.FIXED, None, ""),
        events.Replayed("guards/steps.two--00000002.json", events.FAILING, finding(observed=[2] * 40), "global_step too small (update 2)"),
        events.Replayed("guards/steps.three--00000003.json", events.KNOWN, finding(), KNOWN.id),
        events.Replayed("guards/steps.four--00000004.json", events.CANNOT_RUN, None, "refused by the subject: ValueError: no\nway"),
    ]
    where = console(120)
    with terminal.Live(where) as live:
        for event in result.replayed:
            live(event)
    terminal.print_result(where, result, "my_pkg:make")
    replayed.print_replayed(where, result.replayed)
    replayed.print_failing(where, result.replayed, " --regressions guards", full=True)
    narrow = console(60)
    replayed.print_replayed(narrow, result.replayed)
    replayed.print_failing(narrow, result.replayed, full=False)
    where.file.write(text_of(narrow))
    snapshot("replayed", text_of(where))


def test_notes_and_timeline_of_a_violation(result: Result, console: MakeConsole, snapshot: Snapshot) -> None:
    moments = (
        events.Moment(0, 0, (), (), (), None, None, ("evaluate",), None),
        events.Moment(1, 0, ((0, 1), (2,)), (2, 1), (0.5, 0.25), 0.1, 1.5, ("log", "save"), 0.75),
        events.Moment(2, 1, (None,), (2,), (None,), None, None, ("end",), None),
    )
    violation = Violation(finding(), finding(), 1.5, True, 9, ("any other value of learning_rate fails too",), moments)
    where = console(120)
    terminal.print_violation(where, violation)
    snapshot("violation_explained", text_of(where))


def test_terminal_shows_a_bar_that_goes_away(result: Result) -> None:
    where = Console(file=io.StringIO(), force_terminal=True, width=60, color_system="standard")
    with terminal.Live(where) as live:
        live(events.Progress(30, 900, 1.0, 0.25, "train_once"))
    text = text_of(where)
    assert "25%" in text
    assert "train_once" in text
    assert text.endswith("\x1b[2K")  # the line is erased


def test_colours_are_left_out_where_no_color_is_set(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    def shown() -> str:
        where = Console(file=io.StringIO(), force_terminal=True, width=100)
        terminal.print_violation(where, result.violations[0])
        return text_of(where)

    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[1;31m" in shown()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not [code for code in ("\x1b[31m", "\x1b[1;31m") if code in shown()]


def test_plain_text_of_a_finding(result: Result, snapshot: Snapshot) -> None:
    snapshot("finding", terminal.explain_finding(result.violations[1].finding))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.1, "0.1"), ([1] * 13, f"[{'1, ' * 12}... (13 in all)]"), ({"a": [1.5]}, "{a: [1.5]}"), ("text", "text"), (None, "None")],
)
def test_show(value: Any, shown: str) -> None:
    assert terminal.show(value) == shown


# ---- campaigns ---------------------------------------------------------------------------------------------------------------


def standing(seconds: float) -> Standing:
    each = ("resume", "life, one run for 4 s")
    progress = events.Progress(int(seconds * 30), int(seconds * 900), seconds, seconds / 7200, "resume, life", each)
    return Standing(7200 - seconds, progress, rare=12, seen=34567, violations=1)


def test_a_campaign_elsewhere_than_in_a_terminal_is_a_line_a_minute(result: Result, console: MakeConsole, snapshot: Snapshot) -> None:
    where = console(60)
    with Screen(where) as screen:
        for seconds in (0.5, 30.0, 61.0, 3000.0):
            screen(standing(seconds))
        screen(FixedUpstream("loss-is-late"))
        screen(events.FirstSeen(finding()))
        screen(events.Shrunk(result.violations[0]))
    mask = Mask(cases=20, judged=18, shown=17, hidden=40)
    print_masks(where, {"loss-is-late": (mask, 100, 10_000), "not-shown": (Mask(cases=5), 100, 1)})
    snapshot("campaign", text_of(where))


def test_the_screen_of_a_campaign_shows_what_each_worker_does(snapshot: Snapshot) -> None:
    where = Console(file=io.StringIO(), force_terminal=True, width=90, color_system=None, legacy_windows=False)
    with Screen(where) as screen:
        screen(events.FirstSeen(finding()))
        screen(standing(3000.0))
        drawn = text_of(where)
    screen(standing(9999.0))  # over: nothing is shown any more, and nothing fails
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn.rpartition("left  ")[2])
    snapshot("campaign_screen", f"left  {shown}")


def test_colours_may_be_forced_on_a_file_what_moves_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    where = terminal.make_console(io.StringIO())
    assert (where.is_terminal, where.is_interactive) == (True, False)
