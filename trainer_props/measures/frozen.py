"""What is measured of runs whose parameters are frozen in part, with the results `begun`, `ended`, `trainable`, `groups` and `states`."""

from __future__ import annotations

from trainer_props.measures.registry import measure
from trainer_props.record import Record, Runs


def parameters_before(record: Record) -> dict[str, list[float]]:
    """The elements of each parameter before the last call of `train()`."""
    found: dict[str, list[float]] = record.results["begun"]
    return found


def parameters_after(record: Record) -> dict[str, list[float]]:
    """The elements of each parameter after the last call of `train()`."""
    found: dict[str, list[float]] = record.results["ended"]
    return found


def trainable_in(record: Record) -> list[str]:
    """The names of the parameters that the last call of `train()` may change."""
    names: list[str] = record.results["trainable"]
    return names


def groups_in(record: Record) -> dict[str, int]:
    """How many parameter groups of the optimizer hold each parameter."""
    found: dict[str, int] = record.results["groups"]
    return found


def states_in(record: Record) -> dict[str, dict[str, list[float]]] | None:
    """What the optimizer keeps of each parameter; None if training did not begin."""
    found: dict[str, dict[str, list[float]]] | None = record.results.get("states")
    return found


@measure
def frozen_before(runs: Runs, name: str) -> dict[str, list[float]]:
    """The elements of each frozen parameter before the last call of `train()` of a run."""
    trainable = trainable_in(runs[name])
    return {each: found for each, found in parameters_before(runs[name]).items() if each not in trainable}


@measure
def frozen_at_the_stop(runs: Runs) -> dict[str, list[float]]:
    """The elements that the parameters which are frozen in the resumed part had when the first part was over."""
    trainable = trainable_in(runs["part 2"])
    return {each: found for each, found in parameters_after(runs["part 1"]).items() if each not in trainable}


@measure
def frozen_after(runs: Runs, name: str) -> dict[str, list[float]]:
    """The elements of each frozen parameter after the last call of `train()` of a run."""
    trainable = trainable_in(runs[name])
    return {each: found for each, found in parameters_after(runs[name]).items() if each not in trainable}


@measure
def groups_of_the_trainable(runs: Runs, name: str) -> dict[str, int]:
    """How many parameter groups of the optimizer hold each parameter that a run trains."""
    return {each: groups_in(runs[name])[each] for each in trainable_in(runs[name])}


@measure
def groups_of_the_frozen(runs: Runs, name: str) -> dict[str, int]:
    """How many parameter groups of the optimizer hold each parameter that is frozen in a run."""
    trainable = trainable_in(runs[name])
    return {each: count for each, count in groups_in(runs[name]).items() if each not in trainable}


@measure
def trained_elements(runs: Runs, name: str) -> list[float]:
    """The elements of all parameters that the first run trains, in a row, after a run."""
    trainable = trainable_in(runs[next(iter(runs))])
    return [element for each in trainable for element in parameters_after(runs[name])[each]]


@measure
def all_elements(runs: Runs, name: str) -> list[float]:
    """The elements of all parameters in a row, after a run."""
    return [element for each in parameters_after(runs[name]).values() for element in each]


def logged_in(record: Record, names: list[str]) -> list[float]:
    """The values in the log history that have these names."""
    return [float(entry[name]) for entry in record.log_history for name in entry if name in names]


@measure
def logged(runs: Runs, name: str, names: list[str]) -> list[float]:
    """The values in the log history of a run that have these names."""
    return logged_in(runs[name], names)


@measure
def states_at_the_stop(runs: Runs) -> dict[str, dict[str, list[float]]]:
    """What the optimizer kept, when the first part was over, of each parameter that the resumed part trains."""
    return states_of(states_in(runs["part 1"]), trainable_in(runs["part 2"]))


@measure
def states_when_resumed(runs: Runs) -> dict[str, dict[str, list[float]]]:
    """What the optimizer keeps, when the resumed part begins, of each parameter that it trains; what it kept before if that is refused."""
    found = states_in(runs["part 2"])
    return states_of(states_in(runs["part 1"]) if found is None else found, trainable_in(runs["part 2"]))


def states_of(states: dict[str, dict[str, list[float]]] | None, names: list[str]) -> dict[str, dict[str, list[float]]]:
    """What is kept of these parameters."""
    return {name: (states or {}).get(name, {}) for name in names}


def how_it_ended(record: Record) -> str:
    """`it ends`, or what ended the run before."""
    if record.stuck is not None:
        return record.stuck
    return "it ends" if record.failure is None else f"{record.failure.kind}: {record.failure.message}"


@measure
def ending_of_the_resumed_part(runs: Runs) -> str:
    """`it ends`, or what ended the resumed part before."""
    return how_it_ended(runs["part 2"])
