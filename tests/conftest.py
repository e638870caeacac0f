"""Settings of this repository's own tests. Hypothesis's `ci` profile stays as Hypothesis ships it."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import errors, settings

# Runs of a Trainer take what they take, and a deadline would report shared machines as flaky tests.
settings.register_profile("quick", max_examples=20, deadline=None)
settings.register_profile("nightly", max_examples=1000, deadline=None)
PROFILES = ("default", "ci", "quick", "nightly")


# Before Hypothesis's own plugin, which answers an unknown profile with an internal error.
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Refuse an unknown profile in one line; without a profile (and outside CI) be quick."""
    name = config.getoption("--hypothesis-profile")
    if name is None:
        if settings.get_current_profile_name() == "default":
            settings.load_profile("quick")
        return
    try:
        settings.get_profile(name)
    except errors.InvalidArgument:
        close = difflib.get_close_matches(name, PROFILES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(PROFILES)}"
        raise pytest.UsageError(f"unknown --hypothesis-profile {name!r}: {hint}") from None


@pytest.fixture
def short_tmp_path() -> Iterator[Path]:
    """Like `tmp_path`, for what serves as the temporary directory of real processes: the path of a socket holds about 100 characters."""
    with tempfile.TemporaryDirectory(prefix="tp-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
