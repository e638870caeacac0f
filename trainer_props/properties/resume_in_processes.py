"""Resuming in several processes: the run goes on as the whole one did, in as many processes or on another number of devices."""

from __future__ import annotations

from typing import Final

from trainer_props.judgement import Judgement, close, holds_for_all, not_applicable, same
from trainer_props.measures import resume_in_processes as measures
from trainer_props.oracles import accounting
from trainer_props.properties import sources
from trainer_props.properties._rounding import TOLERANCE
from trainer_props.properties.devices import EVEN, NO_REPEATS, SAME_ORDER
from trainer_props.properties.needs import Need
from trainer_props.properties.optimization import ADAPTIVE
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record, Runs
from trainer_props.scenario import Scenario
from trainer_props.zoo import DATASETS, MODELS

_EXPERIMENTS: Final = ("resume_in_processes",)
_RESUME: Final = sources.docs("Trainer.train.resume_from_checkpoint")
_TOKENS: Final = "num_input_tokens_seen"
_STATE: Final = ("global_step", "epoch", "max_steps", _TOKENS)


def _resumed(runs: Runs) -> list[Record]:
    return [record for name, record in runs.items() if name.startswith(measures.RESUMED)]


def _whole(runs: Runs) -> list[Record]:
    return [record for name, record in runs.items() if not name.startswith(measures.RESUMED)]


def at(runs: Runs) -> int:
    """The update after which the run goes on."""
    return len(_whole(runs)[0].updates) - len(_resumed(runs)[0].updates)


def same_world(runs: Runs) -> bool:
    """Whether both runs have as many processes."""
    return len(_whole(runs)) == len(_resumed(runs))


WENT_ON = Need("went_on", "there is no checkpoint to go on from, or the whole run did not end", lambda runs, scenario: bool(_resumed(runs)))
FINISHED = Need("finished", "the run that went on did not finish", lambda runs, scenario: all(each.finished for each in _resumed(runs)))
IDENTIFIED = Need("identified", "samples could not be identified", lambda runs, scenario: all(each.identified for each in runs.values()))
SAME_WORLD = Need("same_world", "the checkpoint is of another number of processes", lambda runs, scenario: same_world(runs))
COMPARABLE = Need(
    "comparable", "on another number of devices rows are repeated, in other batches or in another order",
    lambda runs, scenario: same_world(runs) or all(each.met(runs, scenario) for each in (NO_REPEATS, SAME_ORDER)),
)  # fmt: skip
EVEN_SHARES = Need(
    "even_shares", "the devices have uneven shares of a batch, of which a mean over devices is another than one over rows",
    lambda runs, scenario: same_world(runs) or EVEN.met(runs, scenario),
)  # fmt: skip
ORDERED = Need("ordered", "the order of the samples comes from random numbers that are not drawn again", SAME_ORDER.met)
SOMETHING_LEFT = Need(
    "something_left", "the run was over when it was resumed (resume.ends_at_the_same_step says what comes of it)",
    lambda runs, scenario: bool(measures.steps_of_the_checkpoint(runs).value[0] < len(_whole(runs)[0].updates)),
)  # fmt: skip
_ON = (WENT_ON, FINISHED, SOMETHING_LEFT)


@trainer_property(source=_RESUME, experiments=_EXPERIMENTS, needs=[WENT_ON], catalogue=[74, 79])
def resumed_ranks_come_to_their_end(runs: Runs, scenario: Scenario) -> Judgement:
    """A run that goes on from a checkpoint comes to its end on every rank, whatever the number of processes that wrote it."""
    hung = any(each.stuck is not None for each in _resumed(runs))
    expected = ["it ends"] * len(_resumed(runs))
    verdict = "hung" if hung else "crashed"
    return same("the run", expected=expected, observed=measures.endings(runs), symptom="does not end", verdict=verdict, at="rank")


@trainer_property(source=_RESUME, experiments=_EXPERIMENTS, needs=_ON, catalogue=[74])
def resumed_ranks_begin_after_the_checkpoint(runs: Runs, scenario: Scenario) -> Judgement:
    """A run that goes on begins, on every rank, with the step of its checkpoint: a run that begins anew ends like the whole one too."""
    return same("first step", expected=measures.steps_of_the_checkpoint(runs), observed=measures.first_steps(runs), at="rank")


