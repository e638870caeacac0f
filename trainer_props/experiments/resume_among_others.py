"""The experiment that trains, and resumes, in a directory in which something lies already, or from a checkpoint that was damaged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.registry import Body, Experiment, Held, Wanted, register
from trainer_props.experiments.resume_parts import (
    BASELINE,
    baseline,
    interruption_source,
    lengths,
    places,
    plain,
    training,
    training_source,
    unscored,
)
from trainer_props.record import Record, Runs
from trainer_props.scenario import Scenario, thaw

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "resume_among_others"
FOLDERS: Final = ("checkpoint-abc", "checkpoint-12-old", "checkpoint-99", "best")
"""Folders that no run has written; all but the third, which is empty, hold a file."""
FILES: Final = ("checkpoint-1000", "notes.txt")
PIECES: Final = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "model.safetensors")
"""The files of a checkpoint that going on needs."""
HOW: Final = ("missing", "empty", "half")
_EMPTY: Final = "checkpoint-99"
_MOST: Final = 5
"""The last update of an older run that need not have come further."""
_LONG_AGO: Final = 5e8
"""When the first checkpoint of an older run was written; that is before those of the recorder."""
_FLAVOURS: Final = ("saving", "regression")
_MODELS: Final = tuple(dict.fromkeys(name for flavour in _FLAVOURS for name in strategies.FLAVOURS[flavour].models))


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Scenarios on map-style data, and what lies in their output directory.

    Parameters of a case: `interrupt_at`, `by` (`latest`, or `path`) as of `resume`; `lies` (names of folders and files that no run has
    written), `older` (the updates after which an older run, which was another one, has saved there), `broken` (a file of the newest
    checkpoint, and what becomes of it before the run goes on: it is `missing`, `empty`, or its second `half` is).
    """
    arguments = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}
    flavours = {"saving": strategies.saving_scenarios, "regression": strategies.regression_scenarios}
    fitting = [
        scenarios for name, scenarios in flavours.items() if held.models is None or set(held.models) & set(strategies.FLAVOURS[name].models)
    ]

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        length = draw(lengths(arguments))
        flavour = draw(st.sampled_from(fitting))
        drawn_scenario = draw(flavour(arguments={**length, **arguments}, models=held.models))
        scenario = unscored(plain(drawn_scenario, arguments), arguments)
        parameters: dict[str, Any] = {"interrupt_at": draw(places(scenario))}
        kind = draw(st.sampled_from(["lies", "older", "broken", "older", "broken"]))
        if kind == "lies":
            parameters["lies"] = sorted(draw(st.sets(st.sampled_from([*FOLDERS, *FILES]), min_size=1)))
        elif kind == "older":
            further = st.integers(parameters["interrupt_at"] + 1, parameters["interrupt_at"] + 2)
            parameters["older"] = sorted(draw(st.sets(st.one_of(st.integers(1, _MOST), further), min_size=1, max_size=2)))
        else:
            parameters["broken"] = [draw(st.sampled_from(PIECES)), draw(st.sampled_from(HOW))]
        if draw(st.integers(0, 2)) == 2:
            parameters["by"] = "path"
        return Case(experiment=NAME, scenario=scenario, parameters=parameters)

    return drawn()


def run(case: Case, subject: Subject) -> Runs:
    """The baseline in a directory of its own; the older run, and then the first part from the beginning and the second one from its
    checkpoint, in another. Of both parts it is noted what lay there before (`results`), and what lies there when they are over.
    """
    from trainer_props.running import Interruption, output_directory
    from trainer_props.running import run as run_scenario

    at, older, broken = _parameters(case)
    runs = Runs({BASELINE: baseline(subject, case.scenario, (at,))})
    if not runs.first.finished:
        return runs
    with output_directory() as directory:
        if older:
            run_scenario(
                case.scenario.with_arguments(**_other_run(case.scenario, older)).replace(components=type(case.scenario.components)()),
                subject, training(Interruption(older, older[-1]), None), directory=directory,
            )  # fmt: skip
            for step in older:
                if Path(directory, f"checkpoint-{step}").is_dir():
                    os.utime(Path(directory, f"checkpoint-{step}"), (_LONG_AGO + 60 * step,) * 2)
        lies = [str(name) for name in case.parameters.get("lies", ())]
        for name in lies:
            _lay(Path(directory, name))
        first = run_scenario(case.scenario, subject, training(Interruption((at,), at), None), directory=directory)
        first.results |= {"older": list(older), "broken": list(broken), "lies": lies, "entries": _entries(directory)}
        runs["part 1"] = first
        written = Path(directory, f"checkpoint-{at}")
        if not written.is_dir() or (broken and not _break(written / broken[0], broken[1])):
            return runs
        resumed = str(written) if case.parameters.get("by") == "path" else True
        second: Record = run_scenario(case.scenario, subject, training(Interruption((at,)), resumed), directory=directory)
        second.results["entries"] = _entries(directory)
        runs["part 2"] = second
    return runs


