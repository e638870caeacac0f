"""What experiments share that interrupt a run and go on: the run without interruptions, the parts, and the same in source."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props.experiments.hashed import Hashed
from trainer_props.experiments.registry import OUTPUT, Wanted
from trainer_props.oracles import accounting
from trainer_props.record import Record
from trainer_props.scenario import Scenario

if TYPE_CHECKING:
    from trainer_props.running import Interruption
    from trainer_props.subjects import Subject

BASELINE: Final = "baseline"
SIMPLEST_EVENT: Final = "on_save"
_SHARED_BASELINES: Final = 16
_LEFT_OUT: Final = ("eval_on_start", "save_only_model")
"""A check before training is made again before each part; nothing says whether it should be. From the model alone nothing goes on."""

_LENGTHS: Final[st.SearchStrategy[dict[str, Any]]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"max_steps": st.integers(3, 8)}),
    st.fixed_dictionaries({"num_train_epochs": st.sampled_from([2, 3, 2.5])}),
)


def lengths(held: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments that make a run several updates long, or none: of a run of one update nothing is left when it is interrupted.

    Args:
        held: arguments that are the same in every case; if the length is among them, there is nothing to draw.
    """
    return st.just({}) if held.keys() & {"max_steps", "num_train_epochs"} else _LENGTHS


_SOON: Final = 3
_SEVERAL: Final = 2


def places(scenario: Scenario) -> st.SearchStrategy[int]:
    """Updates after which a run may be interrupted: any of them, and more often those with which neither it nor an epoch ends. Where
    checkpoints are to go, several have been written by then.
    """
    total, per_epoch = max(1, accounting.total_updates(scenario)), max(1, accounting.updates_per_epoch(scenario))
    rotates = scenario.argument("save_total_limit") is not None and scenario.argument("save_strategy") != "no"
    least = min(_SEVERAL, total) if rotates else 1
    within = [step for step in range(least, total) if step % per_epoch] or list(range(least, total))
    if scenario.components.early_stopping is not None:  # which may end the run soon
        within = within[:_SOON]
    anywhere = st.integers(1, total)
    return st.one_of(anywhere, st.sampled_from(within)) if within else anywhere


def plain(scenario: Scenario, held: dict[str, Any]) -> Scenario:
    """The scenario without worker processes, which take seconds, and without what has no meaning when a run goes on: poisoned losses, which
    are counted from the beginning, a check before training, and checkpoints with the model alone.
    """
    left_out = [name for name in scenario.arguments if name in _LEFT_OUT or _is_of_workers(name)]
    kept = scenario.without_arguments(*(name for name in left_out if name not in held))
    return kept.replace(components=kept.components.replace(poisoned=()))  # type: ignore[no-any-return]


def _is_of_workers(name: str) -> bool:
    return name.startswith("dataloader_") and name != "dataloader_drop_last"


def unscored(scenario: Scenario, held: dict[str, Any]) -> Scenario:
    """The scenario without a metric of ours and without early stopping: a run whose evaluations come at other times goes by the loss."""
    arguments = dict(scenario.arguments)
    if "metric_for_best_model" not in held and arguments.pop("metric_for_best_model", None) is not None:
        arguments["metric_for_best_model"] = "loss"
        if "greater_is_better" not in held:
            arguments["greater_is_better"] = False
    if "batch_eval_metrics" not in held:
        arguments.pop("batch_eval_metrics", None)
    components = scenario.components.replace(scores=(), early_stopping=None)
    return scenario.replace(arguments=arguments, components=components)  # type: ignore[no-any-return]


def baseline(subject: Subject, scenario: Scenario, saves: tuple[int, ...]) -> Record:
    """The run without interruptions, which saves after these updates too if checkpoints are any matter of the scenario: by rotation, or by
    the best one. The last few are remembered: cases that differ in their interruptions alone share it.
    """
    return _baseline(Hashed(subject), scenario, saves if scenario.argument("save_strategy") != "no" else ())


@functools.lru_cache(maxsize=_SHARED_BASELINES)
def _baseline(subject: Hashed, scenario: Scenario, saves: tuple[int, ...]) -> Record:
    from trainer_props.running import Interruption
    from trainer_props.running import run as run_scenario

    return run_scenario(scenario, subject.subject, training(Interruption(saves), None))


