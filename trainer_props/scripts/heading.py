"""The head of a script: a comment that can be pasted into an issue. What it says was observed can be read back."""

from __future__ import annotations

import json
import platform
import re
import textwrap
from importlib.metadata import version
from typing import Any, Final

from trainer_props.engine.events import Finding
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.properties import PROPERTIES
from trainer_props.scripts import relations

WIDTH: Final = 100
_CLOCK: Final = ("_runtime", "_per_second", "_preparation_time")
"""How names end whose values are what a clock says."""

_OBSERVED: Final = "observed:"
_LABEL: Final = 10
_FOLDERS: Final = re.compile(r"(?:\boutput_dir/|(?<![\w.:/<~-])/)(?:[^\s'\"/]+/)*(?=[\w.])")
"""What stands before the name of a file: a path from the root, or one that begins with what stands for the output directory."""
_ADDRESS: Final = re.compile(r"0x[0-9a-f]{6,}")


def heading(finding: Finding, *, file: str) -> str:
    """The comment that begins the script of a finding.

    Args:
        file: how the script is called, for the line that says how to run it.
    """
    violated = PROPERTIES[finding.property]
    relation = finding.check.relation if finding.check is not None else "same"
    expected, observed = _text(finding.expected, relation), _text(finding.observed, relation)
    lines = [*_wrapped(violated.statement), "That is not so in this run:", ""]
    lines += _labelled("compared:", finding.quantity)
    lines += _labelled("expected:", relations.WORDS[relation] + expected)
    lines += _labelled(_OBSERVED, observed)
    if finding.divergence:
        lines += _labelled("at:", finding.divergence)
    packages = ", ".join(f"{name} {version(name)}" for name in ("transformers", "accelerate", "torch"))
    lines += ["", f"Versions: {packages}, Python {platform.python_version()}", f"Documented: {violated.source}"]
    if finding.known_bug is not None:
        bug = KNOWN_BUGS[finding.known_bug]
        lines += _wrapped(f"Known: {bug.sentence}")
        if bug.link != violated.source:
            lines.append(f"Known from: {bug.link}")
    lines += ["", f"Run it: python {file}", "Exit code 1: it is so still. 0: it is not so any more. 2: the script itself can't run."]
    return "\n".join(f"# {line}".rstrip() for line in lines)


def stated(text: str) -> Any:
    """What the head of a script says was observed.

    Raises:
        ValueError: it says nothing that is JSON.
    """
    lines = iter(text.splitlines())
    label = f"#   {_OBSERVED}"
    first = next((line for line in lines if line.startswith(label)), None)
    if first is None:
        raise ValueError("the script does not say what was observed")
    parts = [first.removeprefix(label).strip()]
    for line in lines:
        if not line.startswith("#     "):
            break
        parts.append(line.removeprefix("#").strip())
    return json.loads(" ".join(parts))


def brief(value: Any) -> Any:
    """A JSON-like value with long lists cut, and without what differs from run to run: folders, addresses, what a clock says."""
    if isinstance(value, dict):
        return {key: "..." if key.endswith(_CLOCK) else brief(item) for key, item in value.items()}
    if isinstance(value, list):
        if len(value) == 2 and isinstance(value[0], str) and value[0].endswith(_CLOCK):
            return [value[0], "..."]
        shown = [brief(item) for item in value[: relations.MOST_ITEMS]]
        return [*shown, f"and {len(value) - relations.MOST_ITEMS} more"] if len(value) > relations.MOST_ITEMS else shown
    if isinstance(value, str):
        return " ".join(_ADDRESS.sub("0x...", _FOLDERS.sub("/.../", value)).split())
    return value


def _text(value: Any, relation: str) -> str:
    """A value as JSON; what only describes the two sides of a condition, as it is."""
    short = brief(relations.plain(value))
    return short if relation == "true" and isinstance(short, str) else json.dumps(short, ensure_ascii=False)


def _labelled(label: str, text: str) -> list[str]:
    lines = _wrapped(text, WIDTH - _LABEL - 5) or [""]
    return [f"  {label:<{_LABEL}}{lines[0]}", *(f"  {'':<{_LABEL}}{line}" for line in lines[1:])]


def _wrapped(text: str, width: int = WIDTH) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
