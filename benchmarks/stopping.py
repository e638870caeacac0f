"""How a benchmark ends that is stopped: in one line, and with the exit code that shells give."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

STOPPED: Final = 130


def run(main: Callable[[], int]) -> None:
    """Exit with what `main` returns; or, after Ctrl-C, with STOPPED."""
    try:
        code = main()
    except KeyboardInterrupt:
        print("stopped: what was measured so far is in its --state, if it has one", file=sys.stderr)
        code = STOPPED
    sys.exit(code)
