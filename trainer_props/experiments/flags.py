"""The experiment in which a callback sets control flags: it stops the run or the epoch, saves, evaluates or logs, at any event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.registry import Body, Experiment, Held, Wanted, register, train_body
from trainer_props.oracles import best_model
from trainer_props.record import Record
from trainer_props.scenario import Scenario

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "train_with_flags"
EVENTS: Final = (
    "on_step_end", "on_substep_end", "on_epoch_begin", "on_step_begin", "on_epoch_end", "on_log", "on_evaluate", "on_save",
    "on_optimizer_step", "on_pre_optimizer_step", "on_train_begin", "on_prediction_step",
)  # fmt: skip
_DRAWN_EVENTS: Final = (*EVENTS, "on_substep_end")
"""Within an accumulation window there is more to be left undone than anywhere else."""
FLAGS: Final = ("should_log", "should_evaluate", "should_save", "should_epoch_stop", "should_training_stop")
_DRAWN: Final = (*FLAGS, "should_epoch_stop", "should_training_stop")
_MOST: Final = 3
_NUMBERS: Final = (1, 2, 3, 4, 1, 2)
"""Which of the events of a name: in short runs most come a few times."""
_FLAVOURS: Final = ("regression", "saving")
_LEFT_OUT: Final = ("eval_on_start",)
"""A check before training is no part of training: no flag asks for it."""
_SCORES: Final = (0.5, 1.0, 0.25)

Plan = list[tuple[str, int, str]]


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Scenarios on map-style data, and what a callback sets.

    Parameters of a case: `plan`, a list of (event, which of the events of that name, counted from 1, flag).
    """
    arguments = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}
    flavours = {"regression": strategies.regression_scenarios, "saving": strategies.saving_scenarios}
    fitting = [
        scenarios(arguments=arguments, models=held.models)
        for name, scenarios in flavours.items()
        if held.models is None or set(held.models) & set(strategies.FLAVOURS[name].models)
    ]
    entries = st.lists(st.sampled_from(_DRAWN_EVENTS).flatmap(_entries), min_size=1, max_size=_MOST, unique=True)

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        plan = sorted(draw(entries))
        scenario = _with_room(_plain(draw(st.one_of(fitting)), arguments), plan, arguments)
        if any(flag == "should_evaluate" for _, _, flag in plan):
            scenario = _able_to_evaluate(scenario)
        return Case(experiment=NAME, scenario=scenario, parameters={"plan": plan})

    return drawn()


def _entries(event: str) -> st.SearchStrategy[tuple[str, int, str]]:
    """What may be asked for at the events of a name; a training begins once."""
    return st.tuples(st.just(event), st.sampled_from(_NUMBERS[:1] if event == "on_train_begin" else _NUMBERS), st.sampled_from(_DRAWN))


def _plain(scenario: Scenario, held: dict[str, Any]) -> Scenario:
    """The scenario without worker processes, which take seconds, poisoned losses, early stopping, which would be a second callback that
    stops, and a check before training.
    """
    left_out = [name for name in scenario.arguments if name in _LEFT_OUT or _is_of_workers(name)]
    kept = scenario.without_arguments(*(name for name in left_out if name not in held))
    return kept.replace(components=kept.components.replace(poisoned=(), early_stopping=None))  # type: ignore[no-any-return]


def _is_of_workers(name: str) -> bool:
    return name.startswith("dataloader_") and name != "dataloader_drop_last"


def asks(case: Case) -> bool:
    """Whether there are data where the plan has the trainer evaluate."""
    return bool(case.scenario.data.n_eval) or all(flag != "should_evaluate" for _, _, flag in case.parameters.get("plan", ()))


def _with_room(scenario: Scenario, plan: Plan, held: dict[str, Any]) -> Scenario:
    """The scenario with substeps where something is asked for at one, and with two epochs where one is to be stopped."""
    changes: dict[str, Any] = {}
    if any(event == "on_substep_end" for event, _, _ in plan) and scenario.argument("gradient_accumulation_steps") == 1:
        changes["gradient_accumulation_steps"] = 2
    stops = any(flag == "should_epoch_stop" for _, _, flag in plan)
    if stops and scenario.argument("max_steps") < 0 and scenario.argument("num_train_epochs") <= 1:
        changes["num_train_epochs"] = 2
    return scenario.with_arguments(**{name: value for name, value in changes.items() if name not in held})


def _able_to_evaluate(scenario: Scenario) -> Scenario:
    """The scenario with at least one batch of evaluation data, and the metric that it goes by."""
    least = int(scenario.argument("per_device_eval_batch_size")) if scenario.argument("dataloader_drop_last") else 1
    components = scenario.components
    if best_model.metric_name(scenario) not in (None, "loss") and not components.scores:
        components = components.replace(scores=_SCORES)
    return scenario.replace(  # type: ignore[no-any-return]
        data=scenario.data.replace(n_eval=max(scenario.data.n_eval, least)), components=components
    )


def plan_of(case: Case) -> Plan:
    """What the callback of a case sets.

    Raises:
        ValueError: there is no such event or flag.
    """
    plan = [(str(event), int(at), str(flag)) for event, at, flag in case.parameters.get("plan", ())]
    for event, _, flag in plan:
        if event not in EVENTS or flag not in FLAGS:
            raise ValueError(f"plan: there is no event {event!r} with flag {flag!r}")
    return plan


def run(case: Case, subject: Subject) -> Record:
    """Train once with the callback; the record's `results["plan"]` says what it sets."""
    from trainer_props.running import SetFlags, train
    from trainer_props.running import run as run_scenario

    plan = plan_of(case)

    def body(trainer: Any, record: Record, parts: Any) -> None:
        record.results["plan"] = [list(each) for each in plan]
        trainer.add_callback(SetFlags(plan))
        train(trainer, record, parts)

    return run_scenario(case.scenario, subject, body)


_CALLBACK: Final = '''\
class SetFlags(TrainerCallback):
    """Sets a control flag at some events of a name, counted from 1."""'''


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source."""
    plan = plan_of(case)
    lines = ["trainer.add_callback(SetFlags())"] if plan else []
    definition = _CALLBACK + "".join(_handler(event, plan) for event in dict.fromkeys(event for event, _, _ in plan))
    imports = ["from transformers import TrainerCallback"] if plan else []
    return Body([*lines, *train_body(case, wanted).lines], imports, [definition] if plan else [])


def _handler(event: str, plan: Iterable[tuple[str, int, str]]) -> str:
    """The method of one event."""
    short = event.removeprefix("on_")
    lines = [
        "", "", f"    {short}s = 0", "", f"    def {event}(self, args, state, control, **kwargs):", f"        self.{short}s += 1",
    ]  # fmt: skip
    for name, at, flag in plan:
        if name == event:
            lines += [f"        if self.{short}s == {at}:", f"            control.{flag} = True"]
    return "\n".join(lines)


register(
    Experiment(
        NAME,
        "Train once with a callback that sets control flags at any event: stop, stop the epoch, save, evaluate, log.",
        "test_trainer",
        cases,
        run,
        tuple(dict.fromkeys(name for flavour in _FLAVOURS for name in strategies.FLAVOURS[flavour].models)),
        1.2,
        body=body,
        avoids=("eval_on_start",),
        sensible=asks,
    )
)
