"""Data order: which samples reach the model, in which order, in batches of which size."""

from __future__ import annotations

import functools
import math

from trainer_props import zoo
from trainer_props.judgement import HOLDS, Judgement, expecting, holds_for_all, is_true, not_applicable, same
from trainer_props.measures import data_order as measures
from trainer_props.oracles import accounting
from trainer_props.properties import sources
from trainer_props.properties.needs import FINISHED, IDENTIFIED, MAP_STYLE, SINGLE_DEVICE, SOME_UPDATE, WHOLE_WINDOWS, Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Data, Model, Scenario

FEW_ENOUGH_TO_REPEAT = 16
"""Two random orders of so many samples are equal once in 10^13 runs: fewer would raise false alarms."""

STREAM = Need("stream", "the data set is map-style", lambda record, scenario: scenario.data.kind in accounting.STREAMS)
RANDOM = Need(
    "random", "samples are not drawn at random", lambda record, scenario: scenario.argument("train_sampling_strategy") == "random"
)
SEQUENTIAL = Need(
    "sequential", "samples are not drawn in order", lambda record, scenario: scenario.argument("train_sampling_strategy") == "sequential"
)
NOT_REBALANCED = Need(
    "not_rebalanced",
    "batch_rebalance decides the sizes of batches",
    lambda record, scenario: scenario.argument("train_sampling_strategy") != "batch_rebalance",
)
GROUPED = Need(
    "grouped",
    "samples are not grouped by length",
    lambda record, scenario: scenario.argument("train_sampling_strategy") == "group_by_length",
)


def _tail_is_padded(scenario: Scenario) -> bool:
    """`batch_rebalance` fills up a last window with fewer samples than micro-batches by repeating some, as its documentation says."""
    if scenario.argument("train_sampling_strategy") != "batch_rebalance" or accounting.drops_last(scenario):
        return False
    return 0 < scenario.data.n % accounting.total_train_batch_size(scenario) < int(scenario.argument("gradient_accumulation_steps"))


NOT_PADDED = Need(
    "not_padded",
    "batch_rebalance repeats samples to fill its last window",
    lambda record, scenario: scenario.data.kind in accounting.STREAMS or not _tail_is_padded(scenario),
)
_BASE = (FINISHED, IDENTIFIED, SINGLE_DEVICE, SOME_UPDATE)


@trainer_property(source=sources.SAMPLERS, needs=[*_BASE, NOT_PADDED], catalogue=[7])
def every_epoch_sees_each_sample_once(record: Record, scenario: Scenario) -> Judgement:
    """In a complete epoch each sample is seen exactly once; the samples of a last batch that is left out (`dataloader_drop_last`) are not
    seen.
    """
    rebalanced = scenario.argument("train_sampling_strategy") == "batch_rebalance"
    unit = accounting.total_train_batch_size(scenario) if rebalanced else accounting.batch_size(scenario)
    if accounting.drops_last(scenario) and scenario.data.n % unit:
        return not_applicable("the last batch of an epoch is left out")
    expected, per_epoch = list(range(scenario.data.n)), accounting.batches_per_epoch(scenario)

    def judge(epoch: int) -> Judgement:
        judgement = same(
            "samples of an epoch, sorted",
            expected=expected,
            observed=measures.sorted_samples_of_epoch(record, epoch, per_epoch),
            at=f"epoch {epoch}, position",
        )
        return expecting(judgement, lambda: measures.all_samples(record, epoch, per_epoch, scenario.data.n))

    return holds_for_all("samples of an epoch", (judge(epoch) for epoch in _complete_epochs(record, per_epoch)))


@trainer_property(source=sources.SAMPLERS, needs=[*_BASE, NOT_PADDED], catalogue=[7])
def no_sample_twice_in_an_epoch(record: Record, scenario: Scenario) -> Judgement:
    """Within an epoch, complete or not, no sample is seen twice."""
    per_epoch = accounting.batches_per_epoch(scenario)
    for epoch in _epochs(record, per_epoch):
        once = measures.no_sample_twice(record, epoch, per_epoch)
        if not once.value:
            seen = measures.samples(record, epoch, per_epoch)
            position = next(position for position, sample in enumerate(seen) if sample in seen[:position])
            return is_true(
                "samples of an epoch",
                once,
                expected="each at most once",
                observed=seen[position],
                symptom="seen twice",
                at=f"epoch {epoch}, position {position}",
            )
    return HOLDS


