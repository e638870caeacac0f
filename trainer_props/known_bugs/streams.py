"""Known bugs with iterable data sets of unknown length."""

from __future__ import annotations

import math
import re

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs._pairs import in_each_run
from trainer_props.known_bugs.losses import swallows
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.oracles import accounting
from trainer_props.properties._gradients import explained_by
from trainer_props.record import Observation, Record, first_record
from trainer_props.scenario import Data, Scenario


def _leftover(scenario: Scenario) -> bool:
    """A pass over the stream ends inside a window, and the run goes on after it."""
    if scenario.data.kind != "stream":
        return False
    whole, rest = divmod(accounting.batches_per_epoch(scenario), int(scenario.argument("gradient_accumulation_steps")))
    return whole > 0 and rest > 0 and accounting.total_updates(scenario) > whole


_DISCRETE = (
    "micro-batches before each update", "training micro-batches", "events", "samples of an update", "entries of the log history",
)  # fmt: skip


def _windows_run_on(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """Each pass gives its whole windows alone; the micro-batches that are left over go before the first window of the next pass."""
    per_pass, accumulation = accounting.batches_per_epoch(scenario), int(scenario.argument("gradient_accumulation_steps"))
    whole = per_pass // accumulation
    predicted = [index // whole * per_pass + (index % whole + 1) * accumulation for index in range(len(record.updates))]
    if [update.batches for update in record.updates] != predicted:
        return False
    # early stopping counts passes, of which each makes fewer updates
    other_end = judgement.quantity == "learning rates" and judgement.symptom in ("too many", "too few")
    if judgement.quantity in _DISCRETE or (other_end and scenario.components.early_stopping is not None):
        return True
    if judgement.quantity == "norm of the applied gradient" and judgement.symptom == "too large":
        return False  # clipping bounds it all the same
    if swallows(scenario):
        # Every gradient is inflated besides, by a factor that is known where nothing was left over from the pass before.
        first_of_later_pass = [index >= whole and index % whole == 0 for index in range(len(record.updates))]
        return explained_by(record, scenario, [None if first else float(accumulation) for first in first_of_later_pass])
    # A gradient is wrong in the first update of a later pass, and nowhere before; a log at the end of a pass has what is left over in it.
    place = re.match(r"(?:update|log of step) (\d+)", judgement.divergence)
    update = int(place.group(1)) if place is not None else 0
    if judgement.divergence.startswith("log"):
        return update >= whole
    return update > whole and (update - 1) % whole == 0


def _shorter_than_a_window(scenario: Scenario) -> bool:
    return scenario.data.kind == "stream" and accounting.batches_per_epoch(scenario) < int(scenario.argument("gradient_accumulation_steps"))


def _no_update_ever(judgement: Violated, observation: Observation, scenario: Scenario) -> bool:
    """No update is made: the run goes on for ever, or through whole passes until early stopping ends it."""
    record = first_record(observation)
    if record.updates:
        return False
    if judgement.verdict == "hung":
        return True
    stopped = record.finished and record.global_step == 0 and scenario.components.early_stopping is not None
    return stopped and len(record.batches) > 0 and len(record.batches) % accounting.batches_per_epoch(scenario) == 0


def _several_passes(scenario: Scenario) -> bool:
    return scenario.data.kind == "stream" and accounting.total_updates(scenario) > accounting.updates_per_epoch(scenario)


def _epoch_of_all_steps(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """The share of a pass is taken of all micro-batches of the run, not of those of a pass."""
    length = accounting.total_updates(scenario) * int(scenario.argument("gradient_accumulation_steps"))
    windows = accounting.windows(scenario, len(record.updates))
    observed = [event.epoch for event in record.events if event.name == "on_step_end"]
    predicted = [window.epoch + (window.first + window.batches) / length for window in windows]
    return len(observed) == len(predicted) and all(
        left is not None and math.isclose(left, right, rel_tol=1e-9) for left, right in zip(observed, predicted, strict=True)
    )


known_bug(
    KnownBug(
        id="stream-leftover-gradient",
        verdict="bug",
        sentence=(
            "What is left of a window at the end of a pass over a stream is neither stepped nor cleared: its gradient, unscaled, goes "
            "into the next pass's first update."
        ),
        link="https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments.gradient_accumulation_steps",
        versions=">=4.46",
        properties=(
            "steps.updates_close_windows",
            "steps.micro_batches_are_those_of_the_updates",
            "callbacks.events_follow_the_grammar",
            "optimization.gradient_averages_own_micro_batches",
            "optimization.logged_grad_norm_is_before_clipping",
            "optimization.weights_match_reference",
            "optimization.applied_gradient_is_clipped",
            "loss.reported_loss_averages_updates",
            "regroup.updates_have_the_same_samples",
            "regroup.learning_rates_are_the_same",
            "regroup.log_history_has_the_same_entries",
            "regroup.identical_samples_give_identical_gradients",
        ),
        region=_leftover,
        symptom=in_each_run(_windows_run_on),
        example=Case(
            experiment="train_on_streams",
            scenario=Scenario(
                arguments={"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "max_steps": 2},
                data=Data(kind="stream", n=3),
            ),
        ),
    )
)

known_bug(
    KnownBug(
        id="stream-never-steps",
        verdict="bug",
        sentence=(
            "A stream with fewer batches than gradient_accumulation_steps is passed through for ever, or until early stopping: no update "
            "is ever made."
        ),
        link="https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments.max_steps",
        versions=">=4.46",
        properties=(
            "steps.run_finishes",
            "regroup.both_groupings_finish",
            "regroup.updates_have_the_same_samples",
            "regroup.learning_rates_are_the_same",
            "regroup.log_history_has_the_same_entries",
            "regroup.logged_losses_are_the_same",
            "regroup.gradient_norms_are_the_same",
            "steps.micro_batches_are_those_of_the_updates",
            "callbacks.events_follow_the_grammar",
            "callbacks.events_are_those_of_the_plans",
            "data_order.micro_batches_have_their_size",
            "evaluation.evaluations_happen_when_due",
            "early_stopping.stops_when_patience_is_spent",
            "logs.loss_is_logged_when_due",
        ),
        region=_shorter_than_a_window,
        symptom=_no_update_ever,
        example=Case(
            experiment="train_on_streams",
            scenario=Scenario(
                arguments={"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "max_steps": 1},
                data=Data(kind="stream", n=1),
            ),
        ),
    )
)

known_bug(
    KnownBug(
        id="stream-epoch-of-all-steps",
        verdict="bug",
        sentence="On a stream without length state.epoch takes a pass to be as long as the whole run, so that passes are counted wrong.",
        link="https://github.com/huggingface/transformers/issues/41913",
        versions=">=4.46",
        properties=("steps.epoch_of_a_stream_counts_passes",),
        region=_several_passes,
        symptom=_epoch_of_all_steps,
        example=Case(
            experiment="train_on_streams",
            scenario=Scenario(arguments={"per_device_train_batch_size": 1, "max_steps": 2}, data=Data(kind="stream", n=1)),
        ),
    )
)
