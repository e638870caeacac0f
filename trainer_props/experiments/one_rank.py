"""The experiment in which one process plays single ranks of a run on any number of devices, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.one_rank_source import body
from trainer_props.experiments.registry import Experiment, Held, register
from trainer_props.oracles import accounting, shards
from trainer_props.record import Runs
from trainer_props.scenario import Data, Devices, Scenario
from trainer_props.strategies.draft import Draft

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "play_one_rank"
KIND: Final = "fake"
WORLD_SIZES: Final = (2, 3, 4, 5, 7, 8, 16, 32, 63, 64, 100, 128, 256, 333, 512, 1000, 1023, 1024)
"""Numbers of ranks, the simplest first: powers of two, numbers beside them, and odd ones."""
LONGEST: Final = 10**9
"""Rows of the largest data set."""
_FEW: Final = 4
"""All ranks of so many are played together."""
_MOST_MICRO_BATCHES: Final = 12
_MODEL: Final = "regression"
_FEATURES: Final[dict[str, tuple[Any, ...]]] = {
    "dataloader_drop_last": (True,), "save_only_model": (True,), "save_on_each_node": (True,), "log_on_each_node": (False,),
    "logging_steps": (1, 2, 3), "logging_first_step": (True,), "huge": (True,), "seed": (1, 7), "data_seed": (0, 1),
}  # fmt: skip
_SHARED: Final[tuple[dict[str, bool], ...]] = (
    {}, {}, {"split_batches": True}, {"even_batches": False}, {"split_batches": True, "even_batches": False},
)  # fmt: skip
"""Settings of `accelerator_config`."""


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Short runs on many ranks. Parameters of a case: `ranks` (those that are played), `per_node` (processes of a node; all, if it is
    silent), `until` (updates after which a callback ends the run).
    """
    arguments = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}
    counts = held.counts(KIND, WORLD_SIZES)

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        draft = Draft(draw, arguments, "arguments")
        count = draft.choose(counts)
        draft.switch_on(_FEATURES, 4)
        rows = _draw_rows(draft, count)
        scenario = Scenario(arguments=draft.arguments, data=Data(kind="numbered", n=rows), devices=Devices(kind=KIND, count=count))
        ranks = _draw_ranks(draft, count)
        return Case(experiment=NAME, scenario=scenario, parameters=_parameters(draft, scenario, ranks))

    return drawn()


def _draw_rows(draft: Draft, count: int) -> int:
    """Decide sizes, how the data are shared out and how long the run is, and return the number of rows."""
    draft.set("train_sampling_strategy", draft.choose(("sequential", "sequential", "random")))
    draft.apply("seed", "data_seed", "dataloader_drop_last")
    shared = draft.choose(_SHARED)
    if shared and draft.free("accelerator_config", *(["per_device_train_batch_size"] if "split_batches" in shared else [])):
        draft.set("accelerator_config", shared)
    draft.set("gradient_accumulation_steps", draft.integer(1, 3))
    config = draft.get("accelerator_config") or {}
    split = bool(config.get("split_batches"))
    draft.set("per_device_train_batch_size", draft.integer(1, 3) * (count if split else 1))
    of_a_round = int(draft.get("per_device_train_batch_size")) * (1 if split else count)
    window = of_a_round * int(draft.get("gradient_accumulation_steps"))
    updates = draft.integer(1, 3)
    lacking = (0, 1, of_a_round - 1, of_a_round, draft.integer(0, window - 1))[draft.integer(0, 4)]
    if draft.on("huge") and draft.get("train_sampling_strategy") == "sequential":
        updates = LONGEST // window
    _draw_length(draft)
    _draw_plans(draft)
    # Where nothing fills up the last round, a rank without any batch has nothing to account for.
    least = 1 if config.get("even_batches", True) and not draft.get("dataloader_drop_last") else of_a_round
    return max(least, updates * window - min(lacking, window - 1))


def _draw_length(draft: Draft) -> None:
    kind = draft.choose(("epochs", "steps", "fraction"))
    if not draft.free("max_steps", "num_train_epochs"):
        return
    if kind == "steps":
        draft.set("max_steps", draft.integer(1, 4))
    else:
        draft.set("num_train_epochs", draft.choose((1, 2) if kind == "epochs" else (0.5, 1.5, 0.3, 1.1, 0.07, 2.2)))


def _draw_plans(draft: Draft) -> None:
    draft.apply("logging_steps", "logging_first_step", "log_on_each_node")
    every = draft.choose((0, 0, 1, 2))
    if every and draft.free("save_strategy", "save_steps"):
        draft.set("save_strategy", "steps")
        draft.set("save_steps", every)
        draft.apply("save_only_model", "save_on_each_node")


def _draw_ranks(draft: Draft, count: int) -> list[int]:
    """The ranks that are played: the first, the last, any, several, or all of a few."""
    which = draft.choose(("first", "last", "any", "several", "several"))
    if which == "several":
        if count <= _FEW:
            return list(range(count))
        first = draft.integer(0, count - 2)
        return sorted({0, first, first + 1, count - 1})
    return [{"first": 0, "last": count - 1}.get(which, draft.integer(0, count - 1))]


def _parameters(draft: Draft, scenario: Scenario, ranks: Sequence[int]) -> dict[str, Any]:
    parameters: dict[str, Any] = {"ranks": list(ranks)}
    per_node = draft.choose((None, None, 1, 2, 8))
    if per_node is not None:
        parameters["per_node"] = per_node
    accumulation = int(scenario.argument("gradient_accumulation_steps"))
    if max(shards.total_updates(scenario, rank) for rank in ranks) * accumulation > _MOST_MICRO_BATCHES:
        parameters["until"] = draft.integer(1, 3)
    return parameters


def run(case: Case, subject: Subject) -> Runs:
    """The ranks one after the other, each with an output directory of its own."""
    from trainer_props.running import output_directory
    from trainer_props.running.devices import backends, errand, fake

    per_node, until = (case.parameters.get(name) for name in ("per_node", "until"))
    runs = Runs()
    for rank in case.parameters.get("ranks", (0,)):
        with output_directory() as directory:
            record = fake.play(case.scenario, subject, rank, per_node=per_node, until=until, directory=directory)
            record.results["files"] = errand.checkpoint_files(directory)
        runs[backends.rank_name(rank)] = record
    return runs


_STATEMENT: Final = "Play single ranks of up to 1,024, one after the other, on data of up to 10^9 rows."
register(
    Experiment(
        NAME, _STATEMENT, "test_trainer_distributed", cases, run, (_MODEL,), 0.8, body=body, devices=(KIND,),
        avoids=("eval_on_start", "eval_strategy", "label_names", "lr_scheduler_type"),
        sensible=lambda case: accounting.total_updates(case.scenario) > 0,
    )
)  # fmt: skip