@trainer_property(source=sources.docs("TrainingArguments.dataloader_drop_last"), needs=[*_BASE, MAP_STYLE, NOT_REBALANCED], catalogue=[8])
def drop_last_leaves_out_less_than_a_batch(record: Record, scenario: Scenario) -> Judgement:
    """With `dataloader_drop_last` a complete epoch sees all samples but those of the last batch, if it is not full."""
    if not scenario.argument("dataloader_drop_last"):
        return not_applicable("no batch is left out")
    size = accounting.batch_size(scenario)
    expected, per_epoch = scenario.data.n // size * size, accounting.batches_per_epoch(scenario)

    def judge(epoch: int) -> Judgement:
        observed = measures.different_samples(record, epoch, per_epoch)
        judgement = same("number of different samples in an epoch", expected=expected, observed=observed, at=f"epoch {epoch}")
        return expecting(judgement, lambda: measures.number_of_samples(record, epoch, per_epoch, expected))

    return holds_for_all("samples of an epoch", (judge(epoch) for epoch in _complete_epochs(record, per_epoch)))


@trainer_property(
    source=sources.docs("TrainingArguments.per_device_train_batch_size"),
    needs=[FINISHED, SINGLE_DEVICE, SOME_UPDATE, WHOLE_WINDOWS, NOT_REBALANCED],
    catalogue=[6, 7],
)
def micro_batches_have_their_size(record: Record, scenario: Scenario) -> Judgement:
    """Every micro-batch holds `per_device_train_batch_size` samples; only the last one of an epoch may hold fewer."""
    expected = [size for window in accounting.windows(scenario, len(record.updates)) for size in window.sizes or ()]
    observed = measures.sizes_of_batches(record)
    if not all(observed.value):
        return not_applicable("the model's input has no rows to count")
    judgement = same("sizes of micro-batches", expected=expected, observed=observed, at="micro-batch")
    return expecting(
        judgement,
        lambda: measures.sizes_by_epochs(
            record, accounting.batches_per_epoch(scenario), scenario.data.n, accounting.batch_size(scenario)
        ),
    )


@trainer_property(source=sources.docs("TrainingArguments.train_sampling_strategy"), needs=[*_BASE, MAP_STYLE, SEQUENTIAL], catalogue=[13])
def sequential_order_is_that_of_the_data(record: Record, scenario: Scenario) -> Judgement:
    """With `train_sampling_strategy="sequential"` every epoch goes through the data set from its first sample on."""
    return _in_order(record, scenario)


@trainer_property(source=sources.docs("TrainingArguments.max_steps"), needs=[*_BASE, STREAM], catalogue=[13, 16])
def streams_are_read_in_order(record: Record, scenario: Scenario) -> Judgement:
    """An iterable data set is read in its own order, from its first sample on at every pass, and no sample is lost at the end of a pass."""
    return _in_order(record, scenario)


@trainer_property(source=sources.docs("TrainingArguments.train_sampling_strategy"), needs=[*_BASE, MAP_STYLE, RANDOM], catalogue=[12])
def epochs_are_reshuffled(record: Record, scenario: Scenario) -> Judgement:
    """With random sampling two complete epochs have different orders."""
    if scenario.data.n < FEW_ENOUGH_TO_REPEAT:
        return not_applicable(f"fewer than {FEW_ENOUGH_TO_REPEAT} samples: equal orders may be chance")
    per_epoch = accounting.batches_per_epoch(scenario)
    if len(_complete_epochs(record, per_epoch)) < 2:
        return not_applicable("fewer than two complete epochs")
    differ = measures.orders_differ(record, per_epoch)
    if differ.value:
        return HOLDS
    orders = [measures.samples(record, epoch, per_epoch) for epoch in _complete_epochs(record, per_epoch)]
    repeated = next(index for index in range(1, len(orders)) if orders[index] in orders[:index])
    return is_true(
        "order of an epoch",
        differ,
        expected="another than in any epoch before",
        observed=orders[repeated],
        symptom="repeated",
        at=f"epoch {repeated}",
    )


