"""Which folder holds the regression examples."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

from trainer_props.arguments import nearest
from trainer_props.regressions.example import one_line

DEFAULT: Final = Path(".hypothesis", "regressions")
TABLE: Final = "trainer-props"
KEYS: Final = ("regressions",)


class InvalidFolder(Exception):
    """The setting can't be used; the message is one line for the user."""


def regressions_folder(option: Path | None = None, start: Path | None = None) -> Path:
    """The folder: what the option says, else what the nearest pyproject.toml says, else `.hypothesis/regressions` beside that file.

    Args:
        option: the value of `--regressions`, taken as it is.
        start: where the search for pyproject.toml begins and goes up from; by default the current folder. It is also the root where
            there is no such file.

    Raises:
        InvalidFolder: pyproject.toml can't be read, or its setting is no folder inside the project.
    """
    if option is not None:
        return option
    start = (start or Path.cwd()).absolute()
    file = next((each / "pyproject.toml" for each in (start, *start.parents) if (each / "pyproject.toml").is_file()), None)
    if file is None:
        return start / DEFAULT
    value = _setting(file)
    if value is None:
        return file.parent / DEFAULT
    folder = file.parent / value
    try:
        inside = folder.resolve().is_relative_to(file.parent.resolve())
    except (OSError, ValueError, RuntimeError):  # a loop of links, a zero byte
        inside = False
    if not inside:
        raise InvalidFolder(one_line(f"{file}: tool.{TABLE}.regressions = {value!r} is outside the project"))
    return folder


def _setting(file: Path) -> str | None:
    try:
        tools: Any = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {})
    except OSError as error:
        raise InvalidFolder(one_line(f"{file}: {error.strerror or error}")) from None
    except (ValueError, RecursionError) as error:
        raise InvalidFolder(one_line(f"{file}: not TOML: {error}")) from None
    table = tools.get(TABLE, {}) if isinstance(tools, dict) else {}
    if not isinstance(table, dict):
        raise InvalidFolder(f"{file}: tool.{TABLE} is no table")
    for key in table:
        if key not in KEYS:
            raise InvalidFolder(one_line(f"{file}: tool.{TABLE} has no key {key!r}{nearest(key, list(KEYS))}"))
    value = table.get("regressions")
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise InvalidFolder(one_line(f"{file}: tool.{TABLE}.regressions = {value!r} is no path"))
    return value
