"""The collators of transformers that are called by themselves, and which seeds further calls of those that draw are made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

COLLATORS: Final[Mapping[str, bool]] = {
    "default_data_collator": False,
    "DefaultDataCollator": False,
    "DataCollatorWithPadding": True,
    "DataCollatorForTokenClassification": True,
    "DataCollatorForSeq2Seq": True,
    "DataCollatorForMultipleChoice": True,
    "DataCollatorForLanguageModeling": True,
    "DataCollatorForPermutationLanguageModeling": True,
    "DataCollatorWithFlattening": False,
}
"""Their names, and whether they take a tokenizer."""


@dataclass(frozen=True)
class Seeding:
    """How one call is made by a new collator.

    Attributes:
        own: the seed of the collator; None: it draws from global generators.
        everywhere: the seed of these.
        worker: the number of the worker that it is called in; None: the main process.
    """

    own: int | None
    everywhere: int
    worker: int | None


def seeding(which: str, own: int | None, everywhere: int) -> Seeding | None:
    """How a further call is made: `anew` with the same seed, with an `other` one, in `worker0`, `other_worker0`; None: by no new collator.

    A collator with a seed of its own meets global generators with another seed, whatever it is called.

    Args:
        own, everywhere: the seeds of the first call.
    """
    way, in_worker, number = which.partition("worker")
    if not (in_worker and number.isdecimal()) and way not in ("anew", "other"):
        return None
    is_other = way.startswith("other")
    worker = int(number) if in_worker else None
    return Seeding(None, everywhere + is_other, worker) if own is None else Seeding(own + is_other, everywhere + 1, worker)