@trainer_property(source=sources.docs("TrainingArguments.train_sampling_strategy"), needs=[*_BASE, MAP_STYLE, RANDOM], catalogue=[12])
def random_order_is_random(record: Record, scenario: Scenario) -> Judgement:
    """With random sampling, the default, no epoch goes through the data set in its own order."""
    if scenario.data.n < FEW_ENOUGH_TO_REPEAT:
        return not_applicable(f"fewer than {FEW_ENOUGH_TO_REPEAT} samples: their own order may be chance")
    per_epoch = accounting.batches_per_epoch(scenario)
    return holds_for_all(
        "order of an epoch",
        (
            is_true(
                "order of an epoch",
                measures.is_shuffled(record, epoch, per_epoch),
                expected="another than that of the data set",
                observed=measures.samples_of_epoch(record, epoch, per_epoch),
                symptom="sorted",
                at=f"epoch {epoch}",
            )
            for epoch in _complete_epochs(record, per_epoch)
        ),
    )


@trainer_property(source=sources.docs("TrainingArguments.train_sampling_strategy"), needs=[*_BASE, MAP_STYLE, GROUPED], catalogue=[14])
def grouped_batches_are_sorted_by_length(record: Record, scenario: Scenario) -> Judgement:
    """With `group_by_length` each group of (batch size x accumulation) samples goes from long to short, and an epoch begins with the
    longest sample of all.
    """
    lengths = _lengths(scenario.data, scenario.model)
    group, per_epoch = accounting.total_train_batch_size(scenario), accounting.batches_per_epoch(scenario)

    def judge(epoch: int) -> Judgement:
        rows = [lengths[sample] for sample in measures.samples(record, epoch, per_epoch)]
        if rows[0] != max(rows):
            return same(
                "length of the first sample of an epoch",
                expected=measures.length_of_longest(record, epoch, per_epoch, lengths),
                observed=measures.length_of_first(record, epoch, per_epoch, lengths),
                symptom="too small",
                at=f"epoch {epoch}",
            )
        for start in range(0, len(rows), group):
            # the longest sample of all changes places with the first of some group, which may then be a short one
            rest = rows[start + 1 : start + group]
            if rest != sorted(rest, reverse=True):
                return is_true(
                    "lengths in a group",
                    measures.groups_are_sorted(record, epoch, per_epoch, group, lengths),
                    expected=sorted(rest, reverse=True),
                    observed=rest,
                    symptom="not sorted",
                    at=f"epoch {epoch}, group {start // group}",
                )
        return HOLDS

    return holds_for_all("groups", (judge(epoch) for epoch in _complete_epochs(record, per_epoch)))


def _in_order(record: Record, scenario: Scenario) -> Judgement:
    per_epoch = accounting.batches_per_epoch(scenario)
    return holds_for_all(
        "samples",
        (
            same(
                "samples of an epoch",
                expected=measures.positions_of_epoch(record, epoch, per_epoch),
                observed=measures.samples_of_epoch(record, epoch, per_epoch),
                at=f"epoch {epoch}, position",
            )
            for epoch in _epochs(record, per_epoch)
        ),
    )


def _epochs(record: Record, per_epoch: int) -> range:
    """The epochs that were begun, the last one complete or not."""
    return range(math.ceil(len(record.batches) / per_epoch))


def _complete_epochs(record: Record, per_epoch: int) -> range:
    return range(len(record.batches) // per_epoch)


@functools.lru_cache(maxsize=64)
def _lengths(data: Data, model: Model) -> list[int]:
    """Tokens of each training sample."""
    dataset = zoo.build_dataset(data, "train", model=model)
    return [dataset.rows([sample])[zoo.MODELS[model.name].main_input_name].shape[1] for sample in range(data.n)]
