"""Known bugs of resuming in several processes."""

from __future__ import annotations

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.measures import resume_in_processes as measures
from trainer_props.measures import sharding
from trainer_props.oracles import accounting
from trainer_props.oracles.sharding import dispatched
from trainer_props.record import Runs
from trainer_props.scenario import Components, Data, Devices, Model, Scenario

_DOCS = "https://huggingface.co/docs/transformers/main_classes/trainer#transformers.Trainer"


def _dispatches_batches(scenario: Scenario) -> bool:
    """The first process reads map-style data for all."""
    return dispatched(scenario) and scenario.data.kind not in accounting.STREAMS


def _skips_for_one(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """The run goes on as many batches of one process after the beginning of the pass as it should do batches of all (they are the same
    where batches are split), and those of a later pass come in the order of the first one; or it goes on where it should, and completes
    the last batch of the pass with the rows that came first after those skipped.
    """
    resumed, whole = measures.resumed(runs), measures.whole(runs)
    done = len(whole[0].updates) - len(resumed[0].updates)
    per_epoch, accumulation = accounting.updates_per_epoch(scenario), int(scenario.argument("gradient_accumulation_steps"))
    epoch, skipped = done // per_epoch, done % per_epoch * accumulation
    if len(resumed) < scenario.devices.count or not skipped or not resumed[0].batches:
        return False
    order, taken = (_in_turns([sharding.batches_of_pass(each, number) for each in whole]) for number in (epoch, 0))
    first = skipped * int(scenario.argument("per_device_train_batch_size"))
    rest = order[first * accounting.devices_of_a_batch(scenario) :]
    begun, got = (_in_turns([sharding.batches_of_pass(each, 0)[:most] for each in resumed]) for most in (1, None))
    repeated = max(0, len(order) - scenario.data.n)
    real = len(rest) - repeated
    if got != rest and got == rest[:real] + got[:repeated] and rest[real:] == order[:repeated]:
        return True
    going_on = taken[first : scenario.data.n]  # and one that is the last of its pass is completed with its own first rows
    return bool(begun == (going_on + going_on)[: len(begun)] and begun != rest[: len(begun)])


def _rebalances(scenario: Scenario) -> bool:
    """Processes read for themselves, each its share of what the sampler gives to all."""
    return scenario.argument("train_sampling_strategy") == "batch_rebalance" and scenario.devices.count > 1 and not dispatched(scenario)


def _in_the_order_of_the_first(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """Every rank goes on in a later pass with the batches that it had there in the first one; or, where the numbers of ranks differ, all
    together do with the samples of its updates.
    """
    resumed, whole = measures.resumed(runs), measures.whole(runs)
    done = len(whole[0].updates) - len(resumed[0].updates)
    per_epoch, accumulation = accounting.updates_per_epoch(scenario), int(scenario.argument("gradient_accumulation_steps"))
    epoch, skipped = done // per_epoch, done % per_epoch * accumulation
    if not epoch or not skipped:
        return False
    if len(resumed) != len(whole):
        now, planned = measures.samples(runs).value, measures.samples_of_the_whole(runs, done).value
        then = measures.samples_of_the_whole(runs, done % per_epoch).value
        left = min(per_epoch - done % per_epoch, len(now))
        return bool(now[:left] == then[:left] and now != planned)
    first, due = ([sharding.batches_of_pass(each, number)[skipped:] for each in whole] for number in (0, epoch))
    got = [sharding.batches_of_pass(each, 0) for each in resumed]
    return got != due and all(begun == begins[: len(begun)] for begun, begins in zip(got, first, strict=True))


def _in_turns(shares: list[list[list[int]]]) -> list[int]:
    return [sample for batches in zip(*shares, strict=False) for batch in batches for sample in batch]


known_bug(
    KnownBug(
        id="dispatched-resume-skips-too-little",
        verdict="bug",
        sentence=(
            "With dispatch_batches a run that is resumed within a pass over map-style data trains again on samples that it has seen: as "
            "many batches are skipped as one process had, while the first process takes as many times more for all; in a later pass they "
            "come in the order of the first, also with split_batches; and the last batch of the pass is completed with the rows at which "
            "it goes on."
        ),
        link="https://github.com/huggingface/accelerate/issues/2016",
        versions=">=4.38",
        properties=(
            "resume_in_processes.resumed_ranks_go_on_with_the_data", "resume_in_processes.resumed_ranks_have_the_weights_of_the_whole_run",
            "resume_in_processes.resumed_ranks_end_where_the_whole_run_does",
        ),
        region=_dispatches_batches,
        symptom=_skips_for_one,
        example=Case(
            experiment="resume_in_processes",
            scenario=Scenario(
                arguments={
                    "accelerator_config": {"dispatch_batches": True}, "per_device_train_batch_size": 1, "max_steps": 2,
                    "save_strategy": "steps", "save_steps": 1, "train_sampling_strategy": "sequential", "optim": "sgd",
                    "learning_rate": 0.1,
                },
                data=Data(n=4), devices=Devices(kind="gloo", count=2),
            ),
            parameters={"at": 1},
        ),
    )
)  # fmt: skip

known_bug(
    KnownBug(
        id="resumed-rebalance-of-the-first-pass",
        verdict="bug",
        sentence=(
            'With train_sampling_strategy="batch_rebalance" on several devices a run that is resumed within a later pass goes on in the '
            "order of the first one: where batches are skipped the sampler is not told the epoch."
        ),
        link=f"{_DOCS}.train.resume_from_checkpoint",
        versions=">=5.0",
        properties=(
            "resume_in_processes.resumed_ranks_go_on_with_the_data", "resume_in_processes.resumed_ranks_have_the_weights_of_the_whole_run",
            "resume_in_processes.resumed_ranks_end_where_the_whole_run_does",
        ),
        region=_rebalances,
        symptom=_in_the_order_of_the_first,
        example=Case(
            experiment="resume_in_processes",
            scenario=Scenario(
                arguments={
                    "per_device_train_batch_size": 1, "max_steps": 4, "save_strategy": "steps", "save_steps": 3, "optim": "sgd",
                    "learning_rate": 0.1, "train_sampling_strategy": "batch_rebalance",
                },
                data=Data(kind="dynamic", n=4), model=Model(name="lstm"), devices=Devices(kind="gloo", count=2),
                components=Components(collator="padding"),
            ),
            parameters={"at": 3},
        ),
    )
)  # fmt: skip
