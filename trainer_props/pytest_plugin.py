"""The pytest plugin: inert until a test uses `@trainer_props.parametrize`; then it lists the known bugs that were seen in the summary."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

_PROPERTY = "trainer_props.known_bugs"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Keep what a test saw of known bugs with its report: it reaches JUnit files, and the controller of pytest-xdist."""
    try:
        return (yield)
    finally:
        checking = sys.modules.get("trainer_props.checking")
        if checking is not None and checking.seen:
            item.user_properties.append((_PROPERTY, json.dumps(checking.seen)))
            checking.seen.clear()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List the known bugs that were seen, over all tests and workers."""
    times: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) != "call":
                continue
            for name, value in getattr(report, "user_properties", ()):
                if name == _PROPERTY:
                    for entry in json.loads(value):
                        times[entry["bug"]] += entry["seen"]
    if not times:
        return
    from trainer_props.known_bugs import KNOWN_BUGS

    terminalreporter.section("known bugs of the installed transformers")
    for bug, number in sorted(times.items()):
        sentence = KNOWN_BUGS[bug].sentence if bug in KNOWN_BUGS else ""
        terminalreporter.write_line(f"{bug} ({number} times): {sentence}")
