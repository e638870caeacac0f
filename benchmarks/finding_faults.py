"""What a short session finds against a planted fault, in the experiment and with the arguments by which the tests find it."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Final

from trainer_props import subjects
from trainer_props.engine import Plan, Session
from trainer_props.engine.events import Finding
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.faults import FAULTS
from trainer_props.properties import PROPERTIES

_TESTS: Final = Path(__file__).resolve().parents[1] / "tests" / "engine" / "test_faults.py"


def found_in(name: str, max_examples: int, shrink_seconds: float) -> Finding | None:
    """The violation of its property that no known bug explains, or None.

    Args:
        name: of the fault.
        max_examples: how many cases are tried.
        shrink_seconds: time for making the case smaller; 0 leaves it as it is found.
    """
    fault, tests = FAULTS[name], _tests()
    subject = subjects.load(f"faulty:{name.replace('-', '_')}")
    judged_by = PROPERTIES[fault.property]
    if name in tests.CASES:
        found = judge(tests.CASES[name], subject, [judged_by]).findings
        return next((finding for finding in found if finding.known_bug is None), None)
    experiment = tests.EXPERIMENT.get(name) or tests.CHAPTERS.get(judged_by.chapter) or judged_by.experiments[0]
    if not EXPERIMENTS[experiment].models:  # arguments alone, of which thousands are built in a second
        max_examples *= 10
    plan = Plan(
        experiments=[experiment], properties=[fault.property], max_examples=max_examples, first_failure=True,
        held=Held(arguments=tests.HELD.get(name, {})), shrink_seconds=shrink_seconds or None,
    )  # fmt: skip
    result = Session(subject, plan).run()
    return next((each.finding for each in result.violations if each.finding.known_bug is None), None)


@functools.cache
def _tests() -> ModuleType:
    spec = importlib.util.spec_from_file_location("test_faults", _TESTS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
