"""Known bugs of checkpoints and of the best model."""

from __future__ import annotations

import math

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.flags import deviates
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.measures import callbacks as measured
from trainer_props.oracles import accounting, best_model, events, plans
from trainer_props.oracles import flags as oracle
from trainer_props.oracles.course import course
from trainer_props.properties._facts import tracked_values
from trainer_props.record import Record
from trainer_props.scenario import Components, Data, Scenario

_DOCS = "https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments"


def _values(record: Record, scenario: Scenario) -> list[tuple[int, float]]:
    """(step, tracked metric) of every evaluation but the one before training, whether or not there was an update in between."""
    key, names = f"eval_{best_model.metric_name(scenario)}", [event.name for event in record.events]
    begun = names.index("on_step_begin") if "on_step_begin" in names else len(names)
    later = record.evaluations[names[:begun].count("on_evaluate") :]
    return [(each.step, each.metrics[key]) for each in later if key in each.metrics]


def _evaluated_without_saving(scenario: Scenario) -> bool:
    """Some evaluation has no checkpoint of its step."""
    total = accounting.total_updates(scenario)
    saved = plans.save_points(scenario, total)
    return (
        bool(scenario.argument("load_best_model_at_end"))
        and saved is not None
        and bool(set(plans.evaluation_points(scenario, total)) - {0} - set(saved))
    )


