"""Known bugs of control flags that callbacks set."""

from __future__ import annotations

import math
import re
from typing import Any

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.losses import swallows
from trainer_props.known_bugs.registry import KnownBug, Symptom, known_bug
from trainer_props.oracles import flags as oracle
from trainer_props.properties._gradients import explained_by
from trainer_props.properties.flags import followed
from trainer_props.record import Record
from trainer_props.scenario import Components, Data, Scenario
from trainer_props.zoo import MODELS

_DOCS = "https://huggingface.co/docs/transformers/main_classes"
_CONTROL = f"{_DOCS}/callback#transformers.TrainerControl"
_TOLERANCE = 1e-5


def deviates(deviation: str) -> Symptom:
    """The events are those of a run with the known deviations, and would be others without this one."""

    def symptom(judgement: Violated, record: Record, scenario: Scenario) -> bool:
        observed = [(event.name, event.step) for event in record.events]
        found, others = (
            [(sent.name, sent.step) for sent in followed(record, scenario, deviations).events]
            for deviations in (oracle.DEVIATIONS, {*oracle.DEVIATIONS} - {deviation})
        )
        return observed == found != others

    return symptom


def _accumulates(scenario: Scenario) -> bool:
    return int(scenario.argument("gradient_accumulation_steps")) > 1


