"""Faults in schedules that show when they are stepped by themselves."""

from __future__ import annotations

from typing import Any

from trainer_props.faults.registry import fault


def _with_scheduler(change: Any) -> Any:
    """A Trainer class that makes its schedule as usual and then does `change` to it."""
    from transformers import Trainer

    class Changed(Trainer):
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            made = self.lr_scheduler is None
            super().create_scheduler(num_training_steps, optimizer)
            if made:
                change(self, num_training_steps)
            return self.lr_scheduler

    return Changed


@fault(property="schedules.rates_are_those_of_the_schedule")
def warmup_counted_twice() -> Any:
    """The schedule is made for the updates that follow the warmup, and takes the warmup off once more."""
    from transformers import Trainer

    class CountsTwice(Trainer):
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            warmup = self.args.get_warmup_steps(num_training_steps)
            return super().create_scheduler(max(1, num_training_steps - warmup), optimizer)

    return CountsTwice


@fault(property="schedules.rates_stay_where_the_schedule_ends")
def schedule_begins_anew_at_its_end() -> Any:
    """After its last step a schedule begins anew: the step is taken modulo the length of the run."""

    def change(trainer: Any, updates: int) -> None:
        scheduler = trainer.lr_scheduler
        usual = getattr(scheduler, "lr_lambdas", [])
        scheduler.lr_lambdas = [lambda step, factor=each: factor(step % (updates + 1)) for each in usual]

    return _with_scheduler(change)


@fault(property="schedules.rates_follow_what_the_schedule_is_told")
def patience_of_the_schedule_is_one_longer() -> Any:
    """A schedule that follows evaluations waits for one value more than its `patience` says."""

    def change(trainer: Any, updates: int) -> None:
        if hasattr(trainer.lr_scheduler, "patience"):
            trainer.lr_scheduler.patience += 1

    return _with_scheduler(change)


@fault(property="schedules.stepping_raises_nothing")
def schedule_refuses_to_go_on() -> Any:
    """A schedule that is stepped after its last step raises an error, as a one-cycle schedule does."""

    def change(trainer: Any, updates: int) -> None:
        scheduler, usual = trainer.lr_scheduler, trainer.lr_scheduler.step

        def step(*args: Any) -> None:
            if scheduler.last_epoch >= updates:
                raise ValueError(f"Tried to step {updates + 1} times. The total number of steps is {updates}")
            usual(*args)

        scheduler.step = step

    return _with_scheduler(change)
