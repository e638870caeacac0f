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
from trainer_props.scenario import Data, Devices, Scenario


def _dispatches_batches(scenario: Scenario) -> bool:
    """The first process reads map-style data for all."""
    return dispatched(scenario) and scenario.data.kind not in accounting.STREAMS


def _skips_for_one(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """The run goes on as many batches of one process after the beginning of the pass as it should do batches of all (they are the same
    where batches are split), and those of a later pass come in the order of the first one.
    """
    resumed, whole = measures.resumed(runs), measures.whole(runs)
    done = len(whole[0].updates) - len(resumed[0].updates)
    per_epoch, accumulation = accounting.updates_per_epoch(scenario), int(scenario.argument("gradient_accumulation_steps"))
    epoch, skipped = done // per_epoch, done % per_epoch * accumulation
    if len(resumed) < scenario.devices.count or not skipped or not resumed[0].batches:
        return False
    order, taken = (_in_turns([sharding.batches_of_pass(each, number) for each in whole]) for number in (epoch, 0))
    first = skipped * int(scenario.argument("per_device_train_batch_size"))
    begun = _in_turns([sharding.batches_of_pass(each, 0)[:1] for each in resumed])
    due = order[first * accounting.devices_of_a_batch(scenario) :][: len(begun)]
    return bool(begun == taken[first : first + len(begun)] and begun != due)


def _in_turns(shares: list[list[list[int]]]) -> list[int]:
    return [sample for batches in zip(*shares, strict=False) for batch in batches for sample in batch]


known_bug(
    KnownBug(
        id="dispatched-resume-skips-too-little",
        verdict="bug",
        sentence=(
            "With dispatch_batches a run that is resumed within a pass over map-style data trains again on samples that it has seen: as "
            "many batches are skipped as one process had, while the first process takes as many times more for all; in a later pass they "
            "come in the order of the first, also with split_batches."
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
