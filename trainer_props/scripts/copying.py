"""Source text of our own functions and classes that stands alone: without docstrings and annotations, together with all that it uses."""

from __future__ import annotations

import ast
import copy
import functools
import importlib
import inspect
import io
import re
import sys
import tokenize
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

_OURS: Final = "trainer_props"
_HEAD: Final = re.compile(r"^( *class .*:\n)\n", re.MULTILINE)
"""Of a class, with the empty line that `ast.unparse` puts before a first method."""


@dataclass(frozen=True)
class Copy:
    """Source text.

    Attributes:
        imports: whole import lines that it needs.
        definitions: constants, then functions and classes, each after what it uses.
    """

    imports: tuple[str, ...]
    definitions: str


def copied(*targets: Any, without: Collection[str] = ()) -> Copy:
    """The source of functions and classes, and of what they use of our own modules.

    A class takes in the methods of those of its base classes that are ours.

    Args:
        targets: functions and classes that stand at the top of their modules.
        without: names of methods that are left out, along with what only they use.

    Raises:
        ValueError: something that can't be copied: the message names it.
    """
    copying = _Copying(frozenset(without))
    for target in targets:
        copying.add(target.__module__, target.__name__)
    return Copy(merged(copying.imports), "\n\n\n".join(["\n".join(copying.constants)] * bool(copying.constants) + copying.texts))


def merged(imports: Iterable[str]) -> tuple[str, ...]:
    """Import lines in the usual order, one for each module; lines that are no imports (`from ? import x  # ...`) come last as they are."""
    whole: set[str] = set()
    names: dict[str, set[str]] = {}
    others: list[str] = []
    for line in imports:
        try:
            statements = ast.parse(line).body if "#" not in line else [ast.Pass()]
        except SyntaxError:
            statements = [ast.Pass()]
        for statement in statements:
            if isinstance(statement, ast.Import):
                whole |= {f"import {_alias(each)}" for each in statement.names}
            elif isinstance(statement, ast.ImportFrom):
                names.setdefault(statement.module or ".", set()).update(map(_alias, statement.names))
            elif line not in others:
                others.append(line)
    whole |= {f"from {module} import {', '.join(sorted(given, key=_by_case))}" for module, given in names.items()}
    return (*sorted(whole, key=_by_origin), *others)


def _by_origin(line: str) -> tuple[bool, bool, str]:
    return line.split()[1].partition(".")[0] not in sys.stdlib_module_names, line.startswith("from"), line


def _by_case(name: str) -> tuple[bool, bool, str]:
    return not name.isupper(), not name[0].isupper(), name


def _alias(alias: ast.alias) -> str:
    return alias.name if alias.asname is None else f"{alias.name} as {alias.asname}"


class _Module:
    """What stands at the top of a module."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.definitions: dict[str, ast.stmt] = {}
        self.imports: dict[str, tuple[str, str]] = {}
        for statement in ast.parse(inspect.getsource(importlib.import_module(name))).body:
            if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                self.definitions[statement.name] = statement
            elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                self.definitions[statement.target.id] = statement
            elif isinstance(statement, ast.Assign):
                names = [node.id for target in statement.targets for node in ast.walk(target) if isinstance(node, ast.Name)]
                self.definitions.update(dict.fromkeys(names, statement))
            elif isinstance(statement, ast.Import):
                self.imports |= {(alias.asname or alias.name.partition(".")[0]): ("", _alias(alias)) for alias in statement.names}
            elif isinstance(statement, ast.ImportFrom):
                self.imports |= {(alias.asname or alias.name): (statement.module or "", _alias(alias)) for alias in statement.names}


_module = functools.lru_cache(maxsize=64)(_Module)


class _Copying:
    def __init__(self, without: frozenset[str]) -> None:
        self.imports: list[str] = []
        self.constants: list[str] = []
        self.texts: list[str] = []
        self._without = without
        self._begun: set[ast.stmt] = set()

    def add(self, module_name: str, name: str) -> None:
        """Add a definition, after what it uses."""
        module = _module(module_name)
        if name not in module.definitions:
            raise ValueError(f"{module_name}.{name} does not stand at the top of its module")
        if module.definitions[name] in self._begun:
            return
        self._begun.add(module.definitions[name])
        trimmed = self._trimmed(module, module.definitions[name])
        for node in ast.walk(trimmed):
            if isinstance(node, ast.Name):
                self._use(module, node.id)
        text = _HEAD.sub(r"\1", _double_quoted(ast.unparse(trimmed)))
        (self.constants if isinstance(trimmed, ast.Assign) else self.texts).append(text)

    def _trimmed(self, module: _Module, node: ast.stmt) -> ast.stmt:
        node = copy.deepcopy(node)
        if isinstance(node, ast.ClassDef):
            node = self._flat(module, node)
        trimmed = _Trim().visit(node)
        assert isinstance(trimmed, ast.stmt)
        return ast.fix_missing_locations(trimmed)

    def _flat(self, module: _Module, node: ast.ClassDef) -> ast.ClassDef:
        """The class with the members of its base classes in this module."""
        node.body = [each for each in node.body if _member(each) not in self._without]
        for base in list(node.bases):
            parent = module.definitions.get(base.id) if isinstance(base, ast.Name) else None
            if not isinstance(parent, ast.ClassDef):
                continue
            parent = self._flat(module, copy.deepcopy(parent))
            for each in node.body:
                if _member(each) in set(map(_member, parent.body)) and "super()" in ast.unparse(each):
                    raise ValueError(f"{module.name}.{node.name}.{_member(each)} calls a method of {parent.name} by super()")
            own = {_member(each): each for each in node.body if _member(each) is not None}
            inherited = [own.pop(_member(each), each) for each in parent.body]
            node.body = sorted([*inherited, *own.values()], key=lambda each: isinstance(each, ast.FunctionDef))
            place = node.bases.index(base)
            node.bases[place : place + 1] = parent.bases
        return node

    def _use(self, module: _Module, name: str) -> None:
        if name in module.definitions:
            self.add(module.name, name)
        elif name in module.imports:
            origin, alias = module.imports[name]
            if origin.partition(".")[0] != _OURS:
                self.imports.append(f"from {origin} import {alias}" if origin else f"import {alias}")
            elif alias == name and name in _module(origin).definitions:
                self.add(origin, name)
            else:
                raise ValueError(f"{module.name} uses {name}, which is a module of ours or has another name here")


def _member(node: ast.stmt) -> str | None:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return node.name
    target = node.targets[0] if isinstance(node, ast.Assign) else (node.target if isinstance(node, ast.AnnAssign) else None)
    return target.id if isinstance(target, ast.Name) else None


class _Trim(ast.NodeTransformer):
    """Takes away annotations, docstrings and parameters of generic base classes."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.returns = None
        arguments = node.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
            if argument is not None:
                argument.annotation = None
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        node.bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
        return self._without_docstring(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        return None if node.value is None else ast.Assign([node.target], node.value, lineno=node.lineno)

    def _without_docstring(self, node: Any) -> Any:
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node


def _double_quoted(text: str) -> str:
    """The text with the quotation marks of this project where ast.unparse put the others."""
    lines = text.splitlines(keepends=True)
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(text).readline))):
        if token.type == tokenize.STRING and token.string[0] == "'" and '"' not in token.string and token.start[0] == token.end[0]:
            line, (_, start), (_, end) = lines[token.start[0] - 1], token.start, token.end
            lines[token.start[0] - 1] = f'{line[:start]}"{line[start + 1 : end - 1]}"{line[end:]}'
    return "".join(lines)
