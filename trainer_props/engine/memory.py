"""How much memory this process has."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Final

_STATM: Final = Path("/proc/self/statm")
_UNIT: Final = 1 if sys.platform == "darwin" else 1024


def resident() -> int:
    """Bytes of this process that are in memory now; where the system does not say, the most that ever were."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
