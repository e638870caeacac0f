"""A job: a training run that is made piece by piece, by one process after another, and what is on disk of it in between.

A *step* of its life is a JSON list, a kind and what belongs to it:

- `["train", k]`: a fresh Trainer goes on from the newest checkpoint, or begins where there is none; it saves and stops after k more
  updates;
- `["finish"]`: the same, to the end;
- `["crash", k, event]`: the same, but an exception comes at the next `event` after k more updates;
- `["again", k]`, `["again"]`: the Trainer that trained last goes on, from the newest checkpoint too; for k more updates, or to the end;
- `["evaluate"]`, `["predict"]`: a fresh Trainer loads the weights of the newest checkpoint and evaluates, or predicts the evaluation data;
- `["lose"]`: the newest checkpoint is deleted;
- `["move"]`: the output directory is moved to another place;
- `["change", arguments]`: from now on fresh Trainers have these arguments, of which none changes what is trained.

Source: the docstrings of `Trainer.train` (`resume_from_checkpoint`) and of TrainingArguments (`save_strategy`, `save_total_limit`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from trainer_props.oracles import accounting, plans
from trainer_props.scenario import Scenario

TRAINING: Final = ("train", "crash", "finish", "again")
LOOKING: Final = ("evaluate", "predict")
EVENTS: Final = ("on_save", "on_step_begin", "on_step_end", "on_pre_optimizer_step", "on_evaluate", "on_log", "on_epoch_end")
"""The events that an exception may come from."""

Step = Sequence[Any]


class Piece(NamedTuple):
    """What one training run of a job does.

    Attributes:
        begins: `global_step` with which it begins.
        ends: `global_step` when it is over.
        crashes: whether the exception that was asked for comes.
        disk: steps of the checkpoints that are there afterwards, ascending.
    """

    begins: int
    ends: int
    crashes: bool
    disk: tuple[int, ...]


class _Point(NamedTuple):
    """An event of a run, `global_step` then, and whether a checkpoint was written right before it."""

    event: str
    step: int
    saved: bool = False


@dataclass(frozen=True)
class Job:
    """Where a job stands.

    Attributes:
        scenario: the run, with the arguments of the next fresh Trainer.
        disk: steps of the checkpoints, ascending.
        alive: the Trainer that trained last is still there, and its arguments and its directory are still the right ones.
    """

    scenario: Scenario
    disk: tuple[int, ...] = ()
    alive: bool = False

    @property
    def done(self) -> int:
        """The updates in the newest checkpoint; 0 without one."""
        return max(self.disk, default=0)

    def can(self, step: Step) -> bool:
        """Whether a step is possible. What can't be is no part of a life: training on when all is done, losing what is not there."""
        kind = step[0]
        if kind in TRAINING:
            unfinished = self.done < accounting.total_updates(self.scenario)
            return unfinished and (kind != "again" or (self.alive and bool(self.disk)))
        if kind in LOOKING:
            return bool(self.disk) and self.scenario.data.n_eval > 0
        return kind == "change" or bool(self.disk)

    def after(self, step: Step) -> Job:
        """Where the job stands after a possible step."""
        kind = step[0]
        if kind in TRAINING:
            return replace(self, disk=piece(self.scenario, step, self.disk).disk, alive=True)
        if kind == "lose":
            return replace(self, disk=self.disk[:-1])
        if kind == "change":
            return replace(self, scenario=self.scenario.with_arguments(**step[1]), alive=False)
        return replace(self, alive=self.alive and kind != "move")


def possible(scenario: Scenario, steps: Sequence[Step]) -> list[Step]:
    """The steps without those that are not possible after the ones before."""
    job, found = Job(scenario), []
    for step in steps:
        if job.can(step):
            job = job.after(step)
            found.append(step)
    return found


def updates_of(step: Step) -> int | None:
    """After how many more updates a training step ends; None at the end of the job, and for steps that train nothing."""
    return int(step[1]) if step[0] in TRAINING and len(step) > 1 else None


def event_of(step: Step) -> str | None:
    """The event that an exception comes from; None for a run that is not to crash."""
    return (str(step[2]) if len(step) > 2 else EVENTS[0]) if step[0] == "crash" else None


def piece(scenario: Scenario, step: Step, disk: Sequence[int]) -> Piece:
    """What a training run does that goes on from the newest checkpoint.

    Args:
        scenario: with the arguments that it has.
        step: of TRAINING.
        disk: steps of the checkpoints before it.
    """
    begins, event, updates = max(disk, default=0), event_of(step), updates_of(step)
    at = begins + updates if updates is not None else None
    stops = at if event is None else None
    there, reached, armed = set(disk), begins, False
    for point in _points(scenario, begins, stops):
        reached = point.step
        if point.saved:
            there = _rotated({*there, point.step}, scenario)
        if armed and point.event == event:
            return Piece(begins, reached, True, tuple(sorted(there)))
        armed = armed or (event is not None and point.event == "on_step_end" and point.step == at)
    return Piece(begins, reached, False, tuple(sorted(there)))


def _points(scenario: Scenario, begins: int, stops: int | None) -> Iterator[_Point]:
    """The events of a run that begins after some updates, and saves and stops after others if nothing ended it before."""
    total = accounting.total_updates(scenario)
    for moment in plans.moments(scenario, total):
        step = moment.step
        if step <= begins:
            continue
        if stops is not None and step > stops:
            break
        if moment.ends_epoch:
            yield _Point("on_epoch_end", step)
        else:
            yield _Point("on_step_begin", step - 1)
            yield _Point("on_pre_optimizer_step", step - 1)
            yield _Point("on_step_end", step)
        if moment.log:
            yield _Point("on_log", step)
        if moment.evaluate:
            yield _Point("on_log", step)
            yield _Point("on_evaluate", step)
        if moment.save or (step == stops and not moment.ends_epoch):
            yield _Point("on_save", step, saved=True)
    yield _Point("on_log", max(begins, min(total, stops if stops is not None else total)))


def _rotated(steps: set[int], scenario: Scenario) -> set[int]:
    limit = scenario.argument("save_total_limit")
    return set(sorted(steps)[-int(limit) :]) if limit else steps


def history(scenarios: Sequence[Scenario], begins: Sequence[int], ends: int) -> list[list[Any]]:
    """Step and kind (`loss`, `evaluation`) of the entries of the log history of a job, in order.

    Each update counts as made by the last run that made it, and is logged and evaluated as that run has it.

    Args:
        scenarios: of the training runs, with the arguments that each has.
        begins: `global_step` with which each begins.
        ends: `global_step` when the last is over.
    """
    found: list[list[Any]] = []
    for number, (scenario, begun) in enumerate(zip(scenarios, begins, strict=True)):
        until = min([*begins[number + 1 :], ends])
        for moment in plans.moments(scenario, accounting.total_updates(scenario)):
            if begun < moment.step <= until:
                found += [[moment.step, "loss"]] * moment.log + [[moment.step, "evaluation"]] * moment.evaluate
    return found
