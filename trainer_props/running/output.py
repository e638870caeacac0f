"""Output directories that always go away: after each run, at the end of the process, and, after a kill, at the next start."""

from __future__ import annotations

import atexit
import contextlib
import errno
import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final


def _place() -> str:
    """Where process numbers are counted: this host, in this namespace of processes. A temporary directory may be shared by several."""
    namespace = ""
    with contextlib.suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.blake2b(f"{socket.gethostname()}/{namespace}".encode(), digest_size=2).hexdigest()


PREFIX = f"tprops-{_place()}-"
"""Short, since worker processes put sockets below it, whose paths may have a hundred characters."""

_USUAL: Final = "/tmp"  # noqa: S108  it is compared with, not written to
_MEMORY: Final = Path("/dev/shm")  # noqa: S108  mkdtemp gives each directory a name of its own there, and to its owner alone
_ROOM: Final = 2**30
"""Bytes: where a container keeps less in memory, a few checkpoints could fill it."""

NO_ROOM: Final = "NoRoom"
"""The kind of a failure that a full disk is to blame for, not the subject."""
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_LEAST_ROOM: Final = 2**16
"""Bytes: with less left, what fails to be written may not say why (torch does not)."""

_root: Path | None = None
_owner: int | None = None
_small = True


def home() -> str:
    """Where output directories are made: in memory where the system has room there, unless somebody has named a place for temporary files.

    A checkpoint of a tiny run is a dozen small files, which take a disk longer than the run.
    """
    usual = tempfile.gettempdir()
    if not _small or usual != _USUAL or "TMPDIR" in os.environ:
        return usual
    with contextlib.suppress(OSError):
        found = os.statvfs(_MEMORY)
        if found.f_bavail * found.f_frsize >= _ROOM and os.access(_MEMORY, os.W_OK | os.X_OK):
            return str(_MEMORY)
    return usual


@contextlib.contextmanager
def on_disk() -> Iterator[None]:
    """Make output directories where temporary files are: what is saved may be of any size, as a model of somebody else's is."""
    global _root, _small
    kept = _root, _small
    _root, _small = None, False
    try:
        yield
    finally:
        remove_own()
        _root, _small = kept


def folder_of_this_process() -> tempfile.TemporaryDirectory[str]:
    """A directory with the name of an output directory, so that a later start removes what a kill of this very process leaves behind."""
    return tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", dir=home(), ignore_cleanup_errors=True)


@contextlib.contextmanager
def output_directory() -> Iterator[str]:
    """An empty directory of its own for one run, removed afterwards whatever happens."""
    path = tempfile.mkdtemp(dir=_this_process())
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def is_for_want_of_room(error: BaseException, directory: str | None = None) -> bool:
    """Whether there is no room on a disk: the error says so, or nearly nothing is left where the directory is."""
    each: BaseException | None = error
    while each is not None:
        if (isinstance(each, OSError) and each.errno in _FULL) or any(os.strerror(code) in str(each) for code in _FULL):
            return True
        each = each.__cause__ or each.__context__
    with contextlib.suppress(OSError):
        found = os.statvfs(directory) if directory is not None else None
        return found is not None and found.f_bavail * found.f_frsize < _LEAST_ROOM
    return False


def _this_process() -> Path:
    global _root, _owner
    if _root is None or _owner != os.getpid() or not _root.is_dir():
        remove_leftovers()
        _root = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=home()))
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
    for path in [path for place in {tempfile.gettempdir(), str(_MEMORY)} for path in Path(place).glob(f"{PREFIX}*")]:
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
