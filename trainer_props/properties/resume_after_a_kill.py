"""After a kill: whatever moment it came at, a run goes on as if nothing had been, or says that it can't."""

from __future__ import annotations

from typing import Final

from trainer_props.judgement import Judgement, is_true, same
from trainer_props.measures import resume as parts
from trainer_props.measures import resume_after_a_kill as measures
from trainer_props.properties import sources
from trainer_props.properties._resume import (
    BASELINE_FINISHED,
    DATA_SKIPPED,
    RESUMABLE,
    SOMETHING_LEFT,
    follows_losses,
    loses_the_end_of_an_epoch,
)
from trainer_props.properties.needs import Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Runs
from trainer_props.scenario import Scenario

_AFTER_A_KILL: Final = ("resume_after_a_kill",)
_RESUMING: Final = sources.docs("Trainer.train.resume_from_checkpoint")
SOMETHING_SAVED = Need("something_saved", "it was killed before its first checkpoint was begun", lambda runs, scenario: len(runs) > 1)
NOTHING_UNDERWAY = Need(
    "nothing_underway", "it was killed in the middle of a save",
    lambda runs, scenario: bool(_saved(runs)) and max(parts.last(runs).results["begun"]) == _saved(runs)[-1],
)  # fmt: skip
RATES_KEPT = Need(
    "rates_kept", "the schedule missed the evaluation at the end of an epoch (resume.log_history_has_the_same_entries says so)",
    lambda runs, scenario: not (
        follows_losses(scenario) and loses_the_end_of_an_epoch(runs.first, runs.first, parts.first_step(parts.last(runs)))
    ),
)  # fmt: skip
_NEEDS: Final = (BASELINE_FINISHED, SOMETHING_SAVED, RESUMABLE, DATA_SKIPPED)


def _saved(runs: Runs) -> list[int]:
    saved: list[int] = parts.last(runs).results["saved"]
    return saved


@trainer_property(
    source=sources.issue(35782), experiments=_AFTER_A_KILL, needs=[*_NEEDS, SOMETHING_LEFT, RATES_KEPT], catalogue=[72, 74, 82]
)
def a_killed_run_goes_on_or_refuses(runs: Runs, scenario: Scenario) -> Judgement:
    """A run that was killed at any moment, also in the middle of a save, goes on exactly as it would have, or refuses before its first
    update: it never goes on in another way.
    """
    return is_true(
        "resuming after a kill", measures.goes_on_or_refuses(runs), expected="goes on as usual, or refuses",
        observed="goes on in another way", symptom="different",
    )  # fmt: skip


@trainer_property(source=_RESUMING, experiments=_AFTER_A_KILL, needs=[*_NEEDS, NOTHING_UNDERWAY], catalogue=[72, 74])
def a_finished_save_outlives_a_kill(runs: Runs, scenario: Scenario) -> Judgement:
    """A run that was killed when no save was underway goes on from the last one."""
    return same(
        "global_step at the beginning", expected=_saved(runs)[-1], observed=measures.first_step_after_the_kill(runs),
    )  # fmt: skip
