"""The experiment that makes the optimizer and the schedule of a Trainer, and steps the schedule to its end and beyond, without training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props.case import Case
from trainer_props.experiments.pairs import held_arguments
from trainer_props.experiments.registry import Body, Experiment, Held, Wanted, register
from trainer_props.record import Record
from trainer_props.scenario import Scenario
from trainer_props.strategies import optimization
from trainer_props.strategies.draft import Draft

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "step_schedule"
_MOST_UPDATES: Final = 12
_MOST_BEYOND: Final = 4
_RATES: Final = (0.5, 0.1, 5e-5)
_OF_MANY_OPTIONS: Final = tuple(name for name in optimization.SCHEDULES if name not in ("linear", "constant", "constant_with_warmup"))
_MORE_OFTEN: Final = (*_OF_MANY_OPTIONS, "warmup_stable_decay", "warmup_stable_decay")
"""The more options a schedule has, the more there is to see."""


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Schedules with all their options, and the number of updates that they are made for (`max_steps`).

    Parameters of a case: `beyond` (steps that are made after the last), `again_at` (the step at which state is saved, and loaded into a new
    optimizer and schedule), `metrics` (for schedules that follow evaluations: what each step is told).
    """
    arguments = held_arguments(held)

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        draft = Draft(draw, arguments, "arguments")
        updates = draft.integer(1, _MOST_UPDATES)
        draft.set("max_steps", updates)
        updates = max(1, int(draft.get("max_steps")))
        draft.set("learning_rate", draft.choose(_RATES))
        follow = optimization.ADAPTIVE_SCHEDULES if draft.free("eval_strategy") else ()
        draft.turn_on("lr_scheduler_type", draft.choose((*optimization.SCHEDULES, *_MORE_OFTEN, *follow, *follow)))
        warmup = draft.choose((0, 1, 2, 3, updates // 2, updates - 1, updates, updates + 2))
        draft.turn_on("warmup_steps", warmup)
        rate = float(draft.get("learning_rate"))
        optimization.draw_schedule(draft, rate, updates)
        parameters: dict[str, Any] = {"beyond": draft.integer(0, _MOST_BEYOND)}
        if draft.choose((False, True)):
            parameters["again_at"] = draft.integer(0, updates)
        optimization.draw_schedule_kwargs(draft, updates, rate)
        optimization.draw_further_schedule_kwargs(draft)
        if draft.get("lr_scheduler_type") in optimization.ADAPTIVE_SCHEDULES:
            draft.set("eval_strategy", "steps")
            # Quarters: sums and means of them are exact.
            parameters["metrics"] = [draft.integer(-4, 4) / 4 for _ in range(updates + parameters["beyond"])]
        return Case(experiment=NAME, scenario=_scenario(draft), parameters=parameters)

    return drawn()


def _scenario(draft: Draft) -> Scenario:
    arguments = draft.arguments
    scenario = Scenario(arguments=arguments)
    if scenario.argument("eval_strategy") != "no" or scenario.argument("eval_on_start"):
        scenario = scenario.replace(data=scenario.data.replace(n_eval=1))
    return scenario


def asks(case: Case) -> bool:
    """Whether a schedule that goes by a metric, and no other, is given one."""
    return (case.scenario.argument("lr_scheduler_type") in optimization.ADAPTIVE_SCHEDULES) == ("metrics" in case.parameters)


def steps_of(case: Case) -> int:
    """How often the schedule is stepped."""
    return max(1, int(case.scenario.argument("max_steps"))) + int(case.parameters.get("beyond", 0))


def run(case: Case, subject: Subject) -> Record:
    """Make optimizer and schedule, step them; `results["rates"]` has the learning rates of all groups before each step and at the end."""
    from trainer_props.running import run as run_scenario

    updates, again_at = max(1, int(case.scenario.argument("max_steps"))), case.parameters.get("again_at")
    metrics = case.parameters.get("metrics")

    rates: list[list[float]] = []

    def stepping(trainer: Any, record: Record, parts: Any) -> None:
        record.results["rates"], record.results["told"] = rates, list(metrics or ())
        trainer.create_optimizer_and_scheduler(num_training_steps=updates)
        for step in range(steps_of(case)):
            if step == again_at:
                states = trainer.optimizer.state_dict(), trainer.lr_scheduler.state_dict()
                trainer.optimizer = trainer.lr_scheduler = None
                trainer.create_optimizer_and_scheduler(num_training_steps=updates)
                trainer.optimizer.load_state_dict(states[0])
                trainer.lr_scheduler.load_state_dict(states[1])
            rates.append([float(group["lr"]) for group in trainer.optimizer.param_groups])
            trainer.optimizer.step()
            trainer.lr_scheduler.step(*(() if metrics is None else (metrics[step],)))
        rates.append([float(group["lr"]) for group in trainer.optimizer.param_groups])

    return run_scenario(case.scenario, subject, stepping)


_RATES_OF_GROUPS: Final = 'rates.append([float(group["lr"]) for group in trainer.optimizer.param_groups])'


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source."""
    updates, again_at = max(1, int(case.scenario.argument("max_steps"))), case.parameters.get("again_at")
    metrics = case.parameters.get("metrics")
    keeps = "results" in wanted.fields
    make = f"trainer.create_optimizer_and_scheduler(num_training_steps={updates})"
    again = [
        f"    if step == {again_at}:",
        "        states = trainer.optimizer.state_dict(), trainer.lr_scheduler.state_dict()",
        "        trainer.optimizer = trainer.lr_scheduler = None",
        f"        {make}",
        "        trainer.optimizer.load_state_dict(states[0])",
        "        trainer.lr_scheduler.load_state_dict(states[1])",
    ]
    lines = [
        *(['record.results["rates"] = rates = []'] if keeps else []),
        make,
        *([] if metrics is None else [f"metrics = {list(metrics)!r}"]),
        f"for step in range({steps_of(case)}):",
        *(again if again_at is not None else []),
        *([f"    {_RATES_OF_GROUPS}"] if keeps else []),
        "    trainer.optimizer.step()",
        f"    trainer.lr_scheduler.step({'' if metrics is None else 'metrics[step]'})",
        *([_RATES_OF_GROUPS] if keeps else []),
    ]
    return Body(lines)


register(
    Experiment(
        NAME,
        "Make the optimizer and the schedule, and step the schedule to its end and beyond, with its state loaded anew in between; train "
        "nothing.",
        "test_trainer_optimizers",
        cases,
        run,
        ("regression",),
        1.0,
        body=body,
        trains=False,
        sensible=asks,
    )
)