def _entries(directory: str) -> list[str]:
    return sorted(path.name for path in Path(directory).iterdir())


def _parameters(case: Case) -> tuple[int, tuple[int, ...], tuple[str, ...]]:
    parameters = case.parameters
    older, broken = tuple(map(int, parameters.get("older", ()))), tuple(map(str, parameters.get("broken", ())))
    if broken and (broken[0] not in PIECES or broken[1] not in HOW):
        raise ValueError(f"broken={list(broken)!r}: a file ({', '.join(PIECES)}) and what becomes of it ({', '.join(HOW)})")
    if unknown := set(parameters.get("lies", ())) - {*FOLDERS, *FILES}:
        raise ValueError(f"lies={sorted(unknown)!r}: none of {', '.join([*FOLDERS, *FILES])}")
    return int(parameters.get("interrupt_at", 1)), older, broken


def _other_run(scenario: Scenario, saves: tuple[int, ...]) -> dict[str, Any]:
    """Arguments of the older run, in which it differs: it has learned twice as fast."""
    changed = {
        "learning_rate": 2 * scenario.argument("learning_rate"), "max_steps": saves[-1], "lr_scheduler_type": "constant",
        "lr_scheduler_kwargs": None, "warmup_steps": 0, "eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False,
        "metric_for_best_model": None, "save_total_limit": None, "save_only_model": False, "restore_callback_states_from_checkpoint": False,
    }  # fmt: skip
    return {name: value for name, value in changed.items() if scenario.argument(name) != value}


def _lay(path: Path) -> None:
    """Make what no run has written."""
    if path.name in FILES:
        path.write_text("mine", encoding="utf-8")
        return
    path.mkdir(exist_ok=True)
    if path.name != _EMPTY:
        (path / "notes.txt").write_text("mine", encoding="utf-8")
    os.utime(path, (_LONG_AGO, _LONG_AGO))


def _break(path: Path, how: str) -> bool:
    """Damage a file, if it is there."""
    if not path.is_file():
        return False
    if how == "missing":
        path.unlink()
    else:
        os.truncate(path, 0 if how == "empty" else path.stat().st_size // 2)
    return True


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source: `run(output_dir, saves, at, resumed)` makes one run."""
    at, older, broken = _parameters(case)
    resumed = f'f"{{directory}}/checkpoint-{at}"' if case.parameters.get("by") == "path" else "True"
    lines = ["trainer.add_callback(Interruption(saves, at))", *training_source(wanted)]
    if "entries" in wanted.words:
        lines.append('record.results["entries"] = sorted(os.listdir(output_dir))')
    other = _other_run(case.scenario, older) if older else {}
    now = {name: thaw(case.scenario.argument(name)) for name in other}
    given = ", **now" if other else ""
    imports = ["import os", "from pathlib import Path", "from transformers import TrainerCallback"]
    several = ['directory = Path(output_dir, "used")', *([f"now = {now!r}".replace("'", '"')] if other else []),
               f'runs = {{"baseline": run(f"{{output_dir}}/baseline", [{at}], None, None{given})}}']  # fmt: skip
    if older:
        several += [
            f"run(str(directory), {list(older)}, {older[-1]}, None, **{other!r})  # an older run".replace("'", '"'),
            f"for step in {list(older)}:",
            '    os.utime(directory / f"checkpoint-{step}", (step, step))  # long ago',
        ]
    for name in case.parameters.get("lies", ()):
        place = f'directory / "{name}"'
        if name in FILES:
            several += ["directory.mkdir(parents=True, exist_ok=True)", f'({place}).write_text("mine")']
        else:
            several.append(f"({place}).mkdir(parents=True)")
            several += [f'({place} / "notes.txt").write_text("mine")'] if name != _EMPTY else []
            several.append(f"os.utime({place}, (1, 1))")
    several.append(f'runs["part 1"] = run(str(directory), [{at}], {at}, None{given})')
    if broken:
        breaking = {"missing": "piece.unlink()", "empty": "os.truncate(piece, 0)", "half": "os.truncate(piece, piece.stat().st_size // 2)"}
        several += [f'piece = directory / "checkpoint-{at}" / "{broken[0]}"', breaking[broken[1]]]
    several.append(f'runs["part 2"] = run(str(directory), [{at}], None, {resumed}{given})')
    definition = interruption_source("self.saves").replace("(self, at):", "(self, saves, at):").replace(
        "self.at, self.happened, self.over = at, False, False", "self.saves, self.at, self.happened = saves, at, False"
    )  # fmt: skip
    return Body(lines, imports, [definition], parameters=("saves", "at", "resumed"), varied=tuple(other), several=several)


register(
    Experiment(
        NAME,
        "Train and resume where an older run, foreign files or folders lie, or from a checkpoint that was damaged.",
        "test_trainer_checkpointing",
        cases,
        run,
        _MODELS,
        0.8,
        body=body,
        avoids=("eval_on_start",),
    )
)
