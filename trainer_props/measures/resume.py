"""What is measured of a run that was interrupted and resumed, beside the same run without interruptions (`baseline`).

The parts of the interrupted run count by the steps of the whole: what a part did after the step with which the next one begins is not
counted, since the next one does it again.
"""

from __future__ import annotations

import math
from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record, Runs

BASELINE = "baseline"
CLOCKS = ("_runtime", "_per_second")
ENDED = "it ends"


def parts(runs: Runs) -> list[Record]:
    """The parts of the interrupted run, in order."""
    return [runs[name] for name in runs if name != BASELINE]


def last(runs: Runs) -> Record:
    """The last part."""
    return runs[list(runs)[-1]]


def arguments_before(runs: Runs) -> list[str]:
    """Names of the arguments that differed before the interruption."""
    return sorted(parts(runs)[0].arguments)


def damage(runs: Runs) -> list[str]:
    """What was done to the newest checkpoint, or the folder that pretends to be newer than it."""
    before = parts(runs)[0].results
    return [*before.get("broken", []), *(name for name in before.get("lies", []) if name == "checkpoint-99")]


def steps_of_others(runs: Runs) -> list[int]:
    """Steps at which another run had saved in the same directory, but for that of the last save before the last part."""
    first = parts(runs)[0]
    return [step for step in first.results.get("older", []) if step != last_save(first, 0)]


def first_step(record: Record) -> int:
    """`global_step` when a run begins."""
    return record.events[0].step if record.events else 0


def joined(starts: list[int], rows: list[list[Any]]) -> list[Any]:
    """Rows of the updates of all parts as one list; of an update that was done again, the later row."""
    table: dict[int, Any] = {}
    for start, values in zip(starts, rows, strict=True):
        table = {step: row for step, row in table.items() if step <= start}
        table.update({start + number: row for number, row in enumerate(values, 1)})
    return [table[step] for step in sorted(table)]


def of_updates(record: Record, column: str) -> list[Any]:
    """A column of all updates."""
    if column == "weights":
        return [update.weights.tolist() for update in record.updates]
    return [list(update.learning_rates) for update in record.updates]


def of_ends_of_updates(record: Record) -> list[float | None]:
    """`state.epoch` after each update."""
    return [event.epoch for event in record.events if event.name == "on_step_end"]


def of_windows(record: Record) -> list[list[list[int]]]:
    """The samples of the micro-batches of each update."""
    found, begun = [], 0
    for update in record.updates:
        found.append([list(batch.samples or ()) for batch in record.batches[begun : update.batches]])
        begun = update.batches
    return found


@measure
def steps_at_the_end(runs: Runs, name: str) -> int | None:
    """`global_step` at the end of a run."""
    return step_at_the_end(runs[name])


@measure
def steps_at_the_very_end(runs: Runs) -> int | None:
    """`global_step` at the end of the last part."""
    return step_at_the_end(last(runs))


def step_at_the_end(record: Record) -> int | None:
    """`global_step` at the end of a run."""
    return record.global_step


@measure
def ending(runs: Runs) -> str:
    """`it ends`, or what ended the last part before."""
    return how_it_ended(last(runs))


def how_it_ended(record: Record) -> str:
    """`it ends`, or what ended the run before."""
    if record.stuck is not None:
        return record.stuck
    return ENDED if record.failure is None else f"{record.failure.kind}: {record.failure.message}"


@measure
def first_steps(runs: Runs) -> list[int]:
    """`global_step` with which each part begins, from the second on."""
    return [first_step(part) for part in parts(runs)[1:]]


@measure
def last_saved_steps(runs: Runs) -> list[int]:
    """`global_step` of the last checkpoint that was written before each part, from the second on; 0 if there is none."""
    found: list[int] = []
    for part in parts(runs)[:-1]:
        found.append(last_save(part, found[-1] if found else 0))
    return found


def last_save(record: Record, before: int) -> int:
    """The step of the last checkpoint of a run, or of the one before."""
    return record.checkpoints[-1].step if record.checkpoints else before


