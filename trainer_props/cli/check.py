"""`trainer-props check`: draw training runs, judge them, keep what they violate."""

from __future__ import annotations

import contextlib
import math
import random
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from trainer_props.arguments import nearest
from trainer_props.checking import where
from trainer_props.cli.choosing import chosen, devices_of, for_arguments, for_own_data, held_arguments, on_devices
from trainer_props.cli.common import UsageError, importing, load_subject, regressions_folder
from trainer_props.cli.finishing import command_line, exit_code, finish, replays
from trainer_props.cli.outputs import Outputs

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
        str | None,
        typer.Option(metavar="LIST", help="Only these devices: numbers, kinds (single, data_parallel, gloo, fake), or kind:number."),
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
        from trainer_props.engine.signals import Signals
        from trainer_props.keeper import Keeper
        from trainer_props.regressions import Store, versions
        from trainer_props.reports import result as results
        from trainer_props.reports import terminal
        from trainer_props.subjects import SubjectError
    console = terminal.make_console()
    experiments, properties, models = chosen(experiment, property, model)
    folder = regressions_folder(regressions)
    loaded = load_subject(subject)
    held = held_arguments(loaded, arguments, models, console, devices_of(devices))
    experiments, properties = for_own_data(experiments, properties, held, subject)
    experiments, properties = on_devices(experiments, properties, held, devices)
    experiments, properties = for_arguments(experiments, properties, held, console)
    budget = {"--seconds": seconds, "--max-examples": max_examples, "--profile": profile if profile != "quick" else None}
    if max_examples is None and seconds is None:
        seconds, max_examples = _PROFILES[profile], _CI_EXAMPLES if _PROFILES[profile] is None else None
    if seed is None:
        seed = 0 if profile == "ci" else random.SystemRandom().randrange(2**32)
    repeat = command_line("check", subject, budget, {
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
        replayed=replays(keeper, (experiments, properties, models), console),
    )
    with Signals() as signals:
        try:
            with contextlib.ExitStack() as stack:
                running = [stack.enter_context(keeper.noting()) for _ in range(jobs)]
                live = stack.enter_context(terminal.Live(console))
                result = supervise_side_by_side(loaded, plan, keeper.before(live), jobs=jobs, running=running)
        except SubjectError as error:
            raise UsageError(str(error)) from None

        def data() -> dict[str, Any]:
            return results.to_data(result, command="check", subject=subject, profile=profile, kept=keeper.kept, repeat=repeat)

        finish(result, keeper, loaded, console, outputs, where(regressions), data, signals)
        return exit_code(result)
