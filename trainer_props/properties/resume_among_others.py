"""Where something lies already: a run reads, and removes, nothing that it neither wrote nor was told to take."""

from __future__ import annotations

from typing import Final

from trainer_props.judgement import Judgement, close, holds_for_all, is_true, not_applicable, same
from trainer_props.measures import resume as parts
from trainer_props.measures import resume_among_others as measures
from trainer_props.properties import sources
from trainer_props.properties._resume import (
    BASELINE_FINISHED,
    DATA_SKIPPED,
    EPOCHS_GO_ON,
    RESUMABLE,
    RESUMED,
    RESUMED_RUN_FINISHED,
    TOLERANCE,
)
from trainer_props.properties.needs import Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Runs
from trainer_props.scenario import Scenario

_AMONG_OTHERS: Final = ("resume_among_others",)
_LOOKS_WRITTEN: Final = "checkpoint-99"
BROKEN = Need("broken", "its checkpoint is whole", lambda runs, scenario: bool(parts.parts(runs)[0].results.get("broken")))
FIRST_PART_FINISHED = Need(
    "first_part_finished", "the first part does not finish", lambda runs, scenario: len(runs) > 1 and parts.parts(runs)[0].finished
)


@trainer_property(
    source=sources.docs("Trainer.train.resume_from_checkpoint"), experiments=_AMONG_OTHERS,
    needs=[FIRST_PART_FINISHED], tolerance=TOLERANCE["float64"], catalogue=[82],
)  # fmt: skip
def a_run_that_is_not_resumed_begins_anew(runs: Runs, scenario: Scenario) -> Judgement:
    """A run that is not told to resume begins at its beginning, and trains what it trains in an empty directory, whatever lies there."""
    step = same("global_step at the beginning", expected=0, observed=measures.first_step_of_the_first_part(runs))
    weights = close(
        "weights after updates", expected=measures.weights_of_the_baseline_until_then(runs),
        observed=measures.weights_of_the_first_part(runs), tolerance=TOLERANCE[scenario.model.dtype], at="weight",
    )  # fmt: skip
    return holds_for_all("the first part", [step, weights])


@trainer_property(
    source=sources.docs("TrainingArguments.save_total_limit"), experiments=_AMONG_OTHERS,
    needs=[BASELINE_FINISHED, RESUMED, RESUMED_RUN_FINISHED], catalogue=[71],
)  # fmt: skip
def what_no_run_wrote_stays(runs: Runs, scenario: Scenario) -> Judgement:
    """Files and folders that are no checkpoints of a run (`checkpoint-` and a number) are still there after it, whatever it removes."""
    names = [name for name in parts.parts(runs)[0].results.get("lies", []) if name != _LOOKS_WRITTEN]
    if not names:
        return not_applicable("nothing else lies there")
    return same("files and folders of others", expected=names, observed=measures.what_is_left(runs, names), symptom="removed")


@trainer_property(
    source=sources.issue(35782), experiments=_AMONG_OTHERS,
    needs=[BASELINE_FINISHED, RESUMED, RESUMABLE, BROKEN, DATA_SKIPPED, EPOCHS_GO_ON], catalogue=[72, 82],
)  # fmt: skip
def a_damaged_checkpoint_is_not_half_used(runs: Runs, scenario: Scenario) -> Judgement:
    """A run that is to resume from a checkpoint of which a piece is missing or cut off refuses, or takes a whole one: it never goes on in
    another way than it would have without the damage.
    """
    return is_true(
        "resuming from a damaged checkpoint", measures.refuses_or_goes_on_as_usual(runs), expected="refused, or goes on as usual",
        observed="goes on in another way", symptom="accepted",
    )  # fmt: skip
