"""Data collators by themselves: what a batch holds of the samples, and what is left of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from trainer_props.judgement import HOLDS, Judgement, holds_for_all, is_true, not_applicable, same
from trainer_props.measures import collators as measures
from trainer_props.oracles import collation
from trainer_props.oracles.collation import Sample
from trainer_props.properties._collation import (
    BATCHED,
    COLLATE,
    DEFAULT,
    FLATTENING,
    LANGUAGE,
    PADDING,
    SEQ2SEQ,
    call_of,
    entries_are,
    is_causal,
    is_masked,
    is_one_of,
    judged,
    made_by,
    page,
    promised,
)
from trainer_props.properties.needs import Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario

_PAGE: Final = "https://huggingface.co/docs/transformers/main_classes/data_collator"

SOUND = Need("sound", "the options are to be refused", lambda record, scenario: "refusal" not in record.results)
REFUSABLE = Need("refusable", "the options are sound", lambda record, scenario: "refusal" in record.results)
BY_DEFAULT = made_by("by_default", "another collator than the default one", *DEFAULT)
PADS = Need(
    "pads", "a collator that pads nothing", lambda record, scenario: is_one_of(record, *PADDING, LANGUAGE)
)
LABELLED = made_by("labelled", "a collator that returns no labels of samples", *PADDING)
FOR_SEQ2SEQ = made_by("for_seq2seq", "another collator than that for sequences to sequences", SEQ2SEQ)
FLATTENS = made_by("flattens", "a collator that does not flatten", FLATTENING)
REPEATED = Need(
    "repeated", "the collator was called once", lambda record, scenario: record.failure is None and bool(_further(record))
)
DRAWS_NOTHING = Need("draws_nothing", "the collator draws random numbers", lambda record, scenario: not is_masked(record))


@trainer_property(source=_PAGE, experiments=COLLATE, needs=[SOUND], catalogue=[83, 84, 85, 86, 87])
def collating_raises_nothing(record: Record, scenario: Scenario) -> Judgement:
    """A collator with documented options makes a batch of samples that go together: nothing is raised."""
    symptom = record.failure.kind if record.failure is not None else ""
    return same("exception", expected=None, observed=measures.exception(record), symptom=symptom, verdict="crashed")


@trainer_property(source=page(LANGUAGE), experiments=COLLATE, needs=[REFUSABLE], catalogue=[85])
def impossible_options_are_refused(record: Record, scenario: Scenario) -> Judgement:
    """Options that can't be meant are refused by a ValueError or TypeError, when the collator is made or when it is called.

    Probabilities outside 0 to 1 or with a sum above 1, masking without a mask token, whole words without masking, padding without a padding
    token, rows of odd length where they are permuted, and arrays of a library that nobody knows.
    """
    error = record.results["refusal"]
    observed = "a batch" if error is None else f"{error['kinds'][0]}: {error['message']}"
    symptom = "accepted" if error is None else error["kinds"][0]
    expected = "a ValueError or a TypeError"
    return is_true("what comes of the options", measures.refused(record), expected=expected, observed=observed, symptom=symptom)


@trainer_property(source=_PAGE, experiments=COLLATE, needs=[BATCHED], catalogue=[83, 84, 85, 86, 87])
def batches_have_the_promised_entries(record: Record, scenario: Scenario) -> Judgement:
    """A batch has the entries that are promised, no other ones, and each is a tensor or an array of the promised type.

    Labels are whole numbers of 64 bits or, of the default collator, numbers of single precision; so are all entries that say which tokens
    there are; what tells kernels where samples begin is of 32 bits. NumPy is asked for by `return_tensors`.
    """
    expected = {key: kind for key, (kind, _) in sorted(promised(call_of(record)).items())}
    return same("entries and their types", expected=expected, observed=measures.types(record, 0), symptom="different")


@trainer_property(source=page("default_data_collator"), experiments=COLLATE, needs=[BY_DEFAULT], catalogue=[83])
def default_batches_stack_the_samples(record: Record, scenario: Scenario) -> Judgement:
    """The default collator puts the values of each key together in the order of the samples; `label` or `label_ids` become `labels`.

    What is None or a text in the first sample is left out. `label` goes before `label_ids`.
    """
    return judged("entries", record, collation.stacked(call_of(record)))


@trainer_property(source=page("DataCollatorWithPadding"), experiments=COLLATE, needs=[PADS], catalogue=[84])
def rows_are_samples_and_padding(record: Record, scenario: Scenario) -> Judgement:
    """Each row is its sample and, at the padding side, padding up to the longest sample, or `max_length`, or the next multiple.

    The mask of attention is 1 (or what the sample says) and 0 on padding; types of tokens are 0 there. Several choices of a sample are
    rows of one batch. What masking changes is for the properties of masking.
    """
    rows = collation.rows(call_of(record))
    return judged("rows", record, {key: entry for key, entry in rows.items() if key != "input_ids" or not is_masked(record)})


@trainer_property(source=page("DataCollatorForTokenClassification"), experiments=COLLATE, needs=[LABELLED], catalogue=[84, 86])
def labels_follow_their_rows(record: Record, scenario: Scenario) -> Judgement:
    """Labels stand in the order of the samples. Those of tokens and of other sequences are padded with `label_pad_token_id` at the side of
    the inputs: to the length of these, or, of other sequences, to the longest, `max_length`, or the next multiple.
    """
    return judged("labels", record, collation.labels(call_of(record)))


@trainer_property(source=page("DataCollatorForSeq2Seq"), experiments=COLLATE, needs=[FOR_SEQ2SEQ], catalogue=[86])
def decoder_inputs_are_shifted_labels(record: Record, scenario: Scenario) -> Judgement:
    """With a model that prepares inputs of its decoder from labels, they are the padded labels one place later, after the token that it
    starts with, and padding in the place of -100.
    """
    return judged("inputs of the decoder", record, collation.decoder_inputs(call_of(record)))


@trainer_property(source=page(FLATTENING), experiments=COLLATE, needs=[FLATTENS], catalogue=[87])
def flattened_tokens_are_those_of_the_samples(record: Record, scenario: Scenario) -> Judgement:
    """A flattened batch is one row of all tokens in the order of the samples; so are its labels (those of the samples, or the tokens), but
    for the first of each sample, which is `separator_id`.
    """
    return judged("tokens", record, collation.flattened(call_of(record)))


@trainer_property(source=page(FLATTENING), experiments=COLLATE, needs=[FLATTENS], catalogue=[87])
def flattened_positions_restart(record: Record, scenario: Scenario) -> Judgement:
    """Positions in a flattened batch begin at `position_ids_start` in each sample."""
    return judged("positions", record, collation.positions(call_of(record)))


@trainer_property(source=page(FLATTENING), experiments=COLLATE, needs=[FLATTENS], catalogue=[87])
def flattened_boundaries_are_those_of_the_samples(record: Record, scenario: Scenario) -> Judgement:
    """Where they are asked for, `seq_idx` numbers the samples, `cu_seq_lens_q` and `_k` are where they begin and end, `max_length_q` and
    `_k` are how long the longest is.
    """
    return judged("boundaries", record, collation.boundaries(call_of(record)))


@trainer_property(source=page(LANGUAGE), experiments=COLLATE, needs=[PADS], catalogue=[85])
def causal_labels_are_the_inputs(record: Record, scenario: Scenario) -> Judgement:
    """Without masking, labels are the inputs, with -100 where the padding token stands, if there is one."""
    if not is_causal(record):
        return not_applicable("labels are of the samples, or of what is masked")
    return judged("labels", record, collation.causal_labels(call_of(record)))


def _further(record: Record) -> list[tuple[int, str]]:
    calls = record.results.get("parameters", {}).get("calls", ())
    return [(number, which) for number, which in enumerate(calls, 1) if which in ("again", "first", "reversed")]


@trainer_property(source=_PAGE, experiments=COLLATE, needs=[BATCHED, REPEATED, DRAWS_NOTHING], catalogue=[83, 84, 86, 87])
def batches_owe_nothing_to_earlier_ones(record: Record, scenario: Scenario) -> Judgement:
    """A collator that draws nothing makes of its next samples what it would have made of them first: of the same ones the same batch, of
    the same ones in another order their rows in that order, and of one sample alone its row, without the padding that the others needed.
    """
    call = call_of(record)
    judgements = (
        judgement
        for number, which in _further(record)
        for judgement in entries_are(record, promised(replace(call, samples=_SAMPLES[which](call.samples))), number)
    )
    return holds_for_all("further batches", judgements)


_SAMPLES: Final[Mapping[str, Callable[[Sequence[Sample]], Sequence[Sample]]]] = {
    "again": lambda samples: samples, "first": lambda samples: samples[:1], "reversed": lambda samples: samples[::-1],
}  # fmt: skip


@trainer_property(source=_PAGE, experiments=COLLATE, needs=[BATCHED], catalogue=[83, 84, 85, 86, 87])
def samples_stay_as_they_are(record: Record, scenario: Scenario) -> Judgement:
    """Collating changes neither the samples nor the tokenizer: its padding side, and whether it warns of padding.

    Data sets give the same objects in each epoch. For several choices the tokenizer itself pads, and so has warned.
    """
    (side, warned), samples = record.results["before"]
    if record.results["after"] == record.results["before"]:
        return HOLDS
    if is_one_of(record, "DataCollatorForMultipleChoice"):
        warned = record.results["after"][0][1]
    return same("tokenizer and samples", expected=[[side, warned], samples], observed=measures.left(record), symptom="different")
