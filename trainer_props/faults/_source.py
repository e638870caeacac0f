"""Methods of the Trainer with one expression of their source changed, for bugs in the middle of a long loop."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any


class SourceChanged(LookupError):
    """The installed transformers does not have the expression that a fault changes."""


def rewritten(owner: type, method: str, old: str, new: str, *, times: int = 1) -> Any:
    """The method of a class as a function, with an expression of its source replaced; the class stays as it is.

    Args:
        owner: the class that has the method.
        old: text of the source, on one line.
        new: what stands in its place.
        times: how often `old` occurs in the method.

    Raises:
        SourceChanged: the class has no such method, or `old` does not occur just so often in it.
    """
    function = getattr(owner, method, None)
    if function is None:
        raise SourceChanged(f"{owner.__name__} has no method {method}")
    source = textwrap.dedent(inspect.getsource(function))
    found = source.count(old)
    if found != times:
        raise SourceChanged(f"{owner.__name__}.{method} has {old!r} {found} times, not {times}")
    names: dict[str, Any] = {}
    code = compile(source.replace(old, new), f"<{owner.__name__}.{method} with a fault>", "exec", dont_inherit=True)
    exec(code, function.__globals__, names)  # noqa: S102  the source is that of the installed transformers
    return names[method]
