"""The source text of data sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trainer_props.scenario import Data, Model
from trainer_props.scripts import layout
from trainer_props.scripts.copying import Copy, copied, merged
from trainer_props.zoo import containers, kinds
from trainer_props.zoo.content import Content
from trainer_props.zoo.rows import content_of


def datasets(data: Data, model: Model, lengths: Mapping[str, int], *, plain: bool) -> Copy:
    """The source that defines `train_dataset`, `eval_dataset` and `test_dataset`, as far as they have a length.

    Rows are written out, unless the rule that makes them is shorter.

    Args:
        data: what is wanted.
        model: the model that will see it.
        lengths: rows by split.
        plain: a list will do where rows are fetched by position: nobody asks for a `torch.utils.data.Dataset`, or takes anything out of a
            row.
    """
    model_kind, data_kind = kinds.check(model, data)
    numbers = model_kind.main_input_name == "input_x"
    if data_kind.package is not None:
        # The format turns floats into float32 unless it is told otherwise; told a dtype, it applies that to every column.
        maker = Copy(("import datasets",), _TABLE.format(dtype=f", dtype=torch.{model.dtype}" if numbers else ""))
        container, form = Copy((), ""), ""
    else:
        maker = Copy((), _ROWS.format(dtype=f", dtype=torch.{model.dtype}" if numbers and model.dtype != "float32" else ""))
        kind = containers.MapDataset if data_kind.map_style else containers.SizedStream if data_kind.sized else containers.Stream
        listed = plain and data_kind.map_style
        container, form = (Copy((), ""), "") if listed else (copied(kind, without={"rows"}), kind.__name__)

    arguments = content_of(data, model_kind)
    contents = {split: Content(model_kind.family, split, **arguments) for split in lengths}
    written = "\n".join(_assigned(split, form, _literal(contents[split], n)) for split, n in lengths.items())
    rule = copied(Content, without={"capacity"})
    said = {name: value for name, value in arguments.items() if value or name == "seed"}
    given = {split: [layout.value(model_kind.family), layout.value(split), *layout.keywords(said)] for split in lengths}
    ruled = "\n".join(
        _assigned(split, form, f"rows(**{layout.call(Content.__name__, given[split])}.columns({n}))") for split, n in lengths.items()
    )
    if len(written) <= len(rule.definitions) + len(ruled):
        rule, ruled = Copy((), ""), written
    return Copy(
        merged(["import torch", *maker.imports, *container.imports, *rule.imports]),
        layout.paragraphs([rule.definitions, container.definitions, maker.definitions, ruled]),
    )


def samples(data: Data, model: Model, lengths: Mapping[str, int]) -> str:
    """The source of `samples(inputs, split)`: the positions of the rows that reached forward in the data set of a split, or None."""
    model_kind, _ = kinds.check(model, data)
    main = model_kind.main_input_name
    content, dimensions = ("row.item()", 1) if main == "input_x" else ("tuple(filter(None, row.tolist()))", 2)
    positions = ", ".join(f'"{split}": positions({split}_dataset)' for split in lengths)
    return _SAMPLES.format(main=main, content=content, dimensions=dimensions, positions=positions)


NO_SAMPLES: Final = '''\
def samples(inputs, split):
    """Nobody knows which rows these are: the trainer brings its own."""
    return None'''
"""`samples` for a subject that brings data of its own."""

_ROWS: Final = """\
def rows(**columns):
    return [{{name: torch.tensor(value{dtype}) for name, value in zip(columns, row)}} for row in zip(*columns.values())]"""

_TABLE: Final = """\
def rows(**columns):
    unused = list(range(len(next(iter(columns.values()), ()))))
    return datasets.Dataset.from_dict({{**columns, "unused": unused}}).with_format("torch"{dtype})"""

_SAMPLES: Final = '''\
def content(row):
    return {content}


def positions(dataset):
    return {{content(row["{main}"]): position for position, row in enumerate(dataset)}}


POSITIONS = {{{positions}}}


def samples(inputs, split):
    """The positions in a data set of the rows that reached forward, told by what they hold; None if they are not all from it."""
    column = inputs.get("{main}")
    if column is None or column.dim() != {dimensions}:
        return None
    found = [POSITIONS.get(split, {{}}).get(content(row)) for row in column]
    return None if None in found else found'''


def _literal(content: Content, n: int) -> str:
    columns = [f"{name}={layout.sequence(values)}" for name, values in content.columns(n).items()]
    return layout.call("rows", columns)


def _assigned(split: str, form: str, value: str) -> str:
    return f"{split}_dataset = {f'{form}({value})' if form else value}"
