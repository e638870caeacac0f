"""Samples and data collators: each collator with samples that it is made for, and its options."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from hypothesis import strategies as st

from trainer_props.strategies.impossible_collations import refused
from trainer_props.strategies.picking import Pick
from trainer_props.zoo.vocabulary import SIZE, Vocabulary

IGNORED = -100

Parameters = dict[str, Any]

_MOST_SAMPLES: Final = 4
_LONGEST: Final = 6
_MANY: Final = 60
"""So many times over a row is long enough for its masked tokens to be counted."""
_COPIES: Final = 40
"""So many copies of a few rows are enough for orders and places to be counted."""
_MULTIPLES: Final = (None, None, 4, 3, 8)
_PROBABILITIES: Final = (0.5, 0.15, 1.0, 0.75, 0.25, 0.0, 0.5, 0.25)
_REPLACING: Final = (
    (0.8, 0.1), (0.5, 0.5), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (0.5, 0.25), (0.25, 0.75), (0.75, 0.0), (0.0, 0.5), (0.25, 0.5),
)  # fmt: skip
"""Parts that are masked and replaced at random: what is left of 1 is exact, since NumPy refuses probabilities of 1 + 2**-52."""
_FURTHER: Final = ("again", "first", "reversed")


@functools.cache
def collations() -> st.SearchStrategy[Parameters]:
    """Parameters of the experiment `collate`: a collator, its options, and samples that go together."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Parameters:
        pick = Pick(draw)
        return pick.choose(_KINDS)(pick)

    return drawn()


