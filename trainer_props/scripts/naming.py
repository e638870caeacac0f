"""What a script calls a class or a function of somebody else, and how it gets it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Final

_LOCALS: Final = "<locals>"
_TRANSFORMERS: Final = "transformers"


@dataclass(frozen=True)
class Name:
    """A name in a script.

    Attributes:
        line: the line that imports it.
        expression: what it is called then.
        is_class: it is a class, and no function; where it can't be looked up, that is told from its first letter.
        is_stock: it is from transformers.
    """

    line: str
    expression: str
    is_class: bool
    is_stock: bool


def name_of(text: str) -> Name:
    """What a script calls `module:attribute`. Where that can't be imported, because it stands inside a function or in no module, the import
    line says so.
    """
    module, _, path = text.rpartition(":")
    inside, _, path = path.rpartition(f"{_LOCALS}.")
    first, last = path.partition(".")[0], path.rpartition(".")[2]
    if inside:
        function = inside.removesuffix(".").replace(f".{_LOCALS}", "")
        remark = f"  # it stands inside {function}(): move it to where it can be imported from"
    elif module in ("", "__main__"):
        module, remark = module or "your_module", "  # name the module that it stands in"
    else:
        target = _found(module, path)
        is_stock = module.partition(".")[0] == _TRANSFORMERS
        if is_stock and target is not None and _found(_TRANSFORMERS, path) is target:
            module = _TRANSFORMERS
        is_class = last[:1].isupper() if target is None else isinstance(target, type)
        return Name(f"from {module} import {first}", path, is_class, is_stock)
    return Name(f"from {module} import {first}{remark}", path, last[:1].isupper(), is_stock=False)


def _found(module: str, path: str) -> Any:
    try:
        target: Any = importlib.import_module(module)
        for part in path.split("."):
            target = getattr(target, part)
    except Exception:  # noqa: BLE001  whatever a user's module raises, there is a name to write down
        return None
    return target
