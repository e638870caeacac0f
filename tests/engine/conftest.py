"""What the tests of the engine share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trainer_props import subjects
from trainer_props.engine import Plan, Session

Run = Callable[..., Session]


@pytest.fixture
def session() -> Run:
    """Runs a session on a Trainer class (or a factory) and returns it, its result within."""

    def run(target: Any, **plan: Any) -> Session:
        subject = subjects.load(target) if isinstance(target, str) else subjects.wrap(target, "subject")
        done = Session(subject, Plan(**{"max_examples": 40, "shrink_seconds": 60.0, **plan}))
        done.run()
        return done

    return run
