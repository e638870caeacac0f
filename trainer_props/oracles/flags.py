"""Runs whose callbacks set control flags: which events they send, which flags are set at each, and where their updates are.

Source: the docstrings of TrainerControl (what each flag asks for, and when it is set back), of TrainerCallback (when each event is sent)
and of TrainingArguments (`max_steps`, and the plans for logging, evaluating and saving).

Flags act at two places: at the end of an update, and at the end of an epoch. There the training loss is logged if there are updates that
were not logged yet, then is evaluated, then a checkpoint is saved. A flag that what it asked for has set back, or the beginning of a step,
asks for nothing. A stop is looked at before a step begins and after every micro-batch. What an epoch stop leaves of a window is dropped:
no update averages over two epochs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from trainer_props.oracles import accounting, best_model, plans
from trainer_props.scenario import Scenario

FLAGS: Final = {
    "should_log": "l", "should_evaluate": "v", "should_save": "k", "should_epoch_stop": "e", "should_training_stop": "t",
}  # fmt: skip
"""Each flag by its letter, in the order in which a record names them."""
SET_BACK: Final = {
    "on_train_begin": "t", "on_epoch_begin": "e", "on_step_begin": "lvk", "on_log": "l", "on_evaluate": "v", "on_save": "k",
}  # fmt: skip
"""The flags that are set back before an event is sent."""

STOP_SEEN_AFTER_A_BATCH: Final = "stop_seen_after_a_batch"
BEST_OVERRULES: Final = "best_overrules"
EPOCHS_INSTEAD_OF_STEPS: Final = "epochs_instead_of_steps"
WORST_PASSED_OVER: Final = "worst_passed_over"
DEVIATIONS: Final = (STOP_SEEN_AFTER_A_BATCH, BEST_OVERRULES, EPOCHS_INSTEAD_OF_STEPS, WORST_PASSED_OVER)
"""In what a run may deviate from the documents:

