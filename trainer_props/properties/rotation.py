"""Rotation in a directory that was used before: what goes, what stays, and whose checkpoint is the best."""

from __future__ import annotations

from typing import Final

from trainer_props.judgement import Judgement, at_most, holds_for_all, is_true, not_applicable, same
from trainer_props.measures import rotation as measures
from trainer_props.oracles import rotation as oracle
from trainer_props.properties import sources
from trainer_props.properties.needs import FINISHED, Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario

NAME: Final = "save_into_a_used_folder"
SAVED: Final = Need("saved", "no checkpoint was saved", lambda record, scenario: bool(record.checkpoints))
LIMITED: Final = Need(
    "limited", "there is no limit of checkpoints", lambda record, scenario: (scenario.argument("save_total_limit") or 0) > 0
)


def saves_of(record: Record) -> list[tuple[str, str | None]]:
    """Of each save the checkpoint, and the one that the state calls the best right after it."""
    return [(f"checkpoint-{each.step}", each.best_model_checkpoint) for each in record.checkpoints]


@trainer_property(
    source=sources.docs("TrainingArguments.save_total_limit"), experiments=[NAME], needs=[FINISHED, SAVED, LIMITED], catalogue=[70]
)
def at_most_the_limit_is_left(record: Record, scenario: Scenario) -> Judgement:
    """After each save at most `save_total_limit` checkpoints are left in the directory, whichever run wrote them, or the newest and the
    best if these are more.
    """
    limit = int(scenario.argument("save_total_limit"))
    judgements = [
        at_most(
            "checkpoints after a save",
            expected=max(limit, len({newest, best} - {None})),
            observed=measures.number_of_checkpoints(record, index),
            at=f"save {index}",
            symptom="too many",
        )
        for index, (newest, best) in enumerate(saves_of(record))
    ]
    return holds_for_all("checkpoints after a save", judgements)


@trainer_property(source=sources.pull_request(37260), experiments=[NAME], needs=[FINISHED, SAVED, LIMITED], catalogue=[70])
def the_oldest_go_first(record: Record, scenario: Scenario) -> Judgement:
    """Of the checkpoints in the directory the oldest by their time of modification go first, never the newest nor the best."""
    if record.results["times"] == "same":
        return not_applicable("the times do not say which checkpoint is the oldest")
    expected = oracle.left_after_each_save(
        scenario.argument("save_total_limit"), record.results["older"], saves_of(record),
        reversed_times=record.results["times"] == "reversed",
    )  # fmt: skip
    return same("checkpoints after each save", expected=expected, observed=measures.checkpoints_after_each_save(record), at="save")


@trainer_property(source=sources.docs("TrainingArguments.save_total_limit"), experiments=[NAME], needs=[FINISHED], catalogue=[71])
def only_checkpoints_go(record: Record, scenario: Scenario) -> Judgement:
    """Folders that are no checkpoints stay, whatever they are called."""
    others = list(record.results["others"])
    if not others:
        return not_applicable("there are no other folders")
    return same("other folders", expected=others, observed=measures.left_of(record, others), at="folder", symptom="removed")


@trainer_property(source=sources.docs("TrainerState"), experiments=[NAME], needs=[FINISHED, SAVED], catalogue=[64, 82])
def the_best_checkpoint_is_one_of_this_run(record: Record, scenario: Scenario) -> Judgement:
    """`state.best_model_checkpoint` names a checkpoint that this run has saved, or none: a run loads nothing that it was not told to."""
    return is_true(
        "best_model_checkpoint",
        measures.best_checkpoint_was_saved(record),
        expected="a checkpoint of this run, or none",
        observed=record.state["best_model_checkpoint"],
        symptom="of another run",
    )
