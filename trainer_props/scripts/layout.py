"""How the source text of scripts is laid out: calls and lists that break where a line would be too long."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

WIDTH: Final = 100
INDENT: Final = "    "


def value(given: Any) -> str:
    """A JSON-like value, with double quotation marks."""
    if isinstance(given, dict):
        return "{" + ", ".join(f"{value(key)}: {value(item)}" for key, item in given.items()) + "}"
    if isinstance(given, (list, tuple)):
        inside = ", ".join(value(item) for item in given)
        return f"[{inside}]" if isinstance(given, list) else f"({inside}{',' * (len(given) == 1)})"
    if isinstance(given, float) and not math.isfinite(given):
        return f'float("{given}")'
    text = repr(given)
    return f'"{text[1:-1]}"' if isinstance(given, str) and text[0] == "'" and '"' not in text else text


def call(function: str, arguments: Sequence[str], *, width: int = WIDTH) -> str:
    """A call with these arguments (`3`, `learning_rate=0.1`), on one line if it fits, else one argument a line."""
    line = f"{function}({', '.join(arguments)})"
    if not arguments or (len(line) <= width and "\n" not in line):
        return line
    lines = textwrap.indent(",\n".join(arguments), INDENT)
    return f"{function}(\n{lines},\n)"


def keywords(values: Mapping[str, Any]) -> list[str]:
    """Keyword arguments with values that are JSON-like."""
    return [f"{name}={value(given)}" for name, given in values.items()]


def sequence(values: Iterable[Any], *, width: int = WIDTH) -> str:
    """A list, as many items a line as fit."""
    return written([value(each) for each in values], width=width)


def written(items: Sequence[str], *, width: int = WIDTH) -> str:
    """A list of expressions, as many a line as fit."""
    line = f"[{', '.join(items)}]"
    if len(line) <= width:
        return line
    lines, current = [], ""
    for item in items:
        if current and len(current) + len(item) + 2 > width:
            lines.append(current)
            current = ""
        current += f"{' ' if current else ''}{item},"
    body = textwrap.indent("\n".join([*lines, current]), INDENT)
    return f"[\n{body}\n]"


def block(header: str, lines: Sequence[str]) -> str:
    """A compound statement or a definition with these lines, which may hold several each."""
    return header + "\n" + textwrap.indent("\n".join(lines), INDENT)


def paragraphs(texts: Iterable[str]) -> str:
    """Texts with an empty line between them, two around functions and classes; empty texts are left out."""
    whole = ""
    for text in filter(None, texts):
        lines = whole.splitlines()
        # what is indented, at the end of a text, belongs to a definition; brackets are closed at the margin
        apart = text.startswith(("def ", "class ")) or (bool(lines) and lines[-1].startswith(INDENT))
        gap = "\n\n\n" if apart else "\n\n"
        whole += gap + text if whole else text
    return whole
