"""What has to be so of a run that is interrupted and resumed, and of the same run without interruptions, before they can be compared."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from trainer_props.measures import resume as measures
from trainer_props.oracles import accounting, best_model
from trainer_props.properties.needs import Need
from trainer_props.record import Record, Runs
from trainer_props.scenario import Scenario
from trainer_props.zoo import MODELS

RESUME: Final = ("resume",)
RESUMED_RUNS: Final = (*RESUME, "resume_changed", "resume_among_others")
"""The experiments of which the last part is to come to what the baseline comes to."""
TOLERANCE: Final = {"float64": 1e-12, "float32": 1e-6}
"""By the type of the model: continuing is exact, and `places=6` is what float32 is promised."""


def _went_on(runs: Runs, scenario: Scenario) -> bool:
    """No part came as far as early stopping let the baseline go."""
    step, total = runs.first.global_step, runs.first.state.get("max_steps")
    return step == total or all(event.step < (step or 0) for part in measures.parts(runs)[:-1] for event in part.events)


def _ends_no_epoch(runs: Runs, scenario: Scenario) -> bool:
    """No checkpoint was written at the end of an epoch that a stop cut short."""
    return not any(_cut_short_and_saved(part) for part in measures.parts(runs)[:-1])


def _cut_short_and_saved(record: Record) -> bool:
    """Whether the last epoch ended within the data, and a checkpoint was written after that end."""
    names = [event.name for event in record.events]
    if "on_epoch_end" not in names:
        return False
    last = len(names) - 1 - names[::-1].index("on_epoch_end")
    epoch = record.events[last].epoch or 0.0
    return abs(epoch - round(epoch)) > _ROUNDING and "on_save" in names[last:]


_ROUNDING: Final = 1e-9


def _ends_are_kept(runs: Runs, scenario: Scenario) -> bool:
    """No part begins at the end of an epoch with a checkpoint from before it, where the end of the epoch logs or evaluates."""
    return not any(
        loses_the_end_of_an_epoch(runs.first, before, step)
        for before, step in zip(measures.parts(runs), measures.first_steps(runs).value, strict=False)
    )


def loses_the_end_of_an_epoch(whole: Record, before: Record, step: int) -> bool:
    """Whether the end of an epoch logs or evaluates at this step in the whole run, and the checkpoint of the step is from before it."""
    return _due_at_the_end_of_an_epoch(whole, step) and not _saved_after_the_end_of_an_epoch(before, step)


def _due_at_the_end_of_an_epoch(record: Record, step: int) -> bool:
    ended = False
    for event in record.events:
        if event.step == step:
            ended = (ended or event.name == "on_epoch_end") and event.name not in ("on_epoch_begin", "on_train_end")
            if ended and event.name == "on_evaluate":
                return True
            if ended and event.name == "on_log" and _logs_losses(record, step):
                return True
    return False


def _logs_losses(record: Record, step: int) -> bool:
    return any(entry.get("step") == step and "loss" in entry for entry in record.log_history)


def _saved_after_the_end_of_an_epoch(record: Record, step: int) -> bool:
    names = [event.name for event in record.events if event.step == step and event.name in ("on_epoch_end", "on_save")]
    return names[-2:] == ["on_epoch_end", "on_save"]


BASELINE_FINISHED = Need("baseline_finished", "the run does not finish, interrupted or not", lambda runs, scenario: runs.first.finished)
BEGAN = Need("began", "a part did not begin to train", lambda runs, scenario: all(part.events for part in measures.parts(runs)))
RESUMED = Need("resumed", "nothing was left to interrupt, or to resume from", lambda runs, scenario: len(measures.parts(runs)) > 1)
RESUMED_RUN_FINISHED = Need("resumed_run_finished", "the resumed run does not finish", lambda runs, scenario: measures.last(runs).finished)
WENT_ON = Need("went_on", "early stopping had ended the run where it was interrupted", _went_on)
WHOLE = Need("whole", "the newest checkpoint is damaged, or no checkpoint", lambda runs, scenario: not measures.damage(runs))
OWN = Need(
    "own", "it goes on from a checkpoint of another run (resume.resumes_from_the_last_save says so)",
    lambda runs, scenario: measures.first_step(measures.last(runs)) not in measures.steps_of_others(runs),
)  # fmt: skip
RESUMABLE = Need(
    "resumable", "checkpoints with the model alone can't be resumed from, as documented",
    lambda runs, scenario: not scenario.argument("save_only_model"),
)  # fmt: skip
DATA_SKIPPED = Need(
    "data_skipped", "with ignore_data_skip other samples come, as documented",
    lambda runs, scenario: not scenario.argument("ignore_data_skip"),
)  # fmt: skip
PATIENCE_RESTORED = Need(
    "patience_restored", "patience begins anew, since states of callbacks are not restored",
    lambda runs, scenario: scenario.components.early_stopping is None or bool(scenario.argument("restore_callback_states_from_checkpoint")),
)  # fmt: skip
PATIENCE = Need("patience", "no early stopping", lambda runs, scenario: scenario.components.early_stopping is not None)
EPOCHS_GO_ON = Need("epochs_go_on", "a stop ended an epoch early, and a checkpoint was written after that", _ends_no_epoch)
IDENTIFIED = Need("identified", "samples could not be identified", lambda runs, scenario: all(each.identified for each in runs.values()))
SOMETHING_LEFT = Need(
    "something_left", "the run was over when it was resumed",
    lambda runs, scenario: measures.first_step(measures.last(runs)) < (runs.first.global_step or 0),
)  # fmt: skip
ENDS_KEPT = Need(
    "ends_kept", "what was due at the end of an epoch is lost (resume.log_history_has_the_same_entries says so)", _ends_are_kept
)
SAME_WORK = Need(
    "same_work", "before the interruption it had other batches, or rates that go by its length or its evaluations",
    lambda runs, scenario: _same_work(measures.arguments_before(runs), scenario),
)  # fmt: skip
NOT_BEYOND = Need(
    "not_beyond", "it was resumed to end before where it was",
    lambda runs, scenario: measures.first_step(measures.last(runs)) <= (runs.first.global_step or 0),
)  # fmt: skip
LOSSES_KNOWN = Need(
    "losses_known", "the model ignores num_items_in_batch: losses are reported too large (loss.reported_loss_averages_updates says so)",
    lambda runs, scenario: not MODELS[scenario.model.name].swallows_num_items,
)  # fmt: skip


def _windows_are_whole(runs: Runs, scenario: Scenario) -> bool:
    most = int(scenario.argument("gradient_accumulation_steps"))
    return all(len(window) <= most for window in measures.of_windows(measures.last(runs)))


OWN_MICRO_BATCHES = Need(
    "own_micro_batches", "an update has micro-batches of a pass before, too (steps.updates_close_windows says so)", _windows_are_whole
)


def _samples_go_on(runs: Runs, scenario: Scenario) -> bool:
    """Nothing is known of the samples, or they are those of the run without interruptions, as far as that goes."""
    expected = measures.samples_of_the_baseline(runs).value
    return not IDENTIFIED.met(runs, scenario) or bool(measures.samples(runs).value[: len(expected)] == expected)


SAMPLES_GO_ON = Need(
    "samples_go_on", "other samples come (resume.samples_go_on_where_they_were says so)",
    _samples_go_on,
)  # fmt: skip
NOISE_GOES_ON = Need(
    "noise_goes_on", "within an epoch a collator's random numbers go on otherwise (resume.weights_go_on_where_they_were says so)",
    lambda runs, scenario: scenario.components.collator != "noise" or not _resumes_within_an_epoch(runs, scenario),
)  # fmt: skip


def _stops_alike(runs: Runs, scenario: Scenario) -> bool:
    if scenario.components.early_stopping is None:
        return True
    if not _ends_are_kept(runs, scenario) or (scenario.argument("ignore_data_skip") and scenario.argument("eval_strategy") == "epoch"):
        return False
    return best_model.is_given(scenario) or (
        DATA_SKIPPED.met(runs, scenario) and NOISE_GOES_ON.met(runs, scenario) and _same_samples_as_far_as_both_go(runs, scenario)
    )


def _same_samples_as_far_as_both_go(runs: Runs, scenario: Scenario) -> bool:
    pairs = zip(measures.samples_of_the_baseline(runs).value, measures.samples(runs).value, strict=False)
    return not IDENTIFIED.met(runs, scenario) or all(one == other for one, other in pairs)


STOPS_ALIKE = Need(
    "stops_alike",
    "early stopping did not see what was due at the end of an epoch (resume.log_history_has_the_same_entries says so); or passes begin "
    "anew, as documented of ignore_data_skip; or it goes by a loss, and other samples or other noise come",
    _stops_alike,
)


def _resumes_within_an_epoch(runs: Runs, scenario: Scenario) -> bool:
    per_epoch = max(1, accounting.updates_per_epoch(scenario))
    return any(measures.first_step(part) % per_epoch for part in measures.parts(runs)[1:])


def _same_work(before: Collection[str], scenario: Scenario) -> bool:
    """Whether a run with these arguments changed makes the same updates, as far as it goes."""
    if {"per_device_train_batch_size", "gradient_accumulation_steps"} & set(before):
        return False
    kind, warmup = scenario.argument("lr_scheduler_type"), scenario.argument("warmup_steps")
    if {"max_steps", "num_train_epochs"} & set(before):
        return bool(kind == "constant" or (kind == "constant_with_warmup" and (warmup == 0 or warmup >= 1)))
    evaluates_otherwise = any(name.startswith("eval_") for name in before)
    return not evaluates_otherwise or not (follows_losses(scenario) or scenario.argument("load_best_model_at_end"))


def follows_losses(scenario: Scenario) -> bool:
    """Whether the schedule sets learning rates by what evaluations give."""
    return scenario.argument("lr_scheduler_type") in ("reduce_lr_on_plateau", "greedy")


ALWAYS: Final = (BASELINE_FINISHED, RESUMED, WHOLE)
DONE: Final = (*ALWAYS, RESUMED_RUN_FINISHED, RESUMABLE)
TO_THE_END: Final = (*DONE, WENT_ON, PATIENCE_RESTORED, EPOCHS_GO_ON, NOT_BEYOND, OWN)
SAME_RUN: Final = (*TO_THE_END, SAME_WORK)
OVER: Final = (*SAME_RUN, DATA_SKIPPED, ENDS_KEPT)
EXACT: Final = (*OVER, SOMETHING_LEFT)
