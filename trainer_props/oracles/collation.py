"""What collators that draw nothing make of samples: shapes, values and types, from their documentation.

Samples are plain data, lists for tensors. A batch is key -> (type, value), with types as torch and NumPy name them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Sample = Mapping[str, Any]
Entry = tuple[str, Any]

IGNORED: Final = -100
"""The label that losses pass over."""
PADDING: Final[Mapping[str, int]] = {"attention_mask": 0, "token_type_ids": 0, "special_tokens_mask": 1}
"""What stands where there is no token, besides the padding token itself."""
WAVES: Final = "input_values"
"""The input of models of speech: numbers of single precision, with 0 for silence; the mask beside it is of 32 bits."""
_LABELS: Final = ("label", "label_ids", "labels")
_ARRAYS: Final = ("arrays", "zero_dimensional")
_NOT_PADDED: Final = (False, "do_not_pad")


@dataclass(frozen=True)
class Call:
    """One call of a collator.

    Attributes:
        collator: its name in transformers.
        samples: what it is given.
        options: keyword arguments that it was made with.
        told: keyword arguments of the call.
        given_as: whether values are `lists`, `tensors` or `arrays`, or samples are nothing but `rows` of tokens ...
        padding_side: of the tokenizer.
        pad_token_id: of the tokenizer; None if it has none.
        model_max_length: of the tokenizer, if it is known.
        start: the token that the inputs of a decoder begin with, and what stands there for ignored labels; None: no model that knows.
    """

    collator: str
    samples: Sequence[Sample]
    options: Mapping[str, Any]
    told: Mapping[str, Any]
    given_as: str = "lists"
    padding_side: str = "right"
    pad_token_id: int | None = 0
    model_max_length: int | None = None
    start: tuple[int, int] | None = None

    @property
    def in_numpy(self) -> bool:
        """Whether the batch is of arrays, not of tensors."""
        asked = self.told.get("return_tensors") or self.options.get("return_tensors", "pt")
        return bool(asked == "np")

    def option(self, name: str, otherwise: Any = None) -> Any:
        """An option of the collator."""
        return self.options.get(name, otherwise)

    def integers(self) -> str:
        """The type of whole numbers."""
        return "numpy.int64" if self.in_numpy else "torch.int64"


def stacked(call: Call) -> dict[str, Entry]:
    """What the default collator makes: every key that has a value and is no text, and the labels under one name."""
    first = call.samples[0]
    batch: dict[str, Entry] = {}
    for name in ("label", "label_ids"):
        if first.get(name) is not None:
            values = [each[name] for each in call.samples]
            keeps = name == "label_ids" and call.given_as in (_ARRAYS if call.in_numpy else ("tensors",))
            batch["labels"] = (_own_type(call, values) if keeps else _label_type(call, values)), _as_numbers(values)
            break
    for key, value in first.items():
        if key not in ("label", "label_ids") and value is not None and not isinstance(value, str):
            values = [each[key] for each in call.samples]
            batch[key] = (_own_type(call, values), values)
    return batch


def _label_type(call: Call, values: Any) -> str:
    """Labels are whole numbers, or else numbers of single precision."""
    if isinstance(_scalar(values), int):
        return call.integers()
    return "numpy.float32" if call.in_numpy else "torch.float32"


def _own_type(call: Call, values: Any) -> str:
    """The type that a list of such values has where nobody says one; NumPy's numbers are of double precision."""
    scalar = _scalar(values)
    kind = "bool" if isinstance(scalar, bool) else "int64" if isinstance(scalar, int) else "float"
    if kind == "float":
        kind = "float64" if call.in_numpy or call.given_as in _ARRAYS else "float32"
    return f"{'numpy' if call.in_numpy else 'torch'}.{kind}"


def _scalar(values: Any) -> Any:
    return _scalar(values[0]) if isinstance(values, list) else values


def _as_numbers(values: Any) -> Any:
    """Truth values are labels 0 and 1."""
    return [_as_numbers(each) for each in values] if isinstance(values, list) else int(values) if isinstance(values, bool) else values


def width(call: Call) -> int:
    """How long the rows of a batch are: as the longest sample, or as is said, and then as the next multiple."""
    lengths = [len(each) for each in _inputs(call)]
    padding = call.option("padding", True)
    longest = max(lengths)
    if padding in _NOT_PADDED:
        return longest
    if padding == "max_length":
        longest = call.option("max_length") or call.model_max_length or longest
    return _next_multiple(longest, call.option("pad_to_multiple_of"))


def _inputs(call: Call) -> list[list[Any]]:
    """The tokens (or the wave) of each row; of each choice, where samples have several."""
    rows = [each[main_input(call)] for each in call.samples]
    return [choice for row in rows for choice in row] if call.collator == "DataCollatorForMultipleChoice" else rows


def main_input(call: Call) -> str:
    """What is padded first of all: tokens, or waves."""
    return WAVES if WAVES in call.samples[0] else "input_ids"


