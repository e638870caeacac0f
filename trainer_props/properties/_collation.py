"""What properties of collators share: the call that a record is of, and preconditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from trainer_props.judgement import Judgement, holds_for_all, same
from trainer_props.measures import collators as measures
from trainer_props.oracles import collation
from trainer_props.oracles.collation import Call, Entry
from trainer_props.properties.needs import Need
from trainer_props.record import Record

COLLATE: Final = ("collate",)
DECODER: Final = (1, 0)
"""What the model's decoder starts with, and its padding: the configuration of the T5 that stands in a case."""

DEFAULT: Final = ("default_data_collator", "DefaultDataCollator")
PADDING: Final = (
    "DataCollatorWithPadding", "DataCollatorForTokenClassification", "DataCollatorForSeq2Seq", "DataCollatorForMultipleChoice",
)  # fmt: skip
LANGUAGE: Final = "DataCollatorForLanguageModeling"
PERMUTATION: Final = "DataCollatorForPermutationLanguageModeling"
FLATTENING: Final = "DataCollatorWithFlattening"
SEQ2SEQ: Final = "DataCollatorForSeq2Seq"

_last: list[Any] = [None, None]


def page(name: str) -> str:
    """The documentation of a collator."""
    return f"https://huggingface.co/docs/transformers/main_classes/data_collator#transformers.{name}"


def call_of(record: Record) -> Call:
    """The first call of the collator, for the oracles; kept for the next who asks, since many properties judge one record."""
    if _last[0] is not record:
        _last[:] = record, _call(record)
    call: Call = _last[1]
    return call


def _call(record: Record) -> Call:
    said: Mapping[str, Any] = record.results["parameters"]
    times, tokenizer = said["repeat"], said["tokenizer"]
    samples = [{key: value * times if isinstance(value, list) else value for key, value in each.items()} for each in said["features"]]
    return Call(
        said["collator"],
        samples * said["copies"],
        said["options"],
        said["call"],
        said["given_as"],
        tokenizer.get("padding_side", "right"),
        record.results["tokens"].get("pad_token"),
        tokenizer.get("model_max_length"),
        DECODER if said["model"] == "t5" else None,
    )


def is_one_of(record: Record, *names: str) -> bool:
    """Whether a batch was made, by one of these collators."""
    return record.failure is None and "refusal" not in record.results and record.results["parameters"]["collator"] in names


def made_by(name: str, reason: str, *collators: str) -> Need:
    """A precondition: a batch was made by one of these collators."""
    return Need(name, reason, lambda record, scenario: is_one_of(record, *collators))


def is_masked(record: Record) -> bool:
    """Whether tokens of the batch were chosen to be predicted."""
    return is_one_of(record, PERMUTATION) or (is_one_of(record, LANGUAGE) and record.results["parameters"]["options"].get("mlm", True))


def is_causal(record: Record) -> bool:
    """Whether the batch is one for causal language modeling."""
    return is_one_of(record, LANGUAGE) and not is_masked(record)


BATCHED: Final = Need(
    "batched", "no batch was made, or the options are to be refused",
    lambda record, scenario: record.failure is None and "refusal" not in record.results,
)  # fmt: skip


def entries_are(record: Record, predicted: Mapping[str, Entry], call: int = 0) -> Iterator[Judgement]:
    """That entries of a batch hold what is predicted, row by row where there are rows."""
    batch = record.results["batches"][call]
    for key, (_, expected) in predicted.items():
        observed = batch[key][1] if key in batch else None
        if isinstance(expected, list) and isinstance(observed, list) and len(expected) == len(observed) and expected != observed:
            for number, row in enumerate(expected):
                found = measures.row(record, call, key, number)
                yield same(key, expected=row, observed=found, at=f"row {number}, place", symptom="different")
        else:
            yield same(key, expected=expected, observed=measures.value(record, call, key), at="row")


def judged(quantity: str, record: Record, *predicted: Mapping[str, Entry]) -> Judgement:
    """All entries that are predicted hold what is predicted; not applicable if none is."""
    return holds_for_all(quantity, (judgement for each in predicted for judgement in entries_are(record, each)))


def promised(call: Call) -> dict[str, Entry]:
    """All entries of a batch; those that are drawn have a type, and no value that is theirs."""
    if call.collator in DEFAULT:
        return collation.stacked(call)
    if call.collator == FLATTENING:
        return {**collation.flattened(call), **collation.positions(call), **collation.boundaries(call)}
    if call.collator == PERMUTATION:
        floats = "numpy.float32" if call.in_numpy else "torch.float32"
        integers = (call.integers(), None)
        return {"input_ids": integers, "labels": integers, "perm_mask": (floats, None), "target_mapping": (floats, None)}
    if call.collator == LANGUAGE:
        return {**collation.rows(call), **collation.causal_labels(call)}
    return {**collation.rows(call), **collation.labels(call), **collation.decoder_inputs(call)}


def specials(record: Record, call: Call) -> Sequence[Sequence[bool]]:
    """Of each token of the padded rows, whether it can't be chosen: padding, and what the samples say, or else special tokens."""
    length = collation.width(call)
    rows = collation.padded(call, [each["input_ids"] for each in call.samples], length, call.pad_token_id)
    if call.given_as.startswith(("row", "matrix")) or "special_tokens_mask" not in call.samples[0] or call.collator == PERMUTATION:
        known = set(record.results["tokens"].values())
        return [[token in known for token in row] for row in rows]
    said = collation.padded(call, [each["special_tokens_mask"] for each in call.samples], length, 1)
    return [[bool(each) for each in row] for row in said]
