"""The command line, `trainer-props check | list | explain`: a thin face that reads options, shows what happens, returns exit codes."""

from __future__ import annotations

import contextlib
import math
import os
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from trainer_props.arguments import nearest
from trainer_props.checking import matching

if TYPE_CHECKING:
    from rich.console import Console

    from trainer_props.engine import Result
    from trainer_props.experiments import Held
    from trainer_props.subjects import Subject

OK, NEW_VIOLATIONS, USAGE, INTERRUPTED = 0, 1, 2, 130

_PROFILES: Final = {"quick": 60.0, "ci": None, "nightly": 3600.0}
_CI_EXAMPLES = 100

# From some version on typer brings its own copy of click: this is the base class of whichever is in use.
_CommandError: Final[Any] = next(each for each in typer.BadParameter.__mro__ if each.__name__ == "ClickException")

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
        command = typer.main.get_command(app)
        code = command.main(args=list(arguments) if arguments is not None else None, prog_name=app.info.name, standalone_mode=False)
        sys.stdout.flush()
    except UsageError as error:
        return _refuse(str(error))
    except _CommandError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            return USAGE
        return _refuse(error.format_message())
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has gone: nothing to say, and nobody to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return code if isinstance(code, int) else OK


def _refuse(message: str) -> int:
    print(f"trainer-props: {' '.join(message.split())}", file=sys.stderr)
    return USAGE


@contextlib.contextmanager
def _importing() -> Iterator[None]:
    """Turn a package that is missing, or broken, into one line."""
    try:
        yield
    except ImportError as error:
        raise UsageError(f"can't import {error.name or 'a package'}: {error}") from None


# ---- check -------------------------------------------------------------------------------------------------------------------


@app.command()
def check(
    subject: Annotated[
        str, typer.Argument(help="module:attribute of a Trainer class or of a factory that makes one.")
    ] = "transformers:Trainer",
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Time for exploring (60; shrinking comes on top).")] = None,
    max_examples: Annotated[int | None, typer.Option(min=1, help="Examples of each experiment; replaces --seconds.")] = None,
    profile: Annotated[str, typer.Option(help="quick (60 s), ci (100 examples each, the same every time) or nightly (an hour).")] = "quick",
    seed: Annotated[int | None, typer.Option(help="All draws follow from it; the clock decides how many (random, printed).")] = None,
    experiment: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only these experiments.")] = None,
    property: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only these properties.")] = None,
    model: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only these models.")] = None,
    arguments: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON of TrainingArguments to hold fixed; the rest is drawn around them.")
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the result there.")] = None,
    first_failure: Annotated[bool, typer.Option("--first-failure", help="Stop exploring at the first new violation.")] = False,
    no_known: Annotated[bool, typer.Option("--no-known", help="Treat known bugs as new.")] = False,
) -> int:
    """Draw training runs, run them on the subject, judge them; exits 1 if something new is violated."""
    if profile not in _PROFILES:
        raise UsageError(f"--profile {profile!r} is none of {', '.join(_PROFILES)}{nearest(profile, list(_PROFILES))}")
    if seconds is not None and not math.isfinite(seconds):
        raise UsageError(f"--seconds {seconds} is no length of time")
    if json is not None:
        _writable(json)
    with _importing():
        from trainer_props.engine import Plan
        from trainer_props.engine.supervisor import supervise
        from trainer_props.reports import result as results
        from trainer_props.reports import terminal
        from trainer_props.subjects import SubjectError
    console = terminal.make_console()
    experiments, properties, models = _chosen(experiment, property, model)
    loaded = _subject(subject)
    held = _held(loaded, arguments, models, console)
    experiments, properties = _for_own_data(experiments, properties, held, subject)
    if max_examples is None and seconds is None:
        seconds, max_examples = _PROFILES[profile], _CI_EXAMPLES if _PROFILES[profile] is None else None
    if seed is None:
        seed = 0 if profile == "ci" else random.SystemRandom().randrange(2**32)
    plan = Plan(
        experiments=experiments, properties=properties, seconds=None if max_examples is not None else seconds, max_examples=max_examples,
        seed=seed, held=held, known=not no_known, first_failure=first_failure,
    )
    versions = ", ".join(f"{name} {number}" for name, number in list(results.versions().items())[:3])
    console.print(f"checking {subject} ({versions}), seed {seed}", soft_wrap=True)
    try:
        with terminal.Live(console) as live:
            result = supervise(loaded, plan, live)
    except SubjectError as error:
        raise UsageError(str(error)) from None
    if json is not None:
        try:
            results.write(json, results.to_data(result, command="check", subject=subject, profile=profile))
        except OSError as error:
            raise UsageError(f"--json {json}: {error.strerror or error}") from None
    terminal.print_result(console, result, subject, loaded.hint)
    if json is not None:
        console.print(f"result written to {json}", soft_wrap=True)
    return _exit_code(result)


def _exit_code(result: Result) -> int:
    from trainer_props.experiments.arguments import NAME as TRAINS_NOTHING

    trouble = list(result.errors)
    counts = [each for each in result.experiments.values() if each.name != TRAINS_NOTHING]
    reasons = result.refusals | result.impossible
    if counts and reasons and not any(each.examples for each in counts):
        trouble.append(f"not one training run could be judged: {max(reasons, key=lambda text: reasons[text])}")
    if trouble:
        _refuse(trouble[0] + (f" (and {len(trouble) - 1} more)" if len(trouble) > 1 else ""))
    if result.violations:
        return NEW_VIOLATIONS
    if trouble:
        return USAGE
    return INTERRUPTED if result.interrupted else OK