@measure
def samples(runs: Runs) -> list[list[list[int]]]:
    """The samples of the micro-batches of each update, all parts together."""
    return joined([first_step(part) for part in parts(runs)], [of_windows(part) for part in parts(runs)])


@measure
def samples_of_the_baseline(runs: Runs) -> list[list[list[int]]]:
    """The samples of the micro-batches of each update of the baseline."""
    return of_windows(runs[BASELINE])


@measure
def weights(runs: Runs, update: int) -> list[float] | None:
    """The weights after an update, counted from 1, all parts together; None if there is no such update."""
    rows = joined([first_step(part) for part in parts(runs)], [of_updates(part, "weights") for part in parts(runs)])
    return rows[update - 1] if update <= len(rows) else None


@measure
def weights_of_the_baseline(runs: Runs, update: int) -> list[float] | None:
    """The weights after an update of the baseline."""
    rows = of_updates(runs[BASELINE], "weights")
    return rows[update - 1] if update <= len(rows) else None


def weights_at_the_end(record: Record) -> list[float] | None:
    """The weights when a run is over."""
    return None if record.final_weights is None else record.final_weights.tolist()


@measure
def final_weights(runs: Runs) -> list[float] | None:
    """The weights when the last part is over."""
    return weights_at_the_end(last(runs))


@measure
def final_weights_of_the_baseline(runs: Runs) -> list[float] | None:
    """The weights when the baseline is over."""
    return weights_at_the_end(runs[BASELINE])


@measure
def learning_rates(runs: Runs) -> list[float]:
    """The learning rates of all updates and groups, all parts together, in a row."""
    rows = joined([first_step(part) for part in parts(runs)], [of_updates(part, "learning_rates") for part in parts(runs)])
    return [rate for rates in rows for rate in rates]


@measure
def learning_rates_of_the_baseline(runs: Runs) -> list[float]:
    """The learning rates of all updates and groups of the baseline, in a row."""
    return [rate for rates in of_updates(runs[BASELINE], "learning_rates") for rate in rates]


@measure
def epochs(runs: Runs) -> list[float | None]:
    """`state.epoch` after each update, all parts together."""
    return joined([first_step(part) for part in parts(runs)], [of_ends_of_updates(part) for part in parts(runs)])


@measure
def epochs_of_the_baseline(runs: Runs) -> list[float | None]:
    """`state.epoch` after each update of the baseline."""
    return of_ends_of_updates(runs[BASELINE])


def entries(record: Record) -> list[dict[str, Any]]:
    """The entries of the log history, without summaries of training and without what a clock says."""
    kept = [entry for entry in record.log_history if "train_loss" not in entry]
    return [{name: entry[name] for name in sorted(entry) if not name.endswith(CLOCKS)} for entry in kept]


def shape(record: Record) -> list[list[Any]]:
    """Step, epoch and names of each entry of the log history."""
    return [[entry["step"], entry.get("epoch"), *entry] for entry in entries(record)]


def logged(record: Record, names: list[str]) -> list[float]:
    """The values in the log history that have these names."""
    return [float(entry[name]) for entry in entries(record) for name in entry if name in names]


def evaluated(record: Record) -> list[float]:
    """The values of evaluations in the log history."""
    return [float(entry[name]) for entry in entries(record) for name in entry if name.startswith("eval_")]


@measure
def shape_of_history(runs: Runs) -> list[list[Any]]:
    """Step, epoch and names of each entry of the log history at the end of the last part."""
    return shape(last(runs))


@measure
def shape_of_history_of_the_baseline(runs: Runs) -> list[list[Any]]:
    """Step, epoch and names of each entry of the log history of the baseline."""
    return shape(runs[BASELINE])


@measure
def logged_values(runs: Runs, names: list[str]) -> list[float]:
    """The values in the log history of the last part that have these names."""
    return logged(last(runs), names)


@measure
def logged_values_of_the_baseline(runs: Runs, names: list[str]) -> list[float]:
    """The values in the log history of the baseline that have these names."""
    return logged(runs[BASELINE], names)


@measure
def evaluations(runs: Runs) -> list[float]:
    """The values of evaluations in the log history of the last part."""
    return evaluated(last(runs))


