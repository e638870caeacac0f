"""Output directories that always go away: after each run, at the end of the process, and, after a kill, at the next start."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path


def _place() -> str:
    """Where process numbers are counted: this host, in this namespace of processes. A temporary directory may be shared by several."""
    namespace = ""
    with contextlib.suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.blake2b(f"{socket.gethostname()}/{namespace}".encode(), digest_size=2).hexdigest()


PREFIX = f"tprops-{_place()}-"
"""Short, since worker processes put sockets below it, whose paths may have a hundred characters."""

_root: Path | None = None
_owner: int | None = None


@contextlib.contextmanager
def output_directory() -> Iterator[str]:
    """An empty directory of its own for one run, removed afterwards whatever happens."""
    path = tempfile.mkdtemp(dir=_this_process())
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _this_process() -> Path:
    global _root, _owner
    if _root is None or _owner != os.getpid() or not _root.is_dir():
        remove_leftovers()
        _root = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        _owner = os.getpid()
        atexit.register(_remove, _root, _owner)
    return _root


def _remove(root: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child must not remove its parent's directory
        shutil.rmtree(root, ignore_errors=True)


def remove_own() -> None:
    """Remove the directory of this process, for a process that ends without running its exit handlers."""
    if _root is not None and _owner is not None:
        _remove(_root, _owner)


def remove_leftovers() -> None:
    """Remove the directories of processes of this user that are no more."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        process = path.name[len(PREFIX) :].partition("-")[0]
        try:
            if path.is_symlink() or not process.isdigit() or path.stat().st_uid != os.getuid() or _alive(int(process)):
                continue
        except OSError:
            continue
        shutil.rmtree(path, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
