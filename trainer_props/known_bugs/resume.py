"""Known bugs of resuming."""

from __future__ import annotations

import math
from typing import Any

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs import _passes
from trainer_props.known_bugs._life import operations_of_a_crash, stored_batches
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.measures import resume as measures
from trainer_props.oracles import accounting, best_model, plans
from trainer_props.record import Record, Runs
from trainer_props.scenario import Components, Data, Model, Scenario
from trainer_props.zoo import MODELS

_DOCS = "https://huggingface.co/docs/transformers/main_classes/trainer#transformers"
_TOLERANCE = 1e-5


def _ends_within_an_epoch(scenario: Scenario) -> bool:
    """The Trainer sees it so: a stream without length has passes without end."""
    per_epoch = accounting.updates_per_epoch(scenario)
    return bool(per_epoch) and (scenario.data.kind == "stream" or accounting.total_updates(scenario) % per_epoch != 0)


def _one_update_more(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """A run that was over is resumed, and makes one update: those before it are what they were."""
    if judgement.quantity == "weights after an update":
        return False
    part, total = measures.last(runs), runs.first.state["max_steps"]
    return measures.first_step(part) == total == runs.first.global_step and part.global_step == total + 1 and len(part.updates) == 1


def _a_log_covers_several_updates(scenario: Scenario) -> bool:
    total = accounting.total_updates(scenario)
    return bool(set(range(1, total)) - set(plans.log_steps(scenario, total)))


def _window_begins_anew(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """What differs are first logs after a resume; they are the mean over the updates since then."""
    starts = {measures.first_step(part): part for part in measures.parts(runs)[1:]}
    before = 0
    for entry, usual in zip(_losses(measures.last(runs)), _losses(runs.first), strict=True):
        step = entry["step"]
        if not _close(entry["loss"], usual["loss"]):
            begun = max((start for start in starts if before < start < step), default=None)
            if begun is None or not _close(entry["loss"], _mean(starts[begun], step - begun, scenario)):
                return False
        before = step
    return True


def _losses(record: Record) -> list[dict[str, Any]]:
    return [entry for entry in record.log_history if "loss" in entry]


def _mean(record: Record, updates: int, scenario: Scenario) -> float:
    """The mean loss of the first updates of a run, as the Trainer adds it up: with what is left of a window at the end of a pass."""
    kind = MODELS[scenario.model.name]
    divided = kind.swallows_num_items or kind.loss_reduction == "sum_over_items" or scenario.components.loss != "model"
    total, begun = 0.0, 0
    for number, update in enumerate(record.updates[: updates + 1]):
        losses = [math.nan if batch.loss is None else batch.loss for batch in record.batches[begun : update.batches]]
        left_over = max(0, len(losses) - int(scenario.argument("gradient_accumulation_steps")))  # from the pass before
        if number == updates and scenario.argument("logging_strategy") != "epoch":  # it was logged before the end of the pass
            break
        own = losses[left_over:] if number < updates else []
        for window in filter(None, (losses[:left_over], own)):
            total += sum(window) / (1 if divided else len(window))
        begun = update.batches
    return total / updates


def _close(left: float, right: float) -> bool:
    return (math.isnan(left) and math.isnan(right)) or math.isclose(left, right, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def _ends_of_epochs_matter(scenario: Scenario) -> bool:
    return "epoch" in (scenario.argument("logging_strategy"), scenario.argument("eval_strategy"))


def _end_of_an_epoch_is_lost(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """Entries are missing, and nothing else: those of ends of epochs at which a part begins. Early stopping, which saw an evaluation less,
    may end the run elsewhere: then entries follow after those of the run without interruptions, or its last ones are missing too.

    On a stream without length the pass ends once more, and evaluates: only its log is lost.
    """
    if scenario.data.kind == "stream":
        return not _passes.beyond_the_first_pass(runs, scenario) and _passes.alike(judgement.observed, _passes.entries(runs, scenario))
    starts = measures.first_steps(runs).value
    missing = [entry for entry in judgement.expected if entry not in judgement.observed]
    kept = [entry for entry in judgement.expected if entry in judgement.observed]
    if not missing:
        return False
    more = judgement.observed[len(kept) :]
    lost = [entry for entry in missing if entry[0] in starts and float(entry[1]).is_integer()]
    others = [entry for entry in missing if entry not in lost]
    if not lost or kept != judgement.observed[: len(kept)]:
        return False
    if scenario.components.early_stopping is None:
        return not others and not more
    last, ended = measures.last(runs).global_step or 0, runs.first.global_step or 0
    goes_on = not others and all(entry[0] > judgement.expected[-1][0] for entry in more)
    ends_sooner = not more and last < ended and all(entry[0] > last for entry in others)
    return goes_on or ends_sooner


def _counts_from_the_beginning_of_the_epoch(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """After a resume within an epoch, that epoch is counted as if none of its batches were trained on."""
    if scenario.data.kind == "stream":
        return _passes.alike(judgement.observed, _passes.epochs(runs, scenario))
    per_epoch = accounting.updates_per_epoch(scenario)
    for part in measures.parts(runs)[1:]:
        begun = measures.first_step(part) // per_epoch * per_epoch
        epochs = measures.of_ends_of_updates(part)
        predicted = [each.epoch_after for each in accounting.windows(scenario, begun + len(epochs))[begun:]]
        if not all(epoch is not None and _close(epoch, other) for epoch, other in zip(epochs, predicted, strict=True)):
            return False
    return True


def _one_checkpoint_beside_the_best(scenario: Scenario) -> bool:
    return scenario.argument("save_total_limit") == 1 and best_model.metric_name(scenario) is not None


def _only_the_best_was_left(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """Each part begins with the last checkpoint, or with the best one, which was the only one left."""
    pairs = zip(measures.parts(runs), judgement.expected, judgement.observed, strict=False)
    return all(
        observed == expected
        or (before.folders == (f"checkpoint-{observed}",) and before.state["best_model_checkpoint"] == f"checkpoint-{observed}")
        for before, expected, observed in pairs
    )


def _goes_on_with_a_fresh_optimizer(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """The run goes on with the weights and the step of the checkpoint, and a schedule that begins anew."""
    part = measures.last(runs)
    begins_anew = not part.updates or part.updates[0].scheduler_epoch in (0, None)
    return part.failure is None and measures.first_step(part) > 0 and begins_anew


def _counts_operations(scenario: Scenario) -> bool:
    """Whether the Trainer knows how many operations a batch takes the model."""
    return MODELS[scenario.model.name].pretrained


def _operations_since_the_save_counted_twice(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """What is too much are the operations of the batches that came after the last save, and came again; a log of losses counts those before
    it to a state that is thrown away.
    """
    if judgement.quantity != "total_flos":
        return False
    parts = measures.parts(runs)
    again = sum(
        batch.tokens
        for part, saved in zip(parts, measures.last_saved_steps(runs).value, strict=False)
        for batch in part.batches[stored_batches(part) :]
        if batch.step >= saved
    )  # fmt: skip
    (expected,), (observed,), tokens = judgement.expected, judgement.observed, sum(batch.tokens for batch in runs.first.batches)
    return again > 0 and _close(observed, expected * (1 + again / tokens))


def _epochs_drop_rows(scenario: Scenario) -> bool:
    """Epochs, and not steps, are asked for, and leave out the rows of a short last batch."""
    rows = accounting.batches_per_epoch(scenario) * accounting.batch_size(scenario)
    return bool(scenario.argument("dataloader_drop_last")) and scenario.argument("max_steps") <= 0 and rows < scenario.data.n


def _dropped_rows_count(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """The rate is that of all rows of the data set in each epoch, of which this call had its share."""
    part = measures.last(runs)
    share = len(part.updates) / part.state["max_steps"]
    rows = scenario.data.n * float(scenario.argument("num_train_epochs")) * share
    runtime = part.metrics["train_runtime"]
    return bool(rows / (runtime + 6e-5) - 6e-4 <= judgement.observed <= rows / (runtime - 6e-5) + 6e-4)


def _stopped(arguments: dict[str, Any], at: int, data: Data | None = None, **more: Any) -> Case:
    parameters = {"interrupt_at": [at], **more.pop("parameters", {})}
    usual = {"per_device_train_batch_size": 1, "optim": "sgd", "learning_rate": 0.1}
    return Case(
        experiment="resume", scenario=Scenario(arguments={**usual, **arguments}, data=data or Data(n=4), **more), parameters=parameters
    )


known_bug(
    KnownBug(
        id="resume-of-a-finished-run-trains-on",
        verdict="bug",
        sentence="Resuming a run that has made all its updates makes one more, beyond max_steps, if the last epoch is not complete.",
        link=f"{_DOCS}.TrainingArguments.max_steps",
        versions=">=4.46",
        properties=("resume.ends_at_the_same_step", "resume.weights_go_on_where_they_were"),
        region=_ends_within_an_epoch,
        symptom=_one_update_more,
        example=_stopped({"max_steps": 1}, 1, Data(n=2)),
    )
)

known_bug(
    KnownBug(
        id="resume-log-window",
        verdict="limit",
        sentence=(
            "The losses since the last log are not in a checkpoint: the first loss that is logged after a resume is the mean over the "
            "updates since the resume alone."
        ),
        link=f"{_DOCS}.TrainingArguments.logging_steps",
        versions=">=4.46",
        properties=("resume.logged_losses_are_the_same",),
        region=_a_log_covers_several_updates,
        symptom=_window_begins_anew,
        example=_stopped({"max_steps": 2, "logging_steps": 2}, 1, Data(n=2)),
    )
)

known_bug(
    KnownBug(
        id="resume-loses-the-end-of-an-epoch",
        verdict="limit",
        sentence=(
            "A checkpoint that is written at the last update of an epoch is written before the epoch ends: the evaluation and the log that "
            "are due at that end never take place in a run that is resumed from it."
        ),
        link=f"{_DOCS}.TrainingArguments.eval_strategy",
        versions=">=4.46",
        properties=("resume.log_history_has_the_same_entries",),
        region=_ends_of_epochs_matter,
        symptom=_end_of_an_epoch_is_lost,
        example=_stopped({"num_train_epochs": 2, "eval_strategy": "epoch"}, 1, Data(n=1, n_eval=1)),
    )
)

known_bug(
    KnownBug(
        id="resume-ignore-data-skip-epoch",
        verdict="limit",
        sentence="With ignore_data_skip, state.epoch falls back to the beginning of its epoch when a run is resumed within one.",
        link=f"{_DOCS}.TrainingArguments.ignore_data_skip",
        versions=">=4.46",
        properties=("resume.epochs_go_on_where_they_were",),
        region=lambda scenario: bool(scenario.argument("ignore_data_skip")),
        symptom=_counts_from_the_beginning_of_the_epoch,
        example=_stopped({"num_train_epochs": 1, "ignore_data_skip": True}, 1, Data(n=2)),
    )
)

known_bug(
    KnownBug(
        id="resume-after-limit-of-one",
        verdict="bug",
        sentence=(
            "With save_total_limit=1 a run that is told to save and stop deletes the checkpoint that it has just written, if another is "
            "the best: it can only be resumed from that one."
        ),
        link=f"{_DOCS}.TrainingArguments.save_total_limit",
        versions=">=4.46",
        properties=("resume.resumes_from_the_last_save",),
        region=_one_checkpoint_beside_the_best,
        symptom=_only_the_best_was_left,
        example=_stopped(
            {
                "max_steps": 3, "eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1,
                "save_total_limit": 1, "metric_for_best_model": "score",
            },
            2, Data(n=3, n_eval=1), components=Components(scores=(1.0, 0.0)),
        ),
    )
)  # fmt: skip

known_bug(
    KnownBug(
        id="resume-from-the-model-alone",
        verdict="trap",
        sentence=(
            "A checkpoint of save_only_model, from which training can't be resumed, is taken without a word: its weights and its step "
            "go on with a fresh optimizer and a schedule that begins anew."
        ),
        link=f"{_DOCS}.TrainingArguments.save_only_model",
        versions=">=4.46",
        properties=("resume.what_cannot_be_resumed_is_refused",),
        region=lambda scenario: bool(scenario.argument("save_only_model")),
        symptom=_goes_on_with_a_fresh_optimizer,
        example=_stopped({"max_steps": 2, "save_only_model": True}, 1, Data(n=2)),
    )
)

known_bug(
    KnownBug(
        id="resume-counts-operations-twice",
        verdict="bug",
        sentence=(
            "A Trainer whose train() was ended by an exception keeps the operations that it has counted since the last save: where it "
            "resumes, they are added to total_flos beside those of the same updates when they are done again."
        ),
        link="https://huggingface.co/docs/transformers/main_classes/callback#transformers.TrainerState.total_flos",
        versions=">=4.46",
        properties=("life.the_state_is_that_of_one_run", "resume.the_state_is_the_same"),
        region=_counts_operations,
        symptom={"resume": _operations_since_the_save_counted_twice, "life": operations_of_a_crash},
        example=_stopped(
            {"max_steps": 2}, 1, Data(n=2), model=Model(name="regression_pretrained"),
            parameters={"how": "exception", "event": "on_step_end", "trainer": "same"},
        ),
    )
)  # fmt: skip

known_bug(
    KnownBug(
        id="dropped-samples-in-the-speed",
        verdict="bug",
        sentence=(
            "train_samples_per_second counts the samples that dataloader_drop_last leaves out of each epoch as if they were trained on, "
            "unless max_steps is given."
        ),
        link=f"{_DOCS}.TrainingArguments.dataloader_drop_last",
        versions=">=4.46",
        properties=("resume.samples_a_second_are_of_this_call",),
        region=_epochs_drop_rows,
        symptom=_dropped_rows_count,
        example=_stopped(
            {"num_train_epochs": 9, "dataloader_drop_last": True, "per_device_train_batch_size": 4}, 1, Data(n=7),
        ),
    )
)  # fmt: skip
