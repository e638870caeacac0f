"""Callbacks: the language of events, and the flags by which callbacks steer a run."""

from __future__ import annotations

from trainer_props.judgement import HOLDS, Judgement, is_true, same
from trainer_props.measures import callbacks as measures
from trainer_props.oracles import events
from trainer_props.properties import sources
from trainer_props.properties._facts import facts
from trainer_props.properties.needs import (
    DELAY_KNOWN,
    FINISHED,
    INTERVALS_KNOWN,
    OUR_DATA,
    SINGLE_DEVICE,
    SOME_BATCH,
    SOME_UPDATE,
    STARTED,
    WHOLE_WINDOWS,
)
from trainer_props.properties.registry import WITH_FLAGS, trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario

_FLAGS = {"l": "should_log", "v": "should_evaluate", "k": "should_save", "e": "should_epoch_stop", "t": "should_training_stop"}


@trainer_property(source=sources.docs("TrainerCallback"), needs=[FINISHED, SOME_BATCH], catalogue=[65])
def events_follow_the_grammar(record: Record, scenario: Scenario) -> Judgement:
    """The events of a run are a word of the event language: training holds epochs, epochs hold updates, updates hold substeps, one
    optimizer step, and then log, evaluation and save in this order.
    """
    names = [event.name for event in record.events if event.name in events.LETTERS]
    broken = events.first_break(events.letters(names))
    if broken is None:
        return HOLDS
    found = names[broken] if broken < len(names) else "nothing"
    return is_true(
        "events",
        measures.events_follow_the_grammar(record),
        expected="a word of the event language",
        observed=names[max(0, broken - 5) : broken + 1],
        symptom=f"{found} is out of place",
        at=f"event {broken}",
    )


@trainer_property(
    source=sources.docs("TrainerCallback"),
    needs=[FINISHED, SOME_UPDATE, SINGLE_DEVICE, WHOLE_WINDOWS, DELAY_KNOWN, INTERVALS_KNOWN, OUR_DATA],
    catalogue=[65, 66],
)
def events_are_those_of_the_plans(record: Record, scenario: Scenario) -> Judgement:
    """The events of a run, with the step at which each is sent, are exactly those that its arguments ask for."""
    expected = [[name, step] for name, step in events.expected(scenario, facts(record, scenario).course)]
    return same("events", expected=expected, observed=measures.events_and_steps(record), at="event")


@trainer_property(source=sources.docs("TrainerControl"), experiments=WITH_FLAGS, needs=[STARTED], catalogue=[67])
def control_flags_are_reset(record: Record, scenario: Scenario) -> Judgement:
    """A flag that was obeyed is reset: none of log, evaluate and save at the beginning of a step, no epoch stop at the beginning of an
    epoch, and each right after what it asked for.
    """
    index = measures.event_with_a_flag_left(record)
    if index is None:
        return HOLDS
    event = record.events[index]
    cleared = measures.CLEARED[event.name]
    return is_true(
        "control flags",
        measures.flags_are_reset(record),
        expected=f"none of {', '.join(_FLAGS[flag] for flag in cleared)} at {event.name}",
        observed=[_FLAGS[flag] for flag in cleared if flag in event.flags],
        symptom=f"set at {event.name}",
        at=f"event {index}",
    )


@trainer_property(source=sources.docs("TrainerControl"), experiments=WITH_FLAGS, needs=[STARTED], catalogue=[68])
def a_stop_is_obeyed_at_once(record: Record, scenario: Scenario) -> Judgement:
    """Once `should_training_stop` is set at the end of a step or of an evaluation, no further step begins."""
    found = measures.step_after_a_stop(record)
    if found is None:
        return HOLDS
    begun, stopped = found
    return is_true(
        "steps after a stop",
        measures.no_step_begins_after_a_stop(record),
        expected="none",
        observed=f"on_step_begin at step {record.events[begun].step}",
        symptom="begun",
        at=f"event {begun}, stopped at event {stopped}",
    )


@trainer_property(source=sources.docs("TrainerCallback"), experiments=WITH_FLAGS, needs=[FINISHED, SINGLE_DEVICE], catalogue=[66])
def every_micro_batch_ends_a_step_or_substep(record: Record, scenario: Scenario) -> Judgement:
    """`on_step_end` and `on_substep_end` together are sent once for every training micro-batch, right after it."""
    return same(
        "micro-batches seen at the ends of steps and substeps",
        expected=measures.numbers_of_batches(record),
        observed=measures.batches_at_ends_of_steps(record),
        at="end",
    )
