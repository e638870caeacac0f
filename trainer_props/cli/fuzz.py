"""`trainer-props fuzz`: hours of exploring, that can be stopped at any time and continued."""

from __future__ import annotations

import contextlib
import math
import random
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from trainer_props.checking import where
from trainer_props.cli.choosing import chosen, devices_of, for_arguments, for_own_data, held_arguments, on_devices
from trainer_props.cli.common import UsageError, importing, load_subject, refuse, regressions_folder
from trainer_props.cli.finishing import command_line, exit_code, finish, replays
from trainer_props.cli.outputs import Outputs

if TYPE_CHECKING:
    from trainer_props.fuzzing.state import State, StateFolder

_STATE: Final = Path(".hypothesis/fuzz")


def fuzz(
    subject: Annotated[
        str, typer.Argument(help="module:attribute of a Trainer class or of a factory that makes one.")
    ] = "transformers:Trainer",
    hours: Annotated[float, typer.Option(min=0.0001, help="Time for this start, however long earlier ones took.")] = 8.0,
    jobs: Annotated[int, typer.Option(min=1, help="Workers that explore side by side.")] = 1,
    state: Annotated[Path, typer.Option(metavar="DIR", help="What the campaign knows; the next start goes on from there.")] = _STATE,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Of a new campaign (random); later starts keep it.")] = None,
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
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the result of this start there.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it there, as a page for a browser.")] = None,
    regressions: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Regression examples: replayed first, and added to (.hypothesis/regressions).")
    ] = None,
    no_known: Annotated[bool, typer.Option("--no-known", help="Treat known bugs as new.")] = False,
) -> int:
    """Explore for hours, in rounds; Ctrl-C ends with what was found, the same command goes on. Exits 1 if something new is violated."""
    if not math.isfinite(hours):
        raise UsageError(f"--hours {hours} is no length of time")
    outputs = Outputs(json, html)
    outputs.prepare()
    with importing():
        from trainer_props.engine import Plan
        from trainer_props.engine.signals import Signals
        from trainer_props.fuzzing import screen
        from trainer_props.fuzzing.campaign import Campaign
        from trainer_props.fuzzing.state import StateError, StateFolder, earlier, told
        from trainer_props.keeper import Keeper
        from trainer_props.regressions import Store
        from trainer_props.reports import result as results
        from trainer_props.reports import terminal
        from trainer_props.subjects import SubjectError
    console = terminal.make_console()
    experiments, properties, models = chosen(experiment, property, model)
    examples = regressions_folder(regressions)
    loaded = load_subject(subject)
    held = held_arguments(loaded, arguments, models, console, devices_of(devices))
    experiments, properties = for_own_data(experiments, properties, held, subject)
    experiments, properties = on_devices(experiments, properties, held, devices)
    experiments, properties = for_arguments(experiments, properties, held, console)
    folder = StateFolder(state, lambda line: console.print(line, soft_wrap=True, markup=False))
    repeat = command_line("fuzz", subject, {
        "--hours": hours, "--jobs": jobs if jobs > 1 else None, "--state": state, "--experiment": experiment, "--property": property,
        "--model": model, "--devices": devices, "--arguments": arguments, "--regressions": regressions, "--no-known": no_known,
    })  # fmt: skip
    with Signals() as signals:
        try:
            with folder.held():
                known = _known(folder, subject, seed)
                before = {each.key for each in known.violations}
                keeper = Keeper(Store(examples), subject, via="fuzz")
                plan = Plan(experiments=experiments, properties=properties, held=held, known=not no_known)
                with contextlib.ExitStack() as stack:
                    shown = screen.Screen(console)
                    campaign = Campaign(loaded, plan, folder, known, keeper, shown)
                    console.print(f"fuzzing {subject}, seed {known.seed}, {_begins(known)} in {state}", soft_wrap=True)
                    first = replays(keeper, (experiments, properties, models), console)
                    running = [stack.enter_context(keeper.noting()) for _ in range(jobs)]
                    stack.enter_context(shown)
                    result = campaign.run(hours * 3600, jobs=jobs, replayed=first, running=running)
                masks = campaign.masks()
        except (StateError, SubjectError, OSError) as error:
            raise _trouble(error) from None

        screen.print_known_bugs(console, masks, result.fixed)
        there = earlier(known, {each.first.key for each in result.violations}, before)

        def data() -> dict[str, Any]:
            made = results.to_data(result, command="fuzz", subject=subject, profile="", kept=keeper.kept, repeat=repeat)
            return {**made, "campaign": told(known, masks, there)}

        finish(result, keeper, loaded, console, outputs, where(regressions), data, signals, len(there))
        screen.print_end(console, known, there, repeat)
        return exit_code(result)


def _known(folder: StateFolder, subject: str, seed: int | None) -> State:
    """What the campaign knows; a new one has the seed that is asked for, or any."""
    known = folder.read(subject, seed if seed is not None else random.SystemRandom().randrange(2**32))
    if seed is not None and known.seed != seed:
        raise UsageError(f"--seed {seed}: the campaign of {folder.path} has the seed {known.seed}")
    return known


def _begins(known: State) -> str:
    return "going on" if known.runs else "from the beginning"


def _trouble(error: Exception) -> UsageError:
    """What kept the campaign from beginning: in the summary of the step, too, where nobody would look for a line on standard error."""
    from trainer_props.reports import step_summary

    if trouble := step_summary.append(step_summary.of_trouble(str(error))):
        refuse(trouble)
    return UsageError(str(error))
