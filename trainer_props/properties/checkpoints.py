"""Checkpoints: when they are written, what is in them, which of them stay, and which one is the best."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from trainer_props.judgement import HOLDS, Judgement, Measured, Violated, close, holds_for_all, is_true, not_applicable, same
from trainer_props.measures import checkpoints as measures
from trainer_props.oracles import best_model
from trainer_props.properties import sources
from trainer_props.properties._facts import facts
from trainer_props.properties.needs import DELAY_KNOWN, FINISHED, INTERVALS_KNOWN, SOME_BATCH, SOME_UPDATE, WHOLE_WINDOWS, Need
from trainer_props.properties.registry import WITH_FLAGS, WITH_SAVES, trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario

SAVED = Need("saved", "no checkpoint was saved", lambda record, scenario: bool(record.checkpoints))
TRACKED = Need("tracked", "no metric is tracked", lambda record, scenario: best_model.metric_name(scenario) is not None)
_BASE = (FINISHED, SOME_UPDATE, WHOLE_WINDOWS, DELAY_KNOWN, INTERVALS_KNOWN)
_ALWAYS: Final = ("trainer_state.json", "training_args.bin")
_FOR_RESUMING: Final = ("optimizer.pt", "scheduler.pt", "rng_state.pth")
_WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")


@trainer_property(source=sources.docs("TrainingArguments.save_strategy"), needs=[*_BASE], catalogue=[69])
def checkpoints_are_written_when_due(record: Record, scenario: Scenario) -> Judgement:
    """Checkpoints are written after exactly the updates that `save_strategy` and `save_steps` name; with `best`, after each evaluation that
    is better than all before.
    """
    expected = [save.step for save in facts(record, scenario).course.saves]
    observed = measures.steps_of_checkpoints(record)
    return same("steps at which a checkpoint is written", expected=expected, observed=observed, at="checkpoint")


@trainer_property(source=sources.docs("TrainingArguments.save_total_limit"), experiments=WITH_FLAGS, needs=[SAVED], catalogue=[69, 70, 71])
def rotation_keeps_the_newest_and_the_best(record: Record, scenario: Scenario) -> Judgement:
    """After each save at most `save_total_limit` checkpoints are left, the oldest having gone first, but never the newest nor the one that
    the state calls the best.
    """
    expected = [list(folders) for folders in best_model.rotation(scenario, _saves(record))]
    return same("checkpoints after each save", expected=expected, observed=measures.folders_after_each_save(record), at="save")


@trainer_property(source=sources.docs("TrainingArguments.save_total_limit"), needs=[*_BASE, SAVED], catalogue=[70])
def checkpoints_left_at_the_end(record: Record, scenario: Scenario) -> Judgement:
    """When training is over the checkpoints of the last rotation are left; with a limit of one and the best model loaded, the best one
    is.
    """
    expected = list(best_model.folders_at_end(scenario, _saves(record)))
    return same("checkpoints at the end", expected=expected, observed=measures.folders_at_the_end(record), at="checkpoint")


@trainer_property(source=sources.docs("TrainingArguments.save_strategy"), experiments=WITH_SAVES, needs=[SAVED], catalogue=[70])
def a_save_leaves_its_checkpoint(record: Record, scenario: Scenario) -> Judgement:
    """Right after a save its checkpoint exists."""
    lost = next((index for index, each in enumerate(record.checkpoints) if f"checkpoint-{each.step}" not in each.folders), None)
    if lost is None:
        return HOLDS
    return is_true(
        "checkpoints right after a save",
        measures.save_left_its_checkpoint(record, lost),
        expected=f"checkpoint-{record.checkpoints[lost].step}",
        observed=list(record.checkpoints[lost].folders),
        symptom="missing",
        at=f"save {lost}",
    )


@trainer_property(source=sources.docs("TrainerState"), needs=[*_BASE, TRACKED], catalogue=[63])
def best_metric_is_the_best_of_all(record: Record, scenario: Scenario) -> Judgement:
    """`state.best_metric` is the best value of the tracked metric at any evaluation of the run, in the direction of `greater_is_better`."""
    best = measures.best_value(record, f"eval_{best_model.metric_name(scenario)}", best_model.greater_is_better(scenario))
    if best.value is None:
        return not_applicable("no evaluation gave a number")
    return same("state.best_metric", expected=best, observed=measures.best_metric(record))


@trainer_property(source=sources.docs("TrainerState"), needs=[*_BASE, TRACKED], catalogue=[63])
def best_step_is_that_of_the_best_metric(record: Record, scenario: Scenario) -> Judgement:
    """`state.best_global_step` is the step of the first evaluation since the first update that reached the best metric, where
    checkpoints are saved: the evaluation before training (`eval_on_start`) has no step of which there could be one.
    """
    best = facts(record, scenario).course.best
    if best is None or scenario.argument("save_strategy") == "no":
        return not_applicable("no evaluation gave a number, or nothing is saved")
    return same("state.best_global_step", expected=best.step, observed=measures.best_global_step(record))


@trainer_property(
    source="https://github.com/huggingface/transformers/issues/35609", experiments=WITH_SAVES, needs=[FINISHED, SAVED], catalogue=[64, 70]
)
def best_checkpoint_exists(record: Record, scenario: Scenario) -> Judgement:
    """`state.best_model_checkpoint` names a checkpoint that exists, or none: at every save and when training is over."""
    for index, each in enumerate(record.checkpoints):
        if each.best_model_checkpoint is not None and each.best_model_checkpoint not in each.folders:
            exists = measures.best_checkpoint_exists_after_save(record, index)
            return _best_exists(exists, each.best_model_checkpoint, f"save {index}")
    exists = measures.best_checkpoint_exists_at_the_end(record)
    return _best_exists(exists, record.state["best_model_checkpoint"], "the end of training")


@trainer_property(source=sources.docs("TrainingArguments.load_best_model_at_end"), needs=[*_BASE, TRACKED, SAVED], catalogue=[64])
def best_checkpoint_is_the_best_saved(record: Record, scenario: Scenario) -> Judgement:
    """With `load_best_model_at_end` the best checkpoint is the best among those that were saved."""
    if not scenario.argument("load_best_model_at_end"):
        return not_applicable("the best model is not loaded")
    best = facts(record, scenario).course.best_checkpoint
    expected = None if best is None else best_model.folder(best)
    return same("best_model_checkpoint", expected=expected, observed=measures.best_model_checkpoint(record))


@trainer_property(source=sources.docs("TrainingArguments.load_best_model_at_end"), needs=[*_BASE, TRACKED, SAVED], catalogue=[64])
def best_model_is_loaded(record: Record, scenario: Scenario) -> Judgement:
    """With `load_best_model_at_end` the weights at the end are those of the checkpoint that the state calls the best; without it, those of
    the last update.
    """
    if record.final_weights is None or record.initial_weights is None:
        return not_applicable("the weights are not visible")
    if not scenario.argument("load_best_model_at_end"):
        last = record.updates[-1].weights if record.updates else record.initial_weights
        if last.equal(record.final_weights):
            return HOLDS
        expected = measures.weights_of_the_last_update(record)
        return _same_weights("final weights", expected, measures.final_weights(record), "the weights of the last update")
    name = record.state["best_model_checkpoint"]
    saved = next((each for each in reversed(record.checkpoints) if f"checkpoint-{each.step}" == name), None)
    if saved is None:
        return not_applicable("no checkpoint is the best")
    if saved.model_weights.equal(record.final_weights):
        return HOLDS
    expected = measures.weights_at_the_best_checkpoint(record)
    return _same_weights("final weights", expected, measures.final_weights(record), f"the weights of {name}")


@trainer_property(source=sources.docs("TrainingArguments.save_only_model"), experiments=WITH_FLAGS, needs=[FINISHED, SAVED], catalogue=[72])
def checkpoints_are_complete(record: Record, scenario: Scenario) -> Judgement:
    """A checkpoint holds the weights, the arguments and the state of the Trainer, and, unless `save_only_model`, what resuming needs:
    optimizer, scheduler and random states.
    """
    only_model = bool(scenario.argument("save_only_model"))
    wanted = _ALWAYS if only_model else (*_ALWAYS, *_FOR_RESUMING)
    for index, each in enumerate(record.checkpoints):
        files = each.files or ()
        missing = [name for name in wanted if name not in files]
        if not any(name in files or name + ".index.json" in files for name in _WEIGHTS):
            missing.append("weights")
        surplus = [name for name in _FOR_RESUMING if only_model and name in files]
        if missing or surplus:
            complete = measures.checkpoint_is_complete(record, index, list(wanted), list(_WEIGHTS))
            return is_true(
                "files of a checkpoint",
                complete if missing else measures.checkpoint_has_none_of(record, index, list(_FOR_RESUMING)),
                expected=list(wanted),
                observed=list(files),
                symptom="missing" if missing else "unexpected",
                at=f"save {index}: {', '.join(missing or surplus)}",
            )
    return HOLDS


@trainer_property(source=sources.docs("Trainer.save_model"), experiments=WITH_SAVES, needs=[FINISHED, SAVED], catalogue=[81])
def checkpoints_hold_the_weights(record: Record, scenario: Scenario) -> Judgement:
    """The weights in a checkpoint are the model's at that moment, bit for bit."""
    judged = False
    for index, each in enumerate(record.checkpoints):
        if each.weights is None:
            continue
        judged = True
        quantity, at = "weights in a checkpoint", f"save {index}"
        if each.weights.dtype != each.model_weights.dtype:
            return same(quantity, expected=measures.dtype_at_save(record, index), observed=measures.saved_dtype(record, index), at=at)
        if not each.weights.equal(each.model_weights):
            judgement = _same_weights(quantity, measures.weights_at_save(record, index), measures.saved_weights(record, index), at)
            if isinstance(judgement, Violated):
                return judgement
    return HOLDS if judged else not_applicable("weights in a format that is not read here")


