"""The data of several processes: who gets which rows, what is counted over all of them, and that all go the same way."""

from __future__ import annotations

import itertools
from typing import Final

from trainer_props import zoo
from trainer_props.judgement import Judgement, holds_for_all, not_applicable, same
from trainer_props.measures import devices
from trainer_props.measures import sharding as measures
from trainer_props.oracles import accounting, sharding, tokens
from trainer_props.properties import sources
from trainer_props.properties._rounding import reduction
from trainer_props.properties.devices import FINISHED, IDENTIFIED, PROCESSES, SAME_LENGTH, SAME_SAVES, whole_epochs
from trainer_props.properties.loss import predicted_items
from trainer_props.properties.needs import Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import MicroBatch, Record, Runs
from trainer_props.scenario import Scenario, thaw

_LOADERS: Final = "https://huggingface.co/docs/accelerate/package_reference/torch_wrappers#accelerate.data_loader.DataLoaderShard"
_EVEN: Final = "https://huggingface.co/docs/accelerate/package_reference/torch_wrappers#accelerate.data_loader.BatchSamplerShard"
_PREPARE: Final = "https://huggingface.co/docs/accelerate/package_reference/accelerator#accelerate.Accelerator.prepare_data_loader"
_NOT_REBALANCED = Need(
    "not_rebalanced", "the sampler shares out every window by length (sharding.windows_have_rows_of_their_own says how)",
    lambda runs, scenario: not accounting.rebalanced(scenario),
)  # fmt: skip
_ASKED_FOR_SEEDS = Need(
    "asked_for_seeds", "no worker was asked for", lambda runs, scenario: "worker_seeds" in list(runs.values())[-1].results
)
_PREPARED = Need(
    "prepared", "no loaders of one's own were prepared", lambda runs, scenario: "prepared" in list(runs.values())[-1].results
)
_APART = Need(
    "apart", "the ranks share a directory", lambda runs, scenario: "own_files" in list(runs.values())[-1].results
)
_COUNTED = Need("counted", "tokens are not counted", lambda runs, scenario: tokens.counting(scenario) != "no")
_STATE: Final = ("epoch", "global_step", "max_steps", "best_metric", "best_global_step", "num_input_tokens_seen", "scheduler_epoch")


@trainer_property(source=_EVEN, experiments=PROCESSES, needs=[FINISHED, IDENTIFIED, SAME_LENGTH, _NOT_REBALANCED], catalogue=[9, 10, 38])
def ranks_take_turns_and_begin_again(runs: Runs, scenario: Scenario) -> Judgement:
    """The ranks take the samples of a pass in turns, each its rows of every batch, and what the last batch lacks comes from the beginning.

    So the rows of all ranks, taken in turns, are an order of the data, followed by the beginning of the same order. Of a stream, and where
    sampling is sequential, it is the order of the data set.
    """
    judgements = []
    known = scenario.data.kind in accounting.STREAMS or scenario.argument("train_sampling_strategy") == "sequential"
    expected_length = accounting.batches_per_epoch(scenario) * accounting.batch_size(scenario)
    if not accounting.drops_last(scenario):
        expected_length = scenario.data.n + sharding.repeats(scenario)
    records = list(runs.values())[1:]
    passes = 1 + max((batch.epoch for record in records for batch in record.batches), default=-1)
    for epoch in range(passes):
        observed = measures.in_turns(runs, epoch)
        order = list(range(scenario.data.n)) if known else list(observed.value)
        begun = max(sum(batch.epoch == epoch for batch in record.batches) for record in records) < accounting.batches_per_epoch(scenario)
        length = min(expected_length, len(observed.value)) if begun else expected_length
        expected = sharding.filled_up(order, scenario.data.n, length)
        judgements.append(same("samples in turns", expected=expected, observed=observed, at=f"epoch {epoch}, row"))
    return holds_for_all("samples in turns", judgements)


@trainer_property(source=_LOADERS, experiments=PROCESSES, needs=[FINISHED, IDENTIFIED, SAME_LENGTH, _NOT_REBALANCED], catalogue=[6, 9])
def micro_batches_are_shared_evenly(runs: Runs, scenario: Scenario) -> Judgement:
    """Every rank has as many rows in a micro-batch as any other: the batch size, or its part of a batch that is split.

    What one process hands out need not fill the last batch, but is as much for all.
    """
    expected = sharding.rows_of_batches(scenario)
    return holds_for_all("rows of micro-batches", [
        same(
            "rows of micro-batches", expected=expected, observed=measures.rows_of_batches(runs, rank, epoch),
            at=f"rank {rank}, epoch {epoch}, micro-batch",
        )
        for epoch in whole_epochs(runs, scenario) for rank in range(scenario.devices.count)
    ])  # fmt: skip


