"""Steps and epochs: how many updates a run takes, and what it says of itself while it does."""

from __future__ import annotations

from trainer_props.judgement import HOLDS, Judgement, at_least, at_most, close, expecting, is_true, not_applicable, same
from trainer_props.measures import steps as measures
from trainer_props.oracles import accounting
from trainer_props.properties import sources
from trainer_props.properties._facts import facts
from trainer_props.properties.needs import (
    FINISHED,
    NO_BATCH,
    NO_EARLY_STOP,
    NO_UPDATE,
    SINGLE_DEVICE,
    SOME_BATCH,
    SOME_UPDATE,
    STARTED,
    WHOLE_WINDOWS,
    Need,
)
from trainer_props.properties.registry import WITH_FLAGS, trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario

EPOCHS_KNOWN = Need(
    "epochs_known", "nobody can know the epoch of a stream in its first pass", lambda record, scenario: scenario.data.kind != "stream"
)


@trainer_property(source=sources.docs("Trainer.train"), experiments=WITH_FLAGS, needs=[SOME_BATCH], catalogue=[17, 24])
def run_finishes(record: Record, scenario: Scenario) -> Judgement:
    """A run whose arguments are accepted comes to its end: no exception, and no more micro-batches than its arguments can ask for."""
    if record.stuck is not None:
        symptom, where, verdict = "never ends", record.ended_at or f"global_step {record.global_step}", "hung"
    elif record.failure is not None:
        symptom, where, verdict = record.failure.kind, record.ended_at or f"in {record.failure.where}", "crashed"
    else:
        return HOLDS
    return same("the run", expected=measures.ENDED, observed=measures.ending(record), at=where, symptom=symptom, verdict=verdict)


@trainer_property(source=sources.docs("TrainingArguments.dataloader_drop_last"), needs=[NO_BATCH], catalogue=[94])
def data_without_a_batch_are_refused(record: Record, scenario: Scenario) -> Judgement:
    """Data too small for one batch (`dataloader_drop_last`) are refused with the reason, or give a run of no update."""
    fine = measures.refused_or_without_update(record)
    if record.stuck is not None:
        return is_true(
            "the run", fine, expected="refused, or no update", observed=record.stuck, symptom="never ends", verdict="hung"
        )
    if record.failure is None:
        return is_true("global_step of a run without a batch", fine, expected=0, observed=record.global_step, symptom="too large")
    return is_true(
        "the refusal", fine, expected="a ValueError that names the reason", observed=measures.ending(record), symptom="unrelated"
    )


@trainer_property(source=sources.docs("TrainingArguments.num_train_epochs"), needs=[FINISHED, SOME_BATCH, NO_EARLY_STOP], catalogue=[1])
def global_step_counts_updates(record: Record, scenario: Scenario) -> Judgement:
    """A finished run has taken exactly the updates that its arguments ask for: `max_steps`, or the windows of `num_train_epochs`.

    A window is `gradient_accumulation_steps` micro-batches, the last one of an epoch may be shorter; a ratio of epochs is rounded up to
    whole updates.
    """
    return same("global_step", expected=_asked(record, scenario), observed=measures.global_step(record))


@trainer_property(
    source=sources.docs("TrainingArguments.max_steps"), experiments=WITH_FLAGS, needs=[STARTED, SOME_BATCH, NO_EARLY_STOP], catalogue=[2]
)
def no_event_beyond_the_last_update(record: Record, scenario: Scenario) -> Judgement:
    """At no event is `global_step` beyond the number of updates that the arguments ask for."""
    total = _asked(record, scenario)
    beyond = next((event for event in record.events if event.step > total), None)
    if beyond is None:
        return HOLDS
    return at_most(
        "largest global_step of any event", expected=total, observed=measures.largest_step_of_events(record), at=beyond.name
    )


@trainer_property(source=sources.docs("TrainingArguments.max_steps"), needs=[FINISHED, NO_UPDATE], catalogue=[3])
def no_update_no_work(record: Record, scenario: Scenario) -> Judgement:
    """A run of no update (`max_steps=0`, `num_train_epochs=0`) puts no batch through the model and leaves the weights as they are."""
    if record.batches or record.updates:
        return same("micro-batches of a run of no update", expected=0, observed=measures.number_of_batches(record))
    return same("final weights", expected=measures.initial_weights(record), observed=measures.final_weights(record))


@trainer_property(source=sources.docs("TrainerState"), needs=[FINISHED], catalogue=[1])
def optimizer_steps_are_global_steps(record: Record, scenario: Scenario) -> Judgement:
    """The optimizer has stepped exactly `global_step` times."""
    return same("optimizer steps", expected=measures.global_step(record), observed=measures.number_of_updates(record))


@trainer_property(
    source=sources.docs("TrainingArguments.gradient_accumulation_steps"), needs=[FINISHED, SOME_UPDATE, SINGLE_DEVICE], catalogue=[1, 36]
)
def micro_batches_are_those_of_the_updates(record: Record, scenario: Scenario) -> Judgement:
    """The model sees the micro-batches of its updates and no other: none is run and then thrown away."""
    expected = accounting.number_of_forwards(scenario, record.global_step)
    judgement = same("training micro-batches", expected=expected, observed=measures.number_of_batches(record))
    return expecting(judgement, lambda: measures.batches_of_whole_windows(record, *_epoch_and_window(scenario)))


