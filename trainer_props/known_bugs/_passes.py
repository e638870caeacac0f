"""What 5.23.0 makes of a run on a stream without length that goes on from a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from trainer_props.measures import resume as measures
from trainer_props.oracles import accounting
from trainer_props.record import Record, Runs
from trainer_props.scenario import Scenario

_LOSS: Final = "loss"
_EVALUATION: Final = "eval_loss"


@dataclass(frozen=True)
class Update:
    """An update of a part.

    Attributes:
        step: `global_step` after it.
        batches: positions within a pass of its micro-batches, those first that were left over from the pass before.
        epoch: `state.epoch` after it.
        closes: it is the last one of its pass.
    """

    step: int
    batches: tuple[int, ...]
    epoch: float
    closes: bool


def whole_windows(scenario: Scenario) -> int:
    """Updates of a pass over the stream: what is left of a window at its end is not stepped."""
    return accounting.batches_per_epoch(scenario) // int(scenario.argument("gradient_accumulation_steps"))


def beyond_the_first_pass(runs: Runs, scenario: Scenario) -> bool:
    """Whether a part begins after the updates of the first pass."""
    return any(measures.first_step(part) > whole_windows(scenario) for part in measures.parts(runs))


def updates(scenario: Scenario, begun: int) -> Iterator[Update]:
    """The updates of a part that begins at a `global_step`, without end.

    The Trainer takes a pass to be as long as the run. So it skips all batches that were trained on within one pass, which has none left
    where the run was beyond it; and the next pass begins at its first batch, as the second one whichever it was.
    """
    per_pass, accumulation = accounting.batches_per_epoch(scenario), int(scenario.argument("gradient_accumulation_steps"))
    total, whole = accounting.total_updates(scenario), whole_windows(scenario)
    done = 0 if scenario.argument("ignore_data_skip") else begun
    left = tuple(range(whole * accumulation, per_pass))
    before = left if done <= whole else ()
    step, passes = begun, 0
    while whole:
        for number in range(min(done, whole) if passes == 0 else 0, whole):
            step += 1
            batches = tuple(range(number * accumulation, (number + 1) * accumulation))
            own = before if number == 0 and passes else ()
            yield Update(step, (*own, *batches), passes + (number + 1) / total, number == whole - 1)
        before = before if passes == 0 else left
        passes += 1


def first_updates(scenario: Scenario, begun: int, count: int) -> list[Update]:
    """So many updates of a part that begins at a `global_step`."""
    return [update for update, _ in zip(updates(scenario, begun), range(count), strict=False)]


def samples(runs: Runs, scenario: Scenario) -> list[list[list[int]]]:
    """The samples of the micro-batches of each update, all parts together. What a pass holds, the baseline's first one says."""
    of_a_pass = [list(batch.samples or ()) for batch in runs.first.batches[: accounting.batches_per_epoch(scenario)]]
    rows = [[[of_a_pass[index] for index in update.batches] for update in _of(part, scenario)] for part in measures.parts(runs)]
    found: list[list[list[int]]] = measures.joined([measures.first_step(part) for part in measures.parts(runs)], rows)
    return found


def epochs(runs: Runs, scenario: Scenario) -> list[float]:
    """`state.epoch` after each update, all parts together."""
    rows = [[update.epoch for update in _of(part, scenario)] for part in measures.parts(runs)]
    found: list[float] = measures.joined([measures.first_step(part) for part in measures.parts(runs)], rows)
    return found


def _of(part: Record, scenario: Scenario) -> list[Update]:
    return first_updates(scenario, measures.first_step(part), len(part.updates))


def entries(runs: Runs, scenario: Scenario) -> list[list[Any]]:
    """Step, epoch and names of the entries of the log history of the last part.

    Ends of passes log and evaluate where they come; the pass that has no batches left ends too, at the step of the checkpoint.
    """
    kept: list[tuple[bool, list[Any]]] = []
    epoch_after = {0: 0.0}
    for part in measures.parts(runs):
        begun = measures.first_step(part)
        kept = [(ends, entry) for ends, entry in kept if entry[0] < begun or (entry[0] == begun and not ends)]
        course = _of(part, scenario)
        nothing_left = 0 < whole_windows(scenario) <= begun and not scenario.argument("ignore_data_skip")
        kept += [(True, entry) for entry in (_at_an_end(runs.first, scenario, begun, epoch_after[begun]) if nothing_left else [])]
        kept += _of_updates(runs.first, scenario, course)
        epoch_after |= {update.step: update.epoch for update in course}
    return [entry for _, entry in kept]


def _at_an_end(baseline: Record, scenario: Scenario, step: int, epoch: float) -> list[list[Any]]:
    """The evaluation at the end of a pass; the log has had its losses before."""
    due = scenario.argument("eval_strategy") == "epoch" and float(scenario.argument("eval_delay")) <= epoch
    return [[step, epoch, *_names(baseline, _EVALUATION)]] if due else []


def _names(baseline: Record, name: str) -> list[str]:
    return next((names for _, _, *names in measures.shape(baseline) if name in names), [])


def _of_updates(baseline: Record, scenario: Scenario, course: Sequence[Update]) -> list[tuple[bool, list[Any]]]:
    """Entries of updates and of ends of passes, of which the first member says which. At steps it is as in the baseline."""
    loss, evaluation = _names(baseline, _LOSS), _names(baseline, _EVALUATION)
    by_epochs = {kind: scenario.argument(f"{kind}_strategy") == "epoch" for kind in ("logging", "eval")}
    found: list[tuple[bool, list[Any]]] = []
    for update in course:
        here = [names for step, _, *names in measures.shape(baseline) if step == update.step]
        ends = update.closes or update.step == accounting.total_updates(scenario)
        first = update.step == 1 and bool(scenario.argument("logging_first_step"))
        logged = loss in here and (first or not by_epochs["logging"])
        found += [(False, [update.step, update.epoch, *loss])] if logged else []
        found += [(False, [update.step, update.epoch, *evaluation])] if evaluation in here and not by_epochs["eval"] else []
        if ends and by_epochs["logging"] and not logged:
            found.append((True, [update.step, update.epoch, *loss]))
        if ends:
            found += [(True, entry) for entry in _at_an_end(baseline, scenario, update.step, update.epoch)]
    return found


def alike(observed: Sequence[Any], predicted: Sequence[Any]) -> bool:
    """Whether rows are the same, but for the rounding of numbers."""
    if len(observed) != len(predicted):
        return False
    for left, right in zip(observed, predicted, strict=True):
        if isinstance(left, list) and isinstance(right, list):
            if not alike(left, right):
                return False
        elif isinstance(left, float) and isinstance(right, int | float):
            if not math.isclose(left, right, rel_tol=1e-9):
                return False
        elif left != right:
            return False
    return True