@trainer_property(source=sources.docs("TrainerState"), experiments=WITH_FLAGS, needs=[FINISHED, SAVED], catalogue=[73])
def saved_state_is_the_state(record: Record, scenario: Scenario) -> Judgement:
    """The state in a checkpoint is the Trainer's at that moment: step, epoch, maximum of steps, and the log history so far."""
    for index, each in enumerate(record.checkpoints):
        if each.state is None:
            saved, at = measures.state_was_saved(record, index), f"save {index}"
            return is_true("trainer_state.json", saved, expected="the state of the Trainer", observed=None, symptom="missing", at=at)
        judgement = _same_state(each.state, record, index)
        if isinstance(judgement, Violated):
            return judgement
    return HOLDS


@trainer_property(source=sources.docs("TrainerState"), needs=[*_BASE, TRACKED, SAVED], catalogue=[63, 73])
def saved_state_knows_the_best(record: Record, scenario: Scenario) -> Judgement:
    """The state in a checkpoint has the best metric so far and its step, read back as what they were, infinities too."""
    saves = facts(record, scenario).course.saves
    if [save.step for save in saves] != [each.step for each in record.checkpoints]:
        return not_applicable("checkpoints are not written when due (checkpoints.checkpoints_are_written_when_due says so)")
    judgements = [
        same(
            "best metric and step in a checkpoint",
            expected=[save.best.value, save.best.step],
            observed=measures.saved_best(record, index),
            at=f"save {index}",
        )
        for index, save in enumerate(saves)
        if save.best is not None and record.checkpoints[index].state is not None
    ]
    return holds_for_all("best metric and step in a checkpoint", judgements)


