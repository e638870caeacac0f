"""Files that anybody may have written, read without trust: nothing but regular files, of limited size, through no link."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, Final

from trainer_props import serialization

LARGEST: Final = 1_000_000
"""Bytes: an example has some thousand."""


class Unreadable(Exception):
    """The file can't be read; the message is one line without its name."""


def open_regular(path: Path, flags: int) -> int:
    """A descriptor of a regular file. A last part that is a link is not followed, and nothing is waited for (pipes, devices).

    Raises:
        Unreadable: it is no such file, or may not be opened.
    """
    try:
        if path.is_symlink():
            raise Unreadable("it is a link")
        handle = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise Unreadable(describe(error)) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Unreadable("it is no regular file")
    return handle


def read_bytes(handle: int) -> bytes:
    """All of a file that is open, from its beginning.

    Raises:
        Unreadable: it has more than LARGEST bytes, or reading fails.
    """
    content = b""
    try:
        while len(content) <= LARGEST and (part := os.pread(handle, LARGEST + 1 - len(content), len(content))):
            content += part
    except OSError as error:
        raise Unreadable(describe(error)) from None
    if len(content) > LARGEST:
        raise Unreadable(f"it has more than {LARGEST} bytes")
    return content


def read_json(path: Path) -> Any:
    """Plain data from a file of strict JSON.

    Raises:
        Unreadable: it can't be opened, is too large, or is not JSON.
    """
    handle = open_regular(path, os.O_RDONLY)
    try:
        return serialization.loads(read_bytes(handle))
    except serialization.InvalidData as error:
        raise Unreadable(str(error).removesuffix(": write it as a string")) from None
    finally:
        os.close(handle)


def describe(error: Exception) -> str:
    """What an error of the operating system says, without numbers and names of files."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
