"""Single ranks of many: what a rank can know by itself of the data, of the run, and of its place among the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from trainer_props.judgement import Judgement, close, holds_for_all, not_applicable, same
from trainer_props.measures import ranks as measures
from trainer_props.oracles import accounting, plans, shards
from trainer_props.oracles.sharding import random_state_file
from trainer_props.properties import sources
from trainer_props.properties.needs import NO_EARLY_STOP, Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record, Runs
from trainer_props.scenario import Scenario

RANKS: Final = ("play_one_rank",)
_SHARD: Final = "https://huggingface.co/docs/accelerate/package_reference/torch_wrappers#accelerate.data_loader.BatchSamplerShard"
_EVEN: Final = "https://huggingface.co/docs/accelerate/package_reference/accelerator#accelerate.Accelerator.even_batches"
_CONFIG: Final = sources.docs("TrainingArguments.accelerator_config")
_ALWAYS: Final = ("model.safetensors", "trainer_state.json", "training_args.bin")
_FOR_RESUMING: Final = ("optimizer.pt", "scheduler.pt")

FINISHED = Need("finished", "the run did not finish", lambda runs, scenario: all(each.finished for each in runs.values()))
IDENTIFIED = Need("identified", "samples could not be identified", lambda runs, scenario: all(each.identified for each in runs.values()))
IN_ORDER = Need(
    "in_order", "samples are not read in order", lambda runs, scenario: scenario.argument("train_sampling_strategy") == "sequential"
)
RANDOM = Need("random", "samples are not drawn at random", lambda runs, scenario: scenario.argument("train_sampling_strategy") == "random")
SEVERAL = Need("several", "one rank was played", lambda runs, scenario: len(runs) > 1)
ALL_RANKS = Need("all_ranks", "not all ranks were played", lambda runs, scenario: len(runs) == scenario.devices.count)
EVEN = Need("even", "nothing fills up the last round", lambda runs, scenario: shards.shards(scenario).even)
SAVED = Need("saved", "no checkpoint is due", lambda runs, scenario: scenario.argument("save_strategy") == "steps")
NUMBERED = Need("numbered", "the rows can't be counted without fetching them", lambda runs, scenario: scenario.data.kind == "numbered")
STEPS_AS_ASKED = Need(
    "steps_as_asked", "the run is not as long as its share asks for (ranks.steps_follow_from_the_share says so)",
    lambda runs, scenario: all(
        each.state.get("max_steps") == shards.total_updates(scenario, rank)
        for rank, each in zip(ranks_of(runs), runs.values(), strict=True)
    ),
)  # fmt: skip
WHOLE_WINDOWS = Need(
    "whole_windows", "the windows are not those of the share (ranks.updates_take_their_micro_batches says so)",
    lambda runs, scenario: all(
        [update.batches for update in each.updates] == _at_updates(scenario, rank, len(each.updates))
        for rank, each in zip(ranks_of(runs), runs.values(), strict=True)
    ),
)  # fmt: skip


def ranks_of(runs: Runs) -> list[int]:
    """The ranks that were played."""
    return [int(name.rpartition(" ")[2]) for name in runs]


def _at_updates(scenario: Scenario, rank: int, updates: int) -> list[int]:
    return [shards.micro_batches_after(scenario, rank, update) for update in range(1, updates + 1)]


def _of_each(runs: Runs, scenario: Scenario, quantity: str, judge: Callable[[str, int, Record], Judgement]) -> Judgement:
    """What is said of each of the ranks."""
    return holds_for_all(quantity, (judge(name, rank, runs[name]) for name, rank in zip(runs, ranks_of(runs), strict=True)))


def _passes(runs: Runs, scenario: Scenario, *, whole: bool = False) -> Iterator[int]:
    """The passes over the data that all ranks of the case have begun, or come to the end of."""
    rank = ranks_of(runs)[0]
    updates = min(len(each.updates) for each in runs.values())
    per_epoch = shards.updates_per_epoch(scenario, rank)
    yield from range(updates // per_epoch if whole else -(-updates // per_epoch))


@trainer_property(source=_CONFIG, experiments=RANKS, catalogue=[18])
def every_rank_comes_to_its_end(runs: Runs, scenario: Scenario) -> Judgement:
    """A rank that is given its share of the data, and gradients, trains to its end, whatever its number and theirs."""
    hung = any(each.stuck is not None for each in runs.values())
    expected = [measures.ENDED] * len(runs)
    return same(
        "the run of a rank", expected=expected, observed=measures.endings(runs), symptom="does not end",
        verdict="hung" if hung else "crashed", at="played rank",
    )  # fmt: skip


@trainer_property(source=sources.docs("TrainingArguments.world_size"), experiments=RANKS, needs=[FINISHED], catalogue=[18])
def a_rank_knows_its_place(runs: Runs, scenario: Scenario) -> Judgement:
    """The arguments of a rank say which one it is, also on its node, and of how many; rank 0 alone is the main process."""
    played = ranks_of(runs)
    expected = {
        "process_index": played, "world_size": [scenario.devices.count] * len(played),
        "is_world_process_zero": [each == 0 for each in played],
        "local_process_index": [runs[name].results["local_rank"] for name in runs],
    }  # fmt: skip
    return holds_for_all("places", [
        same(name, expected=values, observed=measures.told(runs, name), at="played rank") for name, values in expected.items()
    ])  # fmt: skip


def _acts(runs: Runs, on_each_node: bool) -> list[bool]:
    """Whether each rank that was played acts for the others: for those of its node, or for all."""
    return [(runs[name].results["local_rank"] if on_each_node else rank) == 0 for name, rank in zip(runs, ranks_of(runs), strict=True)]


@trainer_property(source=sources.docs("TrainingArguments.log_on_each_node"), experiments=RANKS, needs=[FINISHED], catalogue=[18])
def one_process_of_a_node_logs(runs: Runs, scenario: Scenario) -> Judgement:
    """One process of each node logs, or without `log_on_each_node` that of the main node alone."""
    expected = _acts(runs, bool(scenario.argument("log_on_each_node")))
    return same("should_log", expected=expected, observed=measures.told(runs, "should_log"), at="played rank")


@trainer_property(source=sources.docs("TrainingArguments.per_device_train_batch_size"), experiments=RANKS, needs=[FINISHED], catalogue=[6])
def total_batch_size_counts_all_ranks(runs: Runs, scenario: Scenario) -> Judgement:
    """The total train batch size is what all ranks together train on in an update whose micro-batches are full."""
    observed = measures.states(runs, "total_train_batch_size")
    if None in observed.value:
        return not_applicable("this trainer does not say its total batch size")
    expected = [accounting.total_train_batch_size(scenario)] * len(runs)
    return same("total train batch size", expected=expected, observed=observed, at="played rank")


def _ends_at(runs: Runs, scenario: Scenario, rank: int) -> int:
    """The update after which a rank ends: its last, or the one after which a callback ended the run."""
    until, total = runs[f"rank {rank}"].results.get("until"), shards.total_updates(scenario, rank)
    return total if until is None else min(until, total)


@trainer_property(source=sources.docs("TrainingArguments.max_steps"), experiments=RANKS, needs=[FINISHED, NO_EARLY_STOP], catalogue=[1, 18])
def steps_follow_from_the_share(runs: Runs, scenario: Scenario) -> Judgement:
    """A rank plans, and takes, the updates that follow from its share of the data, the accumulation and the epochs; or `max_steps`."""
    played = ranks_of(runs)
    total = [shards.total_updates(scenario, rank) for rank in played]
    taken = [_ends_at(runs, scenario, rank) for rank in played]
    return holds_for_all("steps", [
        same("max_steps of the state", expected=total, observed=measures.states(runs, "max_steps"), at="played rank"),
        same("global_step", expected=taken, observed=measures.steps_at_the_end(runs), at="played rank"),
    ])  # fmt: skip


@trainer_property(
    source=sources.docs("TrainerState"), experiments=RANKS, needs=[FINISHED, STEPS_AS_ASKED, WHOLE_WINDOWS], tolerance=1e-12,
    catalogue=[1, 18],
)  # fmt: skip
def epochs_follow_from_the_share(runs: Runs, scenario: Scenario) -> Judgement:
    """At the end `epoch` is the part of its share that a rank has seen, in passes; `num_train_epochs` counts those of the whole run."""
    played = ranks_of(runs)
    seen = [shards.epoch_after(scenario, rank, len(each.updates)) for rank, each in zip(played, runs.values(), strict=True)]
    planned = [shards.epochs_begun(scenario, rank, shards.total_updates(scenario, rank)) for rank in played]
    return holds_for_all("epochs", [
        close("epoch of the state", expected=seen, observed=measures.states(runs, "epoch"), tolerance=1e-12, at="played rank"),
        same("num_train_epochs of the state", expected=planned, observed=measures.states(runs, "num_train_epochs"), at="played rank"),
    ])  # fmt: skip


@trainer_property(
    source=sources.docs("TrainingArguments.gradient_accumulation_steps"), experiments=RANKS, needs=[FINISHED], catalogue=[2, 18],
)  # fmt: skip
def updates_take_their_micro_batches(runs: Runs, scenario: Scenario) -> Judgement:
    """An update of a rank takes as many micro-batches as are accumulated; the last of a pass takes those that its share leaves."""

    def judge(name: str, rank: int, record: Record) -> Judgement:
        planned = _at_updates(scenario, rank, _far_enough(runs, scenario, rank))
        expected = measures.planned_updates(runs, name, planned)
        return same("micro-batches at each update", expected=expected, observed=measures.micro_batches(runs, name), at=f"{name}, update")

    return _of_each(runs, scenario, "micro-batches", judge)


def _far_enough(runs: Runs, scenario: Scenario, rank: int) -> int:
    """Updates that a rank takes, or should take."""
    return max(len(runs[f"rank {rank}"].updates), _ends_at(runs, scenario, rank))


def _shares(runs: Runs, scenario: Scenario, rank: int) -> list[list[int]]:
    """The positions of the micro-batches of a rank, as far as it comes or should come, over all passes."""
    sharding, updates = shards.shards(scenario), _far_enough(runs, scenario, rank)
    count = max(len(runs[f"rank {rank}"].batches), shards.micro_batches_after(scenario, rank, updates))
    rounds = sharding.rounds(rank)
    return [list(sharding.micro_batch(rank, index % rounds)) for index in range(count)]


@trainer_property(source=_SHARD, experiments=RANKS, needs=[FINISHED, WHOLE_WINDOWS], catalogue=[9, 18])
def micro_batches_have_their_rows(runs: Runs, scenario: Scenario) -> Judgement:
    """A micro-batch has its batch size, or with `split_batches` its piece of it; fewer rows only where nothing fills up the last one."""

    def judge(name: str, rank: int, record: Record) -> Judgement:
        planned = [len(positions) for positions in _shares(runs, scenario, rank)]
        expected = measures.planned_micro_batches(runs, name, planned)
        return same("rows of micro-batches", expected=expected, observed=measures.rows(runs, name), at=f"{name}, micro-batch")

    return _of_each(runs, scenario, "rows", judge)


@trainer_property(source=_SHARD, experiments=RANKS, needs=[FINISHED, IDENTIFIED, NUMBERED, IN_ORDER, WHOLE_WINDOWS], catalogue=[9, 10])
def a_rank_sees_its_rows(runs: Runs, scenario: Scenario) -> Judgement:
    """Where rows are read in order, a rank sees exactly its own: every so-manieth batch, or its piece of each; where the last round is not
    full, the first rows of the pass come again.
    """

    def judge(name: str, rank: int, record: Record) -> Judgement:
        expected = measures.planned_micro_batches(runs, name, _shares(runs, scenario, rank))
        return same("samples of micro-batches", expected=expected, observed=measures.samples(runs, name), at=f"{name}, micro-batch")

    return _of_each(runs, scenario, "samples", judge)


@trainer_property(source=_SHARD, experiments=RANKS, needs=[FINISHED, IDENTIFIED, RANDOM, WHOLE_WINDOWS], catalogue=[9, 10])
def ranks_follow_one_order(runs: Runs, scenario: Scenario) -> Judgement:
    """In a pass all ranks take their shares of one random order: each position has one sample, and each sample one position."""
    sharding = shards.shards(scenario)
    shares = {
        name: [list(positions) for positions in sharding.share(rank)] for name, rank in zip(runs, ranks_of(runs), strict=True)
    }  # fmt: skip
    return holds_for_all("positions with several samples", [
        same(
            "positions with several samples", expected=[], observed=measures.contradictions(runs, epoch, shares),
            at=f"epoch {epoch}, element",
        )
        for epoch in _passes(runs, scenario)
    ])  # fmt: skip


@trainer_property(source=_SHARD, experiments=RANKS, needs=[FINISHED, IDENTIFIED, SEVERAL, WHOLE_WINDOWS], catalogue=[10])
def played_ranks_share_no_sample(runs: Runs, scenario: Scenario) -> Judgement:
    """No two ranks train on the same sample in a pass, before the micro-batches in which samples come again."""
    sharding = shards.shards(scenario)
    rounds = {
        name: [sharding.rounds(rank), sharding.rounds_without_repeats(rank)] for name, rank in zip(runs, ranks_of(runs), strict=True)
    }  # fmt: skip
    return holds_for_all("samples of several ranks", [
        same("samples of several ranks", expected=[], observed=measures.shared(runs, epoch, rounds), at=f"epoch {epoch}, element")
        for epoch in _passes(runs, scenario)
    ])  # fmt: skip


@trainer_property(source=_EVEN, experiments=RANKS, needs=[FINISHED, IDENTIFIED, ALL_RANKS, EVEN, WHOLE_WINDOWS], catalogue=[7, 9])
def repeats_fill_the_last_round(runs: Runs, scenario: Scenario) -> Judgement:
    """Of a whole pass as many samples come again, on all ranks together, as its last round lacks, and no more."""
    sharding = shards.shards(scenario)
    return holds_for_all("repeated samples", [
        same(
            "repeated samples", expected=sharding.repeats, observed=measures.repeated(runs, epoch, sharding.rounds(0)), at=f"epoch {epoch}",
        )
        for epoch in _passes(runs, scenario, whole=True)
    ])  # fmt: skip


@trainer_property(
    source=sources.docs("TrainingArguments.logging_steps"), experiments=RANKS, needs=[FINISHED, STEPS_AS_ASKED, WHOLE_WINDOWS],
    catalogue=[69],
)  # fmt: skip
def logs_are_due_on_every_rank(runs: Runs, scenario: Scenario) -> Judgement:
    """Every rank keeps a log history, with a loss after exactly the updates that `logging_steps` and `logging_first_step` name."""
    if scenario.argument("logging_strategy") != "steps":
        return not_applicable("logs are not due by steps")

    def judge(name: str, rank: int, record: Record) -> Judgement:
        interval = plans.logging_interval(scenario, shards.total_updates(scenario, rank))
        first = bool(scenario.argument("logging_first_step"))
        steps = range(1, _far_enough(runs, scenario, rank) + 1)
        planned = [step for step in steps if step % interval == 0 or (first and step == 1)]
        expected = measures.planned_logs(runs, name, planned)
        return same("steps of logged losses", expected=expected, observed=measures.logged_steps(runs, name), at=f"{name}, entry")

    return _of_each(runs, scenario, "logs", judge)


def _saves(scenario: Scenario, rank: int, updates: int) -> list[int]:
    """Updates after which a checkpoint is due."""
    total = shards.total_updates(scenario, rank)
    interval = plans.save_interval(scenario, total)
    return [step for step in range(1, updates + 1) if step == total or (interval > 0 and step % interval == 0)]


def _written(runs: Runs, scenario: Scenario, name: str, rank: int, record: Record) -> dict[str, list[str]]:
    """The files that a rank writes into each checkpoint."""
    acts = _acts(runs, bool(scenario.argument("save_on_each_node")))[list(runs).index(name)]
    alone = bool(scenario.argument("save_only_model"))
    random_state = random_state_file(rank, scenario.devices.count)
    files = [*(_ALWAYS if acts else ()), *(_FOR_RESUMING if acts and not alone else ()), *([] if alone else [random_state])]
    return {f"checkpoint-{step}": sorted(files) for step in _saves(scenario, rank, len(record.updates))}


@trainer_property(
    source=sources.docs("TrainingArguments.save_strategy"), experiments=RANKS, needs=[FINISHED, SAVED, STEPS_AS_ASKED, WHOLE_WINDOWS],
    catalogue=[69],
)  # fmt: skip
def checkpoints_are_named_by_step(runs: Runs, scenario: Scenario) -> Judgement:
    """The checkpoints that a rank writes to are named by the updates after which they are due."""
    if scenario.argument("save_total_limit") is not None:
        return not_applicable("checkpoints are removed again")

    def judge(name: str, rank: int, record: Record) -> Judgement:
        expected = sorted(folder for folder, files in _written(runs, scenario, name, rank, record).items() if files)
        return same("checkpoints", expected=expected, observed=measures.checkpoints(runs, name), at=f"{name}, checkpoint")

    return _of_each(runs, scenario, "checkpoints", judge)


@trainer_property(
    source=sources.docs("TrainingArguments.save_on_each_node"), experiments=RANKS, needs=[FINISHED, SAVED, STEPS_AS_ASKED, WHOLE_WINDOWS],
    catalogue=[69],
)  # fmt: skip
def one_process_of_a_node_saves(runs: Runs, scenario: Scenario) -> Judgement:
    """The main process alone, or with `save_on_each_node` one process of each node, saves the model and what is shared; every rank saves
    its own random state, under its own number.
    """
    if scenario.argument("save_total_limit") is not None:
        return not_applicable("checkpoints are removed again")
    acts = _acts(runs, bool(scenario.argument("save_on_each_node")))
    should = same("should_save", expected=acts, observed=measures.told(runs, "should_save"), at="played rank")

    def judge(name: str, rank: int, record: Record) -> Judgement:
        expected: Any = {folder: files for folder, files in _written(runs, scenario, name, rank, record).items() if files}
        return same("files of checkpoints", expected=expected, observed=measures.files(runs, name), at=name)

    return holds_for_all("files", [should, _of_each(runs, scenario, "files", judge)])