@trainer_property(
    source=sources.docs("TrainingArguments.gradient_accumulation_steps"), needs=[FINISHED, SOME_UPDATE, SINGLE_DEVICE], catalogue=[35, 36]
)
def updates_close_windows(record: Record, scenario: Scenario) -> Judgement:
    """Each update follows `gradient_accumulation_steps` micro-batches, or what is left of an epoch; no window reaches into the next
    epoch.
    """
    seen, expected = 0, []
    for window in accounting.windows(scenario, len(record.updates)):
        seen += window.batches
        expected.append(seen)
    judgement = same("micro-batches before each update", expected=expected, observed=measures.batches_before_updates(record), at="update")
    return expecting(judgement, lambda: measures.ends_of_whole_windows(record, *_epoch_and_window(scenario)))


@trainer_property(
    source=sources.docs("TrainerState"), needs=[FINISHED, SOME_UPDATE, EPOCHS_KNOWN, WHOLE_WINDOWS], tolerance=1e-12, catalogue=[4]
)
def epoch_counts_batches(record: Record, scenario: Scenario) -> Judgement:
    """After each update `state.epoch` is the number of passes over the data so far, its decimals the share of the batches of this pass."""
    observed = measures.epochs_after_updates(record, 0)
    expected = [window.epoch_after for window in accounting.windows(scenario, len(observed.value))]
    judgement = close("epoch", expected=expected, observed=observed, tolerance=1e-12, at="update")
    return expecting(judgement, lambda: measures.epochs_of_whole_windows(record, 0, *_epoch_and_window(scenario)))


@trainer_property(source=sources.issue(41913), needs=[FINISHED, SOME_UPDATE, WHOLE_WINDOWS], tolerance=1e-12, catalogue=[4, 16])
def epoch_of_a_stream_counts_passes(record: Record, scenario: Scenario) -> Judgement:
    """Once a stream without length has been passed through, its passes are what `state.epoch` counts."""
    if scenario.data.kind != "stream":
        return not_applicable("the data set has a length")
    updates = sum(event.name == "on_step_end" for event in record.events)
    expected = [window.epoch_after for window in accounting.windows(scenario, updates) if window.epoch_known]
    if not expected:
        return not_applicable("the run ends in its first pass over the stream")
    first = updates - len(expected)  # once the passes are known they stay so
    observed = measures.epochs_after_updates(record, first)
    judgement = close("epoch", expected=expected, observed=observed, tolerance=1e-12, at="update of a later pass")
    return expecting(judgement, lambda: measures.epochs_of_whole_windows(record, first, *_epoch_and_window(scenario)))


@trainer_property(source=sources.docs("TrainerState"), needs=[STARTED], catalogue=[5])
def epoch_never_decreases(record: Record, scenario: Scenario) -> Judgement:
    """`state.epoch` never decreases from one event to the next."""
    before = 0.0
    for index, event in enumerate(record.events):
        if event.epoch is not None and event.epoch < before:
            return at_least(
                "epoch",
                expected=measures.epoch_before_event(record, index),
                observed=measures.epoch_of_event(record, index),
                at=f"{event.name} at step {event.step}",
                symptom="decreases",
            )
        before = event.epoch if event.epoch is not None else before
    return HOLDS


@trainer_property(source=sources.docs("TrainerState"), needs=[FINISHED, SOME_UPDATE], catalogue=[1])
def state_knows_max_steps(record: Record, scenario: Scenario) -> Judgement:
    """`state.max_steps` is the number of updates that the run will take if nothing stops it."""
    return same("state.max_steps", expected=_asked(record, scenario), observed=measures.state_entry(record, "max_steps"))


@trainer_property(source=sources.docs("TrainingArguments.gradient_accumulation_steps"), needs=[STARTED], catalogue=[6])
def total_train_batch_size_multiplies(record: Record, scenario: Scenario) -> Judgement:
    """The total train batch size is the batch size of a device times devices times accumulation."""
    observed = measures.state_entry(record, "total_train_batch_size")
    if observed.value is None:
        return not_applicable("this trainer does not say its total batch size")
    return same("total train batch size", expected=accounting.total_train_batch_size(scenario), observed=observed)


@trainer_property(source=sources.docs("TrainerState"), needs=[FINISHED, SOME_UPDATE], catalogue=[1])
def state_resolves_ratios(record: Record, scenario: Scenario) -> Judgement:
    """`logging_steps`, `eval_steps` and `save_steps` below 1 are ratios of all updates: the state holds them in updates, rounded up
    exactly.
    """
    total = facts(record, scenario).total
    expected = {}
    for name in ("logging_steps", "eval_steps", "save_steps"):
        value = scenario.argument(name)
        if value is not None and 0 < value < 1:
            expected[name] = accounting.resolve_steps(value, total)
    if not expected:
        return not_applicable("no interval is a ratio")
    return same("intervals in updates", expected=expected, observed=measures.state_entries(record, list(expected)))


def _epoch_and_window(scenario: Scenario) -> tuple[int, int]:
    """Micro-batches of an epoch, and of a whole window."""
    return accounting.batches_per_epoch(scenario), int(scenario.argument("gradient_accumulation_steps"))


def _asked(record: Record, scenario: Scenario) -> int:
    """Updates that the arguments ask for, by the subject's own formula if it declares one."""
    return accounting.total_updates(scenario) if record.expected_steps is None else record.expected_steps
