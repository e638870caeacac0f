"""The experiment that saves checkpoints into a directory which holds those of an older run, and other folders, at times under control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.registry import Body, Experiment, Held, Wanted, register, train_body
from trainer_props.record import Record
from trainer_props.scenario import Scenario

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "save_into_a_used_folder"
TIMES: Final = ("spread", "reversed", "same")
OTHERS: Final = ("runs", "checkpoints", "checkpoint-best", "checkpoint-2-copy", "my-checkpoint-3", "checkpoint")
_OLDER: Final = (1, 2, 3, 4, 6, 9, 20)
_LIMITS: Final = (1, 2, 3)


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Runs that save, with a limit unless that is held.

    Parameters of a case: `older` (steps of the checkpoints of an older run, the one that was written first at the head), `others` (names of
    folders that are no checkpoints), `times` (`spread`, `reversed` or `same`: the times of modification that all checkpoints have
    before a save).
    """
    arguments = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}
    scenarios = strategies.saving_scenarios(arguments=arguments, models=held.models)

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        scenario: Scenario = draw(scenarios)
        if "save_total_limit" not in arguments:
            scenario = scenario.with_arguments(save_total_limit=draw(st.sampled_from(_LIMITS)))
        older = draw(st.lists(st.sampled_from(_OLDER), max_size=3, unique=True))
        others = draw(st.lists(st.sampled_from(OTHERS), max_size=2, unique=True))
        times = draw(st.sampled_from(TIMES))
        parameters = {"older": sorted(older), "others": sorted(others), "times": times}
        kept = scenario.without_arguments(*(name for name in _of_workers(scenario) if name not in arguments))
        return Case(
            experiment=NAME,
            scenario=kept.replace(components=kept.components.replace(poisoned=())),
            parameters={name: value for name, value in parameters.items() if value not in ([], TIMES[0])},
        )

    return drawn()


def _of_workers(scenario: Scenario) -> list[str]:
    return [name for name in scenario.arguments if name.startswith("dataloader_") and name != "dataloader_drop_last"]


def parameters_of(case: Case) -> tuple[list[int], list[str], str]:
    """The steps of the older checkpoints, the names of the other folders, the times.

    Raises:
        ValueError: there are no such folders or times.
    """
    parameters = case.parameters
    older, others = [int(step) for step in parameters.get("older", ())], [str(name) for name in parameters.get("others", ())]
    times = str(parameters.get("times", TIMES[0]))
    if times not in TIMES or not set(others) <= set(OTHERS):
        raise ValueError(f"there are no times {times!r}, or there is none of the folders {others}")
    return older, others, times


def run(case: Case, subject: Subject) -> Record:
    """Fill the directory and train once.

    The record's `results` say what was there (`older`, `others`: names; `times`) and what everything in it is called at the end (`left`).
    """
    from trainer_props.running import run as run_scenario
    from trainer_props.running import train, used_folder

    older, others, times = parameters_of(case)

    def body(trainer: Any, record: Record, parts: Any) -> None:
        folder = str(trainer.args.output_dir)
        used_folder.fill(trainer, folder, older, others)
        written = [f"checkpoint-{step}" for step in older]
        record.results |= {"older": written, "others": others, "times": times}
        trainer.add_callback(used_folder.Times(folder, [*others, *written], times))
        train(trainer, record, parts)
        record.results["left"] = list(used_folder.names(folder))

    return run_scenario(case.scenario, subject, body)


_SAME: Final = '''\
class Times(TrainerCallback):
    """All checkpoints are as old as the next one: written within a second."""

    def on_step_end(self, args, state, control, **kwargs):
        for name in os.listdir(args.output_dir):
            os.utime(os.path.join(args.output_dir, name), (time.time() + 0.5,) * 2)

    on_epoch_end = on_log = on_evaluate = on_step_end'''
_APART: Final = '''\
class Times(TrainerCallback):
    """Before each save the checkpoints are a minute apart{in_reverse}."""

    def __init__(self, *written):
        self.written = list(written)

    def set(self, folder):
        for index, name in enumerate({written}):
            if os.path.exists(f"{{folder}}/{{name}}"):
                os.utime(f"{{folder}}/{{name}}", (1e9 + 60 * index,) * 2)

    def on_train_begin(self, args, state, control, **kwargs):
        self.set(args.output_dir)

    def on_save(self, args, state, control, **kwargs):
        name = f"checkpoint-{{state.global_step}}"
        self.written = [each for each in self.written if each != name] + [name]
        self.set(args.output_dir)'''


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source."""
    older, others, times = parameters_of(case)
    lines = []
    if older:
        lines += [
            f"for step in {older}:  # of an older run",
            '    trainer.save_model(f"{output_dir}/checkpoint-{step}")',
            '    trainer.state.save_to_json(f"{output_dir}/checkpoint-{step}/trainer_state.json")',
        ]
    if others:
        lines += [f"for name in {others}:", '    os.mkdir(f"{output_dir}/{name}")']
    written = [*others, *(f"checkpoint-{step}" for step in older)]
    lines.append("trainer.add_callback(Times())" if times == "same" else f"trainer.add_callback(Times({', '.join(map(repr, written))}))")
    lines += train_body(case, wanted).lines
    if "left" in wanted.words:
        lines.append('record.results["left"] = sorted(os.listdir(output_dir))')
    reverse = times == "reversed"
    apart = _APART.format(
        in_reverse=", in the reversed order of their being written" if reverse else "", written="self.written" + "[::-1]" * reverse
    )
    imports = ["import os", "from transformers import TrainerCallback", *(["import time"] if times == "same" else [])]
    return Body(lines, imports, [_SAME if times == "same" else apart])


register(
    Experiment(
        NAME,
        "Save checkpoints into a directory that holds those of an older run and other folders, at times of modification under control.",
        "test_trainer_checkpointing",
        cases,
        run,
        strategies.FLAVOURS["saving"].models,
        0.8,
        body=body,
    )
)
