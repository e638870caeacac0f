"""Known bugs of resuming with other arguments."""

from __future__ import annotations

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs._life import by_the_intervals_of_the_first_run
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.measures import resume as measures
from trainer_props.oracles import accounting
from trainer_props.record import Runs
from trainer_props.scenario import Data, Scenario

_KINDS = {"steps of logs": "logging", "steps of evaluations": "eval", "steps of saves": "save"}


def _something_goes_by_steps(scenario: Scenario) -> bool:
    return any(scenario.argument(f"{kind}_strategy") == "steps" for kind in _KINDS.values())


def _old_interval(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """What is observed are the steps of the interval that the first part had; and where that was interrupted, if it comes there again: a
    checkpoint is asked for there.
    """
    kind, last = _KINDS[judgement.quantity], measures.last(runs)
    begun, total = measures.first_step(last), last.global_step or 0
    interval = runs["part 1"].state[f"{kind}_steps"]
    due = {step for step in range(begun + 1, total + 1) if step % interval == 0}
    if kind != "logging":
        due.add(total)
    if kind == "save" and begun < (interrupted := runs["part 1"].global_step or 0) <= total:
        due.add(interrupted)
    delay = scenario.argument("eval_delay") if kind == "eval" else 0
    by_steps = scenario.argument(f"{kind}_strategy") == "steps"
    return by_steps and bool(judgement.observed == sorted(step for step in due if step >= delay))


known_bug(
    KnownBug(
        id="resume-keeps-the-old-intervals",
        verdict="trap",
        sentence=(
            "logging_steps, eval_steps and save_steps of a run that is resumed count for nothing: it goes on with the intervals of its "
            "checkpoint, after a warning that the arguments do not match."
        ),
        link="https://github.com/huggingface/transformers/pull/36303",
        versions=">=4.46",
        properties=(
            "life.checkpoints_are_those_of_the_plan",
            "life.log_history_has_each_entry_once",
            "life.makes_the_updates_that_are_left",
            "resume_changed.logs_go_by_the_arguments",
            "resume_changed.evaluations_go_by_the_arguments",
            "resume_changed.saves_go_by_the_arguments",
        ),
        region=lambda scenario: _something_goes_by_steps(scenario) or accounting.total_updates(scenario) > 1,
        symptom={"resume_changed": _old_interval, "life": by_the_intervals_of_the_first_run},
        example=Case(
            experiment="resume_changed",
            scenario=Scenario(
                arguments={
                    "per_device_train_batch_size": 1, "max_steps": 3, "optim": "sgd", "learning_rate": 0.1, "logging_steps": 1,
                    "eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1,
                },
                data=Data(n=3, n_eval=1),
            ),
            parameters={"interrupt_at": 1, "before": {"logging_steps": 2, "eval_steps": 3, "save_steps": 3}},
        ),
    )
)  # fmt: skip