@trainer_property(
    source=sources.docs("TrainingArguments.train_sampling_strategy"), experiments=PROCESSES, needs=[FINISHED, IDENTIFIED, SAME_LENGTH],
    catalogue=[7, 15],
)  # fmt: skip
def windows_have_rows_of_their_own(runs: Runs, scenario: Scenario) -> Judgement:
    """A window has, over all ranks and micro-batches, as many different samples as batch, devices and accumulation make.

    None of them comes twice; the last window of a pass has what is left.
    """
    if scenario.data.kind == "stream":
        return not_applicable("where a window of a stream ends is known only when it does")
    accumulation = int(scenario.argument("gradient_accumulation_steps"))
    n = scenario.data.n
    size = accounting.batch_size(scenario) * accumulation
    rows = min(n, accounting.batches_per_epoch(scenario) * accounting.batch_size(scenario))
    whole = [min(size, rows - first) for first in range(0, rows, size)]
    if sharding.repeats(scenario):  # repeats may be rows of the same window
        rest = whole[-1] + sharding.repeats(scenario)
        whole[-1] = min(n, rest)
    return holds_for_all("different samples of a window", [
        same(
            "different samples of a window", expected=whole, observed=measures.rows_of_windows(runs, epoch, accumulation),
            at=f"epoch {epoch}, window",
        )
        for epoch in whole_epochs(runs, scenario)
    ])  # fmt: skip


@trainer_property(
    source=sources.docs("TrainingArguments.average_tokens_across_devices"), experiments=PROCESSES,
    needs=[FINISHED, IDENTIFIED, SAME_LENGTH], catalogue=[37],
)  # fmt: skip
def items_are_counted_on_all_ranks(runs: Runs, scenario: Scenario) -> Judgement:
    """`num_items_in_batch` counts the labels of the whole update: of all ranks with `average_tokens_across_devices`, of its own without."""
    kind = zoo.MODELS[scenario.model.name]
    if "labels" not in kind.label_names:
        return not_applicable("the labels have other names")
    wanted = reduction(runs, scenario) == "sum_over_items" or kind.swallows_num_items
    if not wanted or runs.first.loss_reduction is not None:
        return not_applicable("nothing is divided by the number of items")
    averaged = bool(scenario.argument("average_tokens_across_devices"))
    accumulation = int(scenario.argument("gradient_accumulation_steps"))
    windows = [_windows(record, accumulation) for record in list(runs.values())[1:]]
    if len({tuple(map(len, own)) for own in windows}) > 1:
        return not_applicable("the ranks have not as many micro-batches (sharding.micro_batches_are_shared_evenly says so)")
    counts = [[predicted_items(scenario, window) for window in own] for own in windows]
    judgements = []
    for rank, own in enumerate(counts):
        items = [sum(each) for each in zip(*counts, strict=True)] if averaged else own
        expected = [number for number, window in zip(items, windows[rank], strict=True) for _ in window]
        observed = measures.items(runs, rank)
        judgements.append(same("num_items_in_batch", expected=expected, observed=observed, at=f"rank {rank}, micro-batch"))
    return holds_for_all("num_items_in_batch", judgements)


def _windows(record: Record, accumulation: int) -> list[list[MicroBatch]]:
    """The micro-batches of a rank as they are fetched: so many at once, and at the end of a pass what is left."""
    found = []
    for _, batches in itertools.groupby(record.batches, key=lambda batch: batch.epoch):
        whole = list(batches)
        found += [whole[first : first + accumulation] for first in range(0, len(whole), accumulation)]
    return found


@trainer_property(
    source=sources.docs("TrainingArguments.include_num_input_tokens_seen"), experiments=PROCESSES, needs=[FINISHED, _COUNTED],
    catalogue=[96],
)  # fmt: skip
def tokens_seen_are_those_of_all_ranks(runs: Runs, scenario: Scenario) -> Judgement:
    """`num_input_tokens_seen` adds up the tokens of all training micro-batches of all ranks, and is the same on each."""
    expected = measures.tokens_on_all_ranks(runs, tokens.counting(scenario) == "all")
    return same("num_input_tokens_seen", expected=expected, observed=measures.tokens_seen(runs), at="rank")


