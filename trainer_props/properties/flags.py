"""Control flags: what a callback asks for happens, when the flags act, once, and everything else stays as it is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from trainer_props.judgement import Judgement, close, expecting, not_applicable, same
from trainer_props.measures import callbacks, steps
from trainer_props.measures import flags as measures
from trainer_props.oracles import flags as oracle
from trainer_props.oracles.flags import Asked, Flow
from trainer_props.properties import sources
from trainer_props.properties._facts import tracked_values
from trainer_props.properties._prediction import loss_reduction
from trainer_props.properties.logs import LOG_TOLERANCE, LOSSES
from trainer_props.properties.needs import FINISHED, INTERVALS_KNOWN, OUR_DATA, SINGLE_DEVICE, SOME_UPDATE, Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario

NAME: Final = "train_with_flags"
ONE_CALLBACK: Final = Need(
    "one_callback",
    "another callback stops the run, or something is evaluated before training",
    lambda record, scenario: scenario.components.early_stopping is None and not scenario.argument("eval_on_start"),
)
_BASE: Final = (FINISHED, SOME_UPDATE, SINGLE_DEVICE, INTERVALS_KNOWN, ONE_CALLBACK, OUR_DATA)


def followed(record: Record, scenario: Scenario, deviations: Collection[str] = ()) -> Flow:
    """The run as the documents have it, or with deviations from them."""
    asked = [Asked(*each) for each in record.results.get("plan", ())]
    return oracle.flow(scenario, asked, tracked_values(record, scenario) or (), deviations)


@trainer_property(source=sources.docs("TrainerControl"), experiments=[NAME], needs=_BASE, catalogue=[65, 66, 68])
def events_are_those_that_flags_ask_for(record: Record, scenario: Scenario) -> Judgement:
    """What a callback asks for happens at the next end of an update or an epoch, once: a log if there is something new to log, an
    evaluation, a save. A stop lets no further step begin, an epoch stop begins the next epoch; nothing else changes.
    """
    expected = [[sent.name, sent.step] for sent in followed(record, scenario).events]
    return same("events", expected=expected, observed=callbacks.events_and_steps(record), at="event")


@trainer_property(source=sources.docs("TrainerControl"), experiments=[NAME], needs=_BASE, catalogue=[67])
def flags_stay_until_they_are_set_back(record: Record, scenario: Scenario) -> Judgement:
    """A flag that a callback has set stays set until the moment that its documentation names: the beginning of the next step or epoch, or
    when what it asked for was done; a stop for ever.
    """
    expected = followed(record, scenario).events
    alike = _alike(record, expected)
    return same(
        "flags at events",
        expected=[[sent.name, sent.flags] for sent in expected[:alike]],
        observed=measures.flags_at_events(record, alike),
        at="event",
    )


@trainer_property(source=sources.docs("TrainerState"), experiments=[NAME], needs=_BASE, tolerance=1e-9, catalogue=[4, 5])
def epoch_is_that_of_the_last_update(record: Record, scenario: Scenario) -> Judgement:
    """`state.epoch` is the epoch of the last update and the share of it that was trained on, also after an epoch that was stopped."""
    expected = followed(record, scenario).events
    alike = _alike(record, expected)
    return close(
        "state.epoch at events",
        expected=[sent.epoch for sent in expected[:alike]],
        observed=measures.epochs_at_events(record, alike),
        tolerance=1e-9,
        at="event",
    )


@trainer_property(source=sources.docs("TrainerControl"), experiments=[NAME], needs=_BASE, catalogue=[66, 68])
def windows_are_cut_where_flags_say(record: Record, scenario: Scenario) -> Judgement:
    """A stop ends the window at the micro-batch after which it is seen, without an update; the next epoch begins with one of its own."""
    expected = followed(record, scenario).batches_before_updates
    return same("micro-batches before each update", expected=expected, observed=steps.batches_before_updates(record), at="update")


@trainer_property(
    source=sources.docs("TrainingArguments.logging_steps"), experiments=[NAME], needs=[*_BASE, *LOSSES], tolerance=LOG_TOLERANCE,
    catalogue=[48, 51],
)  # fmt: skip
def logged_losses_are_of_updates(record: Record, scenario: Scenario) -> Judgement:
    """A logged loss is the mean over the updates since the last log, whenever a callback asks for it; micro-batches that no update
    averaged over are not in it.
    """
    expected = measures.mean_losses(record, loss_reduction(scenario))
    if not expected.value:
        return not_applicable("no loss is logged")
    judgement = close("logged loss", expected=expected.value, observed=measures.logged_losses(record), tolerance=LOG_TOLERANCE, at="log")
    return expecting(judgement, lambda: expected)


@trainer_property(
    source=sources.docs("Trainer.train"), experiments=[NAME], needs=[*_BASE, *LOSSES], tolerance=LOG_TOLERANCE, catalogue=[49]
)
def train_loss_is_of_updates(record: Record, scenario: Scenario) -> Judgement:
    """`train_loss` is the mean over all updates; micro-batches that no update averaged over are not in it."""
    if not record.updates:
        return not_applicable("no update")
    expected = measures.mean_loss_of_updates(record, loss_reduction(scenario))
    judgement = close("training_loss", expected=expected.value, observed=measures.training_loss(record), tolerance=LOG_TOLERANCE)
    return expecting(judgement, lambda: expected)


def _alike(record: Record, expected: tuple[oracle.Sent, ...]) -> int:
    """How many events, from the first on, are those that are expected."""
    observed = callbacks.events_and_steps(record).value
    pairs = enumerate(zip(expected, observed, strict=False))
    return next((index for index, (sent, seen) in pairs if [sent.name, sent.step] != seen), min(len(expected), len(observed)))
