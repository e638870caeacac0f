"""A baseline and one changed run: the same scenario, with some arguments changed."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.hashed import Hashed
from trainer_props.experiments.registry import Body, Held, Wanted, train_body
from trainer_props.measures.pairs import BASELINE, CHANGED
from trainer_props.record import Record, Runs
from trainer_props.scenario import Scenario
from trainer_props.serialization import code

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

_SHARED_BASELINES: Final = 16
CHANGES: Final = ("observe", "change")
"""The parameters of cases that hold arguments of the changed run."""
CONSOLE: Final[Mapping[str, tuple[Any, ...]]] = {
    "disable_tqdm": (False,), "log_level": ("info", "debug"), "report_to": (["tensorboard"],),
}  # fmt: skip
"""What a changed run may be told to print, where nobody sees it; and the one tracker that needs no account, and writes where a run does."""
TRACKERS: Final = {"tensorboard": ("tensorboard", "tensorboardX")}
"""By tracker the packages of which it needs one."""


def held_arguments(held: Held) -> dict[str, Any]:
    """The arguments that stay as they are in all runs: held ones, and forbidden ones at their defaults."""
    return {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}


def without_workers(scenario: Scenario, held: Mapping[str, Any]) -> Scenario:
    """The scenario without worker processes, which take seconds, unless they are held."""
    of_workers = [name for name in scenario.arguments if name.startswith("dataloader_") and name != "dataloader_drop_last"]
    return scenario.without_arguments(*(name for name in of_workers if name not in held))


def run_pair(
    case: Case, subject: Subject, changes: Mapping[str, Any], body: Callable[..., None] | None = None, *, prints: bool = False
) -> Runs:
    """The baseline; then, if it began, the same run with these arguments.

    What the runs differ in stands in `arguments` of their records.

    Args:
        changes: arguments of TrainingArguments; with none of them, and no body, there is the baseline alone.
        body: what the changed run does instead of training once.
        prints: the runs print what they log, where nobody sees it.
    """
    from trainer_props.running import run as run_scenario  # what is heavy is imported when something runs, not when tests are collected
    from trainer_props.running.run import train

    shared = _baseline(Hashed(subject), case.scenario, prints)
    first = replace(shared, arguments={name: case.scenario.argument(name) for name in changes})
    runs = Runs({BASELINE: first})
    if (changes or body is not None) and first.events:
        with _console(prints):
            changed = run_scenario(case.scenario.with_arguments(**changes), subject, body or train, prints=prints)
        changed.arguments = dict(changes)
        runs[CHANGED] = changed
    return runs


@functools.lru_cache(maxsize=_SHARED_BASELINES)
def _baseline(subject: Hashed, scenario: Scenario, prints: bool) -> Record:
    """The run as its scenario has it; the last few are remembered, since cases that differ in their changes share it."""
    from trainer_props.running import run as run_scenario

    with _console(prints):
        return run_scenario(scenario, subject.subject, prints=prints)


def tracks(tracker: str) -> bool:
    """Whether a tracker of `report_to` has its package here."""
    return any(importlib.util.find_spec(package) is not None for package in TRACKERS[tracker])


def _console(prints: bool) -> AbstractContextManager[None]:
    from trainer_props.running.watching import hidden_console

    return hidden_console() if prints else nullcontext()


def pair_body(case: Case, changes: Mapping[str, Any], usual: Body, given: Mapping[str, tuple[Any, Any]] | None = None) -> Body:
    """The same in source: `run(output_dir, *parameters, **arguments)` makes one run.

    Args:
        usual: what a run does.
        given: what `run` takes besides: parameter -> its value for the baseline and for the changed run.
    """
    from trainer_props.subjects import Parts

    given = given or {}
    sides = {BASELINE: case.scenario, CHANGED: case.scenario.with_arguments(**changes)}
    lines = []
    for index, (side, scenario) in enumerate(sides.items()):
        kwargs = Parts(scenario).training_arguments_kwargs("")
        varied = [f"{name}={_source(kwargs[name])}" for name in sorted(changes) if name in kwargs]
        said = [f'f"{{output_dir}}/{side}"', *(_source(values[index]) for values in given.values()), *varied]
        lines.append(f'    "{side}": run({", ".join(said)}),')
    return replace(usual, parameters=list(given), varied=sorted(changes), several=["runs = {", *lines, "}"])


def changed_arguments(
    changes: Callable[[Case], dict[str, Any]],
) -> tuple[Callable[[Case, Subject], Runs], Callable[[Case, Wanted], Body]]:
    """What an experiment runs, and the same in source, whose two runs train once and differ in their arguments alone.

    Args:
        changes: the arguments of the changed run that differ from the baseline's.
    """

    def run(case: Case, subject: Subject) -> Runs:
        return run_pair(case, subject, changes(case))

    def body(case: Case, wanted: Wanted) -> Body:
        return pair_body(case, changes(case), train_body(case, wanted))

    return run, body


def _source(value: Any) -> str:
    return code(value).replace("'", '"')
