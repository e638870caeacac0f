"""Known bugs of several devices."""

from __future__ import annotations

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs import _device_losses as losses
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.oracles import accounting
from trainer_props.oracles.sharding import dispatched, in_processes
from trainer_props.properties.devices import sees_whole_batches, shares
from trainer_props.record import Runs
from trainer_props.scenario import Components, Data, Devices, Model, Scenario
from trainer_props.zoo import MODELS

_CONSEQUENCES = tuple(
    f"devices.{name}"
    for name in (
        "first_gradient_is_that_of_one_device", "weights_are_those_of_one_device", "logged_losses_are_those_of_one_device",
        "logged_norms_are_those_of_one_device", "returned_loss_is_that_of_one_device", "evaluation_loss_is_that_of_one_device",
        "predictions_are_those_of_one_device",
    )
)  # fmt: skip
_PLAIN = {
    "per_device_train_batch_size": 1, "per_device_eval_batch_size": 1, "max_steps": 1, "logging_steps": 1, "eval_strategy": "steps",
    "max_grad_norm": 0.0, "optim": "sgd", "learning_rate": 0.01,
}  # fmt: skip
_EMULATED = Devices(kind="data_parallel", count=2)
_TWO = Devices(kind="gloo", count=2)


def _swallows(scenario: Scenario) -> bool:
    """The model takes `num_items_in_batch` by its **kwargs and ignores it, and losses are multiplied since it is taken to honour it."""
    ignored = MODELS[scenario.model.name].swallows_num_items and scenario.components.loss == "model"
    return ignored and scenario.devices.count > 1 and bool(scenario.argument("average_tokens_across_devices"))


def _function_of_several(scenario: Scenario) -> bool:
    return scenario.devices.count > 1 and sees_whole_batches(scenario)


def _by_their_number(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    return losses.follows(runs, scenario, judgement.quantity, lambda rows: float(scenario.devices.count))


def _some_share_is_missing(scenario: Scenario) -> bool:
    """DataParallel cuts some batch into fewer shares than there are devices, and the loss is divided by items."""
    if in_processes(scenario) or not losses.multiplied(scenario) or sees_whole_batches(scenario) or _swallows(scenario):
        return False
    count = scenario.devices.count
    sizes = {rows for window in accounting.windows(scenario) for rows in window.sizes or ()}
    size = int(scenario.argument("per_device_eval_batch_size")) * count
    sizes |= {min(size, scenario.data.n_eval - first) for first in range(0, scenario.data.n_eval, size)}
    return any(len(shares(rows, count)) < count for rows in sizes)


def _by_missing_shares(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    count = scenario.devices.count
    return losses.follows(runs, scenario, judgement.quantity, lambda rows: count / len(shares(rows, count)))


def _in_whole_batches(scenario: Scenario) -> bool:
    """Each process has batches of its own, as large as the arguments say."""
    return in_processes(scenario) and not dispatched(scenario) and not accounting.loader_option(scenario, "split_batches")


def _rows_are_repeated(scenario: Scenario) -> bool:
    """Some batch of some rank is filled up. A whole batch that is repeated does no harm: its loss is trimmed, if not that of a stream."""
    size = int(scenario.argument("per_device_eval_batch_size"))
    if scenario.data.kind in accounting.STREAMS:
        size *= accounting.devices_of_a_batch(scenario)
    return _in_whole_batches(scenario) and scenario.data.n_eval % size != 0 and not accounting.drops_last(scenario)


def _as_reported(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    return losses.follows(runs, scenario, judgement.quantity, lambda rows: 1.0)


known_bug(
    KnownBug(
        id="devices-inflate-loss",
        verdict="bug",
        sentence=(
            "The loss and gradient of every head whose forward takes **kwargs and ignores num_items_in_batch are as many times too large "
            "as there are devices, with the default average_tokens_across_devices."
        ),
        link="https://github.com/huggingface/transformers/issues/47688",
        versions=">=5.0",
        properties=_CONSEQUENCES,
        region=_swallows,
        symptom=_by_their_number,
        example=Case(
            experiment="train_in_processes",
            scenario=Scenario(
                arguments=_PLAIN, data=Data(n=2, n_eval=2), model=Model(name="regression_kwargs_unaware"), devices=_TWO,
            ),
            parameters={"predict": 2},
        ),
    )
)  # fmt: skip

known_bug(
    KnownBug(
        id="data-parallel-inflates-loss-function",
        verdict="bug",
        sentence=(
            "Under DataParallel the loss of a compute_loss_func that divides by num_items_in_batch is as many times too large as there "
            "are devices: it sees the outputs of all of them, and is multiplied by their number, or given their share of the items, "
            "all the same."
        ),
        link="https://github.com/huggingface/transformers/issues/37474",
        versions=">=5.0",
        properties=_CONSEQUENCES,
        region=_function_of_several,
        symptom=_by_their_number,
        example=Case(
            experiment="train_on_devices",
            scenario=Scenario(
                arguments=_PLAIN, data=Data(n=2, n_eval=2), devices=_EMULATED, model=Model(name="regression_dict"),
                components=Components(loss="compute_loss_func"),
            ),
            parameters={"predict": 2},
        ),
    )
)  # fmt: skip

known_bug(
    KnownBug(
        id="data-parallel-inflates-short-batches",
        verdict="bug",
        sentence=(
            "A last batch with fewer rows than devices has a loss that is too large under DataParallel where it is divided by "
            "num_items_in_batch: multiplied by the number of devices, averaged over those that got a row."
        ),
        link="https://github.com/huggingface/transformers/issues/37474",
        versions=">=5.0",
        properties=_CONSEQUENCES,
        region=_some_share_is_missing,
        symptom=_by_missing_shares,
        example=Case(
            experiment="train_on_devices",
            scenario=Scenario(
                arguments=_PLAIN, data=Data(n=1, n_eval=1), devices=_EMULATED, model=Model(name="regression_kwargs"),
            ),
            parameters={"predict": 2},
        ),
    )
)  # fmt: skip

known_bug(
    KnownBug(
        id="training-loss-of-one-rank",
        verdict="limit",
        sentence=(
            "Of the updates since the last log, the training loss that train() returns has the losses of its own rank alone; each rank "
            "returns another."
        ),
        link="https://github.com/huggingface/transformers/issues/12220",
        versions=">=4.46",
        properties=("devices.returned_loss_is_that_of_one_device",),
        region=lambda scenario: in_processes(scenario) and scenario.devices.count > 1,
        symptom=_as_reported,
        example=Case(
            experiment="train_in_processes",
            scenario=Scenario(arguments={"per_device_train_batch_size": 1, "max_steps": 1}, data=Data(n=2), devices=_TWO),
        ),
    )
)

known_bug(
    KnownBug(
        id="evaluation-repeats-rows",
        verdict="bug",
        sentence=(
            "eval_loss depends on the number of processes: a short last batch is filled up with rows from the beginning, which are "
            "averaged in; predictions are trimmed, losses are not."
        ),
        link="https://github.com/huggingface/transformers/issues/16716",
        versions=">=4.46",
        properties=("devices.evaluation_loss_is_that_of_one_device",),
        region=_rows_are_repeated,
        symptom=_as_reported,
        example=Case(
            experiment="train_in_processes",
            scenario=Scenario(
                arguments={"per_device_train_batch_size": 1, "per_device_eval_batch_size": 2, "max_steps": 1, "eval_strategy": "steps"},
                data=Data(n=2, n_eval=3), devices=_TWO,
            ),
        ),
    )
)  # fmt: skip
