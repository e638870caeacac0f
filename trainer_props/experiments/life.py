"""The experiment that lives through the life of a job: trained piece by piece, crashed, looked at, moved, and brought to its end."""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.life_source import body
from trainer_props.experiments.registry import Experiment, Held, register
from trainer_props.experiments.resume_parts import BASELINE, baseline, newest_checkpoint, plain, step_of, unscored
from trainer_props.oracles import life
from trainer_props.record import Record, Runs
from trainer_props.scenario import Scenario, thaw

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "life"
CRASHED: Final = "crashed"
_WEIGHTS: Final = "model.safetensors"
_STATE: Final = "trainer_state.json"
_METRIC: Final = ("metric_for_best_model", "greater_is_better", "load_best_model_at_end")
_ADAPTIVE: Final = ("reduce_lr_on_plateau", "greedy")
_MOST_STEPS: Final = 12
_FEW_STEPS: Final = 5
"""Most lives are short: each step of a life is a run, and most of what can go wrong takes few of them."""
_LONGEST: Final = 2
"""Updates after which a run is ended, at most: the runs that are drawn have a dozen or so."""


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Runs, and lives of them. The parameter of a case: `life`, a list of steps (`trainer_props.oracles.life`)."""
    runs, fixed = scenarios(held), arguments_of(held)

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        scenario = draw(runs)
        return Case(experiment=NAME, scenario=scenario, parameters={"life": draw(lives(scenario, held=fixed))})

    return drawn()


def arguments_of(held: Held) -> dict[str, Any]:
    """The arguments that are the same in every run: held ones, and forbidden ones at their defaults."""
    return {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}


def scenarios(held: Held) -> st.SearchStrategy[Scenario]:
    """Runs of several updates on map-style data, most with a plan for checkpoints and evaluations."""
    arguments = arguments_of(held)

    @st.composite
    def drawn(draw: st.DrawFn) -> Scenario:
        length = {} if set(arguments) & {"max_steps", "num_train_epochs"} else draw(_LENGTHS)
        drawn_scenarios = strategies.regression_scenarios(arguments={**length, **arguments}, models=held.models)
        return _watched(draw, _simple(draw(drawn_scenarios), arguments), arguments)

    return drawn()


@st.composite
def lives(draw: st.DrawFn, scenario: Scenario, *, held: Mapping[str, Any] | None = None) -> list[list[Any]]:
    """Lives of a run: lists of possible steps, of which most end with the end of the job.

    Args:
        held: arguments that never change.
    """
    longest = draw(st.sampled_from((_FEW_STEPS, _FEW_STEPS, _MOST_STEPS)))
    wanted = draw(st.lists(steps(scenario, held=held), min_size=2, max_size=longest))
    if scenario.data.n_eval and draw(st.booleans()):  # a look needs a checkpoint
        wanted = [["train", draw(st.integers(1, _LONGEST))], *wanted, draw(_LOOKS)]
    if draw(st.integers(0, 7)) < 7:
        wanted = [*wanted, ["finish"]]
    return [list(step) for step in life.possible(scenario, wanted)] or [["finish"]]


def steps(scenario: Scenario, *, held: Mapping[str, Any] | None = None) -> st.SearchStrategy[list[Any]]:
    """Single steps, whether they are possible or not.

    Args:
        held: arguments that never change.
    """
    return _steps(*_evaluating(scenario), frozenset(held or ()))


@functools.cache
def _steps(evaluates: bool, resizes: bool, held: frozenset[str]) -> st.SearchStrategy[list[Any]]:
    updates = st.integers(1, _LONGEST)
    train = st.builds(lambda k: ["train", k], updates)
    crash = st.builds(lambda k, event: ["crash", k, event], updates, st.sampled_from(life.EVENTS))
    again = st.builds(lambda k: ["again", k] if k else ["again"], st.integers(0, _LONGEST))
    change = st.builds(lambda changed: ["change", changed], _changes(evaluates, resizes, held))
    looks = _LOOKS if evaluates else train
    others = st.sampled_from([["lose"], ["move"], ["lose"], ["finish"]])
    return st.one_of(train, again, looks, crash, others, again, change, crash, looks, train)


def changes(scenario: Scenario, *, held: Mapping[str, Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments that change nothing that is trained: when is logged, saved and evaluated, and how many checkpoints stay.

    Args:
        held: arguments that never change.
    """
    return _changes(*_evaluating(scenario), frozenset(held or ()))


