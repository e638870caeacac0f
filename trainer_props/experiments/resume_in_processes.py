"""The experiment on resuming in several processes: in as many as wrote the checkpoint, or on one device, or the other way round."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.alone import on_one_device
from trainer_props.experiments.devices import plain
from trainer_props.experiments.devices_source import IN_PROCESSES, bare
from trainer_props.experiments.registry import OUTPUT, Body, Experiment, Held, Wanted, register
from trainer_props.oracles.adaptive_schedules import NAMES as METRIC_DRIVEN
from trainer_props.record import Runs
from trainer_props.scenario import Scenario, thaw
from trainer_props.serialization import code
from trainer_props.subjects import Subject

NAME: Final = "resume_in_processes"
RESUMED: Final = "resumed "
"""What the names of the records of the second run begin with."""
HOW: Final = ("", "", "to_one", "from_one")
"""The world of the second run: that of the first, or one device after several, or several after one."""
_COUNTS: Final = (2, 2, 2, 3)
_LEFT_OUT: Final = (
    "save_total_limit", "load_best_model_at_end", "save_only_model", "label_names", "eval_strategy", "eval_steps", "eval_delay",
    "eval_on_start", "metric_for_best_model", "greater_is_better",
)  # fmt: skip
_ADAPTIVE: Final = ("lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps")
_DRAWN: Final = {
    "regression": strategies.regression_scenarios, "token": strategies.token_scenarios, "stream": strategies.stream_scenarios,
}  # fmt: skip
_MODELS: Final = tuple(dict.fromkeys(name for flavour in _DRAWN for name in strategies.FLAVOURS[flavour].models))
_MOST: Final = 4
_SIZES: Final = ("per_device_train_batch_size", "per_device_eval_batch_size", "accelerator_config")


def _trained(scenario: Scenario, held: dict[str, object]) -> Scenario:
    """The scenario without evaluations, what goes by them, and streams of which nobody knows where a pass ends."""
    found = plain(scenario, held, _LEFT_OUT)
    if found.argument("lr_scheduler_type") in METRIC_DRIVEN:
        found = found.without_arguments(*(name for name in _ADAPTIVE if name not in held))
    data = found.data.replace(n_eval=0, kind="sized_stream" if found.data.kind == "stream" else found.data.kind)
    return found.replace(data=data, components=found.components.replace(scores=(), early_stopping=None))  # type: ignore[no-any-return]


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Runs that save once at least. Parameters of a case: `at` (the checkpoint, by its step), `how` (of HOW)."""
    arguments = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}
    fitting = [
        drawn(arguments=arguments, models=held.models).map(functools.partial(_trained, held=arguments))
        for name, drawn in _DRAWN.items()
        if held.models is None or set(held.models) & set(strategies.FLAVOURS[name].models)
    ]
    counts = held.counts("gloo", _COUNTS)

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        scenario = draw(strategies.sharded_scenarios(st.one_of(fitting), counts=counts, held=arguments))
        at, how = draw(st.integers(1, _MOST)), draw(st.sampled_from(HOW))
        saving = {"save_strategy": "steps", "save_steps": at, "max_steps": at + draw(st.integers(1, _MOST))}
        parameters = {"at": at, **({"how": how} if how else {})}
        return Case(experiment=NAME, scenario=scenario.with_arguments(**{**saving, **arguments}), parameters=parameters)

    return drawn()


def worlds(case: Case) -> tuple[Scenario, Scenario]:
    """The scenarios of both runs."""
    how, several, one = case.parameters.get("how", ""), case.scenario, on_one_device(case.scenario)
    return (one if how == "from_one" else several), (one if how == "to_one" else several)


def run(case: Case, subject: Subject) -> Runs:
    """The whole run; then, from the checkpoint that it wrote on its way, another to the end."""
    from trainer_props.running import Errand, output_directory, run_on_devices

    first, second = worlds(case)
    with output_directory() as directory, output_directory() as other:
        runs = run_on_devices(first, subject, Errand(draws=True), directory)
        checkpoint = Path(directory, f"checkpoint-{int(case.parameters.get('at', 1))}")
        if all(each.finished for each in runs.values()) and checkpoint.is_dir():
            again = run_on_devices(second, subject, Errand(draws=True, resume=str(checkpoint)), other)
            runs |= {f"{RESUMED}{name}": record for name, record in again.items()}
    return runs


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source: `run(output_dir, resume, **arguments)` makes one run, `main` both."""
    names = [name for name in _SIZES if name in case.scenario.arguments or not name.startswith("accelerator")]
    several = []
    for prefix, scenario, resume in zip(("", RESUMED), worlds(case), ("None", "checkpoint"), strict=True):
        given = ", ".join([f"resume={resume}", *(f"{name}={code(thaw(scenario.argument(name)))}" for name in names)])
        folder = f'f"{{output_dir}}/{"again" if prefix else "whole"}"'
        if scenario.devices.count > 1:
            made = f"in_processes({scenario.devices.count}, {folder}, {given})"
        else:
            made = f'{{"rank 0": run({folder} + "/several", {given})}}'
        if prefix:
            several.append(f'checkpoint = f"{{output_dir}}/whole/several/checkpoint-{case.parameters.get("at", 1)}"')
            several.append(f'runs |= {{f"{prefix}{{name}}": record for name, record in {made}.items()}}')
        else:
            several.append(f"runs = {made}")
    kept = [f"record.{name} = {value}" for name, value in OUTPUT.items() if name in wanted.fields]
    lines = [f"{'output = ' if kept else ''}trainer.train(resume_from_checkpoint=resume)", *kept]
    definitions, imports = [IN_PROCESSES], ["import os", "import sys", "import torch"]
    if "resumed_from" in wanted.words:
        lines.insert(0, 'record.results["resumed_from"] = int(resume.rpartition("-")[2]) if resume else None')
    if "draws" in wanted.words:
        from trainer_props.running.devices import errand  # it imports transformers

        lines.insert(0, "trainer.add_callback(Draws(record.results))")
        definitions.append(bare(errand, "Draws"))
        imports += ["import random", "import numpy as np", "from transformers import TrainerCallback"]
    return Body(lines, imports, definitions, parameters=("resume",), varied=names, several=several)


register(
    Experiment(
        NAME, "Resume a run of several processes in as many, or on one device, or the other way round; compare it with the whole run.",
        "test_trainer_distributed", cases, run, _MODELS, 1.0, body=body, devices=("gloo",),
        avoids=("dataloader_num_workers", "eval_on_start", "label_names", "load_best_model_at_end", "save_only_model", "save_total_limit"),
    )
)  # fmt: skip
