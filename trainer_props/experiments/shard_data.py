"""The experiment on the ways in which data reach several processes: read by one for all or by each, split, grouped by length."""

from __future__ import annotations

import functools
from typing import Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.devices import COUNTS, plain, run
from trainer_props.experiments.devices_source import body
from trainer_props.experiments.registry import Experiment, Held, register
from trainer_props.oracles.accounting import loader_option
from trainer_props.scenario import Scenario

NAME: Final = "shard_data"
_LEFT_OUT: Final = ("save_total_limit", "load_best_model_at_end", "save_only_model", "label_names")
_DRAWN: Final = {
    "stream": strategies.stream_scenarios, "regression": strategies.regression_scenarios, "token": strategies.token_scenarios,
}  # fmt: skip
_MODELS: Final = tuple(dict.fromkeys(name for flavour in _DRAWN for name in strategies.FLAVOURS[flavour].models))
_WORKERS: Final = (0, 1, 2, 3)
_MOST_ROWS: Final = 3
_MOST_BATCHES: Final = 3


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Scenarios in several processes. Parameters of a case: `predict` (rows that are predicted after training), `workers` (of a loader),
    `prepared` and `prepared_batch` (rows and batch size of loaders that the trainer's accelerator prepares).
    """
    arguments = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}
    fitting = [
        drawn(arguments=arguments, models=held.models).map(functools.partial(plain, held=arguments, left_out=_LEFT_OUT))
        for name, drawn in _DRAWN.items()
        if held.models is None or set(held.models) & set(strategies.FLAVOURS[name].models)
    ]
    counts = held.counts("gloo", COUNTS["gloo"])

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        scenario = draw(strategies.sharded_scenarios(st.one_of(fitting), counts=counts, held=arguments))
        most = 2 * scenario.devices.count + 1 if loader_option(scenario, "even_batches") else 0  # else ranks wait for others' rows
        asked = {"predict": draw(st.integers(0, most)), "workers": draw(st.sampled_from(_WORKERS))}
        asked |= draw(_prepared(scenario))
        return Case(experiment=NAME, scenario=scenario, parameters={name: value for name, value in asked.items() if value})

    return drawn()


@st.composite
def _prepared(draw: st.DrawFn, scenario: Scenario) -> dict[str, int]:
    """Rows and batch size of loaders of one's own. Most of the time the last round is not full.

    Where the first process may read for all, at least as many rows as make one batch for all: what becomes of fewer is asked of training.
    """
    count, split = scenario.devices.count, loader_option(scenario, "split_batches")
    size = draw(st.integers(1, _MOST_ROWS)) * (count if split else 1)
    whole = size if split else size * count
    least = 0 if loader_option(scenario, "dispatch_batches") is False else 1
    full = draw(st.integers(least, _MOST_BATCHES - 1))
    return {"prepared": full * whole + draw(st.integers(1, whole)), "prepared_batch": size}


def asks(case: Case) -> bool:
    """Whether loaders of one's own have both rows and a batch size, and what is split among the processes can be."""
    rows, size = (case.parameters.get(name) for name in ("prepared", "prepared_batch"))
    if rows is None or size is None:
        return rows is size
    split = loader_option(case.scenario, "split_batches")
    return not split or int(size) % case.scenario.devices.count == 0


register(
    Experiment(
        NAME,
        "Train in several processes on data that are streamed, dispatched, split or grouped by length, and in one with all their batches.",
        "test_trainer_distributed", cases, run, _MODELS, 1.6, body=body, devices=("gloo",),
        avoids=("dataloader_num_workers",), sensible=asks,
    )
)  # fmt: skip
