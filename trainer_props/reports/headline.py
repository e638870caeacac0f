"""What was found, in a few words."""

from __future__ import annotations


def found(violations: int, still_there: int = 0) -> str:
    """The headline of a result: how many violations there are, and of how many of them an earlier start had told already.

    Args:
        violations: all that nobody has accepted.
        still_there: those of them that an earlier start of the campaign had found.
    """
    new = max(0, violations - still_there)
    parts = [f"{_plural(new, 'new violation')}" if new else "nothing new"]
    if still_there:
        parts.append(f"{still_there if new else _plural(still_there, 'violation')} still there")
    return ", ".join(parts)


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