def training(interruption: Interruption, resumed: str | bool | None) -> Any:
    """The body of a run that may be interrupted, and may go on from a checkpoint."""

    def body(trainer: Any, record: Record, parts: Any) -> None:
        import random

        import numpy as np
        import torch

        interruption.draws = True
        trainer.add_callback(interruption)
        output = trainer.train(resume_from_checkpoint=resumed)
        record.results["random"] = {"torch": torch.rand(()).item(), "numpy": np.random.random(), "python": random.random()}  # noqa: NPY002  theirs
        record.global_step, record.training_loss, record.metrics = output.global_step, output.training_loss, dict(output.metrics)

    return body


def one_trainer(subject: Subject) -> Subject:
    """The subject, which gives the same Trainer each time: that which it made first, without the callbacks of ours that joined it since."""
    made: list[Any] = []

    def make(parts: Any, output_dir: str) -> Any:
        if not made:
            made.append(subject.make(parts, output_dir))
            made.append(list(made[0].callback_handler.callbacks))
        made[0].callback_handler.callbacks[:] = made[1]
        return made[0]

    return dataclasses.replace(subject, make=make)


def newest_checkpoint(directory: str) -> Path | None:
    """The checkpoint with the highest number, or None."""
    found = [path for path in Path(directory).glob("checkpoint-*") if (path / "trainer_state.json").is_file()]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def step_of(checkpoint: Path | None) -> int:
    """`global_step` of a checkpoint; 0 without one."""
    return 0 if checkpoint is None else int(json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))["global_step"])


_INTERRUPTION: Final = '''\
class Interruption(TrainerCallback):
    """Saves after some updates, and ends the run after one of them."""

    def __init__(self, at):
        self.at, self.happened, self.over = at, False, False

    def on_step_end(self, args, state, control, **kwargs):
{before}{draws}        if state.global_step in {saves}:
            control.should_save = True
        if state.global_step == self.at:
            {end}'''
_DRAWN: Final = "        random.random(), np.random.random()  # as augmentation does\n"
_RAISING: Final = """

    def {event}(self, args, state, control, **kwargs):
        self.maybe_raise()"""
_MAYBE_RAISE: Final = """

    def maybe_raise(self):
        if self.over:
            self.happened = True
            raise Interrupted"""
NEWEST: Final = '''\
def newest_checkpoint(folder):
    """The checkpoint with the highest number, or None."""
    found = glob.glob(f"{folder}/checkpoint-*")
    return max(found, key=lambda path: int(path.rpartition("-")[2]), default=None)'''


def interruption_source(at: list[int] | str, how: str = "stop", event: str = SIMPLEST_EVENT, *, draws: bool = False) -> str:
    """The callback that interrupts, in source.

    Args:
        at: the updates after which it saves, or an expression for them.
        draws: random numbers are drawn after each update.
    """
    drawn = _DRAWN if draws else ""
    if how == "stop":
        return _INTERRUPTION.format(before="", draws=drawn, saves=at, end="control.should_training_stop = self.happened = True")
    before = "        self.maybe_raise()\n" if event == "on_step_end" else ""
    text = _INTERRUPTION.format(before=before, draws=drawn, saves=at, end="self.over = True") + _MAYBE_RAISE
    return text if before else text + _RAISING.format(event=event)


_RANDOM: Final = 'record.results["random"] = {"torch": torch.rand(()).item(), "numpy": np.random.random(), "python": random.random()}'


def imports_of_training(wanted: Wanted) -> list[str]:
    """What `training_source` needs."""
    return ["import random", "import numpy as np"] if "random" in wanted.words else []


def training_source(wanted: Wanted, resumed: str = "resumed") -> list[str]:
    """Statements that train from the checkpoint of an expression, and keep what is wanted of the output."""
    kept = [f"record.{name} = {value}" for name, value in OUTPUT.items() if name in wanted.fields]
    random = [_RANDOM] if "random" in wanted.words else []
    return [f"{'output = ' if kept else ''}trainer.train(resume_from_checkpoint={resumed})", *random, *kept]
