"""Tokens seen in training.

Source: the docstrings of TrainingArguments (`include_num_input_tokens_seen`) and of TrainerState (`num_input_tokens_seen`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from trainer_props.oracles.accounting import Window
from trainer_props.scenario import Scenario


def counting(scenario: Scenario) -> str:
    """What is counted: `all`, `non_padding` or `no` (True and False are other words for the first and the last)."""
    asked = scenario.argument("include_num_input_tokens_seen")
    if isinstance(asked, bool):
        return "all" if asked else "no"
    return str(asked)


def tokens_of_batches(scenario: Scenario, batches: Iterable[tuple[int, int | None]]) -> list[int]:
    """Tokens that each training micro-batch adds.

    Args:
        scenario: says what is counted.
        batches: for each micro-batch the elements of the model's main input, and the sum of its attention mask (None: it has none, and
            then every element counts).
    """
    kind = counting(scenario)
    if kind == "no":
        return [0 for _ in batches]
    return [masked if kind == "non_padding" and masked is not None else elements for elements, masked in batches]


def tokens_seen(scenario: Scenario, batches: Iterable[tuple[int, int | None]]) -> int:
    """`num_input_tokens_seen` after these training micro-batches (arguments as for `tokens_of_batches`)."""
    return sum(tokens_of_batches(scenario, batches))


def tokens_after_updates(scenario: Scenario, windows: Sequence[Window], batches: Sequence[tuple[int, int | None]]) -> list[int]:
    """`num_input_tokens_seen` after every update, given the run's windows and its training micro-batches in order."""
    running = list(accumulate(tokens_of_batches(scenario, batches), initial=0))
    ends = accumulate(window.batches for window in windows)
    return [running[end] for end in ends]
