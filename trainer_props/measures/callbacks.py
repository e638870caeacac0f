"""What is measured of events and control flags."""

from __future__ import annotations

from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record

LETTERS = {
    "on_train_begin": "T", "on_train_end": "t", "on_epoch_begin": "E", "on_epoch_end": "e",
    "on_step_begin": "S", "on_substep_end": "u", "on_pre_optimizer_step": "p",
    "on_optimizer_step": "o", "on_step_end": "s", "on_prediction_step": "i",
    "on_evaluate": "v", "on_log": "l", "on_save": "k",
}  # fmt: skip
CLEARED = {"on_step_begin": "lvk", "on_epoch_begin": "e", "on_log": "l", "on_evaluate": "v", "on_save": "k", "on_train_begin": "t"}
"""The flags that are reset when an event is sent."""


def folded(word: str, long: str, short: str) -> str:
    """The word with `long` replaced by `short` until there is none left."""
    while long in word:
        word = word.replace(long, short)
    return word


def with_plans(word: str, end: str) -> str:
    """The word without the log, the evaluation (`V`) and the save, each of which may follow the letter `end`, in this order."""
    for plans in ("lVk", "lV", "lk", "Vk", "l", "V", "k", ""):
        word = word.replace(end + plans, "#")
    return word.replace("#", end)


@measure
def events_follow_the_grammar(record: Record) -> bool:
    """Whether the events are those of a finished run: training holds epochs, epochs hold updates, updates hold substeps, one optimizer
    step, and then log, evaluation and save.
    """
    word = "".join(LETTERS.get(event.name, "") for event in record.events)
    word = folded(folded(word, "ii", "i"), "uu", "u").replace("ilv", "V").replace("lv", "V")
    if not word.endswith("lt"):
        return False
    word = word[:-2].replace("TV", "T").replace("Supos", "U").replace("Spos", "U")
    word = with_plans(with_plans(word, "U"), "e")
    return folded(word, "UU", "U").replace("EUe", "") == "T"


@measure
def events_and_steps(record: Record) -> list[list[Any]]:
    """Every event of training with the `global_step` at which it is sent."""
    return [[event.name, event.step] for event in record.events if event.name in LETTERS]


def event_with_a_flag_left(record: Record) -> int | None:
    """The first event at which a flag is set that should have been reset."""
    for index, event in enumerate(record.events):
        cleared = CLEARED.get(event.name)
        if cleared is not None and event.flags and any(flag in event.flags for flag in cleared):
            return index
    return None


@measure
def flags_are_reset(record: Record) -> bool:
    """Whether every flag is reset once it was obeyed."""
    return event_with_a_flag_left(record) is None


def step_after_a_stop(record: Record) -> list[int] | None:
    """The first `on_step_begin` after `should_training_stop` was set, and the event at which it was; None if there is none."""
    stopped = None
    for index, event in enumerate(record.events):
        if event.name == "on_train_begin":
            stopped = None
        elif event.name == "on_step_begin" and stopped is not None:
            return [index, stopped]
        elif stopped is None and "t" in event.flags:
            stopped = index
    return None


@measure
def no_step_begins_after_a_stop(record: Record) -> bool:
    """Whether no step begins once `should_training_stop` is set."""
    return step_after_a_stop(record) is None


@measure
def batches_at_ends_of_steps(record: Record) -> list[int]:
    """Training micro-batches seen at each `on_step_end` and `on_substep_end`."""
    return [event.batches for event in record.events if event.name in ("on_step_end", "on_substep_end")]


@measure
def numbers_of_batches(record: Record) -> list[int]:
    """The training micro-batches, counted from 1."""
    return list(range(1, len(record.batches) + 1))
