"""`trainer-props check`: draw training runs, judge them, keep what they violate."""

from __future__ import annotations

import contextlib
import math
import random
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from trainer_props.arguments import nearest
from trainer_props.checking import where
from trainer_props.cli.choosing import chosen, devices_of, for_own_data, held_arguments, on_devices
from trainer_props.cli.common import (
    INTERRUPTED,
    NEW_VIOLATIONS,
    OK,
    USAGE,
    UsageError,
    importing,
    load_subject,
    refuse,
    regressions_folder,
)
from trainer_props.cli.outputs import Outputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from trainer_props.engine import Replay, Result
    from trainer_props.keeper import Keeper
    from trainer_props.subjects import Subject

_PROFILES: Final = {"quick": 60.0, "ci": None, "nightly": 3600.0}
_CI_EXAMPLES = 100


def check(
    subject: Annotated[
        str, typer.Argument(help="module:attribute of a Trainer class or of a factory that makes one.")
    ] = "transformers:Trainer",
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Time for exploring (60; shrinking comes on top).")] = None,
    max_examples: Annotated[int | None, typer.Option(min=1, help="Examples of each experiment; replaces --seconds.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Workers that explore side by side.")] = 1,
    profile: Annotated[str, typer.Option(help="quick (60 s), ci (100 examples each, the same every time) or nightly (an hour).")] = "quick",
    seed: Annotated[int | None, typer.Option(help="All draws follow from it; the clock decides how many (random, printed).")] = None,
    experiment: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only these experiments.")] = None,
    property: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only these properties.")] = None,
    model: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only these models.")] = None,
    devices: Annotated[
        str | None, typer.Option(metavar="LIST", help="Only these devices: numbers, kinds (single, data_parallel, gloo), or kind:number.")
    ] = None,
    arguments: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON of TrainingArguments to hold fixed; the rest is drawn around them.")
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the result there.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the result there, as a page for a browser.")] = None,
    regressions: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Regression examples: replayed first, and added to (.hypothesis/regressions).")
    ] = None,
    first_failure: Annotated[bool, typer.Option("--first-failure", help="Stop exploring at the first new violation.")] = False,
    no_known: Annotated[bool, typer.Option("--no-known", help="Treat known bugs as new.")] = False,
) -> int:
    """Draw training runs, run them on the subject, judge them; exits 1 if something new is violated."""
    if profile not in _PROFILES:
        raise UsageError(f"--profile {profile!r} is none of {', '.join(_PROFILES)}{nearest(profile, list(_PROFILES))}")
    if seconds is not None and not math.isfinite(seconds):
        raise UsageError(f"--seconds {seconds} is no length of time")
    outputs = Outputs(json, html)
    outputs.prepare()
    with importing():
        from trainer_props.engine import Plan
        from trainer_props.engine.crew import supervise_side_by_side
        from trainer_props.keeper import Keeper
        from trainer_props.regressions import Store, versions
        from trainer_props.reports import result as results
        from trainer_props.reports import scripts, terminal
        from trainer_props.subjects import SubjectError
    console = terminal.make_console()
    experiments, properties, models = chosen(experiment, property, model)
    folder = regressions_folder(regressions)
    loaded = load_subject(subject)
    held = held_arguments(loaded, arguments, models, console, devices_of(devices))
    experiments, properties = for_own_data(experiments, properties, held, subject)
    experiments, properties = on_devices(experiments, properties, held, devices)
    budget = {"--seconds": seconds, "--max-examples": max_examples, "--profile": profile if profile != "quick" else None}
    if max_examples is None and seconds is None:
        seconds, max_examples = _PROFILES[profile], _CI_EXAMPLES if _PROFILES[profile] is None else None
    if seed is None:
        seed = 0 if profile == "ci" else random.SystemRandom().randrange(2**32)
    repeat = _command_line(subject, budget, {
        "--jobs": jobs if jobs > 1 else None, "--seed": seed, "--experiment": experiment, "--property": property, "--model": model,
        "--devices": devices,
        "--arguments": arguments, "--regressions": regressions, "--first-failure": first_failure, "--no-known": no_known,
    })  # fmt: skip
    installed = ", ".join(f"{name} {number}" for name, number in list(versions().items())[:3])
    console.print(f"checking {subject} ({installed}), seed {seed}", soft_wrap=True)
    keeper = Keeper(Store(folder), subject, via="check")
    plan = Plan(
        experiments=experiments,
        properties=properties,
        seconds=None if max_examples is not None else seconds,
        max_examples=max_examples,
        seed=seed,
        held=held,
        known=not no_known,
        first_failure=first_failure,
        replayed=_replays(keeper, (experiments, properties, models), console),
    )
    try:
        with contextlib.ExitStack() as stack:
            running = [stack.enter_context(keeper.noting()) for _ in range(jobs)]
            live = stack.enter_context(terminal.Live(console))
            result = supervise_side_by_side(loaded, plan, keeper.before(live), jobs=jobs, running=running)
    except SubjectError as error:
        raise UsageError(str(error)) from None

    def data() -> dict[str, Any]:
        return results.to_data(result, command="check", subject=subject, profile=profile, kept=keeper.kept, repeat=repeat)

    outputs.write_json(data())
    terminal.print_result(console, result, subject, loaded.hint, keeper.kept, where(regressions))
    if not result.interrupted and _write_scripts(keeper, result, loaded, console):
        outputs.write_json(data())
    scripts.print_remedies(console, keeper.kept.values())
    outputs.finish(data(), console)
    return _exit_code(result)


