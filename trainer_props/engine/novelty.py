"""Novelty: what no case has shown before, in a bitmap that processes share and that outlives them.

A case shows each pair of its features (an argument with its value, the model, the data, the devices) in its experiment, and how near each
of its numbers came to what is allowed. Each of these is a bit. Two that fall on the same bit are one: with some hundred thousand of them
in sixteen million bits that is rare, and costs a little attention, nothing else.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import math
import mmap
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from trainer_props.case import Case
from trainer_props.engine.judging import Judged

BITS: Final = 2**24
BYTES: Final = BITS // 8

_EXACT: Final = 8
_NEAREST: Final = -12
_MIX: Final = 0x9E3779B97F4A7C15
_WORD: Final = 2**64 - 1


class DamagedBitmap(ValueError):
    """A file that is no bitmap; the message is one line that names it."""


class Bitmap:
    """Bits in a file, shared with processes that are forked later. Two that set bits of one byte at the same instant may lose one of them,
    which then counts as new once more.

    Args:
        file: is made, all zero, if it does not exist.

    Raises:
        DamagedBitmap: the file is of another size.
        OSError: it can't be opened.
    """

    def __init__(self, file: Path) -> None:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            size = os.fstat(handle).st_size
            if size not in (0, BYTES):
                raise DamagedBitmap(f"{file}: {size} bytes, where {BYTES} are what this version writes")
            # not a hole: if there were no room for it later, setting a bit would end the process
            if not size and os.pwrite(handle, bytes(BYTES), 0) < BYTES:
                os.ftruncate(handle, 0)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._map = mmap.mmap(handle, BYTES)
        finally:
            os.close(handle)

    def add(self, bits: Iterator[int]) -> int:
        """Set bits, each a number below BITS; how many were not set before."""
        new = 0
        for bit in bits:
            place, mask = bit >> 3, 1 << (bit & 7)
            if not self._map[place] & mask:
                self._map[place] |= mask
                new += 1
        return new

    def count(self) -> int:
        """How many bits are set."""
        return int.from_bytes(self._map, "little").bit_count()


def shown(judged: Judged) -> Iterator[int]:
    """The bits that a judged case sets: nothing of the process it ran in, so that they mean the same in any."""
    words = [_word(text) for text in _features(judged.case)]
    salt = _word(judged.case.experiment)
    for index, one in enumerate(words):
        for other in words[index + 1 :]:
            low, high = (one, other) if one < other else (other, one)
            yield (((low ^ salt) * _MIX + high) * _MIX & _WORD) >> 40
    for name, part in judged.near:
        yield _word(f"{name} {max(_NEAREST, math.frexp(part)[1])}") >> 40


def _features(case: Case) -> list[str]:
    """What a case has, as texts: its arguments, its parameters, its devices, its model, its data and its components, with their values."""
    scenario = case.scenario
    found = [f"argument {name}={_kind(value)}" for name, value in scenario.arguments.items()]
    found += [f"parameter {name}={_kind(value)}" for name, value in case.parameters.items()]
    found += [f"devices {scenario.devices.kind} {scenario.devices.count}", f"model {scenario.model.name}", f"data {scenario.data.kind}"]
    for part in (scenario.model, scenario.data, scenario.components):
        kind = type(part).__name__
        found += [f"{kind} {name}={_kind(value)}" for name, value in part.non_defaults() if name not in {"name", "kind", "seed"}]
    return found


def _kind(value: Any) -> str:
    """A value, if there are few of its kind; of numbers their magnitude, or nearly every case would show something new."""
    if isinstance(value, int) and abs(value) > _EXACT:
        return f"{value < 0} 2^{value.bit_length()}"
    if isinstance(value, float) and math.isfinite(value) and value not in {0.0, 1.0}:
        return f"{value < 0} 2^{math.frexp(value)[1]}"
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{_kind(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return f"{len(value)} {','.join(sorted({_kind(item) for item in value}))}"
    return str(value)


@functools.lru_cache(maxsize=2**16)
def _word(text: str) -> int:
    """64 bits of a text, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
