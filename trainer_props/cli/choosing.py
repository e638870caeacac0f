"""What `check` does of all that there is: experiments, properties and models by globs, and arguments that are held."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trainer_props.arguments import nearest
from trainer_props.checking import matching
from trainer_props.cli.common import UsageError, importing
from trainer_props.scenario import most_devices

OUR_METRICS: Final = ("loss", "score")
"""What evaluations of our models give, where the scenario has a metric."""

if TYPE_CHECKING:
    from rich.console import Console

    from trainer_props.experiments import Held
    from trainer_props.subjects import Subject


def chosen(
    experiment: list[str] | None, property: list[str] | None, model: list[str] | None
) -> tuple[list[str], list[str], list[str] | None]:
    """Names of the experiments, properties and models that the globs match, as far as they belong together.

    Raises:
        UsageError: a glob matches nothing, or nothing that belongs to the others.
    """
    with importing():
        from trainer_props import zoo
        from trainer_props.experiments import EXPERIMENTS
        from trainer_props.properties import PROPERTIES
    experiments = named(experiment, list(EXPERIMENTS), "experiment")
    properties = named(property, list(PROPERTIES), "property")
    models = named(model, list(zoo.MODELS), "model") if model else None
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


def devices_of(text: str | None) -> tuple[tuple[str, int], ...] | None:
    """The devices of a list such as `1,2`, `gloo` or `single,data_parallel:4`: kinds and numbers; None for all.

    Raises:
        UsageError: a part is neither a kind, nor a number, nor both with a colon between them.
    """
    if text is None:
        return None
    with importing():
        from trainer_props.experiments.devices import COUNTS
        from trainer_props.experiments.gpus import ON_GPUS, why_not
        from trainer_props.experiments.one_rank import KIND, WORLD_SIZES
    anywhere: dict[str, tuple[int, ...]] = {"single": (1,), **COUNTS, KIND: WORLD_SIZES}
    known = {**anywhere, **dict.fromkeys(ON_GPUS.values(), (2,))}
    found: dict[tuple[str, int], None] = {}
    for part in text.split(","):
        name, colon, number = part.strip().partition(":")
        if name.isdecimal() and not colon:
            kinds = [kind for kind in anywhere if (kind == "single") == (int(name) == 1) and int(name) <= most_devices(kind)]
            numbers: tuple[int, ...] = (int(name),)
        elif name in known and (not colon or number.isdecimal()):
            kinds, numbers = [name], (int(number),) if colon else tuple(dict.fromkeys(known[name]))
        else:
            others = f"{', '.join(known)}, a number, or kind:number{nearest(name, list(known))}"
            raise UsageError(f"--devices {part.strip()!r} is none of {others}")
        if not kinds or not all(1 <= each <= most_devices(kind) for each in numbers for kind in kinds):
            bounds = ", ".join(f"{kind} 1 to {most_devices(kind)}" for kind in known if kind != "single")
            raise UsageError(f"--devices {part.strip()!r}: single is one device, {bounds}")
        for kind in kinds:
            if kind in ON_GPUS.values() and (why := why_not(kind)):
                raise UsageError(f"--devices {part.strip()!r}: {why}")
        found.update(((kind, each), None) for kind in kinds for each in numbers)
    return tuple(found)


def on_devices(experiments: list[str], properties: list[str], held: Held, asked: str | None) -> tuple[list[str], list[str]]:
    """What is left on the devices that are asked for; everything if none are.

    Raises:
        UsageError: nothing is left.
    """
    from trainer_props.experiments import EXPERIMENTS, suitable
    from trainer_props.properties import PROPERTIES

    if held.devices is None:
        return experiments, properties
    left = suitable(experiments, held)
    judged = [each for each in properties if set(PROPERTIES[each].experiments) & set(left)]
    if not judged:
        usual = ", ".join(suitable(list(EXPERIMENTS), held)) or "nothing"
        raise UsageError(f"--devices {asked}: used by {usual}, not by {', '.join(experiments)}")
    return [name for name in left if any(name in PROPERTIES[each].experiments for each in judged)], judged


def for_arguments(experiments: list[str], properties: list[str], held: Held, console: Console) -> tuple[list[str], list[str]]:
    """What is left with the arguments that are held; what is not, and why, is said.

    Raises:
        UsageError: nothing is left.
    """
    from trainer_props.experiments import EXPERIMENTS, avoided, suitable
    from trainer_props.properties import PROPERTIES

    left = suitable(experiments, held)
    if len(left) == len(experiments):
        return experiments, properties
    judged = [each for each in properties if set(PROPERTIES[each].experiments) & set(left)]
    without = {name: avoided(EXPERIMENTS[name], held) for name in experiments if name not in left}
    held_back = ", ".join(sorted({argument for names in without.values() for argument in names}))
    if not judged:
        raise UsageError(f"{held_back} is held: with another value than its default {', '.join(without)} can't be run")
    console.print(f"not run, since {held_back} is held: {', '.join(without)}", soft_wrap=True)
    return [name for name in left if any(name in PROPERTIES[each].experiments for each in judged)], judged


def held_arguments(
    subject: Subject,
    arguments: Path | None,
    models: Sequence[str] | None,
    console: Console,
    devices: tuple[tuple[str, int], ...] | None = None,
) -> Held:
    """What is held: what the subject declares, what a file says, and the devices that are asked for.

    Raises:
        UsageError: the file can't be read, or contradicts the subject.
    """
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
        left_out = list(held.left_out)
        metric = fixed.get("metric_for_best_model")
        foreign = metric is not None and str(metric).removeprefix("eval_") not in OUR_METRICS and not subject.own_data
        if foreign and "metric_for_best_model" in held.arguments:
            del fixed["metric_for_best_model"]
            left_out.append(("metric_for_best_model", f"the models of a check have {' and '.join(OUR_METRICS)} to go by"))
        for name, why in left_out:
            console.print(f"{arguments}: {name} is not held ({why})", soft_wrap=True)
    return Held(arguments=fixed, forbidden=subject.declaration.forbidden, models=models, own_data=subject.own_data, devices=devices)


def for_own_data(experiments: list[str], properties: list[str], held: Held, subject: str) -> tuple[list[str], list[str]]:
    """What is left for a subject that brings its own model and data; everything for another.

    Raises:
        UsageError: nothing is left.
    """
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


def named(globs: Sequence[str] | None, names: Sequence[str], noun: str) -> list[str]:
    """The names that one of the globs matches; all, if there is no glob.

    Raises:
        UsageError: a glob matches nothing.
    """
    try:
        return matching(globs or ("*",), names, noun)
    except ValueError as error:
        raise UsageError(f"--{error}") from None
