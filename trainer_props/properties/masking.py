"""Tokens that are chosen to be predicted: which they may be, how many, what stands in their place, and what that depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from trainer_props.judgement import Judgement, Violated, at_least, at_most, holds_for_all, is_true, not_applicable, same
from trainer_props.measures import collators as of_batches
from trainer_props.measures import masking as measures
from trainer_props.oracles import collation, masking
from trainer_props.properties._collation import (
    COLLATE,
    LANGUAGE,
    PERMUTATION,
    call_of,
    is_masked,
    is_one_of,
    made_by,
    page,
    specials,
)
from trainer_props.properties.needs import Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario
from trainer_props.zoo.vocabulary import SIZE

_BY_CHANCE: Final = masking.CHANCE

MASKED = Need("masked", "no tokens are chosen", lambda record, scenario: is_masked(record))
BERT = Need("bert", "no tokens are chosen for masked language modeling", lambda record, scenario: is_masked(record) and _is_bert(record))
PIECES = Need(
    "pieces", "words are chosen, or nothing is",
    lambda record, scenario: is_masked(record) and _is_bert(record) and not _options(record).get("whole_word_mask"),
)  # fmt: skip
WORDS = Need(
    "words", "tokens are chosen one by one, or none are",
    lambda record, scenario: is_masked(record) and bool(_options(record).get("whole_word_mask")),
)  # fmt: skip
PERMUTED = made_by("permuted", "nothing is permuted", PERMUTATION)
SQUARE = Need(
    "square", "perm_mask does not have a place for each pair of tokens (masking.permuted_targets_are_hidden says so)",
    lambda record, scenario: measures.shape(record, 0, "perm_mask").value == _squares(record),
)  # fmt: skip


def _squares(record: Record) -> list[int]:
    call = call_of(record)
    return [len(call.samples), *[collation.width(call)] * 2]


def _is_bert(record: Record) -> bool:
    return is_one_of(record, LANGUAGE)


def _options(record: Record) -> Any:
    return record.results["parameters"]["options"]


def _calls(record: Record) -> list[int]:
    """The calls that draw different numbers: the first one, and those of the same collator that follow."""
    further = record.results["parameters"]["calls"]
    return [0, *(number for number, which in enumerate(further, 1) if which == "again")]


def _rows(record: Record, judge: Callable[[int, Sequence[bool], Sequence[int]], Judgement]) -> Iterator[Judgement]:
    """Of each row of the first batch: its number, which of its tokens are special, and the tokens."""
    call = call_of(record)
    length = collation.width(call)
    rows = collation.padded(call, [each["input_ids"] for each in call.samples], length, call.pad_token_id)
    for number, (special, row) in enumerate(zip(specials(record, call), rows, strict=True)):
        yield judge(number, special, row)


def _between(quantity: str, bounds: tuple[int, int], observed: Any, at: str = "") -> Iterator[Judgement]:
    least, most = bounds
    yield at_least(quantity, expected=least, observed=observed, at=at)
    yield at_most(quantity, expected=most, observed=observed, at=at)


@trainer_property(source=page(LANGUAGE), experiments=COLLATE, needs=[MASKED], catalogue=[85])
def labels_are_the_chosen_tokens(record: Record, scenario: Scenario) -> Judgement:
    """Where a token was chosen, its label is what it was; everywhere else the label is -100 and the token is untouched."""
    batch = record.results["batches"][0]
    if len(batch["labels"][1]) != len(call_of(record).samples):
        return same("rows", expected=len(call_of(record).samples), observed=of_batches.value(record, 0, "labels"), symptom="different")
    judgements = _rows(
        record, lambda number, special, row: same(
            "tokens as they were", expected=list(row), observed=measures.original(record, 0, number), at=f"row {number}, place",
            symptom="different",
        ),
    )  # fmt: skip
    return holds_for_all("tokens", judgements)


@trainer_property(source=page(LANGUAGE), experiments=COLLATE, needs=[MASKED], catalogue=[85])
def special_tokens_are_never_chosen(record: Record, scenario: Scenario) -> Judgement:
    """Padding and special tokens are never chosen: what `special_tokens_mask` says of them or, without it, the tokenizer."""
    judgements = _rows(
        record, lambda number, special, row: same(
            "chosen special tokens", expected=[],
            observed=measures.chosen_of(record, 0, number, [column for column, each in enumerate(special) if each]),
            at=f"row {number}", symptom="chosen",
        ),
    )  # fmt: skip
    return holds_for_all("special tokens", judgements)


@trainer_property(source=page(LANGUAGE), experiments=COLLATE, needs=[PIECES], catalogue=[85])
def tokens_are_chosen_with_mlm_probability(record: Record, scenario: Scenario) -> Judgement:
    """Each token that may be chosen is, with `mlm_probability`, whatever becomes of the others.

    Their number may leave its bounds by chance, once in 10^10 times at most.
    """
    calls = _calls(record)
    eligible = sum(len(masking.eligible(row)) for row in specials(record, call_of(record))) * len(calls)
    bounds = masking.bounds(eligible, _options(record).get("mlm_probability", 0.15))
    return holds_for_all("chosen tokens", _between("chosen tokens", bounds, measures.chosen(record, calls)))


@trainer_property(source=page(LANGUAGE), experiments=COLLATE, needs=[BERT], catalogue=[85])
def chosen_tokens_are_masked_replaced_or_kept(record: Record, scenario: Scenario) -> Judgement:
    """Of the chosen tokens, a part of `mask_replace_prob` becomes the mask token, one of `random_replace_prob` any token, the rest stays.

    A random token may happen to be the mask token, or the one that was there. Whole words are all masked. The numbers may leave their
    bounds by chance, once in 10^10 times at most for each of them.
    """
    calls, mask = _calls(record), record.results["tokens"]["mask_token"]
    masks, at_random = _replacing(record)
    tosses = sum(label != mask for _, label in measures.pairs(record, calls))
    kept = 1.0 - masks - at_random
    for_masks = masking.bounds(tosses, min(1.0, masks + at_random / SIZE))
    for_kept = masking.bounds(tosses, max(0.0, kept + at_random / SIZE))
    return holds_for_all(
        "chosen tokens",
        [
            *_between("chosen tokens that were masked", for_masks, measures.masked(record, calls, mask)),
            *_between("chosen tokens that stayed", for_kept, measures.kept(record, calls, mask)),
        ],
    )


def _replacing(record: Record) -> tuple[float, float]:
    """The probabilities by which a chosen token is masked, or replaced by any."""
    options = _options(record)
    if options.get("whole_word_mask"):
        return 1.0, 0.0
    return float(options.get("mask_replace_prob", 0.8)), float(options.get("random_replace_prob", 0.1))


@trainer_property(source=page(LANGUAGE), experiments=COLLATE, needs=[PIECES], catalogue=[85])
def random_tokens_are_any_of_the_tokenizer(record: Record, scenario: Scenario) -> Judgement:
    """What replaces a token at random is each token of the tokenizer alike, added ones too, and no other one.

    The number of each may leave its bounds by chance, once in 10^10 times at most.
    """
    calls, mask = _calls(record), record.results["tokens"]["mask_token"]
    outside = same("tokens that nobody knows", expected=[], observed=measures.tokens_outside(record, calls, SIZE), symptom="outside")
    labels = [label for _, label in measures.pairs(record, calls)]
    judgements = [outside]
    for word in (each for each in range(SIZE) if each != mask):
        bounds = masking.bounds(sum(label != word for label in labels), _replacing(record)[1] / SIZE)
        observed = measures.became(record, calls, word)
        if not bounds[0] <= observed.value <= bounds[1]:
            judgements += _between("tokens that became one and the same", bounds, observed, at=f"token {word}")
    return holds_for_all("random tokens", judgements)


def _number_of(record: Record, which: str) -> int | None:
    calls = record.results["parameters"]["calls"]
    return calls.index(which) + 1 if which in calls else None


@trainer_property(source=page(LANGUAGE), experiments=COLLATE, needs=[MASKED], catalogue=[85])
def same_seed_same_choice(record: Record, scenario: Scenario) -> Judgement:
    """A new collator with the same `seed` chooses the same tokens and puts the same in their place, whatever the global generators do;
    without a seed, these decide.
    """
    number = _number_of(record, "anew")
    if number is None:
        return not_applicable("no second collator was made")
    judgements = (
        same(
            key, expected=of_batches.value(record, 0, key), observed=of_batches.value(record, number, key), at="row", symptom="different"
        )
        for key in sorted(record.results["batches"][0])
    )  # fmt: skip
    return holds_for_all("batches", judgements)


@trainer_property(source=page(LANGUAGE), experiments=COLLATE, needs=[PIECES], catalogue=[85])
def another_seed_another_choice(record: Record, scenario: Scenario) -> Judgement:
    """A collator with another `seed` chooses other tokens of the same samples, in the main process and in a worker; without a seed that of
    the global generators decides.

    Judged where they are the same by chance once in 10^10 times at most.
    """
    if _too_alike(record):
        return not_applicable("too few tokens")
    pairs = [(0, _number_of(record, "other")), (_number_of(record, "worker1"), _number_of(record, "other_worker1"))]
    judgements = (
        is_true("the same tokens by another seed", measures.differ(record, [one, other]), expected=False, observed=True, symptom="the same")
        for one, other in pairs
        if one is not None and other is not None
    )
    return holds_for_all("seeds", judgements)


@trainer_property(source=page(LANGUAGE), experiments=COLLATE, needs=[BERT], catalogue=[85])
def seeded_collators_draw_from_their_own(record: Record, scenario: Scenario) -> Judgement:
    """A collator with a `seed` draws from a generator of its own, and leaves the global one of torch where it is; without, it draws from
    that.
    """
    if call_of(record).in_numpy:
        return not_applicable("NumPy draws")
    seeded = _options(record).get("seed") is not None
    return same("the global generator moves", expected=not seeded, observed=measures.moved(record), symptom="different")


def _too_alike(record: Record) -> bool:
    """Whether two series of choices may well be the same by chance."""
    eligible = sum(len(masking.eligible(row)) for row in specials(record, call_of(record)))
    return masking.all_alike(eligible, _options(record).get("mlm_probability", 0.15)) > _BY_CHANCE


@trainer_property(source=page(LANGUAGE), experiments=COLLATE, needs=[PIECES], catalogue=[85])
def every_batch_is_masked_anew(record: Record, scenario: Scenario) -> Judgement:
    """The next batch of the same samples has other tokens chosen: masking is dynamic, with a seed as without.

    Judged where they are the same by chance once in 10^10 times at most.
    """
    calls = _calls(record)
    if len(calls) < 2 or _too_alike(record):
        return not_applicable("too few tokens, or one batch")
    return is_true("the same tokens again", measures.differ(record, calls), expected=False, observed=True, symptom="the same")


@trainer_property(source=page(LANGUAGE), experiments=COLLATE, needs=[PIECES], catalogue=[85])
def workers_choose_on_their_own(record: Record, scenario: Scenario) -> Judgement:
    """With a `seed`, workers of a DataLoader choose other tokens than each other of the same samples, and each the same ones again.

    Judged where they are the same by chance once in 10^10 times at most.
    """
    calls = [(number, which) for number, which in enumerate(record.results["parameters"]["calls"], 1) if which.startswith("worker")]
    if len({which for _, which in calls}) < 2 or _options(record).get("seed") is None or _too_alike(record):
        return not_applicable("too few tokens or workers, or no seed")
    first = {which: number for number, which in reversed(calls)}
    again = (
        same(f"labels of {which}", expected=of_batches.value(record, first[which], "labels"),
             observed=of_batches.value(record, number, "labels"), at="row", symptom="different")
        for number, which in calls if number != first[which]
    )  # fmt: skip
    differ = measures.differ(record, sorted(first.values()))
    return holds_for_all("workers", [
        is_true("workers choose the same tokens", differ, expected=False, observed=True, symptom="the same"), *again,
    ])  # fmt: skip


@trainer_property(source=page(LANGUAGE), experiments=COLLATE, needs=[WORDS], catalogue=[85])
def words_are_chosen_whole(record: Record, scenario: Scenario) -> Judgement:
    """With `whole_word_mask`, of each word all tokens are chosen, or none; a word is chosen with `mlm_probability`, whatever its length.

    Words are told by `offset_mapping`: their tokens touch in the text, with no special one between. The number of words may leave its
    bounds by chance, once in 10^10 times at most.
    """
    call = call_of(record)
    found = [
        masking.words(special, sample["offset_mapping"])
        for special, sample in zip(specials(record, call), call.samples, strict=True)
    ]  # fmt: skip
    places = [[number, word[0]] for number, words in enumerate(found) for word in words]
    calls = _calls(record)
    bounds = masking.bounds(len(places) * len(calls), _options(record).get("mlm_probability", 0.15))
    torn = (
        same("words in part", expected=[], observed=measures.torn(record, 0, number, words), at=f"row {number}", symptom="torn")
        for number, words in enumerate(found)
    )
    return holds_for_all("words", [*torn, *_between("chosen words", bounds, measures.beginnings(record, calls, places))])


_SQUARES: Final = ("target_mapping", "perm_mask")


@trainer_property(source=page(PERMUTATION), experiments=COLLATE, needs=[PERMUTED], catalogue=[85])
def permuted_targets_are_hidden(record: Record, scenario: Scenario) -> Judgement:
    """For permutation language modeling all chosen tokens are masked, the i-th prediction is of the i-th token, and what was not chosen may
    be attended to by all.
    """
    sizes = [same(key, expected=_squares(record), observed=measures.shape(record, 0, key), symptom="size") for key in _SQUARES]
    if any(isinstance(each, Violated) for each in sizes):
        return holds_for_all("sizes", sizes)
    mask = record.results["tokens"]["mask_token"]
    length = collation.width(call_of(record))
    identity = [[float(row == column) for column in range(length)] for row in range(length)]

    def judge(number: int, special: Sequence[bool], row: Sequence[int]) -> Judgement:
        return holds_for_all(
            "a row",
            [
                same("unmasked", expected=[], observed=measures.unmasked(record, 0, number, mask), at=f"row {number}", symptom="unmasked"),
                same(
                    "target_mapping", expected=identity, observed=of_batches.row(record, 0, "target_mapping", number),
                    at=f"row {number}, prediction", symptom="different",
                ),
                same(
                    "hidden tokens that were not chosen", expected=[], observed=measures.hidden_unchosen(record, 0, number),
                    at=f"row {number}", symptom="hidden",
                ),
            ],
        )  # fmt: skip

    return holds_for_all("rows", _rows(record, judge))


@trainer_property(source=page(PERMUTATION), experiments=COLLATE, needs=[PERMUTED, SQUARE], catalogue=[85])
def permuted_tokens_stand_in_an_order(record: Record, scenario: Scenario) -> Judgement:
    """The chosen tokens of a row stand in an order that is drawn: each attends to those before it, and not to itself.

    The first half of the row comes before the second; functional tokens (special ones, padding) have a place in them too. Other tokens
    attend to no chosen one.

    Of two tokens each is the first as often. That may leave its bounds by chance, once in 10^10 times at most.
    """
    calls = _calls(record)

    def judge(number: int, special: Sequence[bool], row: Sequence[int]) -> Judgement:
        functional = [column for column, each in enumerate(special) if each]
        others = [column for column, each in enumerate(special) if not each]
        observed, at = measures.orders(record, 0, number), f"row {number}"
        seeing, crossing = measures.seen_by(record, 0, number, others), measures.halves_that_cross(record, 0, number, functional)
        return holds_for_all(
            "a row",
            [
                same("chosen tokens that each sees", expected=[*range(len(observed.value))], observed=observed, at=at, symptom="no order"),
                same("ordinary tokens that see", expected=[], observed=seeing, at=at, symptom="seen"),
                same("halves", expected=[], observed=crossing, at=at, symptom="crossed"),
            ],
        )

    bounds = masking.bounds(len(measures.neighbours(record, calls)), 0.5)
    return holds_for_all(
        "rows", [*_rows(record, judge), *_between("rows in natural order", bounds, measures.natural(record, calls))]
    )


@trainer_property(source=page(PERMUTATION), experiments=COLLATE, needs=[PERMUTED], catalogue=[85])
def permuted_spans_are_as_long_as_promised(record: Record, scenario: Scenario) -> Judgement:
    """For permutation language modeling, spans of 1 to `max_span_length` tokens are chosen, each in a context of which it is a part of
    `plm_probability`: so many of a row, and of each of its beginnings, up to the last context. With spans of one token, any place is as
    likely.

    Judged of rows without special tokens. Numbers of places may leave their bounds by chance, once in 10^10 times at most. Of arrays spans
    may be longer by one, and begin later by one, since Python's `randint` draws its upper bound too: with a part of 1, all that is sure of
    them is that one of the first two tokens is chosen.
    """
    call, options = call_of(record), _options(record)
    longest, probability = options.get("max_span_length", 5), options.get("plm_probability", 1 / 6)
    plain = [number for number, row in enumerate(specials(record, call)) if not any(row)]
    judgements: list[Judgement] = []
    for number in plain:
        observed = measures.chosen_before(record, 0, number)
        limits = [masking.spans(length, longest + call.in_numpy, probability) for length in range(1, len(observed.value) + 1)]
        if call.in_numpy:
            limits = [(int(probability == 1 and length > 1), most) for length, (_, most) in enumerate(limits, 1)]
        expected = [min(max(count, least), most) for count, (least, most) in zip(observed.value, limits, strict=True)]
        at = f"row {number}, place"
        judgements.append(same("tokens chosen so far", expected=expected, observed=observed, at=at, symptom="too many or few"))
    if longest == 1 and plain and not call.in_numpy:
        context = int(1 / probability)
        for place in range(min(context, collation.width(call))):
            places = [[number, place] for number in plain]
            bounds = masking.bounds(len(places), 1 / context)
            judgements += _between("spans at a place", bounds, measures.beginnings(record, [0], places), at=f"place {place}")
    return holds_for_all("spans", judgements)