@functools.cache
def _changes(evaluates: bool, resizes: bool, held: frozenset[str]) -> st.SearchStrategy[dict[str, Any]]:
    plans: list[st.SearchStrategy[dict[str, Any]]] = [
        st.fixed_dictionaries({"save_total_limit": _EVERY}),
        st.fixed_dictionaries({"save_strategy": st.just("steps"), "save_steps": _EVERY}),
        st.fixed_dictionaries({"logging_strategy": st.just("steps"), "logging_steps": _EVERY}),
        st.fixed_dictionaries({"save_strategy": st.sampled_from(["no", "epoch"])}),
        st.fixed_dictionaries({"logging_strategy": st.sampled_from(["no", "epoch"])}),
        st.fixed_dictionaries({"eval_strategy": st.just("no")}),
    ]
    if evaluates:
        plans.append(st.fixed_dictionaries({"eval_strategy": st.just("steps"), "eval_steps": _EVERY}))
    if resizes:
        plans.append(st.fixed_dictionaries({"per_device_eval_batch_size": _EVERY}))
    return st.one_of(plans).map(lambda changed: {name: value for name, value in changed.items() if name not in held})


def _evaluating(scenario: Scenario) -> tuple[bool, bool]:
    """Whether there is something to evaluate on, and whether all of it is seen with any batch size: `dataloader_drop_last` leaves out as
    many samples as batches are large.
    """
    return scenario.data.n_eval > 0, scenario.data.n_eval > 0 and not scenario.argument("dataloader_drop_last")


_LOOKS: Final = st.sampled_from([["evaluate"], ["predict"]])
_LIMITS: Final = st.sampled_from([None, None, None, 1, 2, 3])
_EVERY: Final = st.integers(1, 3)
_SAVING: Final = st.one_of(
    st.fixed_dictionaries({"save_strategy": st.just("steps"), "save_steps": _EVERY, "save_total_limit": _LIMITS}),
    st.just({"save_strategy": "no"}),
    st.fixed_dictionaries({"save_strategy": st.just("epoch"), "save_total_limit": _LIMITS}),
    st.fixed_dictionaries({"save_strategy": st.just("steps"), "save_steps": _EVERY, "save_total_limit": _LIMITS}),
)
_EACH: Final = {"eval_strategy": "steps", "eval_steps": 1}
_EVALUATING: Final = st.sampled_from([{}, _EACH, {"eval_strategy": "steps", "eval_steps": 2}, _EACH, _EACH])
_LENGTHS: Final = st.one_of(
    st.fixed_dictionaries({"max_steps": st.integers(3, 8)}), st.fixed_dictionaries({"num_train_epochs": st.sampled_from([2, 3, 2.5])})
)
"""A job of a single update has no life."""


def _watched(draw: st.DrawFn, scenario: Scenario, held: Mapping[str, Any]) -> Scenario:
    """The scenario with a plan for checkpoints, and mostly one for evaluations: what a life is about."""
    plans = {**draw(_SAVING), **draw(_EVALUATING)}
    kept = scenario.with_arguments(**{name: value for name, value in plans.items() if name not in held})
    if kept.argument("eval_strategy") == "no" or kept.data.n_eval:
        return kept
    least = int(kept.argument("per_device_eval_batch_size")) if kept.argument("dataloader_drop_last") else 1
    return kept.replace(data=kept.data.replace(n_eval=draw(st.integers(least, least + 3))))  # type: ignore[no-any-return]


def _simple(scenario: Scenario, held: dict[str, Any]) -> Scenario:
    """The scenario without what follows a metric: which of its values are seen depends on the life."""
    kept = unscored(plain(scenario, held), held)
    left_out = [name for name in _METRIC if name not in held]
    if kept.argument("lr_scheduler_type") in _ADAPTIVE and "lr_scheduler_type" not in held:
        left_out += ["lr_scheduler_type", "lr_scheduler_kwargs"]
    return kept.without_arguments(*left_out)


def run(case: Case, subject: Subject) -> Runs:
    """The baseline from beginning to end; then, in a directory of its own, each run of the life, named by its number and its kind."""
    with contextlib.ExitStack() as stack:
        lived = Life(case.scenario, subject, stack)
        for step in case.parameters.get("life", ()):
            lived.live(thaw(step))
        return lived.runs


