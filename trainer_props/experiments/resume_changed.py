"""The experiment that resumes a run with other arguments, beside a run that had them from its beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.registry import Body, Experiment, Held, Wanted, register
from trainer_props.experiments.resume_parts import (
    BASELINE,
    NEWEST,
    baseline,
    imports_of_training,
    interruption_source,
    newest_checkpoint,
    plain,
    training,
    training_source,
    unscored,
)
from trainer_props.oracles import accounting
from trainer_props.record import Runs
from trainer_props.scenario import Scenario, thaw

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "resume_changed"
_LENGTH: Final = ("max_steps", "num_train_epochs")
_MODELS: Final = strategies.FLAVOURS["regression"].models
_MOST: Final = 4
"""The largest interval of logs, evaluations and saves before the change."""


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Scenarios on map-style data as they are resumed, and what was different before.

    Parameters of a case: `interrupt_at` (the update after which the first part ends, with a checkpoint), `before` (arguments of the first
    part that differ from those of the scenario: about its length, about what is a batch, or about when it logs, evaluates and saves).
    """
    arguments = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}
    drawing = {"length": _shorter, "batch": _other_batches, "plan": _other_plan}

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        scenario = unscored(plain(draw(strategies.regression_scenarios(arguments=arguments, models=held.models)), arguments), arguments)
        kind = draw(st.sampled_from(["plan", "plan", "batch", "length"]))
        scenario, before = drawing[kind](draw, scenario, arguments)
        before = {name: value for name, value in before.items() if name not in arguments}
        whole = max(1, accounting.total_updates(scenario.with_arguments(**before)))
        at = whole if kind == "length" and draw(st.booleans()) else draw(st.integers(1, whole))
        return Case(experiment=NAME, scenario=scenario, parameters={"interrupt_at": at, "before": before})

    return drawn()


def _shorter(draw: st.DrawFn, scenario: Scenario, held: dict[str, Any]) -> tuple[Scenario, dict[str, Any]]:
    """A run that was to be shorter; mostly with a schedule that knows nothing of that."""
    fixed = {"lr_scheduler_type": "constant", "warmup_steps": 0} if draw(st.integers(0, 7)) else {}
    scenario = scenario.with_arguments(**{**fixed, **held})
    if scenario.argument("max_steps") > 0:
        return scenario, {"max_steps": draw(st.integers(1, scenario.argument("max_steps")))}
    epochs = scenario.argument("num_train_epochs")
    shorter = [value for value in (1, 2, 3, 0.5) if value < epochs]
    return (scenario, {"num_train_epochs": draw(st.sampled_from(shorter))}) if shorter else (scenario, {})


def _other_batches(draw: st.DrawFn, scenario: Scenario, held: dict[str, Any]) -> tuple[Scenario, dict[str, Any]]:
    """A run with another batch size, another accumulation, or both."""
    names = draw(st.sampled_from([["per_device_train_batch_size"], ["gradient_accumulation_steps"],
                                  ["per_device_train_batch_size", "gradient_accumulation_steps"]]))  # fmt: skip
    return scenario, {name: draw(st.integers(1, 4)) for name in names}


def _other_plan(draw: st.DrawFn, scenario: Scenario, held: dict[str, Any]) -> tuple[Scenario, dict[str, Any]]:
    """A run that logged, evaluated or saved at other times, or kept another number of checkpoints."""
    names = ["logging", "save", *(["eval"] if scenario.data.n_eval else [])]
    before: dict[str, Any] = {}
    now: dict[str, Any] = {}
    for name in draw(st.sampled_from([*([each] for each in names), names])):
        if name == "save":
            now |= {"save_strategy": "steps", "save_steps": draw(st.integers(1, _MOST)), "save_total_limit": draw(_LIMITS)}
            before["save_total_limit"] = draw(_LIMITS)
        before[f"{name}_strategy"] = draw(st.sampled_from(["steps", "epoch", "no"]))
        if before[f"{name}_strategy"] == "steps":
            before[f"{name}_steps"] = draw(st.integers(1, _MOST))
    changed = scenario.with_arguments(**{name: value for name, value in now.items() if name not in held and value is not None})
    # what evaluates has to go on doing so where a schedule or the best model asks for it
    if changed.argument("lr_scheduler_type") in ("reduce_lr_on_plateau", "greedy") and before.get("eval_strategy") == "no":
        before["eval_strategy"] = "epoch"
    return changed, before


_LIMITS: Final = st.sampled_from([None, 1, 2])


def run(case: Case, subject: Subject) -> Runs:
    """The baseline has the scenario's arguments from its beginning; the first part has those of before, the second one the scenario's."""
    from trainer_props.running import Interruption, output_directory
    from trainer_props.running import run as run_scenario

    at, before = (int(case.parameters.get("interrupt_at", 1)),), thaw(case.parameters.get("before", {}))
    runs = Runs({BASELINE: baseline(subject, case.scenario, at)})
    if not runs.first.finished:
        return runs
    with output_directory() as directory:
        first = training(Interruption(at, at[0]), None)
        runs["part 1"] = run_scenario(case.scenario.with_arguments(**before), subject, first, directory=directory)
        runs["part 1"].arguments = dict(before)
        if newest_checkpoint(directory) is not None:
            runs["part 2"] = run_scenario(case.scenario, subject, training(Interruption(at), True), directory=directory)
    return runs


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source: `run(output_dir, at, resumed, **arguments)` makes one run."""
    at, before = int(case.parameters.get("interrupt_at", 1)), thaw(case.parameters.get("before", {}))
    now = {name: thaw(case.scenario.argument(name)) for name in before}
    lines = ["interruption = Interruption(at)", "trainer.add_callback(interruption)", *training_source(wanted)]
    several = [
        f"before, now = dict({_keywords(before)}), dict({_keywords(now)})",
        'runs = {"baseline": run(f"{output_dir}/baseline", None, None, **now)}',
        f'runs["part 1"] = run(f"{{output_dir}}/interrupted", {at}, None, **before)',
        'runs["part 2"] = run(f"{output_dir}/interrupted", None, newest_checkpoint(f"{output_dir}/interrupted"), **now)',
    ]
    imports = ["import glob", "from transformers import TrainerCallback", *imports_of_training(wanted)]
    return Body(lines, imports, [interruption_source([at]), NEWEST], parameters=("at", "resumed"), varied=tuple(before), several=several)


def _keywords(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items()).replace("'", '"')


register(
    Experiment(
        NAME,
        "Resume a run with more updates, other batches, or another plan of logs, evaluations and saves.",
        "test_trainer_checkpointing",
        cases,
        run,
        _MODELS,
        0.8,
        body=body,
        avoids=("eval_on_start",),
    )
)