def _command_line(subject: str, *asked: Mapping[str, Any]) -> str:
    """The command that does the same again.

    Args:
        asked: options with their values; None, False and nothing in a list stand for an option that was not given.
    """
    words = ["trainer-props", "check", subject]
    for option, value in (item for options in asked for item in options.items()):
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            words += [word for each in (value if isinstance(value, list) else [value]) for word in (option, str(each))]
    return shlex.join(words)


def _replays(keeper: Keeper, chosen: tuple[Sequence[str], Sequence[str], Sequence[str] | None], console: Console) -> tuple[Replay, ...]:
    """What is judged before anything is drawn, and a line on it."""
    from trainer_props.reports import terminal

    terminal.print_skipped(console, keeper.skipped)
    left = keeper.left()
    for each in left:
        console.print(terminal.starting_with(each), soft_wrap=True)
    stored = keeper.replays(*chosen)
    if stored:
        number = f"{len(stored)} regression example{'s' if len(stored) > 1 else ''}"
        console.print(f"replaying {number} of {terminal.shown(keeper.store.folder)}", soft_wrap=True)
    return (*left, *stored)


def _write_scripts(keeper: Keeper, result: Result, loaded: Subject, console: Console) -> bool:
    """Write a script beside each stored violation and run it; whether there was one to write."""
    from trainer_props.keeper import VERIFYING_SECONDS
    from trainer_props.reports.scripts import Scripts

    number = sum(keeper.kept[each.first.key].regression is not None for each in result.violations if each.first.key in keeper.kept)
    if not number:
        return False
    which = "its script" if number == 1 else f"their {number} scripts"
    console.print(f"running {which}, at most {VERIFYING_SECONDS:g} s each; Ctrl-C skips that", soft_wrap=True)
    try:
        with Scripts(console, number) as tell:
            keeper.write_scripts(result.violations, loaded, tell)
    except KeyboardInterrupt:
        result.interrupted = True
        console.print("interrupted: the scripts that are left were not run")
    return True


def _exit_code(result: Result) -> int:
    from trainer_props.experiments.arguments import NAME as TRAINS_NOTHING

    trouble = list(result.errors)
    counts = [each for each in result.experiments.values() if each.name != TRAINS_NOTHING]
    reasons = result.refusals | result.impossible
    if counts and reasons and not any(each.examples for each in counts):
        trouble.append(f"not one training run could be judged: {max(reasons, key=lambda text: reasons[text])}")
    if trouble:
        refuse(trouble[0] + (f" (and {len(trouble) - 1} more)" if len(trouble) > 1 else ""))
    if result.violations:
        return NEW_VIOLATIONS
    if trouble:
        return USAGE
    return INTERRUPTED if result.interrupted else OK
