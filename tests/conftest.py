"""Settings of this repository's own tests. Hypothesis's `ci` profile stays as Hypothesis ships it."""

from __future__ import annotations

import difflib
import importlib.util
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

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


# ---- what some tests need, as data: by names that stand in markers, so that their order does not matter ----


def _package(name: str) -> Callable[[], str]:
    return lambda: "" if importlib.util.find_spec(name) is not None else f"package {name!r} is not installed"


def _cuda() -> str:
    from trainer_props.running.devices.cards import missing

    return missing()


def _bf16() -> str:
    import torch

    return _cuda() or ("" if torch.cuda.is_bf16_supported() else "this GPU has no bf16")


def _tf32() -> str:
    import torch

    return _cuda() or ("" if torch.cuda.get_device_capability() >= (8, 0) else "this GPU has no tf32")


REQUIREMENTS: Final[dict[str, Callable[[], str]]] = {"cuda": _cuda, "bf16": _bf16, "tf32": _tf32, "datasets": _package("datasets")}
"""Names -> why it is missing; an empty text if it is there."""


def unmet(markers: Iterable[pytest.Mark]) -> list[str]:
    """Why a test with these markers can't run here: the reasons of all that is missing, each once, by name.

    Raises:
        pytest.UsageError: a marker names something that is not known here.
    """
    names = {name for each in markers for name in (["cuda"] if each.name == "cuda" else each.args if each.name == "needs" else [])}
    unknown = sorted(names - set(REQUIREMENTS))
    if unknown:
        raise pytest.UsageError(f"a test needs {unknown[0]!r}: tests/conftest.py knows {', '.join(REQUIREMENTS)}")
    return list(dict.fromkeys(why for name in sorted(names) if (why := REQUIREMENTS[name]())))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that can't run here, with all reasons."""
    reasons = unmet(item.iter_markers())
    if reasons:
        pytest.skip("; ".join(reasons))
