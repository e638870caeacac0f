"""Temporary directories that remove themselves."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from typing import Final

PREFIX: Final = "trainer-props-"
"""What all temporary directories begin with: after a kill they are found as `tempfile.gettempdir() / (PREFIX + "*")`."""


def make_directory() -> str:
    """A new temporary directory, for `remove_with`."""
    return tempfile.mkdtemp(prefix=PREFIX)


def remove_with(owner: object, path: str) -> None:
    """Remove a directory as soon as its owner is collected, or at the latest when the interpreter ends."""
    weakref.finalize(owner, _remove, path, os.getpid())


def _remove(path: str, pid: int) -> None:
    # A forked child runs the finalizers of its parent.
    if os.getpid() == pid:
        shutil.rmtree(path, ignore_errors=True)