- a stop that is asked for before a step begins is seen after the first micro-batch of that step only;
- under `save_strategy="best"` an evaluation that is not the best takes back what a callback has asked to be saved;
- `max_steps` is turned into a number of epochs, and an epoch that was stopped counts as a whole one;
- the worst infinity is no number, and never the best.
"""


class Asked(NamedTuple):
    """A flag that a callback sets: at which event, at which of the events of that name (counted from 1), and which."""

    event: str
    at: int
    flag: str


class Sent(NamedTuple):
    """An event: its name, `global_step`, `state.epoch`, and the letters of the flags that are set before the callback sets its own."""

    name: str
    step: int
    epoch: float
    flags: str


class Group(NamedTuple):
    """Micro-batches that were accumulated: how many, of how many that the window should have, and whether an update followed."""

    batches: int
    whole: int
    updated: bool


@dataclass(frozen=True)
class Flow:
    """How a run goes.

    Attributes:
        events: all events of training, in order.
        groups: all micro-batches, in order.
    """

    events: tuple[Sent, ...]
    groups: tuple[Group, ...]

    @property
    def batches_before_updates(self) -> list[int]:
        """Micro-batches of the run up to each update."""
        found, seen = [], 0
        for group in self.groups:
            seen += group.batches
            if group.updated:
                found.append(seen)
        return found

    @property
    def stopped_windows(self) -> list[int]:
        """The updates, counted from 1, before which micro-batches of a window were dropped; one more than there are, if none followed."""
        done = 0
        found = []
        for group in self.groups:
            done += group.updated
            if not group.updated:
                found.append(done + 1)
        return found


def flow(scenario: Scenario, asked: Sequence[Asked], values: Sequence[float] = (), deviations: Collection[str] = ()) -> Flow:
    """Follow a run through its events.

    Args:
        scenario: the run: map-style data, no early stopping, no evaluation before training.
        asked: what its callback sets.
        values: what the tracked metric is at each evaluation; NaN where there are no more. Nothing if none is tracked.
        deviations: of DEVIATIONS.
    """
    return _Run(scenario, tuple(asked), tuple(values), frozenset(deviations)).train()


@dataclass
class _Run:
    scenario: Scenario
    asked: tuple[Asked, ...]
    values: tuple[float, ...]
    deviations: frozenset[str]
    events: list[Sent] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    up: set[str] = field(default_factory=set)
    times: Counter[str] = field(default_factory=Counter)
    step: int = 0
    epoch: float = 0.0
    logged: int = 0
    evaluations: int = 0
    best: float | None = None

    def train(self) -> Flow:
        self.total = accounting.total_updates(self.scenario)
        self.per_epoch = accounting.batches_per_epoch(self.scenario)
        self.send("on_train_begin")
        number = 0
        while number < self.epochs() and not self.stops("t"):
            self.one_epoch(number)
            number += 1
            if "t" in self.up:
                break
        self.send("on_log")
        self.send("on_train_end")
        return Flow(tuple(self.events), tuple(self.groups))

    def epochs(self) -> float:
        """Epochs that may be begun."""
        if int(self.scenario.argument("max_steps")) > 0:
            return -(-self.total // accounting.updates_per_epoch(self.scenario)) if EPOCHS_INSTEAD_OF_STEPS in self.deviations else math.inf
        return math.ceil(accounting.exact(self.scenario.argument("num_train_epochs")))

    def stops(self, flags: str = "et") -> bool:
        """Whether one of these stops is seen before a step begins."""
        return bool(self.up & set(flags)) and STOP_SEEN_AFTER_A_BATCH not in self.deviations

    def send(self, name: str) -> None:
        """Send an event: flags are set back, the plans of the arguments set theirs, then the callback does."""
        self.up -= set(SET_BACK.get(name, ""))
        if name == "on_step_end":
            self.up |= self.due_after_update()
        if name == "on_epoch_end":
            self.up |= self.due_after_epoch()
        self.events.append(Sent(name, self.step, self.epoch, "".join(letter for letter in FLAGS.values() if letter in self.up)))
        self.times[name] += 1
        self.up |= {FLAGS[each.flag] for each in self.asked if (each.event, each.at) == (name, self.times[name])}

    def due_after_update(self) -> set[str]:
        scenario, step, last = self.scenario, self.step, self.step >= self.total
        log, evaluate, save = (str(scenario.argument(f"{kind}_strategy")) for kind in ("logging", "eval", "save"))
        due = {"t"} if last else set()
        if (step == 1 and scenario.argument("logging_first_step")) or (
            log == "steps" and _every(step, plans.logging_interval(scenario, self.total))
        ):
            due.add("l")
        if evaluate == "steps" and step >= accounting.exact(scenario.argument("eval_delay") or 0):
            due |= {"v"} if last or _every(step, plans.evaluation_interval(scenario, self.total)) else set()
        if save == "steps" and (last or _every(step, plans.save_interval(scenario, self.total))):
            due.add("k")
        return due

    def due_after_epoch(self) -> set[str]:
        scenario = self.scenario
        due = {letter for letter, kind in (("l", "logging"), ("k", "save")) if scenario.argument(f"{kind}_strategy") == "epoch"}
        if scenario.argument("eval_strategy") == "epoch" and self.epoch >= accounting.exact(scenario.argument("eval_delay") or 0):
            due.add("v")
        return due

    def one_epoch(self, number: int) -> None:
        self.send("on_epoch_begin")
        accumulation = int(self.scenario.argument("gradient_accumulation_steps"))
        for first in range(0, self.per_epoch, accumulation):
            if self.stops():
                break
            self.window(number, first, min(first + accumulation, self.per_epoch))
            if self.up & {"e", "t"}:
                break
        self.send("on_epoch_end")
        self.act()

    def window(self, number: int, first: int, end: int) -> None:
        self.send("on_step_begin")
        for position in range(first, end):
            if position == end - 1:
                self.groups.append(Group(end - first, end - first, updated=True))
                self.send("on_pre_optimizer_step")
                self.send("on_optimizer_step")
                self.step += 1
                self.epoch = number + end / self.per_epoch
                self.send("on_step_end")
                self.act()
            else:
                self.send("on_substep_end")
                if self.up & {"e", "t"}:
                    self.groups.append(Group(position + 1 - first, end - first, updated=False))
                    return

    def act(self) -> None:
        """What the flags ask for."""
        if "l" in self.up and self.step > self.logged:
            self.send("on_log")
            self.logged = self.step
        if "v" in self.up:
            for _ in range(accounting.evaluation_batches(self.scenario)):
                self.send("on_prediction_step")
            self.send("on_log")
            self.send("on_evaluate")
            best = self.is_best()
            if self.scenario.argument("save_strategy") == "best":
                self.up |= {"k"} if best else set()
                self.up -= {"k"} if not best and BEST_OVERRULES in self.deviations else set()
        if "k" in self.up:
            self.send("on_save")

    def is_best(self) -> bool:
        """Count an evaluation; whether it is better than all before."""
        value = self.values[self.evaluations] if self.evaluations < len(self.values) else math.nan
        self.evaluations += 1
        greater = best_model.greater_is_better(self.scenario)
        if WORST_PASSED_OVER in self.deviations and value == (-math.inf if greater else math.inf):
            return False
        better = best_model.is_better(value, self.best, greater)
        if better:
            self.best = value
        return better


def _every(step: int, interval: int) -> bool:
    return interval > 0 and step % interval == 0
