"""Known bugs of runs whose output directory holds something already, and of damaged checkpoints."""

from __future__ import annotations

from typing import Any

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.measures import resume as measures
from trainer_props.record import Runs
from trainer_props.scenario import Data, Scenario

_DOCS = "https://huggingface.co/docs/transformers/main_classes/trainer#transformers"
_NOT_ASKED_FOR = ("optimizer.pt", "scheduler.pt", "rng_state.pth")


def only_what_is_named_alike_is_gone(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """All that was removed are folders whose names begin as those of checkpoints do."""
    gone = [name for name in judgement.expected if name not in judgement.observed]
    return all(name in ("checkpoint-abc", "checkpoint-12-old") for name in gone)


def _begins_with_the_highest_number(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """The run goes on from a checkpoint of the older run that has the highest number of all."""
    before = measures.parts(runs)[0]
    numbers = [int(name.rpartition("-")[2]) for name in before.folders]
    return bool(numbers) and measures.first_step(measures.last(runs)) == max(numbers) and max(numbers) in before.results.get("older", ())


def _goes_on_without_the_piece(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """The piece that is missing is not asked for: the run goes on with a fresh one."""
    broken = runs["part 1"].results["broken"]
    part = measures.last(runs)
    return broken[1] == "missing" and broken[0] in _NOT_ASKED_FOR and part.failure is None and measures.first_step(part) > 0


def best_is_of_the_older_run(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """The weights differ at the end alone; the best checkpoint is one of the older run, at a step at which this run did not save."""
    name = str(measures.last(runs).state["best_model_checkpoint"])
    saved = {each.step for part in measures.parts(runs) for each in part.checkpoints}
    step = int(name.rpartition("-")[2]) if name.startswith("checkpoint-") else -1
    return judgement.quantity == "weights at the end" and step in runs["part 1"].results.get("older", ()) and step not in saved


def _case(arguments: dict[str, Any], data: Data | None = None, **parameters: Any) -> Case:
    usual = {"per_device_train_batch_size": 1, "optim": "sgd", "learning_rate": 0.1}
    scenario = Scenario(arguments={**usual, **arguments}, data=data or Data(n=4))
    return Case(experiment="resume_among_others", scenario=scenario, parameters={"interrupt_at": 1, **parameters})

known_bug(
    KnownBug(
        id="resume-takes-the-highest-number",
        verdict="trap",
        sentence=(
            "resume_from_checkpoint=True takes the checkpoint with the highest number in output_dir: where an older run has come further, "
            "its checkpoint, although another was written after it."
        ),
        link=f"{_DOCS}.Trainer.train.resume_from_checkpoint",
        versions=">=4.46",
        properties=("resume.resumes_from_the_last_save",),
        region=lambda scenario: True,
        symptom=_begins_with_the_highest_number,
        example=_case({"max_steps": 3}, older=[2]),
    )
)

known_bug(
    KnownBug(
        id="resume-without-a-missing-piece",
        verdict="trap",
        sentence=(
            "A checkpoint from which the file of the optimizer, of the schedule or of the random states is gone is taken without a word: "
            "training goes on with fresh ones."
        ),
        link=f"{_DOCS}.Trainer.train.resume_from_checkpoint",
        versions=">=4.46",
        properties=("resume_among_others.a_damaged_checkpoint_is_not_half_used",),
        region=lambda scenario: not scenario.argument("save_only_model"),
        symptom=_goes_on_without_the_piece,
        example=_case({"max_steps": 2}, broken=["scheduler.pt", "missing"]),
    )
)
