"""The course of a run: what its plans and its metric values make happen, in order.

Plans say what is due; the tracked metric decides what `save_strategy="best"` saves, what is the best checkpoint, and when early stopping
ends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from trainer_props.oracles import accounting, best_model, plans
from trainer_props.oracles.best_model import Best
from trainer_props.scenario import Scenario


@dataclass(frozen=True)
class Saved:
    """A checkpoint.

    Attributes:
        step: after which update it was saved.
        best: the best evaluation until then.
        best_checkpoint: step of the best checkpoint until then, this one included.
    """

    step: int
    best: Best | None
    best_checkpoint: int | None


@dataclass(frozen=True)
class Course:
    """How a run goes.

    Attributes:
        moments: every end of an update and of an epoch, with what happens there (`plans.Moment`; what `best` saves is filled in).
        evaluations: steps of the evaluations that take place, 0 for the check before training.
        updates: updates done.
        stopped: whether early stopping ended it.
        best: the best evaluation; None without a tracked metric.
        saves: every checkpoint that is saved.
        best_checkpoint: step of the best among the checkpoints that were saved and whose step was evaluated, or None.
    """

    moments: tuple[plans.Moment, ...]
    evaluations: tuple[int, ...]
    updates: int
    stopped: bool
    best: Best | None
    saves: tuple[Saved, ...]
    best_checkpoint: int | None

    @property
    def rotated(self) -> list[tuple[int, int | None]]:
        """The saves as `best_model.rotation` takes them."""
        return [(saved.step, saved.best_checkpoint) for saved in self.saves]


@dataclass
class _Metric:
    """What is known of the tracked metric so far. Without values nothing is best."""

    scenario: Scenario
    values: Sequence[float] | None
    start_counts: bool
    greater: bool = field(init=False)
    steps: list[int] = field(default_factory=list)
    best: Best | None = None
    saves: list[Saved] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.greater = best_model.greater_is_better(self.scenario)

    def evaluate(self, step: int) -> bool:
        """Count an evaluation; whether it is a new best."""
        self.steps.append(step)
        if self.values is None:
            return False
        if len(self.steps) > len(self.values):
            raise ValueError(f"{len(self.values)} metric values, and the evaluation at step {step} needs one more")
        value = self.values[len(self.steps) - 1]
        if not (step or self.start_counts) or not best_model.is_better(value, self.best.value if self.best else None, self.greater):
            return False
        self.best = Best(value, step)
        return True

    def save(self, step: int) -> None:
        """Count a checkpoint."""
        self.saves.append(Saved(step, self.best, None))
        self.saves[-1] = Saved(step, self.best, self.best_checkpoint())

    def best_checkpoint(self) -> int | None:
        """Step of the best among the checkpoints whose step has been evaluated."""
        if self.values is None:
            return None
        saved = {each.step for each in self.saves}
        pairs = [(step, self.values[index]) for index, step in enumerate(self.steps) if step in saved]
        best = best_model.best_of(pairs, self.greater)
        return best.step if best else None

    def stops_at(self) -> int | None:
        """Number of evaluations after which early stopping ends the run."""
        if self.values is None:
            return None
        skipped = 1 if self.scenario.argument("eval_on_start") and not self.start_counts else 0
        index = best_model.early_stopping(self.scenario, self.values[skipped:])
        return None if index is None else skipped + index + 1


def course(scenario: Scenario, total: int | None = None, values: Sequence[float] | None = None, *, start_counts: bool = True) -> Course:
    """Follow a run through its moments.

    Args:
        scenario: the run.
        total: updates if nothing stops it; default: `accounting.total_updates`.
        values: what the tracked metric is at each evaluation, in order, with `eval_on_start` the one before training first; what
            comes after the last evaluation is ignored. None: no metric is tracked.
        start_counts: whether the evaluation before training counts among those that were encountered.

    Raises:
        ValueError: fewer values than evaluations, or none where the run depends on them.
    """
    updates = accounting.total_updates(scenario) if total is None else total
    by_best = scenario.argument("save_strategy") == "best"
    if values is None and (by_best or scenario.components.early_stopping):
        raise ValueError("the course of this run depends on its metric values")
    metric = _Metric(scenario, values, start_counts)
    stops_at = metric.stops_at()
    lived: list[plans.Moment] = []
    stopped = False

    def live(moment: plans.Moment) -> None:
        nonlocal stopped
        saves = moment.save
        if moment.evaluate:
            new_best = metric.evaluate(moment.step)
            saves = new_best if by_best else saves
            stopped = stopped or len(metric.steps) == stops_at
        if saves:
            metric.save(moment.step)
        lived.append(moment._replace(save=saves))

    if scenario.argument("eval_on_start"):
        metric.evaluate(0)
    for moment in plans.moments(scenario, updates):
        live(moment)
        if stopped:
            if not moment.ends_epoch:
                live(plans.end_of_epoch(scenario, moment, accounting.windows(scenario, updates)[moment.step - 1]))
            break
    return Course(
        moments=tuple(lived),
        evaluations=tuple(metric.steps),
        updates=lived[-1].step if lived else 0,
        stopped=stopped,
        best=metric.best,
        saves=tuple(metric.saves),
        best_checkpoint=metric.best_checkpoint(),
    )
