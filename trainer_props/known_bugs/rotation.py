"""Known bugs of rotation in a directory that was used before."""

from __future__ import annotations

import re
from typing import Any, Final

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.known_bugs.resume_among_others import best_is_of_the_older_run, only_what_is_named_alike_is_gone
from trainer_props.measures import rotation as measures
from trainer_props.oracles import best_model, rotation
from trainer_props.properties.rotation import saves_of
from trainer_props.record import Record
from trainer_props.scenario import Components, Data, Scenario

_NUMBERED: Final = re.compile(r"checkpoint-([0-9]+)")
_DOCS = "https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments"


def _limited(scenario: Scenario) -> bool:
    return (scenario.argument("save_total_limit") or 0) > 0


def _taken_for_checkpoints(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """Folders whose names begin as those of checkpoints are counted, and removed, as the oldest of them."""
    others = [name for name in record.results["others"] if name.startswith(best_model.PREFIX)]
    gone = [name for name in record.results["others"] if name not in record.results["left"]]
    if not others or not set(gone) <= set(others):
        return False
    if judgement.quantity == "other folders":
        return True
    reversed_times = record.results["times"] == "reversed"
    older = [*others, *record.results["older"]]
    left = rotation.left_after_each_save(scenario.argument("save_total_limit"), older, saves_of(record), reversed_times=reversed_times)
    observed = measures.checkpoints_after_each_save(record).value
    return bool(observed == [[name for name in names if name not in others] for names in left])


def _by_number(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """All times are those of one second, and what is left is what rotation leaves that takes the highest number for the newest."""
    if record.results.get("times") != "same":
        return False
    limit = int(scenario.argument("save_total_limit"))
    numbered = [name for name in record.results["others"] if _NUMBERED.match(name)]
    present = [*record.results["older"], *numbered]
    for each in record.checkpoints:
        present = sorted({*present, best_model.folder(each.step)}, key=_number)
        kept = {present[-1], each.best_model_checkpoint}
        removable = [name for name in present if name not in kept]
        gone = removable[: max(0, len(present) - max(limit, len(kept - {None})))]
        present = [name for name in present if name not in gone]
        if sorted(name for name in present if name not in numbered) != measures.checkpoints_among(each.folders):
            return False
    return True


def _number(name: str) -> tuple[int, str]:
    found = _NUMBERED.match(name)
    return (int(found.group(1)) if found else 0), name


def _step_of_the_best(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """The checkpoint was there before, and is the last one that had the number of the best step so far when something was saved."""
    metric, greater = best_model.metric_name(scenario), best_model.greater_is_better(scenario)
    evaluations, saves = iter(record.evaluations), iter(record.checkpoints)
    there = set(record.results["older"])
    value, best, found = None, None, None
    for event in record.events:
        if event.name == "on_evaluate":
            each = next(evaluations)
            new = each.metrics.get(f"eval_{metric}")
            if each.step > 0 and new is not None and best_model.is_better(new, value, greater):
                value, best = new, best_model.folder(each.step)
        elif event.name == "on_save":
            there.add(best_model.folder(next(saves).step))
            found = best if best in there else found
    name = record.state["best_model_checkpoint"]
    return name in record.results["older"] and name == found


def _saving(n: int = 2, n_eval: int = 0, scores: tuple[float, ...] = (), *, parameters: dict[str, Any], **arguments: Any) -> Case:
    usual = {"per_device_train_batch_size": 1, "num_train_epochs": 1, "save_strategy": "steps", "save_steps": 1}
    scenario = Scenario(arguments={**usual, **arguments}, data=Data(n=n, n_eval=n_eval), components=Components(scores=scores))
    return Case(experiment="save_into_a_used_folder", scenario=scenario, parameters=parameters)


known_bug(
    KnownBug(
        id="rotation-takes-other-folders",
        verdict="bug",
        sentence=(
            "With save_total_limit every folder in output_dir whose name begins with 'checkpoint-' is taken for a checkpoint and removed "
            "when it is old, such as a checkpoint-best that was put aside."
        ),
        link=f"{_DOCS}.save_total_limit",
        versions=">=4.52",
        properties=("resume_among_others.what_no_run_wrote_stays", "rotation.only_checkpoints_go", "rotation.the_oldest_go_first"),
        region=_limited,
        symptom={"rotation": _taken_for_checkpoints, "resume_among_others": only_what_is_named_alike_is_gone},
        example=_saving(n=1, parameters={"others": ["checkpoint-best"]}, save_total_limit=1),
    )
)

known_bug(
    KnownBug(
        id="rotation-within-a-second",
        verdict="bug",
        sentence=(
            "If all checkpoints in output_dir were written within a second, rotation goes by their numbers: beside those of an older, "
            "longer run a checkpoint is removed by the save that has just written it."
        ),
        link="https://github.com/huggingface/transformers/pull/37260",
        versions=">=4.46",
        properties=("checkpoints.a_save_leaves_its_checkpoint", "rotation.at_most_the_limit_is_left"),
        region=_limited,
        symptom=_by_number,
        example=_saving(n=1, parameters={"older": [2], "times": "same"}, save_total_limit=1),
    )
)

known_bug(
    KnownBug(
        id="best-checkpoint-of-another-run",
        verdict="bug",
        sentence=(
            "If the best evaluation has no checkpoint, and an older run has left one of the same number in output_dir, that one is taken "
            "for the best: load_best_model_at_end loads the weights of the older run."
        ),
        link=f"{_DOCS}.load_best_model_at_end",
        versions=">=4.50",
        properties=("resume.weights_go_on_where_they_were", "rotation.the_best_checkpoint_is_one_of_this_run"),
        region=lambda scenario: best_model.metric_name(scenario) is not None,
        symptom={"rotation": _step_of_the_best, "resume": best_is_of_the_older_run},
        example=_saving(
            n_eval=1, scores=(1.0, 0.0), parameters={"older": [1]}, eval_strategy="steps", eval_steps=1, save_steps=2,
            load_best_model_at_end=True, metric_for_best_model="score",
        ),
    )
)  # fmt: skip
