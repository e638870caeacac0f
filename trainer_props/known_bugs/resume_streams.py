"""The known bug of resuming on streams without length."""

from __future__ import annotations

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs import _passes
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.oracles import accounting
from trainer_props.record import Runs
from trainer_props.scenario import Data, Scenario


def _goes_on_beyond_the_first_pass(scenario: Scenario) -> bool:
    """An update comes between the first pass and the last update, after which the run can be interrupted."""
    whole = _passes.whole_windows(scenario)
    return scenario.data.kind == "stream" and 0 < whole < accounting.total_updates(scenario) - 1


def _begins_the_second_pass(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """Samples, epochs and entries are those of a run that goes on with the first batch of what it takes to be the second pass."""
    if not _passes.beyond_the_first_pass(runs, scenario):
        return False
    if judgement.quantity == "samples of an update":
        return bool(judgement.observed == _passes.samples(runs, scenario))
    if judgement.quantity == "epoch after updates":
        return _passes.alike(judgement.observed, _passes.epochs(runs, scenario))
    if judgement.quantity == "epoch":
        return _passes.alike(judgement.observed, _passes.epochs(runs, scenario)[-1:])
    return _passes.alike(judgement.observed, _passes.entries(runs, scenario))


known_bug(
    KnownBug(
        id="resume-beyond-the-first-pass-of-a-stream",
        verdict="bug",
        sentence=(
            "On a stream without length all batches that were trained on are skipped within one pass: a run that was interrupted in "
            "a later pass goes on with the first batch of the stream, and counts from its second pass."
        ),
        link="https://github.com/huggingface/transformers/issues/26413",
        versions=">=4.46",
        properties=(
            "resume.samples_go_on_where_they_were",
            "resume.epochs_go_on_where_they_were",
            "resume.log_history_has_the_same_entries",
            "resume.the_state_is_the_same",
        ),
        region=_goes_on_beyond_the_first_pass,
        symptom=_begins_the_second_pass,
        example=Case(
            experiment="resume",
            scenario=Scenario(
                arguments={"per_device_train_batch_size": 1, "max_steps": 4, "optim": "sgd", "learning_rate": 0.1, "logging_steps": 1},
                data=Data(kind="stream", n=2),
            ),
            parameters={"interrupt_at": [3]},
        ),
    )
)
