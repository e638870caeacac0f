"""Measures, copied from their source: the functions themselves, and what they use of their own module, without decorators and types."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType

from trainer_props.measures import MEASURES

_PACKAGE = "trainer_props"
_Edit = tuple[int, int, str]


@dataclass(frozen=True)
class Measuring:
    """The code of some measures.

    Attributes:
        names: measure -> the name of its function in the code.
        imports: import lines that the code needs.
        definitions: constants and functions, in the order of their modules.
        functions: the parsed functions by module and name, helpers too, for whoever wants to know what they do.
    """

    names: Mapping[str, str]
    imports: tuple[str, ...]
    definitions: tuple[str, ...]
    functions: Mapping[tuple[str, str], ast.FunctionDef] = field(repr=False, default_factory=dict)


@dataclass(frozen=True)
class _Module:
    """The source of a module and what its statements bind at module level."""

    source: str
    bound: Mapping[str, ast.stmt]


def measuring(measures: Sequence[str], *, taken: Collection[str] = ()) -> Measuring:
    """The code of these measures (`module.function`), ready to stand in another file.

    Args:
        taken: names that the other file uses otherwise: definitions of that name are renamed.

    Raises:
        KeyError: no such measure.
        ValueError: a measure uses something of this package that can't be copied.
    """
    modules: dict[ModuleType, list[str]] = {}
    for measure in dict.fromkeys(measures):
        module = inspect.getmodule(MEASURES[measure])
        assert module is not None
        modules.setdefault(module, []).append(measure)
    names: dict[str, str] = {}
    imports: list[str] = []
    definitions: list[str] = []
    functions: dict[tuple[str, str], ast.FunctionDef] = {}
    used = set(taken)
    for module, wanted in modules.items():
        parsed = _parse(module)
        reached = _reached(parsed, [MEASURES[measure].__name__ for measure in wanted])
        statements = {name: node for name, node in parsed.bound.items() if name in reached}  # in the order of the module
        renamed = {name: _free(name, used) for name, node in statements.items() if name in used and not _is_import(node)}
        for name, node in statements.items():
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                imports.append(_import_line(node, name, module.__name__))
                continue
            if isinstance(node, ast.FunctionDef):
                functions[module.__name__, name] = node
            definitions.append(_trimmed(parsed.source, node, renamed))
            used.add(renamed.get(name, name))
        names |= {measure: renamed.get(function := MEASURES[measure].__name__, function) for measure in wanted}
    return Measuring(names, tuple(dict.fromkeys(imports)), tuple(definitions), functions)


def _free(name: str, used: Collection[str]) -> str:
    bare = name.lstrip("_")
    return next(candidate for candidate in (f"measured_{bare}", f"measured_again_{bare}", f"_{bare}_measured") if candidate not in used)


@functools.cache
def _parse(module: ModuleType) -> _Module:
    source = inspect.getsource(module)
    return _Module(source, {name: node for node in ast.parse(source).body for name in _bound(node)})


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, (ast.Import, ast.ImportFrom))


def _reached(module: _Module, wishes: Sequence[str]) -> set[str]:
    """The names of the module that these functions use, directly or by what they use."""
    reached: set[str] = set()
    waiting = list(wishes)
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        if not _is_import(module.bound[name]):
            waiting += [used for used in _names(module.bound[name]) if used in module.bound]
    return reached


def _names(node: ast.stmt) -> Iterator[str]:
    """Names that a definition uses when it runs: not those of its decorators and annotations."""
    left_out = _inside(_left_out(node))
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and id(each) not in left_out and not hasattr(builtins, each.id):
            yield each.id


def _left_out(node: ast.stmt) -> Iterator[ast.expr]:
    """Decorators and annotations."""
    for each in ast.walk(node):
        if isinstance(each, ast.FunctionDef):
            yield from each.decorator_list
        annotation = each.returns if isinstance(each, ast.FunctionDef) else getattr(each, "annotation", None)
        if annotation is not None:
            yield annotation


def _inside(nodes: Iterator[ast.expr]) -> set[int]:
    return {id(inner) for each in nodes for inner in ast.walk(each)}


def _import_line(node: ast.Import | ast.ImportFrom, name: str, module_name: str) -> str:
    alias = next(each for each in node.names if (each.asname or each.name).partition(".")[0] == name)
    renamed = f" as {alias.asname}" if alias.asname else ""
    origin = (alias.name if isinstance(node, ast.Import) else node.module) or "."
    if origin.partition(".")[0] == _PACKAGE:
        raise ValueError(f"a measure of {module_name} uses {name}, which stands in {origin}: it can't be copied")
    if isinstance(node, ast.Import):
        return f"import {alias.name}{renamed}"
    return f"from {origin} import {alias.name}{renamed}"


def _trimmed(source: str, node: ast.stmt, renamed: Mapping[str, str]) -> str:
    """The text of a definition without decorators and annotations, some names replaced; comments and layout stay."""
    text = _Text(source)
    start, end = text.start(node), text.end(node)
    trimmed = source[:end]
    for first, last, replacement in sorted(_edits(text, node, renamed), reverse=True):
        trimmed = trimmed[:first] + replacement + trimmed[last:]
    return trimmed[start:]


def _edits(text: _Text, node: ast.stmt, renamed: Mapping[str, str]) -> Iterator[_Edit]:
    for each in ast.walk(node):
        if isinstance(each, ast.FunctionDef):
            if each.returns is not None:
                arrow = text.source.rindex("->", 0, text.start(each.returns))
                yield len(text.source[:arrow].rstrip()), text.end(each.returns), ""
            if each is node and each.name in renamed:
                first = text.source.index(each.name, text.start(each) + len("def "))
                yield first, first + len(each.name), renamed[each.name]
        elif isinstance(each, ast.arg) and each.annotation is not None:
            yield text.start(each) + len(each.arg), text.end(each.annotation), ""
        elif isinstance(each, ast.AnnAssign) and each.value is not None:
            yield text.end(each.target), text.end(each.annotation), ""
    left_out = _inside(_left_out(node))
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and each.id in renamed and id(each) not in left_out:
            yield text.start(each), text.end(each), renamed[each.id]


class _Text:
    """Places in a source: the parser counts lines, and columns in bytes."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._lines = source.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def start(self, node: ast.stmt | ast.expr | ast.arg) -> int:
        """Where it begins: a function at its `def`."""
        return self._place(node.lineno, node.col_offset)

    def end(self, node: ast.stmt | ast.expr | ast.arg) -> int:
        """Where it ends."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._place(node.end_lineno, node.end_col_offset)

    def _place(self, line: int, column: int) -> int:
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())
