"""Known bugs of data that reach several processes in other ways than by batches of their own."""

from __future__ import annotations

from typing import Any

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs import _device_losses as losses
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.measures import resume_in_processes
from trainer_props.oracles import accounting
from trainer_props.oracles.sharding import dispatched, in_processes
from trainer_props.record import Runs
from trainer_props.scenario import Data, Devices, Model, Scenario

_TWO = Devices(kind="gloo", count=2)
_TOLERANCE = 1e-4
_NOTHING_TO_SEND = "TypeError: Unsupported types (<class 'NoneType'>) passed to `_gpu_broadcast_one`"


def _split(scenario: Scenario) -> bool:
    return in_processes(scenario) and bool(accounting.loader_option(scenario, "split_batches"))


def _by_processes(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    return bool(judgement.observed == [scenario.devices.count * each for each in judgement.expected])


def _weighted_wrongly(scenario: Scenario) -> bool:
    """Some batch counts as often as a full batch of the arguments has rows, although no rank has as many."""
    rows = scenario.data.n_eval
    size = int(scenario.argument("per_device_eval_batch_size")) * accounting.devices_of_a_batch(scenario)
    if dispatched(scenario):
        return _split(scenario) or rows % size != 0
    return _split(scenario) and rows % size != 0


def _as_reported(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    return losses.follows(runs, scenario, judgement.quantity, lambda rows: 1.0)


def _streamed_to_each(scenario: Scenario) -> bool:
    return in_processes(scenario) and scenario.data.kind in accounting.STREAMS and not dispatched(scenario)


def _longer(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """What is predicted comes first, and full batches of all ranks follow."""
    return _begins_with(judgement.observed, judgement.expected)


def _begins_with(longer: Any, shorter: Any) -> bool:
    if isinstance(longer, list) and isinstance(shorter, list):
        return len(longer) >= len(shorter) and all(_begins_with(*pair) for pair in zip(longer, shorter, strict=False))
    if isinstance(longer, float) and isinstance(shorter, float):
        return abs(longer - shorter) <= _TOLERANCE * max(1.0, abs(shorter))
    return bool(longer == shorter)


def _fewer_than_half(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """The rows that are there are taken twice, and still do not suffice for all ranks."""
    count, n = scenario.devices.count, scenario.data.n
    if judgement.verdict in ("hung", "crashed"):
        return any(0 < 2 * rows < count for rows in (scenario.data.n_eval, runs.first.results.get("predicted", 0)))
    return 2 * n < count and judgement.observed in ([0], n, [index % n for index in range(2 * n)])


def _batches_by_length(scenario: Scenario) -> int:
    """As many micro-batches as the length of a shard of a stream says: whole batches for each process, though one is split for all."""
    count, size = scenario.devices.count, int(scenario.argument("per_device_train_batch_size"))
    return -(-scenario.data.n // (size * count)) * count


def _longer_than_it_is(scenario: Scenario) -> bool:
    split = _split(scenario) and _streamed_to_each(scenario) and scenario.data.kind == "sized_stream"
    return split and _batches_by_length(scenario) != accounting.batches_per_epoch(scenario)


def _waits_for_more(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """A window that the end of a pass cuts short makes no update: the pass seems to go on. Where a run goes on with one process, that is so
    of the run before.
    """
    batches = accounting.batches_per_epoch(scenario)
    whole = batches // int(scenario.argument("gradient_accumulation_steps"))
    records = [list(runs.values())[-1], *(resume_in_processes.whole(runs) if resume_in_processes.resumed(runs) else [])]
    return any(sum(update.batches <= batches for update in record.updates) == min(whole, len(record.updates)) for record in records)


known_bug(
    KnownBug(
        id="split-batches-counted-for-each",
        verdict="bug",
        sentence=(
            "With split_batches the total train batch size, and what is told of samples by it, is as many times too large as there are "
            "processes: a batch is split among them, and counted for each."
        ),
        link="https://github.com/huggingface/transformers/issues/45693",
        versions=">=4.38",
        properties=("devices.total_batch_size_counts_devices", "ranks.total_batch_size_counts_all_ranks"),
        region=lambda scenario: bool(accounting.loader_option(scenario, "split_batches")) and scenario.devices.count > 1,
        symptom=_by_processes,
        example=Case(
            experiment="shard_data",
            scenario=Scenario(
                arguments={"accelerator_config": {"split_batches": True}, "per_device_train_batch_size": 2, "max_steps": 1},
                data=Data(n=2), devices=_TWO,
            ),
        ),
    )
)  # fmt: skip

known_bug(
    KnownBug(
        id="evaluation-loss-of-first-ranks",
        verdict="bug",
        sentence=(
            "The loss of an evaluation leaves out ranks, or counts full batches too often, where the first process hands out the data or "
            "batches are split: the loss of each rank counts as often as a full batch of the arguments has rows, and the row of these is "
            "cut to as many as the last batch has."
        ),
        link="https://github.com/huggingface/transformers/issues/16716",
        versions=">=4.38",
        properties=("devices.evaluation_loss_is_that_of_one_device",),
        region=_weighted_wrongly,
        symptom=_as_reported,
        example=Case(
            experiment="shard_data",
            scenario=Scenario(
                arguments={
                    "per_device_train_batch_size": 1, "per_device_eval_batch_size": 2, "max_steps": 1, "eval_strategy": "steps",
                    "eval_steps": 1,
                },
                data=Data(kind="stream", n=2, n_eval=2), devices=_TWO,
            ),
        ),
    )
)  # fmt: skip

known_bug(
    KnownBug(
        id="predictions-of-streams-repeat",
        verdict="bug",
        sentence=(
            "Predictions on a stream that every process reads for itself (dispatch_batches=False) end with those of rows that are repeated "
            "to fill the last batch: nobody knows how many there are, or the number is taken of the shard."
        ),
        link="https://github.com/huggingface/accelerate/issues/3013",
        versions=">=4.38",
        properties=("devices.predicted_labels_are_those_of_one_device", "devices.predictions_are_those_of_one_device"),
        region=_streamed_to_each,
        symptom=_longer,
        example=Case(
            experiment="shard_data",
            scenario=Scenario(
                arguments={"accelerator_config": {"dispatch_batches": False}, "per_device_train_batch_size": 1, "max_steps": 1},
                data=Data(kind="stream", n=2), devices=_TWO, model=Model(name="regression"),
            ),
            parameters={"predict": 1},
        ),
    )
)  # fmt: skip

known_bug(
    KnownBug(
        id="dispatching-nothing-crashes",
        verdict="bug",
        sentence=(
            "Where the first process hands out the data and there is not one batch, as when short ones are dropped, a run ends with a "
            "TypeError: nothing is broadcast."
        ),
        link="https://github.com/huggingface/accelerate/blob/v1.15.0/src/accelerate/data_loader.py#L893",
        versions=">=4.38",
        properties=("devices.every_rank_comes_to_its_end",),
        region=lambda scenario: dispatched(scenario) and accounting.drops_last(scenario),
        symptom=lambda judgement, runs, scenario: str(judgement.observed).startswith(_NOTHING_TO_SEND),
        example=Case(
            experiment="shard_data",
            scenario=Scenario(
                arguments={
                    "accelerator_config": {"dispatch_batches": True}, "per_device_train_batch_size": 1, "per_device_eval_batch_size": 2,
                    "dataloader_drop_last": True, "max_steps": 1,
                },
                data=Data(n=2), devices=_TWO,
            ),
            parameters={"predict": 1},
        ),
    )
)  # fmt: skip

known_bug(
    KnownBug(
        id="dispatching-too-few-rows",
        verdict="bug",
        sentence=(
            "Where the first process hands out fewer than half as many rows as there are processes, some get none: what is short is filled "
            "up once with the rows that are there. Such a process trains on nothing, or waits for ever for predictions of the others."
        ),
        link="https://github.com/huggingface/accelerate/blob/v1.15.0/src/accelerate/data_loader.py#L926",
        versions=">=4.38",
        properties=(
            "devices.repeats_fill_the_last_batch", "devices.every_rank_comes_to_its_end", "sharding.ranks_take_turns_and_begin_again",
            "sharding.micro_batches_are_shared_evenly",
        ),
        region=lambda scenario: dispatched(scenario) and scenario.devices.count > 2,
        symptom=_fewer_than_half,
        example=Case(
            experiment="shard_data",
            scenario=Scenario(
                arguments={"per_device_train_batch_size": 1, "max_steps": 2}, data=Data(kind="stream", n=1),
                devices=Devices(kind="gloo", count=3),
            ),
        ),
    )
)  # fmt: skip

known_bug(
    KnownBug(
        id="split-streams-seem-longer",
        verdict="bug",
        sentence=(
            "A stream with a length that every process reads for itself (dispatch_batches=False) counts as longer than it is with "
            "split_batches, as if each process had whole batches: epochs and schedules are too long, and the last window of a pass, if it "
            "is short, makes no update."
        ),
        link="https://github.com/huggingface/accelerate/pull/4118",
        versions=">=4.38",
        properties=(
            "devices.global_step_counts_with_devices", "devices.updates_have_the_samples_of_one_device",
            "devices.learning_rates_are_those_of_one_device", "devices.first_gradient_is_that_of_one_device",
            "devices.weights_are_those_of_one_device", "devices.logged_losses_are_those_of_one_device",
            "devices.logged_norms_are_those_of_one_device", "devices.returned_loss_is_that_of_one_device",
            "devices.evaluation_loss_is_that_of_one_device", "devices.predictions_are_those_of_one_device",
            "resume_in_processes.resumed_ranks_end_where_the_whole_run_does",
            "resume_in_processes.resumed_ranks_go_on_with_the_data", "resume_in_processes.resumed_ranks_have_the_weights_of_the_whole_run",
            "resume_in_processes.resumed_ranks_draw_their_own_numbers",
        ),
        region=_longer_than_it_is,
        symptom=_waits_for_more,
        example=Case(
            experiment="shard_data",
            scenario=Scenario(
                arguments={
                    "accelerator_config": {"dispatch_batches": False, "split_batches": True}, "per_device_train_batch_size": 2,
                    "gradient_accumulation_steps": 2, "num_train_epochs": 1,
                },
                data=Data(kind="sized_stream", n=6), devices=_TWO,
            ),
        ),
    )
)  # fmt: skip