def _stale(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """The best checkpoint is the last one that was ever of the best evaluation so far, if that was saved; otherwise there is none."""
    return bool(record.state["best_model_checkpoint"] == _last_of_the_best(_values(record, scenario), record, scenario))


def _last_of_the_best(values: list[tuple[int, float]], record: Record, scenario: Scenario) -> str | None:
    greater, current = best_model.greater_is_better(scenario), None
    for each in record.checkpoints:
        best = best_model.best_of(((step, value) for step, value in values if step <= each.step), greater)
        if best is not None and best_model.folder(best.step) in each.folders:
            current = best_model.folder(best.step)
    return current


def _worst(scenario: Scenario) -> float:
    """The infinity that no value is worse than."""
    return -math.inf if best_model.greater_is_better(scenario) else math.inf


def _may_be_infinite(scenario: Scenario) -> bool:
    name = best_model.metric_name(scenario)
    return name == "loss" or (name is not None and _worst(scenario) in scenario.components.scores)


def _worst_is_nothing(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """An evaluation whose value is the worst infinity is passed over, as if it had given no number."""
    if "plan" in record.results:  # a callback sets flags
        return deviates(oracle.WORST_PASSED_OVER)(judgement, record, scenario)
    values = tracked_values(record, scenario) or ()
    worst = _worst(scenario)
    if worst not in values:
        return False
    numbers = [math.nan if value == worst else value for value in values]
    total = accounting.total_updates(scenario)
    followed = course(scenario, total, (*numbers, *[math.nan] * (2 * total + 2)), start_counts=False)
    if judgement.quantity == "best_model_checkpoint":
        passed = [(step, math.nan if value == worst else value) for step, value in _values(record, scenario)]
        as_seen = record.state["best_model_checkpoint"] == _last_of_the_best(passed, record, scenario)
    elif judgement.quantity == "state.best_global_step":
        as_seen = record.state["best_global_step"] == (followed.best.step if followed.best else None)
    elif judgement.quantity == "events":
        as_seen = measured.events_and_steps(record).value == [[name, step] for name, step in events.expected(scenario, followed)]
    else:
        as_seen = [each.step for each in record.checkpoints] == [save.step for save in followed.saves]
    if judgement.quantity == "best metric and step in a checkpoint":
        states = [each.state or {} for each in record.checkpoints]
        return as_seen and all(
            state.get("best_global_step") == (save.best.step if save.best else None)
            and (save.best is None or state.get("best_metric") == save.best.value)
            for state, save in zip(states, followed.saves, strict=True)
        )
    return bool(as_seen)



def _start_is_left_out(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    best = best_model.best_of(_values(record, scenario), best_model.greater_is_better(scenario))
    return record.state["best_metric"] == (best.value if best else None) or (
        best is None and record.state["best_metric"] in (float("inf"), float("-inf"))
    )


def _limit_of_one(scenario: Scenario) -> bool:
    tracked = best_model.metric_name(scenario) is not None
    return scenario.argument("save_total_limit") == 1 and tracked and not scenario.argument("load_best_model_at_end")


def _only_the_best_is_left(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    return record.folders == (record.state["best_model_checkpoint"],)


known_bug(
    KnownBug(
        id="best-checkpoint-stale",
        verdict="bug",
        sentence=(
            "With save_steps a legal multiple of eval_steps, an evaluation without a checkpoint hides the best one that was saved: a "
            "stale checkpoint, or none, is loaded at the end."
        ),
        link="https://github.com/huggingface/transformers/pull/39560",
        versions=">=4.50",
        properties=("checkpoints.best_checkpoint_is_the_best_saved",),
        region=_evaluated_without_saving,
        symptom=_stale,
        example=Case(
            experiment="train_and_save",
            scenario=Scenario(
                arguments={
                    "per_device_train_batch_size": 1,
                    "max_steps": 2,
                    "eval_strategy": "steps",
                    "eval_steps": 1,
                    "save_strategy": "steps",
                    "save_steps": 2,
                    "load_best_model_at_end": True,
                    "metric_for_best_model": "score",
                },
                data=Data(n=2, n_eval=1),
                components=Components(scores=(1.0, 0.0)),
            ),
        ),
    )
)

known_bug(
    KnownBug(
        id="eval-on-start-is-never-best",
        verdict="limit",
        sentence="The evaluation before training (eval_on_start) does not count for best_metric, even if no later one is as good.",
        link=f"{_DOCS}.eval_on_start",
        versions=">=4.46",
        properties=("checkpoints.best_metric_is_the_best_of_all",),
        region=lambda scenario: bool(scenario.argument("eval_on_start")),
        symptom=_start_is_left_out,
        example=Case(
            experiment="train_and_save",
            scenario=Scenario(
                arguments={
                    "max_steps": 1,
                    "eval_strategy": "steps",
                    "eval_steps": 1,
                    "eval_on_start": True,
                    "metric_for_best_model": "score",
                },
                data=Data(n=1, n_eval=1),
                components=Components(scores=(1.0, 0.0)),
            ),
        ),
    )
)

known_bug(
    KnownBug(
        id="limit-of-one-drops-the-newest",
        verdict="bug",
        sentence=(
            "With save_total_limit=1 the newest checkpoint is deleted at the end if another is the best, also without "
            "load_best_model_at_end: the run can't be resumed."
        ),
        link=f"{_DOCS}.save_total_limit",
        versions=">=4.46",
        properties=("checkpoints.checkpoints_left_at_the_end",),
        region=_limit_of_one,
        symptom=_only_the_best_is_left,
        example=Case(
            experiment="train_and_save",
            scenario=Scenario(
                arguments={
                    "per_device_train_batch_size": 1,
                    "max_steps": 2,
                    "eval_strategy": "steps",
                    "eval_steps": 1,
                    "save_strategy": "steps",
                    "save_steps": 1,
                    "save_total_limit": 1,
                    "metric_for_best_model": "score",
                },
                data=Data(n=2, n_eval=1),
                components=Components(scores=(1.0, 0.0)),
            ),
        ),
    )
)

known_bug(
    KnownBug(
        id="worst-infinity-is-never-best",
        verdict="bug",
        sentence=(
            "A first metric value that is the worst infinity (-inf where greater is better, else inf) is no better than what best_metric "
            "begins with: it gets no best_global_step, no best checkpoint, and no save under save_strategy='best'."
        ),
        link="https://huggingface.co/docs/transformers/main_classes/callback#transformers.TrainerState",
        versions=">=4.48",
        properties=(
            "checkpoints.best_step_is_that_of_the_best_metric",
            "checkpoints.best_checkpoint_is_the_best_saved",
            "checkpoints.checkpoints_are_written_when_due",
            "checkpoints.saved_state_knows_the_best",
            "callbacks.events_are_those_of_the_plans",
            "flags.events_are_those_that_flags_ask_for",
            "flags.windows_are_cut_where_flags_say",
        ),
        region=_may_be_infinite,
        symptom=_worst_is_nothing,
        example=Case(
            experiment="train_and_save",
            scenario=Scenario(
                arguments={
                    "per_device_train_batch_size": 1,
                    "max_steps": 1,
                    "eval_strategy": "steps",
                    "eval_steps": 1,
                    "save_strategy": "steps",
                    "save_steps": 1,
                    "load_best_model_at_end": True,
                    "metric_for_best_model": "score",
                },
                data=Data(n=1, n_eval=1),
                components=Components(scores=(-math.inf,)),
            ),
        ),
    )
)