def _next_multiple(length: int, multiple: int | None) -> int:
    return length if multiple is None else -(-length // multiple) * multiple


def padded(call: Call, rows: Sequence[Sequence[Any]], length: int, value: Any) -> list[list[Any]]:
    """Rows with so much of a value at the padding side that they are so long."""
    return [
        [*row, *[value] * (length - len(row))] if call.padding_side == "right" else [*[value] * (length - len(row)), *row] for row in rows
    ]


def rows(call: Call) -> dict[str, Entry]:
    """What a collator that pads makes of everything but the labels: the samples, and padding."""
    length, inputs = width(call), _inputs(call)
    filling = {"input_ids": call.pad_token_id, WAVES: 0.0, **PADDING}
    lists = {key: [each[key] for each in call.samples] for key in call.samples[0] if key not in _LABELS}
    if call.collator == "DataCollatorForMultipleChoice":
        lists = {key: [choice for each in values for choice in each] for key, values in lists.items()}
    if "attention_mask" not in lists and not call.given_as.startswith(("row", "matrix")):
        lists["attention_mask"] = [[1] * len(each) for each in inputs]
    made: dict[str, Any] = {key: padded(call, values, length, filling[key]) for key, values in lists.items() if key in filling}
    if call.collator == "DataCollatorForMultipleChoice":
        choices = len(call.samples[0]["input_ids"])
        made = {key: [values[at : at + choices] for at in range(0, len(values), choices)] for key, values in made.items()}
    if call.collator == "DataCollatorForLanguageModeling":
        made.pop("special_tokens_mask", None)
    if main_input(call) == WAVES:
        small = call.integers().replace("64", "32")
        return {key: (small.replace("int", "float") if key == WAVES else small, values) for key, values in made.items()}
    return {key: (call.integers(), values) for key, values in made.items()}


def labels(call: Call) -> dict[str, Entry]:
    """The labels that a collator that pads returns, under the name that it gives them; none if the samples have none."""
    name = next((name for name in _LABELS if name in call.samples[0]), None)
    values = None if name is None else [each[name] for each in call.samples]
    if call.collator == "DataCollatorForSeq2Seq" and (values is None or values[0] is None):
        return {"labels": ("NoneType", None)}
    if name is None or values is None:
        return {}
    if call.collator == "DataCollatorWithPadding":
        return {"labels": (_own_type(call, values), values)}
    if call.collator == "DataCollatorForMultipleChoice":
        return {"labels": ("torch.int64", values)}
    kept = name if call.collator == "DataCollatorForTokenClassification" else "labels"
    return {kept: (call.integers(), padded(call, values, _width_of_labels(call, values), call.option("label_pad_token_id", IGNORED)))}


def _width_of_labels(call: Call, values: Sequence[Sequence[int]]) -> int:
    """Labels of tokens are as long as the rows; those of another sequence have a length of their own."""
    if call.collator == "DataCollatorForTokenClassification":
        return width(call)
    longest, padding = max(map(len, values)), call.option("padding", True)
    if padding in _NOT_PADDED:
        return longest
    if padding == "max_length" and call.option("max_length") is not None:
        longest = call.option("max_length")
    return _next_multiple(longest, call.option("pad_to_multiple_of"))


def decoder_inputs(call: Call) -> dict[str, Entry]:
    """The labels one place later, after the token that a decoder starts with, where a model says so."""
    kind, values = labels(call).get("labels", ("", None))
    if call.start is None or values is None:
        return {}
    first, otherwise = call.start
    shifted = [[first, *(otherwise if label == IGNORED else label for label in row[:-1])] for row in values]
    return {"decoder_input_ids": (kind, shifted)}


def causal_labels(call: Call) -> dict[str, Entry]:
    """The inputs, and nothing to learn where padding is."""
    kind, values = rows(call)["input_ids"]
    return {"labels": (kind, [[IGNORED if token == call.pad_token_id else token for token in row] for row in values])}


def flattened(call: Call) -> dict[str, Entry]:
    """All samples in one row: tokens, and labels of which each sample's first is the separator."""
    inputs = _inputs(call)
    separator = call.told.get("separator_id", call.option("separator_id", IGNORED))
    learnt = [each["labels"] for each in call.samples] if "labels" in call.samples[0] else inputs
    kind = call.integers()
    return {
        "input_ids": (kind, [[token for row in inputs for token in row]]),
        "labels": (kind, [[label for row in learnt for label in (separator, *row[1:])]]),
    }


def positions(call: Call) -> dict[str, Entry]:
    """The place of each token in its own sample, unless that is not asked for."""
    if not call.option("return_position_ids", True):
        return {}
    start = call.option("position_ids_start", 0)
    return {"position_ids": (call.integers(), [[start + place for row in _inputs(call) for place in range(len(row))]])}


def boundaries(call: Call) -> dict[str, Entry]:
    """Where samples begin and end in the one row, in the ways that are asked for."""
    lengths = [len(row) for row in _inputs(call)]
    small = call.integers().replace("64", "32")
    batch: dict[str, Entry] = {}
    if call.option("return_seq_idx", False):
        batch["seq_idx"] = (small, [[number for number, length in enumerate(lengths) for _ in range(length)]])
    if call.option("return_flash_attn_kwargs", False):
        ends = (small, [0, *_sums(lengths)])
        batch |= {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends}
        batch |= {"max_length_q": ("int", max(lengths)), "max_length_k": ("int", max(lengths))}
    return batch


def _sums(numbers: Sequence[int]) -> Iterator[int]:
    total = 0
    for number in numbers:
        total += number
        yield total
