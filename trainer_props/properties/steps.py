"""Steps and epochs: how many updates a run takes, and what it says of itself while it does."""

from __future__ import annotations

from trainer_props.judgement import HOLDS, Judgement, Violated, close, is_true, not_applicable, same
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
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario

EPOCHS_KNOWN = Need(
    "epochs_known", "nobody can know the epoch of a stream in its first pass", lambda record, scenario: scenario.data.kind != "stream"
)


@trainer_property(source=sources.docs("Trainer.train"), needs=[SOME_BATCH], catalogue=[17, 24])
def run_finishes(record: Record, scenario: Scenario) -> Judgement:
    """A run whose arguments are accepted comes to its end: no exception, and no more micro-batches than its arguments can ask for."""
    if record.stuck is not None:
        return Violated("the run", "it ends", record.stuck, "never ends", f"global_step {record.global_step}", "hung")
    if record.failure is None:
        return HOLDS
    failure = record.failure
    where = f"in {failure.where}"
    return Violated("the run", "it ends", f"{failure.kind}: {failure.message}", failure.kind, where, "crashed")


@trainer_property(source=sources.docs("TrainingArguments.dataloader_drop_last"), needs=[NO_BATCH], catalogue=[94])
def data_without_a_batch_are_refused(record: Record, scenario: Scenario) -> Judgement:
    """Data too small for one batch (`dataloader_drop_last`) are refused with the reason, or give a run of no update."""
    if record.stuck is not None:
        return Violated("the run", "refused, or no update", record.stuck, "never ends", "", "hung")
    if record.failure is None:
        return same("global_step of a run without a batch", expected=0, observed=record.global_step)
    text = record.failure.message.lower()
    named = record.failure.kind == "ValueError" and any(
        word in text for word in ("drop_last", "batch size", "batch_size", "empty", "no sample", "too small")
    )
    return is_true(
        "the refusal",
        named,
        expected="a ValueError that names the reason",
        observed=f"{record.failure.kind}: {record.failure.message}",
        symptom="unrelated",
    )


@trainer_property(source=sources.docs("TrainingArguments.num_train_epochs"), needs=[FINISHED, SOME_BATCH, NO_EARLY_STOP], catalogue=[1])
def global_step_counts_updates(record: Record, scenario: Scenario) -> Judgement:
    """A finished run has taken exactly the updates that its arguments ask for: `max_steps`, or the windows of `num_train_epochs`.

    A window is `gradient_accumulation_steps` micro-batches, the last one of an epoch may be shorter; a ratio of epochs is rounded up to
    whole updates.
    """
    return same("global_step", expected=_asked(record, scenario), observed=measures.global_step(record))


@trainer_property(source=sources.docs("TrainingArguments.max_steps"), needs=[STARTED, SOME_BATCH, NO_EARLY_STOP], catalogue=[2])
def no_event_beyond_the_last_update(record: Record, scenario: Scenario) -> Judgement:
    """At no event is `global_step` beyond the number of updates that the arguments ask for."""
    total = _asked(record, scenario)
    beyond = next((event for event in record.events if event.step > total), None)
    if beyond is None:
        return HOLDS
    return Violated("largest global_step of any event", f"at most {total}", beyond.step, "too large", beyond.name)


@trainer_property(source=sources.docs("TrainingArguments.max_steps"), needs=[FINISHED, NO_UPDATE], catalogue=[3])
def no_update_no_work(record: Record, scenario: Scenario) -> Judgement:
    """A run of no update (`max_steps=0`, `num_train_epochs=0`) puts no batch through the model and leaves the weights as they are."""
    if record.batches or record.updates:
        return same("micro-batches of a run of no update", expected=0, observed=len(record.batches))
    assert record.initial_weights is not None
    assert record.final_weights is not None
    return same("final weights", expected=record.initial_weights.tolist(), observed=record.final_weights.tolist())


@trainer_property(source=sources.docs("TrainerState"), needs=[FINISHED], catalogue=[1])
def optimizer_steps_are_global_steps(record: Record, scenario: Scenario) -> Judgement:
    """The optimizer has stepped exactly `global_step` times."""
    return same("optimizer steps", expected=record.global_step, observed=len(record.updates))


