"""The pytest plugin: inert until a test uses `@trainer_props.parametrize`; then it lists the known bugs that were seen in the summary."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from typing import Any

import pytest

# Properties of a test's report: they reach JUnit files, and the controller of pytest-xdist.
_KNOWN_BUGS = "trainer_props.known_bugs"
_OUTCOME = "trainer_props.outcome"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Say where the project is whose regression examples are replayed."""
    checking: Any = sys.modules.get("trainer_props.checking")
    if checking is not None:
        checking.root = item.config.rootpath


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Keep what a test did and saw with its report."""
    try:
        return (yield)
    finally:
        checking = sys.modules.get("trainer_props.checking")
        if checking is not None:
            for name, told in ((_KNOWN_BUGS, checking.seen), (_OUTCOME, checking.outcomes)):
                if told:
                    item.user_properties.append((name, json.dumps(told)))
                    told.clear()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """List the known bugs that were seen, over all tests and workers; tell a step of GitHub Actions what was found."""
    if hasattr(config, "workerinput"):  # a worker of pytest-xdist knows its own tests only; the controller knows all
        return
    times: Counter[str] = Counter()
    for entry in _told(terminalreporter, _KNOWN_BUGS):
        times[entry["bug"]] += entry["seen"]
    outcomes = list(_told(terminalreporter, _OUTCOME))
    if outcomes:
        from trainer_props.reports import step_summary

        if trouble := step_summary.append(step_summary.of_tests(outcomes, times)):
            terminalreporter.write_line(trouble)
    if not times:
        return
    from trainer_props.known_bugs import KNOWN_BUGS

    terminalreporter.section("known bugs of the installed transformers")
    for bug, number in sorted(times.items()):
        sentence = KNOWN_BUGS[bug].sentence if bug in KNOWN_BUGS else ""
        terminalreporter.write_line(f"{bug} ({number} times): {sentence}")


def _told(terminalreporter: Any, property: str) -> Iterator[dict[str, Any]]:
    """What all tests told under one name."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, value in getattr(report, "user_properties", ()):
                    if name == property:
                        yield from json.loads(value)