def _writable(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"--json {path}: it is a folder")
    if not path.parent.is_dir():
        raise UsageError(f"--json {path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"--json {path}: the folder {path.parent} can't be written to")


def _chosen(
    experiment: list[str] | None, property: list[str] | None, model: list[str] | None
) -> tuple[list[str], list[str], list[str] | None]:
    """Names of the experiments, properties and models that the globs match, as far as they belong together."""
    with _importing():
        from trainer_props import zoo
        from trainer_props.experiments import EXPERIMENTS
        from trainer_props.properties import PROPERTIES
    experiments = _matching(experiment, list(EXPERIMENTS), "experiment")
    properties = _matching(property, list(PROPERTIES), "property")
    models = _matching(model, list(zoo.MODELS), "model") if model else None
    if models is not None:
        fitting = [name for name in experiments if set(models) & set(EXPERIMENTS[name].models)]
        if not fitting:
            others = [name for name, each in EXPERIMENTS.items() if set(models) & set(each.models)]
            raise UsageError(f"--model {', '.join(models)}: used by {', '.join(others)}, not by {', '.join(experiments)}")
        experiments = fitting
    if not any(set(PROPERTIES[each].experiments) & set(experiments) for each in properties):
        others = sorted({name for each in properties for name in PROPERTIES[each].experiments})
        raise UsageError(f"--property {', '.join(properties)}: judged in {', '.join(others)}, not in {', '.join(experiments)}")
    judged = [each for each in properties if set(PROPERTIES[each].experiments) & set(experiments)]
    judging = [name for name in experiments if any(name in PROPERTIES[each].experiments for each in judged)]
    return judging, judged, models


def _subject(name: str) -> Subject:
    with _importing():
        from trainer_props import subjects
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does: the user's module is found from where they stand
    try:
        return subjects.load(name)
    except subjects.SubjectError as error:
        raise UsageError(str(error)) from None
    except SystemExit as error:
        remedy = "guard that by `if __name__ == '__main__'`"
        raise UsageError(f"subject {name!r}: importing it ends the program (sys.exit({error.code!r})): {remedy}") from None


def _held(subject: Subject, arguments: Path | None, models: Sequence[str] | None, console: Console) -> Held:
    from trainer_props.arguments_file import InvalidArguments, read
    from trainer_props.experiments import Held

    fixed = dict(subject.declaration.fixed)
    if arguments is not None:
        try:
            held = read(arguments)
        except InvalidArguments as error:
            raise UsageError(f"--arguments {error}") from None
        for name, value in held.arguments.items():
            if name in fixed and fixed[name] != value:
                raise UsageError(f"--arguments {arguments}: {name}={value!r}, but {subject.name} declares it fixed at {fixed[name]!r}")
        fixed |= held.arguments
        for name, why in held.left_out:
            console.print(f"{arguments}: {name} is not held ({why})", soft_wrap=True)
    return Held(arguments=fixed, forbidden=subject.declaration.forbidden, models=models, own_data=subject.own_data)


def _for_own_data(experiments: list[str], properties: list[str], held: Held, subject: str) -> tuple[list[str], list[str]]:
    """What is left for a subject that brings its own model and data; everything for another."""
    from trainer_props.experiments import EXPERIMENTS, suitable
    from trainer_props.properties import PROPERTIES

    if not held.own_data:
        return experiments, properties
    if held.models is not None:
        raise UsageError(f"--model {', '.join(held.models)}: {subject} brings its own model")
    left = suitable(experiments, held)
    judged = [each for each in properties if set(PROPERTIES[each].experiments) & set(left)]
    if not judged:
        usual = ", ".join(suitable(list(EXPERIMENTS), held))
        raise UsageError(f"--experiment {', '.join(experiments)}: {subject} brings its own model and data, which leaves {usual}")
    return left, judged


def _matching(globs: Sequence[str] | None, names: Sequence[str], noun: str) -> list[str]:
    try:
        return matching(globs or ("*",), names, noun)
    except ValueError as error:
        raise UsageError(f"--{error}") from None


# ---- list --------------------------------------------------------------------------------------------------------------------


@app.command("list")
def list_(
    what: Annotated[
        str, typer.Argument(help="properties, experiments, models, datasets, arguments, optimizers, schedulers, faults or known-bugs.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    """List what there is."""
    from trainer_props import listings

    if what not in listings.LISTINGS:
        raise UsageError(f"list {what!r}: there are {', '.join(listings.LISTINGS)}{nearest(what, list(listings.LISTINGS))}")
    with _importing():
        listing = listings.LISTINGS[what]()
        from trainer_props.reports.terminal import make_console
    if as_json:
        print(listing.as_json())
    else:
        make_console().print(listing.as_table())
    return OK


# ---- explain -----------------------------------------------------------------------------------------------------------------


@app.command()
def explain(property: Annotated[str, typer.Argument(help="An id of trainer-props list properties.")]) -> int:
    """What a property says, where that is documented, what it needs, which faults it kills, and how a failure looks."""
    with _importing():
        from trainer_props import explaining
        from trainer_props.properties import PROPERTIES
        from trainer_props.reports.terminal import make_console
    if property not in PROPERTIES:
        raise UsageError(f"explain {property!r}: no such property{nearest(property, list(PROPERTIES))}")
    explaining.explain(PROPERTIES[property], make_console())
    return OK
