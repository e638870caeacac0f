"""Known bugs of single ranks of many."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.oracles import shards
from trainer_props.properties.ranks import ranks_of
from trainer_props.record import Runs
from trainer_props.scenario import Data, Devices, Scenario

_UNEVEN = {"even_batches": False, "split_batches": True}


def _in_floats(scenario: Scenario, rank: int) -> int:
    """Updates of a rank, of which the epochs are multiplied in binary floating point."""
    if int(scenario.argument("max_steps")) >= 0:
        return shards.total_updates(scenario, rank)
    return math.ceil(float(scenario.argument("num_train_epochs")) * shards.updates_per_epoch(scenario, rank))


def _epochs_are_inexact(scenario: Scenario) -> bool:
    """Of the first rank or of the last one: there are no more than two lengths of shares."""
    ends = (0, scenario.devices.count - 1)
    return any(_in_floats(scenario, rank) != shards.total_updates(scenario, rank) for rank in ends)


def _rounded_in_floats(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    planned = [_in_floats(scenario, rank) for rank in ranks_of(runs)]
    if judgement.quantity == "max_steps of the state":
        return bool(list(judgement.observed) == planned)
    until = [each.results.get("until") for each in runs.values()]
    taken = [total if most is None else min(total, most) for total, most in zip(planned, until, strict=True)]
    return judgement.quantity == "global_step" and bool(list(judgement.observed) == taken)


def _some_rank_lacks_a_batch(scenario: Scenario) -> bool:
    """Batches are split, nothing fills up the last one, and it has no row for the last rank at least."""
    sharding = shards.shards(scenario)
    lacks = 0 < sharding.rows % sharding.round_size <= (sharding.ranks - 1) * sharding.size
    return sharding.split and not sharding.even and not sharding.drop_last and lacks


class _Course(NamedTuple):
    """What becomes of a rank that counts a micro-batch in each pass that it does not get, so that the last window is never closed."""

    total: int
    passes: int
    updates: list[tuple[int, float]]


def _course(scenario: Scenario, rank: int, most: int) -> _Course:
    """Planned updates and passes; micro-batches and epoch at each of the updates, so many at most."""
    sharding, accumulation = shards.shards(scenario), int(scenario.argument("gradient_accumulation_steps"))
    rounds = sharding.rounds(rank)
    counted = -(-sharding.rows // sharding.round_size)
    per_pass, max_steps = -(-counted // accumulation), int(scenario.argument("max_steps"))
    epochs = scenario.argument("num_train_epochs")
    total = max_steps if max_steps >= 0 else math.ceil(epochs * per_pass)  # in floating point, as the Trainer does
    passes = -(-max_steps // per_pass) if max_steps >= 0 else math.ceil(epochs)

    def updates() -> Iterator[tuple[int, float]]:
        for done in range(passes):
            for seen in range(1, rounds + 1):
                if seen % accumulation == 0 or seen == counted:
                    yield done * rounds + seen, float(done + Fraction(seen, counted))

    return _Course(total, passes, list(itertools.islice(updates(), min(total, most))))


def _overcounted(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    courses = {}
    for name, rank in zip(runs, ranks_of(runs), strict=True):
        until = runs[name].results.get("until")
        courses[name] = _course(scenario, rank, len(runs[name].updates) + 1 if until is None else until)
    told: dict[str, list[Any]] = {
        "max_steps of the state": [each.total for each in courses.values()],
        "global_step": [len(each.updates) for each in courses.values()],
        "epoch of the state": [each.updates[-1][1] if each.updates else 0 for each in courses.values()],
        "num_train_epochs of the state": [each.passes for each in courses.values()],
    }
    if judgement.quantity in told:
        pairs = zip(judgement.observed, told[judgement.quantity], strict=True)
        return all(math.isclose(observed, predicted, abs_tol=1e-12) for observed, predicted in pairs)
    name = judgement.divergence.partition(",")[0]
    return bool(name in courses and list(judgement.observed) == [at for at, _ in courses[name].updates])


known_bug(
    KnownBug(
        id="shard-length-counts-a-batch-too-many",
        verdict="limit",
        sentence=(
            "With split_batches and without even_batches, a rank for which the last batch has no row counts that batch all the same: its "
            "steps and epochs are those of a share that it does not get, and its last window may never be closed."
        ),
        link="https://github.com/huggingface/accelerate/issues/4122",
        versions=">=5.0",
        properties=tuple(
            f"ranks.{name}"
            for name in ("steps_follow_from_the_share", "epochs_follow_from_the_share", "updates_take_their_micro_batches")
        ),
        region=_some_rank_lacks_a_batch,
        symptom=_overcounted,
        example=Case(
            experiment="play_one_rank",
            scenario=Scenario(
                arguments={"accelerator_config": _UNEVEN, "per_device_train_batch_size": 2, "num_train_epochs": 1},
                data=Data(kind="numbered", n=3), devices=Devices(kind="fake", count=2),
            ),
            parameters={"ranks": [1]},
        ),
    )
)  # fmt: skip

known_bug(
    KnownBug(
        id="epochs-of-a-rank-in-floating-point",
        verdict="bug",
        sentence=(
            "The updates of a share are multiplied by the epochs in binary floating point before rounding up: 0.07 epochs of 10^9 rows on "
            "100 ranks are 700,001 updates."
        ),
        link="https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments.num_train_epochs",
        versions=">=4.46",
        properties=("ranks.steps_follow_from_the_share",),
        region=_epochs_are_inexact,
        symptom=_rounded_in_floats,
        example=Case(
            experiment="play_one_rank",
            scenario=Scenario(
                arguments={"num_train_epochs": 0.07, "per_device_train_batch_size": 1, "train_sampling_strategy": "sequential"},
                data=Data(kind="numbered", n=10**9), devices=Devices(kind="fake", count=100),
            ),
            parameters={"ranks": [99], "until": 1},
        ),
    )
)  # fmt: skip
