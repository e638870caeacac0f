"""The words of a tiny tokenizer, whose special tokens stand first or last among them, and of which one word is added afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SPECIALS: Final[Mapping[str, str]] = {
    "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]",
}  # fmt: skip
_LETTERS: Final = tuple("abcd")
ADDED: Final = "e"
"""It makes the tokenizer longer than its model is."""
SIZE: Final = len(SPECIALS) + len(_LETTERS) + 1
"""Tokens of a tokenizer: identities are 0 to one less."""


@dataclass(frozen=True)
class Vocabulary:
    """What a tiny tokenizer knows.

    Attributes:
        padding_side: `right` or `left`.
        specials: whether the special tokens come `first` among the words, or `last`.
        without: names of special tokens (`mask_token`) that it does not have: their words are words like any other.
        model_max_length: how long an input may be; None: as long as it likes.
        speech: it is a feature extractor of speech, which pads waves instead of tokens, and knows no words.
    """

    padding_side: str = "right"
    specials: str = "first"
    without: tuple[str, ...] = ()
    model_max_length: int | None = None
    speech: bool = False

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Vocabulary:
        """From the keyword arguments of a case.

        Raises:
            TypeError: one that is not known.
        """
        return cls(**{**said, "without": tuple(said.get("without", ()))})

    @property
    def words(self) -> tuple[str, ...]:
        """The words of its model, in the order of their identities."""
        specials = tuple(SPECIALS.values())
        return (*_LETTERS, *specials) if self.specials == "last" else (*specials, *_LETTERS)

    @property
    def tokens(self) -> dict[str, str]:
        """Its special tokens: name -> word."""
        return {name: word for name, word in SPECIALS.items() if name not in self.without}

    @property
    def ordinary(self) -> list[int]:
        """Identities of tokens that are not special."""
        return sorted(set(range(SIZE)) - set(self.identities.values()))

    @property
    def identities(self) -> dict[str, int]:
        """Its special tokens: name -> identity."""
        return {name: self.words.index(word) for name, word in self.tokens.items()}