def _left_over(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """A gradient is wrong in the first update after a window that was cut, and in none before it; so are weights, or, where the optimizer
    remembers what it was given, those after it.
    """
    flow = followed(record, scenario, oracle.DEVIATIONS)
    cut = flow.stopped_windows
    done = [update.batches for update in record.updates]
    if flow.batches_before_updates[: len(done) if record.failure is not None else None] != done:
        return False
    if swallows(scenario):
        # Every gradient is inflated besides, by a factor that is known where nothing was left over.
        sizes = enumerate([float(group.batches) for group in flow.groups if group.updated], 1)
        return bool(cut) and explained_by(record, scenario, [None if number in cut else size for number, size in sizes])
    place = re.match(r"update (\d+)", judgement.divergence)
    if place is None or not cut:
        return False
    update = int(place.group(1))
    remembers = scenario.argument("optim") != "sgd" or "momentum" in str(scenario.argument("optim_args"))
    later = judgement.quantity == "weights" and remembers
    return update >= cut[0] if later else update in cut


def _counts_all(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """The losses of all micro-batches are added up, also of those that no update averaged over, and divided by the updates."""
    flow = followed(record, scenario, oracle.DEVIATIONS)
    if sum(group.batches for group in flow.groups) != len(record.batches) or not flow.stopped_windows:
        return False
    shares = _shares(record, scenario, flow)
    if judgement.quantity == "training_loss":
        return record.training_loss is not None and _close(sum(shares) / len(record.updates), record.training_loss)
    before, begun = 0, 0
    events = [event for event in record.events if event.name == "on_log"]
    for event, logged in zip(events, record.logs, strict=True):
        if "loss" in logged:
            if not _close(sum(shares[begun : event.batches]) / (event.step - before), logged["loss"]):
                return False
            before, begun = event.step, event.batches
    return True


def _shares(record: Record, scenario: Scenario, flow: oracle.Flow) -> list[float]:
    """What each micro-batch adds to the sum of losses. One that is taken to be divided by the items of its window is not divided again."""
    kind = MODELS[scenario.model.name]
    divided = kind.swallows_num_items or kind.loss_reduction == "sum_over_items" or scenario.components.loss != "model"
    wholes = [group.whole for group in flow.groups for _ in range(group.batches)]
    losses = [math.nan if batch.loss is None else batch.loss for batch in record.batches]
    return [loss / (1 if divided else whole) for loss, whole in zip(losses, wholes, strict=True)]


def _close(left: float, right: float) -> bool:
    return math.isclose(left, right, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def _asking(*plan: tuple[str, int, str], n: int = 1, n_eval: int = 0, scores: tuple[float, ...] = (), **arguments: Any) -> Case:
    usual = {"per_device_train_batch_size": 1, "optim": "sgd", "learning_rate": 0.1}
    scenario = Scenario(arguments={**usual, **arguments}, data=Data(n=n, n_eval=n_eval), components=Components(scores=scores))
    return Case(experiment="train_with_flags", scenario=scenario, parameters={"plan": plan})


known_bug(
    KnownBug(
        id="stop-before-a-step-trains-on",
        verdict="bug",
        sentence=(
            "A stop of the training or of the epoch that is asked for before a step begins (on_train_begin, on_epoch_begin, the end of an "
            "epoch) is looked at after the first micro-batch of that step only: the run trains on, and may make an update."
        ),
        link=_CONTROL,
        versions=">=4.46",
        properties=(
            "flags.events_are_those_that_flags_ask_for",
            "flags.windows_are_cut_where_flags_say",
            "callbacks.a_stop_is_obeyed_at_once",
        ),
        region=lambda scenario: True,
        symptom=deviates(oracle.STOP_SEEN_AFTER_A_BATCH),
        example=_asking(("on_train_begin", 1, "should_training_stop"), max_steps=1),
    )
)

known_bug(
    KnownBug(
        id="epoch-stop-shortens-max-steps",
        verdict="bug",
        sentence=(
            "max_steps is turned into a number of epochs before training: a run whose callback stops an epoch ends before it has made "
            "max_steps updates."
        ),
        link="https://github.com/huggingface/transformers/pull/27624",
        versions=">=4.46",
        properties=("flags.events_are_those_that_flags_ask_for", "flags.windows_are_cut_where_flags_say"),
        region=lambda scenario: int(scenario.argument("max_steps")) > 0,
        symptom=deviates(oracle.EPOCHS_INSTEAD_OF_STEPS),
        example=_asking(("on_step_end", 1, "should_epoch_stop"), n=2, max_steps=2),
    )
)

known_bug(
    KnownBug(
        id="best-overrules-a-save",
        verdict="bug",
        sentence=(
            "With save_strategy='best' a checkpoint that a callback asks for is not saved if an evaluation at the same step is not the "
            "best so far."
        ),
        link=_CONTROL,
        versions=">=4.48",
        properties=("flags.events_are_those_that_flags_ask_for", "flags.windows_are_cut_where_flags_say"),
        region=lambda scenario: bool(scenario.argument("save_strategy") == "best"),
        symptom=deviates(oracle.BEST_OVERRULES),
        example=_asking(
            ("on_step_end", 2, "should_save"), n=1, n_eval=1, scores=(1.0, 0.0), max_steps=2, eval_strategy="steps", eval_steps=1,
            save_strategy="best", metric_for_best_model="score",
        ),
    )
)  # fmt: skip

known_bug(
    KnownBug(
        id="stopped-window-leaks",
        verdict="bug",
        sentence=(
            "What a callback that stops the epoch within an accumulation window leaves of the gradient is neither stepped nor cleared: it "
            "goes into the first update of the next epoch."
        ),
        link=f"{_DOCS}/trainer#transformers.TrainingArguments.gradient_accumulation_steps",
        versions=">=4.46",
        properties=(
            "optimization.gradient_averages_own_micro_batches",
            "optimization.weights_match_reference",
            "optimization.applied_gradient_is_clipped",
        ),
        region=_accumulates,
        symptom=_left_over,
        example=_asking(("on_substep_end", 1, "should_epoch_stop"), n=2, num_train_epochs=2, gradient_accumulation_steps=2),
    )
)

known_bug(
    KnownBug(
        id="stopped-window-counts-in-the-loss",
        verdict="bug",
        sentence=(
            "The losses of the micro-batches of a window that a callback has cut short are added to the logged loss and to train_loss, "
            "though no update averages over them and the sum is divided by the updates."
        ),
        link=f"{_DOCS}/trainer#transformers.Trainer.train",
        versions=">=4.46",
        properties=("flags.logged_losses_are_of_updates", "flags.train_loss_is_of_updates"),
        region=_accumulates,
        symptom=_counts_all,
        example=_asking(
            ("on_substep_end", 1, "should_epoch_stop"), n=2, num_train_epochs=2, gradient_accumulation_steps=2, logging_steps=1
        ),
    )
)
