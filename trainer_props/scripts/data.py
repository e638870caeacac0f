"""The source text of data sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from trainer_props.scenario import Data, Model
from trainer_props.scripts import layout
from trainer_props.scripts.copying import Copy, copied, merged
from trainer_props.zoo import containers, kinds
from trainer_props.zoo.content import Content
from trainer_props.zoo.numbered import NumberedRows, numbers
from trainer_props.zoo.rows import content_of


def datasets(data: Data, model: Model, lengths: Mapping[str, int]) -> Copy:
    """The source that defines `train_dataset`, `eval_dataset` and `test_dataset`, as far as they have a length.

    Rows are written out, unless the rule that makes them is shorter.

    Args:
        data: what is wanted.
        model: the model that will see it.
        lengths: rows by split.
    """
    model_kind, data_kind = kinds.check(model, data)
    if data_kind.lazy:
        return _numbered(data, model, lengths)
    is_number = model_kind.main_input_name == "input_x"
    dtype = f", dtype=torch.{model.dtype}" if is_number and model.dtype != "float32" else ""
    if data_kind.package is not None:
        # The format turns floats into float32 unless it is told otherwise; told a dtype, it applies that to every column.
        maker = Copy(("import datasets",), _TABLE.format(dtype=f", dtype=torch.{model.dtype}" if is_number else ""))
        container, form = Copy((), ""), ""
    else:
        maker = Copy((_STACK,), _ROWS.format(dtype=dtype))
        kind = containers.SizedStream if data_kind.sized else containers.Stream
        container, form = (Copy((), ""), "") if data_kind.map_style else (copied(kind, without={"rows"}), kind.__name__)

    arguments = content_of(data, model_kind)
    contents = {split: Content(model_kind.family, split, **arguments) for split in lengths}
    table = data_kind.package is not None
    rows_of = {split: contents[split].columns(n) for split, n in lengths.items()}
    written = "\n".join(
        _assigned(split, form, _table(columns)) if table else _stacked(split, form, columns, dtype) for split, columns in rows_of.items()
    )
    rule = copied(Content, without={"capacity"})
    said = {name: value for name, value in arguments.items() if value or name == "seed"}
    given = {split: [layout.value(model_kind.family), layout.value(split), *layout.keywords(said)] for split in lengths}
    ruled = "\n".join(
        _assigned(split, form, f"rows(**{layout.call(Content.__name__, given[split])}.columns({n}))") for split, n in lengths.items()
    )
    if len(written.splitlines()) <= len(rule.definitions.splitlines()) + len(ruled.splitlines()):
        rule, ruled = Copy((), ""), written
        maker = maker if table else Copy((_STACK,) if any(lengths.values()) else (), "")
    return Copy(
        merged(["import torch", *maker.imports, *container.imports, *rule.imports]),
        layout.paragraphs([rule.definitions, container.definitions, maker.definitions, ruled]),
    )


def samples(data: Data, model: Model, lengths: Mapping[str, int]) -> str:
    """The source of `samples(inputs, split)`: the positions of the rows that reached forward in the data set of a split, or None."""
    model_kind, data_kind = kinds.check(model, data)
    if data_kind.lazy:
        return _NUMBERED_SAMPLES.format(datasets=", ".join(f'"{split}": {split}_dataset' for split in lengths))
    main = model_kind.main_input_name
    content, dimensions = ("row.item()", 1) if main == "input_x" else ("tuple(filter(None, row.tolist()))", 2)
    positions = "\n".join(_POSITIONS.format(main=main, split=split) for split in lengths)
    return _SAMPLES.format(main=main, content=content, dimensions=dimensions, positions=positions)


def _numbered(data: Data, model: Model, lengths: Mapping[str, int]) -> Copy:
    """Rows that are made when they are fetched: the class that makes them, and one of it for each split."""
    rows = copied(NumberedRows, without={"batch", "identify"})
    made = []
    for split, n in lengths.items():
        given = numbers(data.seed, split, n, containers.DTYPES[model.dtype])
        keywords = [*layout.keywords({name: value for name, value in given.items() if name != "dtype"}), f"dtype={given['dtype']}"]
        made.append(_assigned(split, "", layout.call(NumberedRows.__name__, keywords)))
    return Copy(merged(["import torch", *rows.imports]), layout.paragraphs([rows.definitions, "\n".join(made)]))


_NUMBERED_SAMPLES: Final = '''\
def samples(inputs, split):
    """The positions in a data set of the rows that reached forward, told by their numbers; None if they are not all from it."""
    column, rows = inputs.get("input_x"), {{{datasets}}}.get(split)
    if column is None or column.dim() != 1 or rows is None:
        return None
    found = [rows.position(x) for x in column.tolist()]
    return None if None in found else found'''

_POSITIONS: Final = '    "{split}": {{content(row["{main}"]): position for position, row in enumerate({split}_dataset)}},'

NO_SAMPLES: Final = '''\
def samples(inputs, split):
    """Nobody knows which rows these are: the trainer brings its own."""
    return None'''
"""`samples` for a subject that brings data of its own."""

_STACK: Final = "from torch.utils.data import StackDataset"

_ROWS: Final = """\
def rows(**columns):
    return StackDataset(**{{name: [torch.tensor(value{dtype}) for value in values] for name, values in columns.items()}})"""

_TABLE: Final = """\
def rows(**columns):
    unused = list(range(len(next(iter(columns.values()), ()))))
    return datasets.Dataset.from_dict({{**columns, "unused": unused}}).with_format("torch"{dtype})"""

_LINES: Final = ((2, 3), (3, 2))
"""Factor and constant of the lines on which labels that are numbers lie."""

_SAMPLES: Final = '''\
def content(row):
    return {content}


POSITIONS = {{
{positions}
}}


def samples(inputs, split):
    """The positions in a data set of the rows that reached forward, told by what they hold; None if they are not all from it."""
    column = inputs.get("{main}")
    if column is None or column.dim() != {dimensions}:
        return None
    found = [POSITIONS.get(split, {{}}).get(content(row)) for row in column]
    return None if None in found else found'''


def _table(columns: Mapping[str, list[Any]]) -> str:
    return layout.call("rows", [f"{name}={layout.sequence(values)}" for name, values in columns.items()])


def _stacked(split: str, form: str, columns: Mapping[str, list[Any]], dtype: str) -> str:
    """Rows fetched by position; a list where there are none, which have no columns either."""
    if not columns:
        return _assigned(split, form, "[]")
    values = columns.get("input_x", [])
    x = f"{split}_x"
    formulas = {name: f"{a} * {x} + {b}" for a, b in _LINES for name, column in columns.items() if column == [a * v + b for v in values]}
    if not values or len(formulas) < len(columns) - 1:
        return _assigned(split, form, layout.call("StackDataset", [f"{key}={_column(column, dtype)}" for key, column in columns.items()]))
    given = ", ".join(f"{name}={formulas.get(name, x)}" for name in columns)
    return f"{x} = {_column(values, dtype)}\n{_assigned(split, form, f'StackDataset({given})')}"


def _column(values: list[Any], dtype: str) -> str:
    """One tensor, or a list of tensors that differ in their length."""
    if len({len(each) if isinstance(each, list) else None for each in values}) == 1:
        return f"torch.tensor({layout.sequence(values)}{dtype})"
    return layout.written([f"torch.tensor({layout.value(each)}{dtype})" for each in values])


def _assigned(split: str, form: str, value: str) -> str:
    return f"{split}_dataset = {f'{form}({value})' if form else value}"
