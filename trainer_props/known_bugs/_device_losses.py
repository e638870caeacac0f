"""What 5.23.0 makes of the losses of several devices, computed from the losses that each of them had."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from trainer_props.measures import devices as measures
from trainer_props.oracles import accounting
from trainer_props.oracles.sharding import dispatched, in_processes
from trainer_props.properties.devices import sees_whole_batches, shares
from trainer_props.record import Evaluation, MicroBatch, Record, Runs
from trainer_props.scenario import Scenario
from trainer_props.zoo import MODELS

TOLERANCE = 1e-4
_CLIPPED = 1e-5
_NO_UPDATE = 0.001
"""By what the sum of the losses is divided where there was no update."""


def divides(scenario: Scenario) -> bool:
    """Whether the Trainer takes the loss for one that was divided by the items of all devices."""
    kind = MODELS[scenario.model.name]
    takes_items = kind.swallows_num_items or kind.loss_reduction == "sum_over_items"
    return takes_items or scenario.components.loss == "compute_loss_func"


def multiplied(scenario: Scenario) -> bool:
    """Whether the Trainer multiplies the loss of each device by their number."""
    return divides(scenario) and bool(scenario.argument("average_tokens_across_devices"))


def close(left: float | None, right: float | None) -> bool:
    """Whether two reported losses are the same."""
    return left is not None and right is not None and math.isclose(left, right, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def reported(record: Record, scenario: Scenario) -> list[float]:
    """The loss of each update as the process of a record adds it up."""
    if in_processes(scenario):
        return _reported_by_a_rank(record, scenario)
    found, position = [], 0
    times = scenario.devices.count if multiplied(scenario) else 1
    for window in accounting.windows(scenario, len(record.updates)):
        total = 0.0
        for rows in window.sizes or [0] * window.batches:
            calls = len(shares(rows, scenario.devices.count))
            total += times * _of_a_batch(record.batches[position : position + calls], scenario)
            position += calls
        found.append(total / (1 if divides(scenario) else window.batches))
    return found


def _reported_by_a_rank(record: Record, scenario: Scenario) -> list[float]:
    """The same of a rank, whose every micro-batch is one call: all losses since the update before, those that no update ended too."""
    losses, ends = _of_micro_batches(record, scenario), [0, *(update.batches for update in record.updates)]
    return [sum(losses[first:end]) for first, end in itertools.pairwise(ends)]


def _of_micro_batches(record: Record, scenario: Scenario) -> list[float]:
    """What each micro-batch of a rank adds to the loss of its update."""
    times = scenario.devices.count if multiplied(scenario) else 1
    accumulation, per_epoch = int(scenario.argument("gradient_accumulation_steps")), accounting.batches_per_epoch(scenario)
    losses = []
    for index, batch in enumerate(record.batches):
        group = index % per_epoch // accumulation * accumulation
        losses.append(times * _number(batch.loss) / (1 if divides(scenario) else min(accumulation, per_epoch - group)))
    return losses


def _left_over(record: Record, scenario: Scenario, step: int) -> float:
    """The loss of what no update had ended when a rank logged after this step: at the end of a pass that is all that the pass has left."""
    first_step = step == 1 and bool(scenario.argument("logging_first_step"))
    if not in_processes(scenario) or not step or first_step or scenario.argument("logging_strategy") != "epoch":
        return 0.0
    end, per_epoch = record.updates[step - 1].batches, accounting.batches_per_epoch(scenario)
    return sum(_of_micro_batches(record, scenario)[end : -(-end // per_epoch) * per_epoch])


def _until(record: Record, scenario: Scenario, steps: Sequence[int]) -> list[float]:
    """The losses that a rank has added up when it logs after each of these steps."""
    own = reported(record, scenario)
    return [sum(own[:step]) + _left_over(record, scenario, step) for step in steps]


def _of_a_batch(calls: Sequence[MicroBatch], scenario: Scenario) -> float:
    """The loss of a micro-batch from those of the devices of a process: their mean; a loss function is called once, after the last."""
    losses = [math.nan if call.loss is None else call.loss for call in calls]
    if sees_whole_batches(scenario):
        return losses[-1]
    return sum(losses) / len(losses) if losses else math.nan


def logged(runs: Runs, scenario: Scenario) -> list[float]:
    """The losses that rank 0 logs: means over ranks, and over the updates since the last log."""
    steps = [0, *measures.logged_steps(runs, "loss").value]
    ranks = [_until(each, scenario, steps) for each in measures.ranks(runs)]
    sums = [sum(losses) / len(losses) for losses in zip(*ranks, strict=True)]
    spans = zip(itertools.pairwise(sums), itertools.pairwise(steps), strict=True)
    return [(end - begun) / (last - first) for (begun, end), (first, last) in spans]


def returned(runs: Runs, scenario: Scenario) -> list[float]:
    """The training loss that each rank returns: what was logged is a mean over ranks, what came after the last log is its own."""
    steps = [0, *measures.logged_steps(runs, "loss").value]
    covered = sum(loss * (last - first) for loss, (first, last) in zip(logged(runs, scenario), itertools.pairwise(steps), strict=True))
    found = []
    for record in measures.ranks(runs):
        own = reported(record, scenario)
        whole = sum(_of_micro_batches(record, scenario)) if in_processes(scenario) else sum(own)  # with what no update has ended
        found.append((covered + whole - _until(record, scenario, steps[-1:])[0]) / max(_NO_UPDATE, len(own)))
    return found


def evaluated(runs: Runs, scenario: Scenario) -> list[float]:
    """The losses of the evaluations of rank 0."""
    ranks = [[each for each in record.evaluations if each.prefix == "eval"] for record in measures.ranks(runs)]
    return [_of_an_evaluation(list(passes), scenario) for passes in zip(*ranks, strict=True)]


def _of_an_evaluation(passes: Sequence[Evaluation], scenario: Scenario) -> float:
    """One loss a batch and rank, as often as a full batch of the arguments has rows; of the last batch no more than it has rows of data."""
    count, rows = scenario.devices.count, scenario.data.n_eval
    times = count if multiplied(scenario) else 1
    weighted: list[float] = []
    if in_processes(scenario):
        size, kept = int(scenario.argument("per_device_eval_batch_size")), trimmed_to(scenario)
        for batches in zip(*(each.batches for each in passes), strict=True):
            last = [times * _number(batch.loss) for batch in batches for _ in range(size)]
            weighted += last
        if weighted and kept:
            weighted = weighted[: len(weighted) - len(last) + min(kept, len(last))]
        return sum(weighted) / len(weighted) if weighted else math.nan
    calls, size = list(passes[0].batches), int(scenario.argument("per_device_eval_batch_size")) * count
    if accounting.drops_last(scenario):
        rows -= rows % size
    for first in range(0, rows, size):
        sizes = shares(min(size, rows - first), count)
        own, calls = calls[: len(sizes)], calls[len(sizes) :]
        weighted += [times * _of_a_batch(own, scenario)] * sum(sizes)
    return sum(weighted) / len(weighted) if weighted else math.nan


def trimmed_to(scenario: Scenario) -> int:
    """To how many the losses of the last batch of an evaluation are cut: what it has of the data, as far as the loader knows; 0: not."""
    rows = scenario.data.n_eval
    size = int(scenario.argument("per_device_eval_batch_size")) * accounting.devices_of_a_batch(scenario)
    if dispatched(scenario):
        return size if accounting.drops_last(scenario) else rows % size or size
    if accounting.drops_last(scenario) or scenario.data.kind in accounting.STREAMS:
        return 0
    return rows % size


def _number(loss: float | None) -> float:
    return math.nan if loss is None else loss


def follows(runs: Runs, scenario: Scenario, quantity: str, factors: Callable[[int], float]) -> bool:
    """Whether a difference is what losses make that are `factors` times too large, by the rows of their micro-batch.

    Reported losses are those that the losses of the devices give; a gradient, a norm or a weight differs from the first update on that
    has such a micro-batch, and where all its micro-batches do alike, the gradient is so many times too large, before clipping.
    """
    if quantity in ("logged loss", "training_loss", "logged eval_loss"):
        return _reported_so(runs, scenario, quantity)
    windows = accounting.windows(scenario, len(runs.first.updates))
    wrong = next((number for number, each in enumerate(windows) if any(factors(rows) != 1 for rows in each.sizes or ())), None)
    if wrong is None or not _same_until(runs, wrong):
        return False
    if quantity == "logged grad_norm":
        pairs = zip(measures.logged_on_one_device(runs, "grad_norm").value, measures.logged(runs, "grad_norm").value, strict=True)
        first = next((i for i, (one, other) in enumerate(pairs) if not close(one, other)), None)
        return first is not None and measures.logged_steps(runs, "grad_norm").value[first] > wrong
    found = {factors(rows) for rows in windows[wrong].sizes or ()}
    return len(found) > 1 or _longer(runs, wrong, found.pop(), float(scenario.argument("max_grad_norm") or 0.0))


def _reported_so(runs: Runs, scenario: Scenario, quantity: str) -> bool:
    if quantity == "logged loss":
        predicted, observed = logged(runs, scenario), measures.logged(runs, "loss").value
    elif quantity == "training_loss":
        predicted, observed = returned(runs, scenario), measures.training_losses(runs).value
    else:
        predicted, observed = evaluated(runs, scenario), measures.logged(runs, "eval_loss").value
    return len(predicted) == len(observed) and all(map(close, predicted, observed))


def _same_until(runs: Runs, update: int) -> bool:
    """Whether the first so many updates lead to the weights of one device."""
    pairs = zip(runs.first.updates[:update], measures.first_rank(runs).updates[:update], strict=True)
    return all(bool((one.weights - other.weights).abs().max() <= TOLERANCE) for one, other in pairs)


def _longer(runs: Runs, update: int, factor: float, longest: float) -> bool:
    """Whether a gradient is `factor` times as long in the same direction, as far as clipping lets it."""
    expected, observed = runs.first.updates[update].gradient, measures.first_rank(runs).updates[update].gradient
    if expected is None or observed is None or not expected.norm() or not observed.norm():
        return False
    parallel = bool((expected / expected.norm() - observed / observed.norm()).abs().max() <= _CLIPPED)
    ratio = float(observed.norm() / expected.norm())
    clipped = longest > 0 and float(observed.norm()) >= longest * (1 - _CLIPPED) - TOLERANCE * longest
    return parallel and (math.isclose(ratio, factor, rel_tol=_CLIPPED) or (clipped and 1 - _CLIPPED <= ratio <= factor))
