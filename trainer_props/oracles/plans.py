"""Plans: after which updates is logged, evaluated and saved.

Source: the docstrings of TrainingArguments (`logging_strategy`, `logging_steps`, `logging_first_step`, `eval_strategy`, `eval_steps`,
`eval_delay`, `save_strategy`, `save_steps`). Within one moment the order is: log, evaluate, save.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from trainer_props.oracles import accounting
from trainer_props.scenario import Scenario


class Moment(NamedTuple):
    """A point of the run where the plans may ask for something: the end of an update, or the end of an epoch.

    Attributes:
        step: updates done.
        ends_epoch: the end of an epoch (it follows the moment of the epoch's last update, with the same step).
        log: the training loss is logged.
        evaluate: an evaluation follows.
        save: a checkpoint follows. Under `save_strategy="best"` an evaluation decides, and this is False.
    """

    step: int
    ends_epoch: bool
    log: bool
    evaluate: bool
    save: bool


def logging_interval(scenario: Scenario, total: int) -> int:
    """Updates between two logs under `logging_strategy="steps"`; a ratio is one of all updates."""
    return accounting.resolve_steps(scenario.argument("logging_steps"), total)


def evaluation_interval(scenario: Scenario, total: int) -> int:
    """Updates between two evaluations under `eval_strategy="steps"`: `logging_steps` where `eval_steps` is not given."""
    steps = scenario.argument("eval_steps")
    return accounting.resolve_steps(steps, total) if steps else logging_interval(scenario, total)


def save_interval(scenario: Scenario, total: int) -> int:
    """Updates between two checkpoints under `save_strategy="steps"`; 0 means at the end only."""
    return accounting.resolve_steps(scenario.argument("save_steps"), total)


def delay_is_known(scenario: Scenario) -> bool:
    """Whether `eval_delay` can be told exactly: not in epochs of a stream without length, which nobody can count in its first pass."""
    by_epoch = scenario.argument("eval_strategy") == "epoch" and scenario.argument("eval_delay")
    return not (scenario.data.kind == "stream" and by_epoch)


def moments(scenario: Scenario, total: int) -> list[Moment]:
    """All moments of a run of `total` updates that nothing stops, in order.

    An epoch that the run leaves unfinished ends as any other: plans by epoch act at its end. Under plans by steps the last update is
    evaluated and saved, and not logged.
    """
    windows = accounting.windows(scenario, total)
    log, evaluate, save = (str(scenario.argument(f"{kind}_strategy")) for kind in ("logging", "eval", "save"))
    first = bool(scenario.argument("logging_first_step"))
    delay = accounting.exact(scenario.argument("eval_delay") or 0)
    log_every, evaluate_every, save_every = (
        logging_interval(scenario, total), evaluation_interval(scenario, total), save_interval(scenario, total))
    found = []
    for step, window in enumerate(windows, start=1):
        last = step == total
        moment = Moment(
            step,
            False,
            log=(first and step == 1) or (log == "steps" and _every(step, log_every)),
            evaluate=evaluate == "steps" and (last or _every(step, evaluate_every)) and step >= delay,
            save=save == "steps" and (last or _every(step, save_every)),
        )
        found.append(moment)
        if last or windows[step].epoch != window.epoch:
            found.append(end_of_epoch(scenario, moment, window))
    return found


def end_of_epoch(scenario: Scenario, last: Moment, window: accounting.Window) -> Moment:
    """What the end of an epoch asks for, whether it is complete or cut short, given the moment and the window of its last update."""
    per_epoch = accounting.batches_per_epoch(scenario)
    reached = Fraction(window.epoch * per_epoch + window.first + window.batches, per_epoch)
    return Moment(
        last.step,
        True,
        log=scenario.argument("logging_strategy") == "epoch" and not last.log,
        evaluate=scenario.argument("eval_strategy") == "epoch" and reached >= accounting.exact(scenario.argument("eval_delay") or 0),
        save=scenario.argument("save_strategy") == "epoch",
    )


def _every(step: int, interval: int) -> bool:
    return interval > 0 and step % interval == 0


def log_steps(scenario: Scenario, total: int) -> list[int]:
    """Updates after which the training loss is logged, in a run that nothing stops early."""
    return [moment.step for moment in moments(scenario, total) if moment.log]


def evaluation_points(scenario: Scenario, total: int) -> list[int]:
    """Updates after which is evaluated, in a run that nothing stops early; the check before training (`eval_on_start`) is 0."""
    start = [0] if scenario.argument("eval_on_start") else []
    return start + [moment.step for moment in moments(scenario, total) if moment.evaluate]


def save_points(scenario: Scenario, total: int) -> list[int] | None:
    """Updates after which a checkpoint is saved, in a run that nothing stops early; None where the metric decides (`best`)."""
    if scenario.argument("save_strategy") == "best":
        return None
    return [moment.step for moment in moments(scenario, total) if moment.save]