def _saves(record: Record) -> list[tuple[int, int | None]]:
    """(step, step of the checkpoint that the state calls the best) of each save."""
    return [
        (each.step, int(each.best_model_checkpoint.rpartition("-")[2]) if each.best_model_checkpoint else None)
        for each in record.checkpoints
    ]


def _same_state(state: dict[str, Any], record: Record, index: int) -> Judgement:
    at = f"save {index}"
    expected, observed = measures.step_and_maximum_at_save(record, index), measures.saved_step_and_maximum(record, index)
    scalar = same("saved step and maximum of steps", expected=expected, observed=observed, at=at)
    if isinstance(scalar, Violated):
        return scalar
    before, saved = measures.epoch_at_save(record, index), measures.saved_epoch(record, index)
    epoch = close("saved epoch", expected=before, observed=saved, tolerance=1e-12, at=at)
    if isinstance(epoch, Violated):
        return epoch
    history = state.get("log_history") or []
    entries = is_true(
        "saved log history",
        measures.saved_log_history_is_the_log_history(record, index),
        expected=record.log_history[: len(history)],
        observed=history,
        symptom="different",
        at=at,
    )
    if isinstance(entries, Violated):
        return entries
    written, length = measures.logs_before_save(record, index), measures.length_of_saved_log_history(record, index)
    return same("length of the saved log history", expected=written, observed=length, at=at)


def _best_exists(exists: Measured, name: str | None, at: str) -> Judgement:
    expected = "an existing checkpoint, or none"
    return is_true("best_model_checkpoint", exists, expected=expected, observed=name, symptom="missing", at=at)


def _same_weights(quantity: str, expected: Measured, observed: Measured, at: str) -> Judgement:
    """NaN is what NaN was."""
    judgement = same(quantity, expected=expected, observed=observed, symptom="different")
    return replace(judgement, divergence=at) if isinstance(judgement, Violated) else judgement


RELOADED = Need("reloaded", "nothing was saved and loaded again", lambda record, scenario: "differing" in record.results)


@trainer_property(
    source=sources.docs("Trainer.save_model"), experiments=("save_and_reload",), needs=[FINISHED, SOME_UPDATE, RELOADED], catalogue=[81]
)
def a_saved_model_loads_as_it_was(record: Record, scenario: Scenario) -> Judgement:
    """What `save_model` or a checkpoint wrote, `from_pretrained` loads again: the same state, bit for bit, and what was one tensor (tied
    weights) is one again.
    """
    ties = {which: measures.entries_that_are_one_tensor(record, which) for which in ("trained", "reloaded")}
    return holds_for_all("reloaded model", [
        same("entries that differ", expected=[], observed=measures.entries_that_differ_when_reloaded(record), symptom="different"),
        same("entries that are one tensor", expected=ties["trained"], observed=ties["reloaded"], symptom="different"),
    ])  # fmt: skip


@trainer_property(
    source=sources.docs("Trainer.save_model"), experiments=("save_and_reload",), needs=[SOME_BATCH, SOME_UPDATE], catalogue=[81]
)
def saving_and_loading_raise_nothing(record: Record, scenario: Scenario) -> Judgement:
    """A model that was trained can be saved, and loaded again."""
    if record.failure is None or not any(event.name == "on_train_end" for event in record.events):
        return HOLDS if record.finished else not_applicable("training did not come to its end")
    return same("the run", expected="it ends", observed=measures.failure_after_training(record), symptom="does not end", verdict="crashed")