def _lengths(pick: Pick, *, alike: bool = False, even: bool = False) -> list[int]:
    """How long each of a few samples is."""
    count = pick.integer(1, _MOST_SAMPLES)
    if alike:
        return [pick.integer(1, _LONGEST)] * count
    return [pick.integer(1, _LONGEST // 2) * 2 if even else pick.integer(1, _LONGEST) for _ in range(count)]


def _tokens(content: random.Random, length: int) -> list[int]:
    return [content.randrange(SIZE) for _ in range(length)]


def _mostly_ordinary(content: random.Random, tokenizer: Parameters, features: list[Parameters]) -> None:
    """Put ordinary tokens in the place of most others: special ones are not masked."""
    ordinary = Vocabulary.of(tokenizer).ordinary
    for each in features:
        each["input_ids"] = [token if content.randrange(4) == 0 else content.choice(ordinary) for token in each["input_ids"]]


def _bits(content: random.Random, length: int) -> list[int]:
    return [content.randrange(2) for _ in range(length)]


def _case(collator: str, features: list[Parameters], **more: Any) -> Parameters:
    """Parameters of which each that is empty is left out, and each that is left out has a default that goes with the others."""
    said = {key: value for key, value in more.items() if value}
    ties = _TIES & {*said.get("tokenizer", ()), said.get("given_as")}
    tied = ("options", "call", "tokenizer", "given_as") if ties else ()
    return {
        "collate": {"collator": collator, "features": features, **{key: said.pop(key) for key in tied if key in said}},
        **said,
    }


_TIES: Final = frozenset({"model_max_length", "speech", "without", "zero_dimensional"})
"""What a tokenizer or samples are like where options can't be what they are without it, or it not without these."""


def _given(**options: Any) -> Parameters:
    """Options without those that are not said."""
    return {key: value for key, value in options.items() if value is not None}


def _in_numpy(pick: Pick, options: Parameters) -> Parameters:
    """Ask for arrays, when the collator is made or when it is called; gives what is said at the call."""
    where = pick.integer(0, 4)
    if where == 3:
        options["return_tensors"] = "np"
    if where == 4:
        options["return_tensors"] = "pt"
        return {"return_tensors": "np"}
    return {}


def _tokenizer(pick: Pick) -> Parameters:
    return _given(padding_side=pick.choose((None, "left")), specials=pick.choose((None, "last")))


def _further(pick: Pick) -> list[str]:
    which = pick.integer(0, len(_FURTHER))
    return [] if which == 0 else [_FURTHER[which - 1]]


def _default(pick: Pick) -> Parameters:
    content, count, length = pick.content(), pick.integer(1, _MOST_SAMPLES), pick.integer(1, 3)
    name = pick.choose(("default_data_collator", "DefaultDataCollator"))
    scalar: Mapping[str, Callable[[], Any]] = {
        "int": lambda: content.randrange(9), "float": lambda: content.randrange(9) / 4, "bool": lambda: content.randrange(2) == 1,
        "None": lambda: None,
    }  # fmt: skip
    keys: dict[str, Callable[[], Any]] = {}
    label = pick.choose(("int", "int", "float", "bool", "None", ""))
    label_ids = pick.choose(("", "int", "float", "None"))
    if label:
        keys["label"] = scalar[label]
    if label_ids:
        keys["label_ids"] = (lambda: [scalar[label_ids]() for _ in range(length)]) if label_ids != "None" else scalar["None"]
    others: Mapping[str, Callable[[], Any]] = {
        "input_ids": lambda: _tokens(content, length), "weight": scalar["float"],
        "flags": lambda: [scalar["bool"]() for _ in range(length)],
        "grid": lambda: [[scalar["float"]() for _ in range(2)] for _ in range(length)], "name": lambda: content.choice("abc"),
        "nothing": scalar["None"], "number": scalar["int"],
    }  # fmt: skip
    names = list(others)
    for _ in range(pick.integer(0, 3)):
        key = pick.choose(names)
        keys[key] = others[key]
    if not keys:
        keys["number"] = others["number"]
    options: Parameters = {}
    call = _in_numpy(pick, options)
    if name == "default_data_collator" and options:
        call, options = {"return_tensors": "np"}, {}
    in_numpy = "np" in (*options.values(), *call.values())
    # a truth value of NumPy is no whole number
    ways = ("objects", "mappings", *(() if label == "bool" else ("arrays",)), "zero_dimensional" if in_numpy else "tensors")
    given_as = pick.choose((None, *ways))
    features = [{key: make() for key, make in keys.items()} for _ in range(count)]
    return _case(name, features, options=options, call=call, given_as=given_as, calls=_further(pick))


def _padding(pick: Pick, lengths: list[int]) -> tuple[Parameters, Parameters]:
    """Options of padding, and the tokenizer."""
    tokenizer, longest = _tokenizer(pick), max(lengths)
    multiple = pick.choose(_MULTIPLES)
    ways = (None, "longest", "max_length", "model", *((False, "do_not_pad") * 3 if len(set(lengths)) == 1 else ()))
    way = pick.choose(ways)
    if way == "model":
        tokenizer["model_max_length"] = longest + pick.integer(0, 3)
        return _given(padding="max_length", pad_to_multiple_of=multiple), tokenizer
    length = None if way != "max_length" and pick.integer(0, 2) < 2 else longest + pick.integer(0, 3)
    return _given(padding=way, max_length=length, pad_to_multiple_of=multiple), tokenizer


def _rows(pick: Pick, content: random.Random, lengths: list[int]) -> list[Parameters]:
    """Tokens, with or without what else there may be of each."""
    further = pick.choose(((), ("attention_mask",), ("token_type_ids",), ("attention_mask", "token_type_ids", "special_tokens_mask")))
    return [{"input_ids": _tokens(content, each), **{key: _bits(content, each) for key in further}} for each in lengths]


def _with_padding(pick: Pick) -> Parameters:
    content, lengths = pick.content(), _lengths(pick, alike=pick.integer(0, 3) == 3)
    options, tokenizer = _padding(pick, lengths)
    if pick.integer(0, 4) == 4 and "model_max_length" not in tokenizer:
        return _speech(pick, content, lengths, options)
    features = _rows(pick, content, lengths)
    labels = pick.choose(("", "label", "label_ids", "labels"))
    floats = labels and pick.choose((False, True))
    several = labels and pick.choose((False, True))
    for each in features if labels else ():
        values = [content.randrange(9) / 4 if floats else content.randrange(9) for _ in range(2)]
        each[labels] = values if several else values[0]
    if pick.integer(0, 3) == 3:
        options["return_tensors"] = "np"
    given_as = pick.choose((None, "mappings") if floats else (None, "tensors", "arrays", "mappings"))
    return _case("DataCollatorWithPadding", features, options=options, tokenizer=tokenizer, given_as=given_as, calls=_further(pick))


def _speech(pick: Pick, content: random.Random, lengths: list[int], options: Parameters) -> Parameters:
    """Waves, and a feature extractor that pads them."""
    name = pick.choose(("", "label"))
    features: list[Parameters] = [
        {"input_values": [content.randrange(-8, 8) / 4 for _ in range(each)], **({name: content.randrange(9)} if name else {})}
        for each in lengths
    ]
    if pick.integer(0, 3) == 3:
        options["return_tensors"] = "np"
    return _case(
        "DataCollatorWithPadding", features, options=options, calls=_further(pick),
        tokenizer={"speech": True, **_given(padding_side=pick.choose((None, "left")))},
    )  # fmt: skip


def _token_classification(pick: Pick) -> Parameters:
    content, lengths = pick.content(), _lengths(pick, alike=pick.integer(0, 3) == 3)
    options, tokenizer = _padding(pick, lengths)
    features = _rows(pick, content, lengths)
    name = pick.choose(("labels", "label", "labels", "label", ""))
    for each, length in zip(features, lengths, strict=True) if name else ():
        each[name] = [content.randrange(9) for _ in range(length)]
    options |= _given(label_pad_token_id=pick.choose((None, -1)))
    call = _in_numpy(pick, options)
    given_as = pick.choose((None, "tensors", "arrays", "short_arrays"))
    return _case(
        "DataCollatorForTokenClassification", features, options=options, call=call, tokenizer=tokenizer, given_as=given_as,
        calls=_further(pick),
    )  # fmt: skip


def _seq2seq(pick: Pick) -> Parameters:
    content, alike = pick.content(), pick.integer(0, 3) == 3
    lengths = _lengths(pick, alike=alike)
    of_labels = [pick.integer(1, _LONGEST)] * len(lengths) if alike else [pick.integer(1, _LONGEST) for _ in lengths]
    options, tokenizer = _padding(pick, [max(each) for each in zip(lengths, of_labels, strict=True)])
    if not alike and options.get("padding") in (False, "do_not_pad"):
        del options["padding"]
    features = _rows(pick, content, lengths)
    name = pick.choose(("labels", "labels", "labels", "label", "labels", "label", "None", ""))
    for each, length in zip(features, of_labels, strict=True) if name else ():
        labels = [IGNORED if content.randrange(5) == 0 else content.randrange(SIZE) for _ in range(length)]
        each["labels" if name == "None" else name] = None if name == "None" else labels
    model = pick.choose((None, "t5", "t5", "t5", "linear"))
    options |= _given(label_pad_token_id=None if model == "t5" else pick.choose((None, -1)))
    call = {} if model == "t5" else _in_numpy(pick, options)
    given_as = pick.choose((None, "tensors", "arrays", "short_arrays"))
    return _case(
        "DataCollatorForSeq2Seq", features, options=options, call=call, tokenizer=tokenizer, given_as=given_as, model=model,
        calls=_further(pick),
    )  # fmt: skip


def _multiple_choice(pick: Pick) -> Parameters:
    content, choices, count = pick.content(), pick.integer(1, 3), pick.integer(1, 3)
    lengths = [[pick.integer(1, _LONGEST) for _ in range(choices)] for _ in range(count)]
    options, tokenizer = _padding(pick, [length for each in lengths for length in each])
    further = pick.choose(((), ("attention_mask",), ("token_type_ids",)))
    name = pick.choose(("labels", "label"))
    features = [
        {
            "input_ids": [_tokens(content, length) for length in each],
            **{key: [_bits(content, length) for length in each] for key in further},
            name: content.randrange(choices),
        }
        for each in lengths
    ]
    return _case("DataCollatorForMultipleChoice", features, options=options, tokenizer=tokenizer, calls=_further(pick))


_ROWS: Final = ("rows", "row_tensors", "row_arrays", "matrix")


def _causal(pick: Pick) -> Parameters:
    content, given_as = pick.content(), pick.choose((None, "tensors", "mappings", *_ROWS))
    bare = given_as in _ROWS
    without = ("mask_token", "pad_token") if bare and given_as != "matrix" and pick.integer(0, 2) == 2 else ()
    lengths = _lengths(pick, alike=bool(without) or given_as == "matrix")
    features = [{"input_ids": _tokens(content, each)} for each in lengths] if bare else _rows(pick, content, lengths)
    # without a padding token rows go together that need none
    options = {"mlm": False, **_given(pad_to_multiple_of=pick.choose((None, lengths[0]) if without else _MULTIPLES))}
    call = {"return_tensors": "np"} if given_as not in ("row_tensors", "matrix", "tensors") and pick.integer(0, 3) == 3 else {}
    tokenizer = {**_tokenizer(pick), **({"without": without} if without else {})}
    return _case(
        "DataCollatorForLanguageModeling", features, options=options, call=call, tokenizer=tokenizer, given_as=given_as,
        calls=_further(pick),
    )  # fmt: skip


def _masking(pick: Pick) -> Parameters:
    content, many = pick.content(), pick.integer(0, 2) > 0
    numbers = pick.integer(0, 2) == 2
    ways = (None, "mappings", "rows", "row_arrays") if numbers else (None, "tensors", *_ROWS)
    given_as = pick.choose(ways)
    lengths = _lengths(pick, alike=given_as == "matrix")
    lengths = lengths[:2] if many else lengths
    if given_as in _ROWS:
        features: list[Parameters] = [{"input_ids": _tokens(content, each)} for each in lengths]
    else:
        features = _rows(pick, content, lengths)
    tokenizer = _tokenizer(pick)
    _mostly_ordinary(content, tokenizer, features)
    options = _replacing(pick) | _given(pad_to_multiple_of=pick.choose(_MULTIPLES))
    calls = ["again", "anew", "other"]
    if options.get("seed") is not None:
        calls = pick.choose(([*calls, "worker0", "worker1"], ["again", "anew", "worker1", "worker2", "worker1", "other_worker1"]))
    if numbers:  # generators are made for what the collator was told when it was made
        options["return_tensors"] = "np"
    return _case(
        "DataCollatorForLanguageModeling", features, options=options, tokenizer=tokenizer, given_as=given_as,
        repeat=_MANY if many else None, seed=pick.integer(0, 99), calls=calls,
    )  # fmt: skip


def _replacing(pick: Pick) -> Parameters:
    masks, at_random = pick.choose(_REPLACING)
    probability = pick.choose(_PROBABILITIES)
    said = {"mlm_probability": probability, "mask_replace_prob": masks, "random_replace_prob": at_random}
    return {**said, **_given(seed=pick.choose((None, 0, 7, 41)))}


def _words(pick: Pick) -> Parameters:
    """Rows of equal length (offsets are not padded), in which some tokens touch the one before in the text; special ones stand nowhere."""
    content, lengths, tokenizer = pick.content(), _lengths(pick, alike=True), _tokenizer(pick)
    said, specials = pick.choose((False, True)), set(Vocabulary.of(tokenizer).identities.values())
    features: list[Parameters] = []
    for length in lengths:
        each: Parameters = {"input_ids": _tokens(content, length)}
        features.append(each)
    _mostly_ordinary(content, tokenizer, features)
    for each in features:
        special = [int(content.randrange(4) == 0 if said else token in specials) for token in each["input_ids"]]
        offsets, end = [], 0
        for is_special in special:
            start = end + content.randrange(2)
            offsets.append([0, 0] if is_special else [start, start + 1])
            end = end if is_special else start + 1
        each |= {"offset_mapping": offsets, **({"special_tokens_mask": special} if said else {})}
    options = {"whole_word_mask": True, **_replacing(pick)}
    in_numpy = pick.integer(0, 2) == 2
    if in_numpy:
        options["return_tensors"] = "np"
    ways = (None, "arrays") if in_numpy else (None, "arrays", "tensors")
    return _case(
        "DataCollatorForLanguageModeling", features, options=options, tokenizer=tokenizer, given_as=pick.choose(ways),
        seed=pick.integer(0, 99), calls=["again", "anew"], copies=_COPIES if pick.integer(0, 2) == 2 else None,
    )  # fmt: skip


def _permutation(pick: Pick) -> Parameters:
    content, numbers = pick.content(), pick.integer(0, 2) == 2
    many = pick.integer(0, 2) == 2
    given_as = pick.choose((None, "rows", "row_arrays", *(() if numbers else ("tensors", "row_tensors"))))
    tokenizer = _tokenizer(pick)
    lengths, plain = _lengths(pick, even=True), pick.choose((True, True, False))
    if many or plain:
        lengths = lengths[:1] * (1 if many else len(lengths))
    ordinary = Vocabulary.of(tokenizer).ordinary
    rows = [[content.choice(ordinary) for _ in range(each)] if plain else _tokens(content, each) for each in lengths]
    options = _given(plm_probability=pick.choose((None, 0.5, 0.25, 1.0)), max_span_length=pick.choose((None, 1, 2, 3)))
    if numbers:
        options["return_tensors"] = "np"
    return _case(
        "DataCollatorForPermutationLanguageModeling", [{"input_ids": row} for row in rows], options=options, tokenizer=tokenizer,
        given_as=given_as, copies=_COPIES if many else None, seed=pick.integer(0, 99), calls=["anew"],
    )  # fmt: skip


def _flattening(pick: Pick) -> Parameters:
    content, lengths = pick.content(), _lengths(pick)
    labelled = pick.choose((False, True))
    features = [
        {"input_ids": _tokens(content, each), **({"labels": [content.randrange(9) for _ in range(each)]} if labelled else {})}
        for each in lengths
    ]
    options = _given(
        return_position_ids=pick.choose((None, None, None, False)),
        position_ids_start=pick.choose((None, 2)),
        separator_id=pick.choose((None, 5)),
        return_flash_attn_kwargs=pick.choose((None, True, True)),
        return_seq_idx=pick.choose((None, True)),
    )
    call = _in_numpy(pick, options) | _given(separator_id=pick.choose((None, -1)))
    given_as = pick.choose((None, "tensors", "arrays", "short_arrays"))
    return _case("DataCollatorWithFlattening", features, options=options, call=call, given_as=given_as, calls=_further(pick))


_KINDS: Final = (
    *(_default, _with_padding, _token_classification, _seq2seq, _causal, _masking, _flattening, _multiple_choice, _permutation, _words),
    *(_default, refused, _seq2seq, _causal, _masking, _flattening, _permutation, _words, _masking, refused, _masking),
    _token_classification,
)
"""What only one of them shows is drawn about as often as what only another one shows."""
