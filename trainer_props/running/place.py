"""Where an exception came from, as its reader would look for it."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path, PurePath
from typing import Final

_OURS: Final = str(Path(__file__).parent.parent)
_LIBRARIES: Final = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def place(error: BaseException) -> str:
    """The function, file and line of the deepest frame of the subject's own code; without one, of the libraries; empty without either."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith((_OURS, "<"))]
    own = [each for each in frames if not each.filename.startswith(_LIBRARIES)]
    for each in reversed(own or frames):
        return f"in {each.name} ({'/'.join(PurePath(each.filename).parts[-2:])}, line {each.lineno})"
    return ""