@trainer_property(source=sources.docs("TrainerState"), experiments=PROCESSES, needs=[FINISHED], catalogue=[62, 63, 67, 68])
def ranks_agree_on_the_run(runs: Runs, scenario: Scenario) -> Judgement:
    """All ranks go through the same events with the same flags, and end with the same state and logs: what stops one stops all.

    Apart from times, and from the training loss that is told at the end, of which each rank has its own.
    """
    count = scenario.devices.count
    judgements = []
    for name in _STATE:
        observed = measures.states(runs, name)
        judgements.append(same(f"{name} of the ranks", expected=[observed.value[0]] * count, observed=observed, at="rank"))
    for rank in range(1, count):
        judgements += [
            same("events of a rank", expected=measures.events(runs, 0), observed=measures.events(runs, rank), at=f"rank {rank}, event"),
            same("logs of a rank", expected=measures.log_history(runs, 0), observed=measures.log_history(runs, rank), at=f"rank {rank}"),
        ]
    return holds_for_all("the run of the ranks", judgements)


@trainer_property(
    source=sources.docs("TrainingArguments.dataloader_num_workers"), experiments=PROCESSES, needs=[FINISHED, _ASKED_FOR_SEEDS],
    catalogue=[19],
)  # fmt: skip
def workers_have_seeds_of_their_own(runs: Runs, scenario: Scenario) -> Judgement:
    """No two workers that load training data, on whichever rank, draw the same random numbers: of torch, of Python or of numpy."""
    if scenario.data.kind in accounting.STREAMS:
        return not_applicable("workers of a stream are seeded by torch alone")
    return holds_for_all("seeds of workers", [
        same(f"seeds of {name} that several workers have", expected=[], observed=measures.seeds_used_twice(runs, kind))
        for kind, name in enumerate(("torch", "Python", "numpy"))
    ])  # fmt: skip


@trainer_property(source=_PREPARE, experiments=PROCESSES, needs=[FINISHED, _PREPARED], catalogue=[8, 9, 10])
def prepared_loaders_share_out_their_rows(runs: Runs, scenario: Scenario) -> Judgement:
    """What the trainer's accelerator prepares is shared out to the ranks as its options say, with the length that its loader tells.

    So it goes with loaders of a user's own, of a map-style data set or a stream, and also where every rank reads for itself instead
    (`dispatch_batches=False`). With `drop_last` less than one batch for all is lost.
    """
    n, size = list(runs.values())[-1].results["prepared_from"]
    ways = {"": scenario}
    if accounting.loader_option(scenario, "dispatch_batches") is not False:
        told = {**(thaw(scenario.argument("accelerator_config")) or {}), "dispatch_batches": False}
        ways[", read by each"] = scenario.with_arguments(accelerator_config=told)
    judgements = []
    for (way, sharing), streamed, drop_last in itertools.product(ways.items(), (False, True), (False, True)):
        name = ("stream" if streamed else "map") + (", drop_last" if drop_last else "") + way
        expected = sharding.shares(sharing, n, size, streamed=streamed, drop_last=drop_last)
        for rank, share in enumerate(expected or []):
            at = f"loader {name}, rank {rank}"
            observed = measures.prepared_batches(runs, rank, name)
            judgements.append(same("rows of batches of a prepared loader", expected=share, observed=observed, at=f"{at}, batch"))
            if not streamed:
                observed = measures.prepared_length(runs, rank, name)
                judgements.append(same("length of a prepared loader", expected=len(share), observed=observed, at=at))
    return holds_for_all("rows of prepared loaders", judgements)


@trainer_property(
    source=sources.docs("TrainingArguments.save_on_each_node"), experiments=PROCESSES, needs=[FINISHED, SAME_SAVES, _APART],
    catalogue=[72],
)  # fmt: skip
def one_rank_writes_what_all_share(runs: Runs, scenario: Scenario) -> Judgement:
    """The first rank writes all of a checkpoint that the ranks share; of the others each writes its random state, and nothing else."""
    whole, alone = devices.files_on_one_device(runs).value or {}, sharding.random_state_file(0, 1)
    judgements = []
    for rank in range(scenario.devices.count):
        own = sharding.random_state_file(rank, scenario.devices.count)
        expected = {
            folder: sorted(own if name == alone else name for name in files if rank == 0 or name == alone)
            for folder, files in whole.items()
            if rank == 0 or alone in files
        }
        judgements.append(same("files that a rank writes", expected=expected, observed=measures.own_files(runs, rank), at=f"rank {rank}"))
    return holds_for_all("files that a rank writes", judgements)