class Life:
    """A job while it is lived.

    Args:
        scenario: the run.
        subject: the trainer under test.
        stack: the output directory goes away with it.

    Attributes:
        scenario: as it was given.
        runs: the baseline, and what was run since. `results` of their records: `step`, `changed` (arguments that are not those of the
            scenario), `before` (steps of the checkpoints on disk before it), `crashed` (the exception that was asked for came).
        job: where the job stands, by what is on disk.
    """

    def __init__(self, scenario: Scenario, subject: Subject, stack: contextlib.ExitStack) -> None:
        from trainer_props.running import output_directory

        self.scenario = scenario
        self.runs = Runs({BASELINE: baseline(subject, scenario, ())})
        self.job = life.Job(scenario)
        self._steps = 0
        self._subject = subject
        self._changed: dict[str, Any] = {}
        self._home = Path(stack.enter_context(output_directory())) / "job"
        self._home.mkdir()
        self._trainer: Any = None

    @property
    def failed(self) -> bool:
        """Whether a run did not end as it should, so that nothing follows."""
        return not all(record.finished for record in self.runs.values())

    def live(self, step: Sequence[Any]) -> None:
        """Live a step, unless it is not possible (`trainer_props.oracles.life.Job.can`) or a run has failed."""
        self._steps += 1
        if self.failed or not self.job.can(step):
            return
        kind = step[0]
        if kind == "lose":
            shutil.rmtree(self._newest())
        elif kind == "move":
            self._home = self._home.rename(self._home.with_name(f"{self._home.name}-moved"))
        elif kind == "change":
            self._changed = {**self._changed, **step[1]}
        else:
            self._run(step)
        self.job = replace(self.job.after(step), disk=self._disk())

    def _run(self, step: Sequence[Any]) -> None:
        from trainer_props.running import run as run_scenario

        subject = self._subject
        if step[0] == "again":
            subject = replace(subject, make=lambda parts, output_dir: _alone(self._trainer))
        happening = self._looking(step[0]) if step[0] in life.LOOKING else self._training(step)
        record = run_scenario(self.job.scenario, subject, happening, directory=str(self._home))
        record.results |= {"step": list(step), "changed": self._changed, "before": self.job.disk}
        self.runs[f"{self._steps} {step[0]}"] = record

    def _training(self, step: Sequence[Any]) -> Callable[[Any, Record, Any], None]:
        from trainer_props.running.interruption import EXCEPTION, STOP, Interrupted, Interruption

        event, updates = life.event_of(step), life.updates_of(step)
        saves = () if updates is None or event is not None else (updates,)
        interruption = Interruption(saves, updates, STOP if event is None else EXCEPTION, event or life.EVENTS[0], counted_on=True)

        def happening(trainer: Any, record: Record, parts: Any) -> None:
            self._trainer = trainer
            trainer.add_callback(interruption)
            try:
                trainer.train(resume_from_checkpoint=True if self.job.disk else None)
            except Interrupted:
                record.results[CRASHED] = True

        return happening

    def _looking(self, kind: str) -> Callable[[Any, Record, Any], None]:
        weights = self._newest() / _WEIGHTS

        def happening(trainer: Any, record: Record, parts: Any) -> None:
            from safetensors.torch import load_file

            trainer.model.load_state_dict(load_file(weights))
            if kind == "predict":
                trainer.predict(trainer.eval_dataset)
            else:
                trainer.evaluate()

        return happening

    def _newest(self) -> Path:
        found = newest_checkpoint(str(self._home))
        assert found is not None
        return found

    def _disk(self) -> tuple[int, ...]:
        return tuple(sorted(step_of(path) for path in self._home.glob("checkpoint-*") if (path / _STATE).is_file()))


def _alone(trainer: Any) -> Any:
    """The Trainer without what watched and interrupted it before."""
    from trainer_props.running.interruption import Interruption
    from trainer_props.running.recorder import Recorder

    for kind in (Recorder, Interruption):
        trainer.remove_callback(kind)
    return trainer


register(
    Experiment(
        NAME,
        "Live the life of a job: train some, crash, lose a checkpoint, change arguments, evaluate, resume; compare with one run.",
        "test_trainer_checkpointing",
        cases,
        run,
        strategies.FLAVOURS["regression"].models,
        0.5,
        body=body,
        avoids=("eval_on_start",),
    )
)
