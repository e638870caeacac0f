"""The event language: which callback events a run sends, in which order.

Source: the docstrings of TrainerCallback and TrainerControl.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from trainer_props.oracles import accounting
from trainer_props.oracles.course import Course
from trainer_props.scenario import Scenario

LETTERS: Final[dict[str, str]] = {
    "on_train_begin": "T",
    "on_train_end": "t",
    "on_epoch_begin": "E",
    "on_epoch_end": "e",
    "on_step_begin": "S",
    "on_substep_end": "u",
    "on_pre_optimizer_step": "p",
    "on_optimizer_step": "o",
    "on_step_end": "s",
    "on_prediction_step": "i",
    "on_evaluate": "v",
    "on_log": "l",
    "on_save": "k",
}
"""One letter an event; events outside training (`on_init_end`, `on_predict`) have none."""


def letters(names: Iterable[str]) -> str:
    """The events as a word; those without a letter are left out."""
    return "".join(LETTERS.get(name, "") for name in names)


def expected(scenario: Scenario, course: Course) -> list[tuple[str, int]]:
    """(event, `global_step`) of a run that goes this course, from `on_train_begin` to `on_train_end`.

    An evaluation sends a prediction step a batch, logs its metrics, and then says `on_evaluate`; the end of training logs once.
    """
    return list(_events(scenario, course))


def _events(scenario: Scenario, course: Course) -> Iterator[tuple[str, int]]:
    evaluation = ["on_prediction_step"] * accounting.evaluation_batches(scenario) + ["on_log", "on_evaluate"]
    windows = accounting.windows(scenario, course.updates)
    yield "on_train_begin", 0
    if scenario.argument("eval_on_start"):
        yield from ((name, 0) for name in evaluation)
    for moment in course.moments:
        step = moment.step
        if moment.ends_epoch:
            yield "on_epoch_end", step
        else:
            window = windows[step - 1]
            if window.first == 0:
                yield "on_epoch_begin", step - 1
            yield "on_step_begin", step - 1
            yield from [("on_substep_end", step - 1)] * (window.batches - 1)
            yield "on_pre_optimizer_step", step - 1
            yield "on_optimizer_step", step - 1
            yield "on_step_end", step
        if moment.log:
            yield "on_log", step
        if moment.evaluate:
            yield from ((name, step) for name in evaluation)
        if moment.save:
            yield "on_save", step
    yield "on_log", course.updates
    yield "on_train_end", course.updates


class _Words:
    """A regular language: `full` matches its words, `begun` their beginnings."""

    def __init__(self, full: str, begun: str) -> None:
        self.full, self.begun = full, begun

    def then(self, *others: _Words) -> _Words:
        """One word of each language after another."""
        words = self
        for other in others:
            words = _Words(words.full + other.full, f"(?:{words.full}{other.begun}|{words.begun})")
        return words

    def many(self) -> _Words:
        """Any number of words."""
        return _Words(f"(?:{self.full})*", f"(?:{self.full})*{self.begun}")

    def perhaps(self) -> _Words:
        """One word or none."""
        return _Words(f"(?:{self.full})?", self.begun)


def _word(word: str) -> _Words:
    letters = [_Words(letter, f"{letter}?") for letter in word]
    return letters[0].then(*letters[1:])


_EVALUATION: Final = _word("i").many().then(_word("lv"))
_PLANS: Final = _word("l").perhaps().then(_EVALUATION.perhaps(), _word("k").perhaps())
_UPDATE: Final = _word("S").then(_word("u").many(), _word("pos"), _PLANS)
_EPOCH: Final = _word("E").then(_UPDATE, _UPDATE.many(), _word("e"), _PLANS)
_RUN: Final = _word("T").then(_EVALUATION.perhaps(), _EPOCH.many(), _word("lt"))
GRAMMAR: Final = re.compile(_RUN.full)
"""A finished run: T(i*lv)?(E(Su*posP)+eP)*lt with P = l?(i*lv)?k?."""
_BEGUN: Final = re.compile(_RUN.begun)


def first_break(word: str) -> int | None:
    """Where a word leaves the language: None if it is the word of a finished run.

    Position of the first letter that no finished run has after the letters before it; the length of the word if only its end is missing.

    Args:
        word: see `letters`.
    """
    if GRAMMAR.fullmatch(word):
        return None
    low, high = 0, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        if _BEGUN.fullmatch(word, 0, middle):
            low = middle
        else:
            high = middle - 1
    return low