@trainer_property(
    source=sources.docs("TrainingArguments.gradient_accumulation_steps"), needs=[FINISHED, SOME_UPDATE, SINGLE_DEVICE], catalogue=[1, 36]
)
def micro_batches_are_those_of_the_updates(record: Record, scenario: Scenario) -> Judgement:
    """The model sees the micro-batches of its updates and no other: none is run and then thrown away."""
    expected = accounting.number_of_forwards(scenario, record.global_step)
    return same("training micro-batches", expected=expected, observed=len(record.batches))


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
    return same("micro-batches before each update", expected=expected, observed=measures.batches_before_updates(record), at="update")


@trainer_property(
    source=sources.docs("TrainerState"), needs=[FINISHED, SOME_UPDATE, EPOCHS_KNOWN, WHOLE_WINDOWS], tolerance=1e-12, catalogue=[4]
)
def epoch_counts_batches(record: Record, scenario: Scenario) -> Judgement:
    """After each update `state.epoch` is the number of passes over the data so far, its decimals the share of the batches of this pass."""
    observed = [event.epoch for event in record.events if event.name == "on_step_end"]
    expected = [window.epoch_after for window in accounting.windows(scenario, len(observed))]
    return close("epoch", expected=expected, observed=observed, tolerance=1e-12, at="update")


@trainer_property(source=sources.issue(41913), needs=[FINISHED, SOME_UPDATE, WHOLE_WINDOWS], tolerance=1e-12, catalogue=[4, 16])
def epoch_of_a_stream_counts_passes(record: Record, scenario: Scenario) -> Judgement:
    """Once a stream without length has been passed through, its passes are what `state.epoch` counts."""
    if scenario.data.kind != "stream":
        return not_applicable("the data set has a length")
    events = [event for event in record.events if event.name == "on_step_end"]
    windows = accounting.windows(scenario, len(events))
    pairs = [(window.epoch_after, event.epoch) for window, event in zip(windows, events, strict=False) if window.epoch_known]
    if not pairs:
        return not_applicable("the run ends in its first pass over the stream")
    return close(
        "epoch", expected=[left for left, _ in pairs], observed=[right for _, right in pairs], tolerance=1e-12, at="update of a later pass"
    )


@trainer_property(source=sources.docs("TrainerState"), needs=[STARTED], catalogue=[5])
def epoch_never_decreases(record: Record, scenario: Scenario) -> Judgement:
    """`state.epoch` never decreases from one event to the next."""
    before = 0.0
    for event in record.events:
        if event.epoch is not None and event.epoch < before:
            return Violated("epoch", f"at least {before}", event.epoch, "decreases", f"{event.name} at step {event.step}")
        before = event.epoch if event.epoch is not None else before
    return HOLDS


@trainer_property(source=sources.docs("TrainerState"), needs=[FINISHED, SOME_UPDATE], catalogue=[1])
def state_knows_max_steps(record: Record, scenario: Scenario) -> Judgement:
    """`state.max_steps` is the number of updates that the run will take if nothing stops it."""
    return same("state.max_steps", expected=_asked(record, scenario), observed=record.state["max_steps"])


@trainer_property(source=sources.docs("TrainingArguments.gradient_accumulation_steps"), needs=[STARTED], catalogue=[6])
def total_train_batch_size_multiplies(record: Record, scenario: Scenario) -> Judgement:
    """The total train batch size is the batch size of a device times devices times accumulation."""
    observed = record.state.get("total_train_batch_size")
    if observed is None:
        return not_applicable("this trainer does not say its total batch size")
    return same("total train batch size", expected=accounting.total_train_batch_size(scenario), observed=observed)


@trainer_property(source=sources.docs("TrainerState"), needs=[FINISHED, SOME_UPDATE], catalogue=[1])
def state_resolves_ratios(record: Record, scenario: Scenario) -> Judgement:
    """`logging_steps`, `eval_steps` and `save_steps` below 1 are ratios of all updates: the state holds them in updates, rounded up
    exactly.
    """
    total = facts(record, scenario).total
    expected, observed = {}, {}
    for name in ("logging_steps", "eval_steps", "save_steps"):
        value = scenario.argument(name)
        if value is not None and 0 < value < 1:
            expected[name] = accounting.resolve_steps(value, total)
            observed[name] = record.state[name]
    if not expected:
        return not_applicable("no interval is a ratio")
    return same("intervals in updates", expected=expected, observed=observed)


def _asked(record: Record, scenario: Scenario) -> int:
    """Updates that the arguments ask for, by the subject's own formula if it declares one."""
    return accounting.total_updates(scenario) if record.expected_steps is None else record.expected_steps
