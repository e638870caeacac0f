"""What a measure reads of a record, told from its source."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Final

from trainer_props import record
from trainer_props.scripts.measuring import Measuring

TABLES: Final[Mapping[str, type]] = {
    "events": record.Event,
    "batches": record.MicroBatch,
    "updates": record.Update,
    "evaluations": record.Evaluation,
    "checkpoints": record.Checkpoint,
    "parameters": record.Parameter,
    "failure": record.Failure,
}
"""The fields of a record that hold rows (one, if any, in `failure`), and of which kind."""

RUNS: Final = "runs"
"""What a measure of several runs calls its first parameter."""
_FIELDS: Final = frozenset(each.name for each in fields(record.Record))
_DERIVED: Final[Mapping[str, frozenset[str]]] = {"finished": frozenset({"failure", "stuck"})}
_ROWS: Final[Mapping[str, frozenset[str]]] = {name: frozenset(each.name for each in fields(kind)) for name, kind in TABLES.items()}


@dataclass(frozen=True)
class Reads:
    """What is read of a record.

    Attributes:
        fields: of the record.
        columns: table -> what of its rows. Which table an attribute is read from is not followed: what two tables share counts for both.
        keys: field that is a dict (`state`, `results`) -> the keys that are read, or None if that can't be told.
    """

    fields: frozenset[str]
    columns: Mapping[str, frozenset[str]]
    keys: Mapping[str, frozenset[str] | None]

    def has(self, table: str, *columns: str) -> bool:
        """Whether some of these columns of a table are read."""
        return bool(self.columns.get(table, frozenset()) & set(columns))


def reads(code: Measuring, measures: Collection[str]) -> Reads:
    """What these measures, and the helpers that they hand the record to, read of it.

    Raises:
        ValueError: the record is used in a way that can't be followed, or a field is read that no record has.
    """
    scan = _Scan(code)
    for measure in measures:
        module_name, _, name = measure.rpartition(".")
        home = next(key for key in code.functions if key[0].rpartition(".")[2] == module_name and key[1] == name)
        scan.function(home, code.functions[home].args.args[0].arg)
    found = frozenset().union(*(_DERIVED.get(name, {name}) for name in scan.fields))
    unknown = found - _FIELDS
    if unknown:
        raise ValueError(f"{', '.join(measures)}: no record has {', '.join(sorted(unknown))}")
    columns = {table: frozenset(scan.attributes & _ROWS[table]) for table in TABLES if table in found}
    if "batches" in columns.get("evaluations", ()):
        columns["evaluations.batches"] = frozenset(scan.attributes & _ROWS["batches"])
    keys = {name: None if None in found_keys else frozenset(str(key) for key in found_keys) for name, found_keys in scan.keys.items()}
    return Reads(found, columns, keys)


class _Scan:
    def __init__(self, code: Measuring) -> None:
        self.fields: set[str] = set()
        self.attributes: set[str] = set()
        self.keys: dict[str, set[str | None]] = {}
        self._code = code
        self._seen: set[tuple[tuple[str, str], str | None]] = set()

    def function(self, home: tuple[str, str], name: str | None) -> None:
        """Scan a function whose parameter `name` is the record; None if it does not get the record."""
        if (home, name) in self._seen:
            return
        self._seen.add((home, name))
        node = self._code.functions[home]
        parents = {id(child): parent for parent in ast.walk(node) for child in ast.iter_child_nodes(parent)}
        if name == RUNS:
            self._several(home, node)
            return
        called = {id(each.func) for each in ast.walk(node) if isinstance(each, ast.Call)}
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and each.id == name:
                self._use(home, each, parents)
            elif isinstance(each, ast.Name) and (home[0], each.id) in self._code.functions:
                call = parents[id(each)]
                if not (isinstance(call, ast.Call) and _position(call, name) is not None):
                    self.function((home[0], each.id), None)
            elif isinstance(each, ast.Attribute) and id(each) not in called and not _is_name(each.value, name):
                self.attributes.add(each.attr)

    def _several(self, home: tuple[str, str], node: ast.FunctionDef) -> None:
        """Scan a function of several runs: it hands their records to functions that call them `record`."""
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and (callee := self._code.functions.get((home[0], each.id))) is not None:
                names = [argument.arg for argument in callee.args.args]
                self.function((home[0], each.id), next((name for name in (RUNS, "record") if name in names), None))
            elif isinstance(each, ast.Attribute):
                self.attributes.add(each.attr)

    def _use(self, home: tuple[str, str], node: ast.Name, parents: Mapping[int, ast.AST]) -> None:
        parent = parents[id(node)]
        if isinstance(parent, ast.Attribute):
            self.fields.add(parent.attr)
            self._key(parent, parents)
            return
        call = parents[id(parent)] if isinstance(parent, ast.keyword) else parent
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and (home[0], call.func.id) in self._code.functions:
            callee = self._code.functions[home[0], call.func.id]
            name = parent.arg if isinstance(parent, ast.keyword) else callee.args.args[call.args.index(node)].arg
            self.function((home[0], call.func.id), name)
            return
        raise ValueError(f"{home[0]}.{home[1]}, line {node.lineno}: it can't be told what is read of the record here")

    def _key(self, attribute: ast.Attribute, parents: Mapping[int, ast.AST]) -> None:
        """Note which key of a dict is read: `record.state["epoch"]`, `record.state.get("epoch")`, or any."""
        keys = self.keys.setdefault(attribute.attr, set())
        parent = parents[id(attribute)]
        key: ast.expr | None = None
        if isinstance(parent, ast.Subscript) and parent.value is attribute:
            key = parent.slice
        elif isinstance(parent, ast.Attribute) and parent.attr == "get":
            call = parents[id(parent)]
            key = call.args[0] if isinstance(call, ast.Call) and call.args else None
        elif isinstance(parent, ast.Compare) and isinstance(parent.ops[0], (ast.In, ast.NotIn)) and attribute in parent.comparators:
            key = parent.left
        keys.add(key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else None)


def _position(call: ast.Call, name: str | None) -> int | None:
    """Where in a call the record is handed over."""
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    return next((index for index, each in enumerate(given) if _is_name(each, name)), None)


def _is_name(node: ast.expr, name: str | None) -> bool:
    return isinstance(node, ast.Name) and node.id == name