@trainer_property(source=_RESUME, experiments=_EXPERIMENTS, needs=[*_ON, COMPARABLE], catalogue=[2, 74, 96])
def resumed_ranks_end_where_the_whole_run_does(runs: Runs, scenario: Scenario) -> Judgement:
    """A run that goes on ends, on every rank, with the steps, the epoch and the tokens of the run that was not interrupted."""
    # other batches, or other rows of other lengths, are padded to other lengths
    padded = DATASETS[scenario.data.kind].needs_padding and not (same_world(runs) and ORDERED.met(runs, scenario))
    return holds_for_all("state at the end", [
        same(f"{name} at the end", expected=measures.states_of_the_whole(runs, name), observed=measures.states(runs, name), at="rank")
        for name in _STATE if name != _TOKENS or not padded
    ])  # fmt: skip


@trainer_property(source=_RESUME, experiments=_EXPERIMENTS, needs=[*_ON, IDENTIFIED, COMPARABLE, ORDERED], catalogue=[38, 74, 79])
def resumed_ranks_go_on_with_the_data(runs: Runs, scenario: Scenario) -> Judgement:
    """Each update of a run that goes on has the samples that it has in the whole run, and in as many processes each rank its own."""
    done = at(runs)
    judgements = [
        same("samples of an update", expected=measures.samples_of_the_whole(runs, done), observed=measures.samples(runs), at="update")
    ]
    if same_world(runs):
        judgements += [
            same(
                "micro-batches of a rank", expected=measures.batches_of_the_whole(runs, rank, done), observed=measures.batches(runs, rank),
                at=f"rank {rank}, update",
            )
            for rank in range(len(_resumed(runs)))
        ]
    return holds_for_all("samples of updates", judgements)


def _ignores_items(scenario: Scenario) -> bool:
    """The Trainer takes the model's loss to be divided by the items of all devices, and it is not."""
    averaged = bool(scenario.argument("average_tokens_across_devices"))
    return MODELS[scenario.model.name].swallows_num_items and scenario.components.loss == "model" and averaged


@trainer_property(
    source=_RESUME, experiments=_EXPERIMENTS, needs=[*_ON, COMPARABLE, EVEN_SHARES, ORDERED], tolerance=1e-12, catalogue=[38, 74]
)
def resumed_ranks_have_the_weights_of_the_whole_run(runs: Runs, scenario: Scenario) -> Judgement:
    """After each update of a run that goes on the weights are those of the whole run, on every rank."""
    done, tolerance = at(runs), TOLERANCE[scenario.model.dtype]
    if not same_world(runs) and _ignores_items(scenario):
        return not_applicable("of a model that ignores num_items_in_batch losses depend on the number of devices, which devices.* tell")
    if not same_world(runs) and scenario.argument("optim") != "sgd":
        if scenario.model.dtype != "float64":
            return not_applicable("adaptive optimizers make visible steps of rounding in float32")
        tolerance = ADAPTIVE
    return holds_for_all("weights", [
        close(
            "weights after an update", expected=measures.weights_of_the_whole(runs, done + update),
            observed=measures.weights(runs, rank, update), tolerance=tolerance, at=f"rank {rank}, update {done + update}, weight",
        )
        for rank, record in enumerate(_resumed(runs)) for update in range(1, len(record.updates) + 1)
        if 0 < done + update <= len(_whole(runs)[0].updates)
    ])  # fmt: skip


@trainer_property(source=_RESUME, experiments=_EXPERIMENTS, needs=[*_ON, SAME_WORLD], catalogue=[72, 74])
def resumed_ranks_draw_their_own_numbers(runs: Runs, scenario: Scenario) -> Judgement:
    """In as many processes every rank goes on with its own random numbers: those of torch, Python and numpy."""
    if scenario.argument("train_sampling_strategy") == "group_by_length" and not accounting.loader_option(scenario, "use_seedable_sampler"):
        return not_applicable("the order of the samples is drawn from the same numbers")
    done = at(runs)
    return holds_for_all("random numbers", [
        same(
            "random numbers of a rank", expected=measures.draws_of_the_whole(runs, rank, done), observed=measures.draws(runs, rank),
            at=f"rank {rank}, update",
        )
        for rank in range(len(_resumed(runs)))
    ])  # fmt: skip
