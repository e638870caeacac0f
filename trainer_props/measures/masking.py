"""What is measured of batches in which tokens were chosen to be predicted: a token is chosen where its label is not -100."""

from __future__ import annotations

from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record

IGNORED = -100


def pairs(record: Record, calls: list[int]) -> list[tuple[int, int]]:
    """The inputs and labels of all tokens that were chosen in these calls."""
    found = []
    for call in calls:
        batch = record.results["batches"][call]
        for tokens, labels in zip(batch["input_ids"][1], batch["labels"][1], strict=False):
            found += [(token, label) for token, label in zip(tokens, labels, strict=False) if label != IGNORED]
    return found


@measure
def original(record: Record, call: int, number: int) -> list[int]:
    """A row as it was: the label of each token that has one, else the token itself."""
    batch = record.results["batches"][call]
    tokens, labels = batch["input_ids"][1][number], batch["labels"][1][number]
    return [token if label == IGNORED else label for token, label in zip(tokens, labels, strict=False)]


@measure
def chosen_of(record: Record, call: int, number: int, columns: list[int]) -> list[int]:
    """Those of some columns of a row that were chosen."""
    labels = record.results["batches"][call]["labels"][1][number]
    return [column for column in columns if column < len(labels) and labels[column] != IGNORED]


@measure
def chosen(record: Record, calls: list[int]) -> int:
    """How many tokens were chosen."""
    return len(pairs(record, calls))


@measure
def masked(record: Record, calls: list[int], mask: int) -> int:
    """How many of the chosen tokens became the mask token, but for those that were it before."""
    return sum(token == mask != label for token, label in pairs(record, calls))


@measure
def kept(record: Record, calls: list[int], mask: int) -> int:
    """How many of the chosen tokens stayed what they were, but for those that were the mask token before."""
    return sum(token == label != mask for token, label in pairs(record, calls))


@measure
def became(record: Record, calls: list[int], word: int) -> int:
    """How many of the chosen tokens became this one, and were another before."""
    return sum(token == word != label for token, label in pairs(record, calls))


@measure
def unmasked(record: Record, call: int, number: int, mask: int) -> list[int]:
    """The columns of a row that were chosen, and do not hold the mask token."""
    batch = record.results["batches"][call]
    tokens, labels = batch["input_ids"][1][number], batch["labels"][1][number]
    return [column for column, token in enumerate(tokens) if labels[column] != IGNORED and token != mask]


@measure
def tokens_outside(record: Record, calls: list[int], size: int) -> list[int]:
    """Inputs that are no identities of a vocabulary of that size."""
    rows = [row for call in calls for row in record.results["batches"][call]["input_ids"][1]]
    return sorted({token for row in rows for token in row if not 0 <= token < size})


@measure
def differ(record: Record, calls: list[int]) -> bool:
    """Whether no two of these calls chose the same tokens."""
    found = [record.results["batches"][call]["labels"][1] for call in calls]
    return all(one != other for place, one in enumerate(found) for other in found[:place])


@measure
def moved(record: Record) -> bool:
    """Whether the global generator of torch moved."""
    return bool(record.results["random"])


@measure
def torn(record: Record, call: int, number: int, words: list[list[int]]) -> list[list[int]]:
    """The words of a row, each a list of columns, of which some tokens were chosen and others not."""
    labels = record.results["batches"][call]["labels"][1][number]
    return [word for word in words if len({labels[column] != IGNORED for column in word}) > 1]


@measure
def beginnings(record: Record, calls: list[int], places: list[list[int]]) -> int:
    """How many of these places, each a row and a column, were chosen in these calls."""
    found = [record.results["batches"][call]["labels"][1] for call in calls]
    return sum(labels[row][column] != IGNORED for labels in found for row, column in places)


@measure
def hidden_unchosen(record: Record, call: int, number: int) -> list[int]:
    """The columns of a row that some token may not attend to, though they were not chosen."""
    batch = record.results["batches"][call]
    labels, mask = batch["labels"][1][number], batch["perm_mask"][1][number]
    return [column for column in range(len(labels)) if labels[column] == IGNORED and any(seen[column] for seen in mask)]


@measure
def seen_by(record: Record, call: int, number: int, columns: list[int]) -> list[int]:
    """Those of some columns of a row whose tokens may attend to a chosen one."""
    batch = record.results["batches"][call]
    labels, mask = batch["labels"][1][number], batch["perm_mask"][1][number]
    hidden = [column for column, label in enumerate(labels) if label != IGNORED]
    return [column for column in columns if labels[column] == IGNORED and not all(mask[column][each] for each in hidden)]


@measure
def shape(record: Record, call: int, key: str) -> list[int]:
    """The numbers of rows, and of what is in the first of them, and so on."""
    sizes, found = [], record.results["batches"][call][key][1]
    while isinstance(found, list):
        sizes.append(len(found))
        found = found[0] if found else None
    return sizes


@measure
def orders(record: Record, call: int, number: int) -> list[int]:
    """Of the chosen tokens of a row, how many chosen ones each may attend to, in rising order: 0, 1, 2 ... if they stand in an order."""
    batch = record.results["batches"][call]
    labels, mask = batch["labels"][1][number], batch["perm_mask"][1][number]
    hidden = [column for column, label in enumerate(labels) if label != IGNORED]
    return sorted(sum(not mask[column][each] for each in hidden) for column in hidden)


@measure
def halves_that_cross(record: Record, call: int, number: int, functional: list[int]) -> list[Any]:
    """Pairs of a token of the first half of a row, and one of the second, of which the first may attend to the second, which was chosen, or
    the second, which was chosen too or is functional, may not attend to the first, which was chosen.
    """
    batch = record.results["batches"][call]
    labels, mask = batch["labels"][1][number], batch["perm_mask"][1][number]
    hidden = [column for column, label in enumerate(labels) if label != IGNORED]
    half, ordered = len(labels) // 2, sorted({*hidden, *functional})
    ahead = [[one, other] for one in ordered for other in hidden if one < half <= other and not mask[one][other]]
    return ahead + [[one, other] for one in hidden for other in ordered if one < half <= other and mask[other][one]]


@measure
def natural(record: Record, calls: list[int]) -> int:
    """Of how many rows the first two chosen tokens of a half stand in their natural order."""
    return sum(mask[second][first] == 0 for mask, first, second in neighbours(record, calls))


def neighbours(record: Record, calls: list[int]) -> list[Any]:
    """The first two chosen tokens of a half of each row, where there are two, with what may be seen in it."""
    found = []
    for call in calls:
        batch = record.results["batches"][call]
        for labels, mask in zip(batch["labels"][1], batch["perm_mask"][1], strict=True):
            half = len(labels) // 2
            hidden = [column for column, label in enumerate(labels) if label != IGNORED]
            halves = [[column for column in hidden if (column < half) is is_first] for is_first in (True, False)]
            found += [(mask, *each[:2]) for each in halves if len(each) > 1][:1]
    return found


@measure
def chosen_before(record: Record, call: int, number: int) -> list[int]:
    """How many tokens of a row were chosen up to each of them, it included."""
    counts, total = [], 0
    for label in record.results["batches"][call]["labels"][1][number]:
        total += label != IGNORED
        counts.append(total)
    return counts
