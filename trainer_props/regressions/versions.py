"""Versions of what a result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("transformers", "accelerate", "torch", "hypothesis", "trainer-props")


def versions() -> dict[str, str]:
    """Installed versions by package (dashes as underscores), `not installed` where there is none, and that of Python."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package.replace("-", "_")] = version(package)
        except PackageNotFoundError:
            found[package.replace("-", "_")] = "not installed"
    return {**found, "python": platform.python_version()}
