"""What is measured of the life of a job, beside the same run in one piece (`baseline`).

The runs of a life have names that end with the kind of their step. The updates of its training runs count by the steps of the job: of an
update that was made several times, the last time counts.
"""

from __future__ import annotations

from typing import Any

from trainer_props.measures.registry import measure
from trainer_props.record import Record, Runs

BASELINE = "baseline"
LOOKING = ("evaluate", "predict")
ENDS = "it ends"
CRASHES = "the exception that was asked for ends it"


def pieces(runs: Runs) -> list[Record]:
    """The training runs of the life, in order."""
    return [runs[name] for name in runs if name != BASELINE and name.split()[-1] not in LOOKING]


def lived(runs: Runs) -> list[Record]:
    """The runs of the life, in order."""
    return [runs[name] for name in runs if name != BASELINE]


def first_step(record: Record) -> int:
    """`global_step` when a run begins."""
    return record.events[0].step if record.events else 0


def joined(starts: list[int], rows: list[list[Any]]) -> list[Any]:
    """Rows of the updates of all pieces as one list; of an update that was made again, the later row."""
    table: dict[int, Any] = {}
    for start, values in zip(starts, rows, strict=True):
        table = {step: row for step, row in table.items() if step <= start}
        table.update({start + number: row for number, row in enumerate(values, 1)})
    return [table[step] for step in sorted(table)]


def how_it_ended(record: Record) -> str:
    """How a run ended."""
    if record.stuck is not None:
        return record.stuck
    if record.failure is not None:
        return f"{record.failure.kind}: {record.failure.message}"
    return CRASHES if record.results.get("crashed") else ENDS


@measure
def endings(runs: Runs, number: int) -> list[str]:
    """How the first runs of the life ended, as many as that."""
    return [how_it_ended(record) for record in lived(runs)[:number]]


@measure
def first_steps(runs: Runs, number: int) -> list[int]:
    """`global_step` with which each of the first so many training runs begins."""
    return [first_step(record) for record in pieces(runs)[:number]]


def step_at_the_end(record: Record) -> int | None:
    """`global_step` at the end of a run."""
    return record.global_step


@measure
def last_steps(runs: Runs, number: int) -> list[int | None]:
    """`global_step` at the end of each of the first so many training runs."""
    return [step_at_the_end(record) for record in pieces(runs)[:number]]


def steps_on_disk(record: Record) -> list[int]:
    """The steps of the checkpoints in the output directory after a run."""
    return [int(name.rpartition("-")[2]) for name in record.folders]


@measure
def checkpoints(runs: Runs, number: int) -> list[list[int]]:
    """The steps of the checkpoints in the output directory after each of the first so many runs of the life."""
    return [steps_on_disk(record) for record in lived(runs)[:number]]


def of_windows(record: Record) -> list[list[list[int]]]:
    """The samples of the micro-batches of each update."""
    found, begun = [], 0
    for update in record.updates:
        found.append([list(batch.samples or ()) for batch in record.batches[begun : update.batches]])
        begun = update.batches
    return found


@measure
def samples(runs: Runs) -> list[list[list[int]]]:
    """The samples of the micro-batches of each update of the job."""
    return joined([first_step(record) for record in pieces(runs)], [of_windows(record) for record in pieces(runs)])


@measure
def samples_of_the_baseline(runs: Runs, updates: int) -> list[list[list[int]]]:
    """The samples of the micro-batches of the first updates of the baseline."""
    return of_windows(runs[BASELINE])[:updates]


def rates(record: Record) -> list[list[float]]:
    """The learning rates of each update."""
    return [list(update.learning_rates) for update in record.updates]


@measure
def learning_rates(runs: Runs) -> list[float]:
    """The learning rates of all updates of the job and of all groups, in a row."""
    rows = joined([first_step(record) for record in pieces(runs)], [rates(record) for record in pieces(runs)])
    return [rate for row in rows for rate in row]


@measure
def learning_rates_of_the_baseline(runs: Runs, updates: int) -> list[float]:
    """The learning rates of the first updates of the baseline and of all groups, in a row."""
    return [rate for row in rates(runs[BASELINE])[:updates] for rate in row]


def weights_after(record: Record, number: int) -> list[float] | None:
    """The weights after an update of a run, counted from 1; None if it does not make it."""
    return record.updates[number - 1].weights.tolist() if 0 < number <= len(record.updates) else None


@measure
def weights(runs: Runs, name: str, update: int) -> list[float] | None:
    """The weights after an update that a run of the life makes, counted from the beginning of the job."""
    return weights_after(runs[name], update - first_step(runs[name]))


@measure
def weights_of_the_baseline(runs: Runs, update: int) -> list[float] | None:
    """The weights after an update of the baseline, counted from 1."""
    return weights_after(runs[BASELINE], update)


def weights_at_the_end(record: Record) -> list[float] | None:
    """The weights when a run is over."""
    return None if record.final_weights is None else record.final_weights.tolist()


@measure
def final_weights(runs: Runs, name: str) -> list[float] | None:
    """The weights when a run is over."""
    return weights_at_the_end(runs[name])


def kinds(record: Record) -> list[list[Any]]:
    """Step and kind of the losses and evaluations in the log history."""
    found: list[list[Any]] = []
    for entry in record.log_history:
        if "loss" in entry:
            found.append([entry["step"], "loss"])
        elif "eval_runtime" in entry:
            found.append([entry["step"], "evaluation"])
    return found


@measure
def history(runs: Runs) -> list[list[Any]]:
    """Step and kind (`loss`, `evaluation`) of the entries of the log history of the last training run."""
    return kinds(pieces(runs)[-1])


def losses_of_evaluations(record: Record, steps: list[int]) -> list[float | None]:
    """The loss of the evaluation in the log history after each of these updates."""
    table = {entry["step"]: entry["eval_loss"] for entry in record.log_history if "eval_loss" in entry}
    return [table.get(step) for step in steps]


@measure
def evaluations(runs: Runs, steps: list[int]) -> list[float | None]:
    """The loss of the evaluation after each of these updates, in the log history of the last training run."""
    return losses_of_evaluations(pieces(runs)[-1], steps)


@measure
def evaluations_of_the_baseline(runs: Runs, steps: list[int]) -> list[float | None]:
    """The loss of the evaluation after each of these updates, in the log history of the baseline."""
    return losses_of_evaluations(runs[BASELINE], steps)


def loss_that_was_seen(record: Record) -> float | None:
    """The loss of the evaluation or prediction of a run that does nothing else."""
    metrics = record.evaluations[-1].metrics
    loss: float | None = metrics.get("eval_loss", metrics.get("test_loss"))
    return loss


@measure
def seen_losses(runs: Runs, names: list[str]) -> list[float | None]:
    """The loss that each of these runs saw, which evaluate, or predict, with the weights of the newest checkpoint."""
    return [loss_that_was_seen(runs[name]) for name in names]


def entries_of_state(record: Record, names: list[str]) -> list[Any]:
    """Fields of the state at the end of a run."""
    return [record.state.get(name) for name in names]


@measure
def state(runs: Runs, names: list[str]) -> list[Any]:
    """Fields of the state at the end of the last training run."""
    return entries_of_state(pieces(runs)[-1], names)


@measure
def state_of_the_baseline(runs: Runs, names: list[str]) -> list[Any]:
    """Fields of the state at the end of the baseline."""
    return entries_of_state(runs[BASELINE], names)
