"""Collators with options that can't be meant, or that tokenizer and samples are not made for."""

from __future__ import annotations

from typing import Any, Final

from trainer_props.strategies.picking import Pick
from trainer_props.zoo.vocabulary import SIZE

Parameters = dict[str, Any]

_LM: Final = "DataCollatorForLanguageModeling"
_PLM: Final = "DataCollatorForPermutationLanguageModeling"
_REFUSED: Final[tuple[Parameters, ...]] = (
    {"collator": _LM, "tokenizer": {"without": ["mask_token"]}},
    {"collator": _LM, "options": {"mlm": False, "whole_word_mask": True}},
    {"collator": _LM, "options": {"mlm": False}, "tokenizer": {"without": ["pad_token"]}},
    {"collator": _LM, "options": {"mlm": False}, "tokenizer": {"without": ["pad_token"]}, "given_as": "rows"},
    {"collator": _LM, "options": {"mlm": False, "return_tensors": "np"}, "tokenizer": {"without": ["pad_token"]}, "given_as": "rows"},
    {"collator": _LM, "options": {"return_tensors": "tf"}},
    {"collator": "DataCollatorWithPadding", "tokenizer": {"without": ["pad_token"]}},
    {"collator": "DataCollatorForTokenClassification", "options": {"return_tensors": "tf"}},
    {"collator": "DataCollatorWithFlattening", "options": {"return_tensors": "tf"}},
    {"collator": _PLM, "tokenizer": {"without": ["mask_token"]}},
    {"collator": _PLM, "tokenizer": {"without": ["mask_token"]}, "options": {"return_tensors": "np"}},
    {"collator": _PLM},
    {"collator": _PLM, "options": {"return_tensors": "np"}},
)
_OUTSIDE: Final = ("mlm_probability", "mask_replace_prob", "random_replace_prob", "sum")


def refused(pick: Pick) -> Parameters:
    """What can't be meant: a probability outside of its bounds, or what a tokenizer or samples are not made for."""
    content = pick.content()
    features = [{"input_ids": [content.randrange(SIZE) for _ in range(length)]} for length in (3, 1)]
    if pick.choose((True, False)):
        return {"collate": {"features": features, "refused": True, **pick.choose(_REFUSED)}}
    name, beyond = pick.choose(_OUTSIDE), pick.integer(1, 8) / 8
    if name == "sum":
        options = {"mask_replace_prob": 0.5 + beyond / 2, "random_replace_prob": 0.5}
    else:
        options = {"mask_replace_prob": 0.0, "random_replace_prob": 0.0, name: pick.choose((1 + beyond, -beyond))}
    return {"collate": {"collator": _LM, "features": features, "refused": True, "options": options}}