@measure
def evaluations_of_the_baseline(runs: Runs) -> list[float]:
    """The values of evaluations in the log history of the baseline."""
    return evaluated(runs[BASELINE])


def entries_of_state(record: Record, names: list[str]) -> list[Any]:
    """Fields of the state at the end of a run."""
    return [record.state.get(name) for name in names]


@measure
def state(runs: Runs, names: list[str]) -> list[Any]:
    """Fields of the state at the end of the last part."""
    return entries_of_state(last(runs), names)


@measure
def state_of_the_baseline(runs: Runs, names: list[str]) -> list[Any]:
    """Fields of the state at the end of the baseline."""
    return entries_of_state(runs[BASELINE], names)


def random_numbers(record: Record) -> dict[str, float] | None:
    """What each random number generator of a process gives after a run, by the generator's name."""
    numbers: dict[str, float] | None = record.results.get("random")
    return numbers


@measure
def next_random_numbers(runs: Runs) -> dict[str, float] | None:
    """What each random number generator gives after the last part."""
    return random_numbers(last(runs))


@measure
def next_random_numbers_of_the_baseline(runs: Runs) -> dict[str, float] | None:
    """What each random number generator gives after the baseline."""
    return random_numbers(runs[BASELINE])


def returned_loss(record: Record) -> float | None:
    """The training loss that `train()` returned."""
    return record.training_loss


def mean_loss(record: Record, reduction: str) -> float | None:
    """The mean loss of the updates of one call of `train()`."""
    losses, begun = [], 0
    for update in record.updates:
        window = [math.nan if batch.loss is None else batch.loss for batch in record.batches[begun : update.batches]]
        losses.append(sum(window) / (1 if reduction == "sum_over_items" else len(window)))
        begun = update.batches
    return sum(losses) / len(losses) if losses else None


@measure
def training_loss(runs: Runs) -> float | None:
    """The training loss that the last call of `train()` returned."""
    return returned_loss(last(runs))


@measure
def mean_loss_of_the_last_part(runs: Runs, reduction: str) -> float | None:
    """The mean loss of the updates of the last part."""
    return mean_loss(last(runs), reduction)


def speeds(record: Record) -> list[float]:
    """The least and the greatest number of updates a second: run time is rounded to a tenth of a millisecond, the rate to a thousandth."""
    runtime, updates = record.metrics["train_runtime"], len(record.updates)
    return [updates / (runtime + 6e-5) - 6e-4, updates / (runtime - 6e-5) + 6e-4 if runtime > 6e-5 else math.inf]


def speed(record: Record) -> float:
    """The updates a second that `train()` returned."""
    return float(record.metrics["train_steps_per_second"])


@measure
def speed_is_of_the_last_part(runs: Runs) -> bool:
    """Whether `train_steps_per_second` of the last call is the number of its updates over its run time, as far as both are rounded."""
    slowest, fastest = speeds(last(runs))
    return bool(slowest <= speed(last(runs)) <= fastest)


def most_samples_a_second(record: Record, size: int) -> float:
    """The samples a second if all updates had full batches of a size, as far as run time and rate are rounded."""
    runtime, samples = record.metrics["train_runtime"], len(record.updates) * size
    return samples / (runtime - 6e-5) + 6e-4 if runtime > 6e-5 else math.inf


def samples_a_second(record: Record) -> float:
    """The samples a second that `train()` returned."""
    return float(record.metrics["train_samples_per_second"])


@measure
def updates_can_hold_the_samples(runs: Runs, size: int) -> bool:
    """Whether the updates of the last call, each of at most so many samples, hold as many as `train_samples_per_second` says."""
    return samples_a_second(last(runs)) <= most_samples_a_second(last(runs), size)


@measure
def answer_to_resuming(runs: Runs) -> str:
    """`refused` if the last part was ended by an exception before its first update, else `accepted`."""
    return answer(last(runs))


def answer(record: Record) -> str:
    """What a `train()` that resumes makes of its checkpoint."""
    return "accepted" if record.failure is None or record.updates else "refused"
