"""The command line: `trainer-props check | list | explain`. A thin face: it reads options, shows what the engine tells, and returns exit codes."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import click
import typer
from rich.console import Console

from trainer_props.arguments import nearest

OK, NEW_VIOLATIONS, USAGE, INTERRUPTED = 0, 1, 2, 130

_PROFILES = {"quick": 60.0, "ci": None, "nightly": 3600.0}
_CI_EXAMPLES = 100

app = typer.Typer(
    name="trainer-props", add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
    help="Finds out whether a Hugging Face Trainer computes what its arguments promise.",
)


class UsageError(Exception):
    """What was asked can't be done; the message is one line: the value, the place, the nearest valid one."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: run a command and exit with its code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    try:
        code = app(args=list(arguments) if arguments is not None else None, standalone_mode=False)
    except UsageError as error:
        return _refuse(str(error))
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        return USAGE
    except click.ClickException as error:
        return _refuse(" ".join(error.format_message().split()))
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has gone: nothing to say, and nobody to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return code if isinstance(code, int) else OK


def _refuse(message: str) -> int:
    print(f"trainer-props: {message}", file=sys.stderr)
    return USAGE


# ---- check -------------------------------------------------------------------------------------------------------------------


@app.command()
def check(
    subject: Annotated[str, typer.Argument(help="module:attribute of a Trainer class or of a factory that makes one.")] = "transformers:Trainer",
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Time for exploring (60; shrinking comes on top).")] = None,
    max_examples: Annotated[int | None, typer.Option(min=1, help="Examples of each experiment; replaces --seconds.")] = None,
    profile: Annotated[str, typer.Option(help="quick (60 s), ci (100 examples each, the same every time) or nightly (an hour).")] = "quick",
    seed: Annotated[int | None, typer.Option(help="Everything drawn follows from it (random, printed).")] = None,
    experiment: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only these experiments.")] = None,
    property: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only these properties.")] = None,
    model: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only these models.")] = None,
    arguments: Annotated[Path | None, typer.Option(metavar="FILE", help="JSON of TrainingArguments to hold fixed; the rest is drawn around them.")] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the result there.")] = None,
    first_failure: Annotated[bool, typer.Option("--first-failure", help="Stop exploring at the first new violation.")] = False,
    no_known: Annotated[bool, typer.Option("--no-known", help="Treat known bugs as new.")] = False,
) -> int:
    """Draw training runs, run them on the subject, judge them; exits 1 if something new is violated."""
    console = Console(highlight=False)
    if profile not in _PROFILES:
        raise UsageError(f"--profile {profile!r} is none of {', '.join(_PROFILES)}{nearest(profile, list(_PROFILES))}")
    if json is not None and not json.parent.is_dir():
        raise UsageError(f"--json {json}: the folder {json.parent} does not exist")
    with console.status("importing torch and transformers") if console.is_terminal else contextlib.nullcontext():
        from trainer_props.engine import Plan
        from trainer_props.engine.supervisor import supervise
        from trainer_props.experiments import EXPERIMENTS, Held
        from trainer_props.properties import PROPERTIES
        from trainer_props.reports import result as results
        from trainer_props.reports import terminal

        loaded = _subject(subject)
    experiments = _matching(experiment, list(EXPERIMENTS), "experiment")
    properties = _matching(property, list(PROPERTIES), "property")
    held = _held(loaded, arguments, model, console)
    if model is not None:
        experiments = [name for name in experiments if set(held.models or ()) & set(EXPERIMENTS[name].models) or not EXPERIMENTS[name].models]
    if not any(name in PROPERTIES[each].experiments for each in properties for name in experiments):
        raise UsageError("none of these properties belongs to one of these experiments: see trainer-props list experiments")
    if seconds is None and max_examples is None:
        seconds = _PROFILES[profile]
    if max_examples is None and seconds is None:
        max_examples = _CI_EXAMPLES
    if seed is None:
        seed = 0 if profile == "ci" else random.SystemRandom().randrange(2**32)
    plan = Plan(
        experiments=experiments, properties=properties, seconds=None if max_examples is not None else seconds, max_examples=max_examples, seed=seed,
        held=held, known=not no_known, first_failure=first_failure,
    )
    console.print(f"checking {subject} ({', '.join(f'{name} {number}' for name, number in list(results.versions().items())[:3])}), seed {seed}")
    with terminal.Live(console) as live:
        result = supervise(loaded, plan, live)
    console.print(terminal.summary(result, subject))
    if json is not None:
        try:
            results.write(json, results.to_data(result, command="check", subject=subject, profile=profile))
        except OSError as error:
            raise UsageError(f"--json {json}: {error.strerror or error}") from None
        console.print(f"result written to {json}")
    if result.violations:
        return NEW_VIOLATIONS
    if result.errors:
        return _refuse(result.errors[0])
    return INTERRUPTED if result.interrupted else OK


def _subject(name: str) -> Any:
    from trainer_props import subjects

    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does: the user's module is found from where they stand
    try:
        return subjects.load(name)
    except subjects.SubjectError as error:
        raise UsageError(str(error)) from None


def _held(subject: Any, arguments: Path | None, models: Sequence[str] | None, console: Console) -> Any:
    from trainer_props import zoo
    from trainer_props.arguments_file import InvalidArguments, read
    from trainer_props.experiments import Held

    fixed = dict(subject.declaration.fixed)
    if arguments is not None:
        try:
            held = read(arguments)
        except InvalidArguments as error:
            raise UsageError(f"--arguments {error}") from None
        fixed |= held.arguments
        for name, why in held.left_out:
            console.print(f"{arguments}: {name} is not held ({why})")
    chosen = _matching(models, list(zoo.MODELS), "model") if models else None
    return Held(arguments=fixed, forbidden=subject.declaration.forbidden, models=chosen)


def _matching(globs: Sequence[str] | None, names: Sequence[str], noun: str) -> list[str]:
    if not globs:
        return list(names)
    chosen: list[str] = []
    for glob in globs:
        found = [name for name in names if fnmatch.fnmatchcase(name, glob)]
        if not found:
            raise UsageError(f"--{noun} {glob!r} matches no {noun}{nearest(glob, list(names))}")
        chosen += [name for name in found if name not in chosen]
    return chosen


# ---- list --------------------------------------------------------------------------------------------------------------------


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="properties, experiments, models, datasets, arguments, optimizers, schedulers, faults or known-bugs.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    """List what there is."""
    from trainer_props import listings

    if what not in listings.LISTINGS:
        raise UsageError(f"list {what!r}: there are {', '.join(listings.LISTINGS)}{nearest(what, list(listings.LISTINGS))}")
    listing = listings.LISTINGS[what]()
    if as_json:
        print(listing.as_json())
    else:
        Console(highlight=False).print(listing.as_table())
    return OK


# ---- explain -----------------------------------------------------------------------------------------------------------------


@app.command()
def explain(property: Annotated[str, typer.Argument(help="An id of trainer-props list properties.")]) -> int:
    """What a property says, where that is documented, what it needs, which faults it kills, and how a failure looks."""
    from trainer_props import explaining
    from trainer_props.properties import PROPERTIES

    if property not in PROPERTIES:
        raise UsageError(f"explain {property!r}: no such property{nearest(property, list(PROPERTIES))}")
    explaining.explain(PROPERTIES[property], Console(highlight=False))
    return OK
