"""The experiment that kills a run and resumes it in another process, beside the same run without interruptions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.registry import Body, Experiment, Held, Wanted, register
from trainer_props.experiments.resume_parts import BASELINE, baseline, lengths, plain, training, training_source, unscored
from trainer_props.oracles import accounting
from trainer_props.record import Record, Runs

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "resume_after_a_kill"
_EVENTS: Final = ("on_step_end", "on_save", "on_step_begin", "on_epoch_end", "on_log")
_FILES: Final = 6
"""Files of a checkpoint, or a few less."""
_MOST_SAVES: Final = 3


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Scenarios on map-style data that save every few updates, and the moment at which they are killed.

    Parameters of a case: `write` (the number of a file that is written into a checkpoint, counted from 1 over all checkpoints; the process
    dies before it is written), with `half` (it dies when half of that file is written); or `event` and `count` (the process dies when the
    event comes for that time).
    """
    arguments = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        given = {**draw(lengths(arguments)), **arguments}
        scenario = unscored(plain(draw(strategies.regression_scenarios(arguments=given, models=held.models)), arguments), arguments)
        saving: dict[str, Any] = {"save_strategy": "steps", "save_steps": draw(st.integers(1, 3))}
        saving["save_total_limit"] = draw(st.sampled_from([None, 1, 2]))
        saving = {name: value for name, value in saving.items() if value is not None}
        scenario = scenario.with_arguments(**{**saving, **arguments})
        total = max(1, accounting.total_updates(scenario))
        if draw(st.booleans()):
            saves = min(_MOST_SAVES, max(1, total // int(saving["save_steps"])))
            parameters: dict[str, Any] = {"write": draw(st.integers(1, _FILES * saves))}
            if draw(st.booleans()):
                parameters["half"] = True
        else:
            later = st.integers(min(total, int(scenario.argument("save_steps")) + 1), total)  # than the first checkpoint
            parameters = {"event": draw(st.sampled_from(_EVENTS)), "count": draw(st.one_of(st.integers(1, total), later))}
        return Case(experiment=NAME, scenario=scenario, parameters=parameters)

    return drawn()


def run(case: Case, subject: Subject) -> Runs:
    """The baseline; the same run in a forked process, which is killed; and, if that has begun a checkpoint, the run that goes on from the
    last one. Of the latter it is noted which saves the killed run had finished, and which checkpoints there were (`results`).
    """
    from trainer_props.running import Interruption, killing, output_directory
    from trainer_props.running import run as run_scenario

    runs = Runs({BASELINE: baseline(subject, case.scenario, ())})
    if not runs.first.finished:
        return runs
    write, event = case.parameters.get("write"), case.parameters.get("event")
    with output_directory() as directory:

        def until_death(telling: int) -> None:
            death = killing.Death(event, int(case.parameters.get("count", 1)), telling)

            def body(trainer: Any, record: Record, parts: Any) -> None:
                trainer.add_callback(death)
                if write is not None:
                    killing.die_at_write(int(write), half=bool(case.parameters.get("half")))
                trainer.train()

            run_scenario(case.scenario, subject, body, directory=directory)

        saved = killing.elsewhere(until_death)
        begun = sorted(int(path.name.rpartition("-")[2]) for path in Path(directory).glob("checkpoint-*"))
        if begun:
            part = run_scenario(case.scenario, subject, training(Interruption(()), True), directory=directory)
            part.results |= {"saved": saved, "begun": begun}
            runs["part 2"] = part
    return runs


_WATCHED: Final = '''\
left = {number}  # files that are written into checkpoints until the process dies


def watched(write):
    """The function, after which, or in the middle of which, the process dies."""

    def watching(*args, **kwargs):
        global left
        path = next((each for each in args if isinstance(each, str) and "checkpoint-" in each), None)
        if path is None or (write is builtin_open and "w" not in str(args[1:])):
            return write(*args, **kwargs)
        left -= 1
{before}        written = write(*args, **kwargs)
{middle}        return written

    return watching


builtin_open = open


def die_at_a_write():
    """From here on files that are written into a checkpoint are counted."""
    torch.save, builtins.open = watched(torch.save), watched(open)
    for module, name in ((safetensors.torch, "save_file"), (modeling_utils, "safe_save_file")):
        setattr(module, name, watched(getattr(module, name)))'''
_DIE: Final = "os.kill(os.getpid(), signal.SIGKILL)"
_BEFORE: Final = f"        if left == 0:\n            {_DIE}\n"
_MIDDLE: Final = f"        if left == 0:\n            os.truncate(path, os.path.getsize(path) // 2)\n            {_DIE}\n"
_DEATH: Final = f'''\
class Death(TrainerCallback):
    """Kills its process."""

    left = {{count}}

    def {{event}}(self, args, state, control, **kwargs):
        self.left -= 1
        if self.left == 0:
            {_DIE}'''


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source: `run(output_dir, dies, resumed)` makes one run."""
    imports = ["import os", "import signal"]
    if "write" in case.parameters:
        half = bool(case.parameters.get("half"))
        definition = _WATCHED.format(number=int(case.parameters["write"]), before="" if half else _BEFORE, middle=_MIDDLE if half else "")
        lines = ["if dies:", "    die_at_a_write()"]
        imports += ["import builtins", "import safetensors.torch", "from transformers import modeling_utils"]
    else:
        definition = _DEATH.format(event=case.parameters.get("event", _EVENTS[0]), count=int(case.parameters.get("count", 1)))
        lines = ["if dies:", "    trainer.add_callback(Death())"]
        imports.append("from transformers import TrainerCallback")
    several = [
        f'runs = {{"{BASELINE}": run(f"{{output_dir}}/{BASELINE}", False, None)}}',
        "process = os.fork()",
        "if process == 0:  # a process of its own, which is killed",
        "    try:",
        '        run(f"{output_dir}/killed", True, None)',
        "    finally:",
        "        os._exit(0)",
        "os.waitpid(process, 0)",
        'runs["part 2"] = run(f"{output_dir}/killed", False, True)',
    ]
    return Body([*lines, *training_source(wanted)], imports, [definition], parameters=("dies", "resumed"), several=several)


register(
    Experiment(
        NAME,
        "Kill a run, also in the middle of a save, and resume it in another process.",
        "test_trainer_checkpointing",
        cases,
        run,
        strategies.FLAVOURS["regression"].models,
        0.6,
        body=body,
        avoids=("eval_on_start",),
    )
)
