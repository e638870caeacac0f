"""Whether git would leave an example out, and the one line that remedies it."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Final

from trainer_props.regressions.example import one_line

_HOME: Final = ".hypothesis"
_SECONDS: Final = 10.0


def ignored_by_git(path: Path) -> str | None:
    """One line that says which rule makes git ignore the file, and the command that remedies it.

    None if git does not ignore it (or tracks it already), if it is in no repository, or if there is no git to ask.
    """
    rule = _rule(path)
    if rule is None:
        return None
    source, line, pattern = rule
    return one_line(f"git ignores {path} ({source}, line {line}: {pattern}); to keep it: {_remedy(path, source)}")


def _rule(path: Path) -> tuple[str, str, str] | None:
    """The rule by which git ignores a path: its file, line and pattern."""
    command = ["git", "-C", str(path.parent), "check-ignore", "--verbose", "-z", "--stdin"]
    try:
        # the name goes by standard input: there it can't be taken for an option
        asked = subprocess.run(  # noqa: S603  git, with arguments that stand above
            command, input=path.name.encode() + b"\0", capture_output=True, check=False, timeout=_SECONDS
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    fields = asked.stdout.decode("utf-8", "replace").split("\0")
    if asked.returncode != 0 or len(fields) < 4 or fields[2].startswith("!"):  # asked for details, git names rules that keep a file too
        return None
    return fields[0], fields[1], fields[2]


def _remedy(path: Path, source: str) -> str:
    """The command for a shell. The file that Hypothesis writes is amended, once and for all; of others we can't tell what they are for."""
    folder = path.parent
    own = folder.parent / ".gitignore"
    # git names the file with the rule from where it was asked, from the root, or in full: only its last parts are the same
    if folder.parent.name == _HOME and source.endswith(".gitignore") and _is_same(folder, source, own):
        lines = " ".join(shlex.quote(each) for each in ("!/.gitignore", f"!/{folder.name}/", f"!/{folder.name}/*"))
        return f"printf '%s\\n' {lines} >> {shlex.quote(str(own))}"
    return f"git add --force {shlex.quote(str(path))}"


def _is_same(folder: Path, source: str, own: Path) -> bool:
    try:
        command = ["git", "-C", str(folder), "rev-parse", "--show-toplevel"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)  # noqa: S603  likewise
        return any((Path(base) / source).resolve() == own.resolve() for base in (asked.stdout.strip(), folder))
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
