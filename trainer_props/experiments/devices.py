"""The experiments that spread a run over several devices, beside the same run on one whose batch is as large as theirs together."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.alone import on_one_device
from trainer_props.experiments.devices_source import body
from trainer_props.experiments.gpus import ON_GPUS, also_on_gpus
from trainer_props.experiments.hashed import Hashed
from trainer_props.experiments.registry import Experiment, Held, register
from trainer_props.oracles.sharding import repeats
from trainer_props.record import Runs
from trainer_props.scenario import Scenario

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

BASELINE: Final = "one device"
EMULATED: Final = "train_on_devices"
PROCESSES: Final = "train_in_processes"
COUNTS: Final = {"data_parallel": (2, 3, 4), "gloo": (2, 2, 2, 3)}
"""Kinds of devices -> their numbers, as often as they come up."""
_SHARED_BASELINES: Final = 16
_NUMBERS: Final = ("predict", "workers", "prepared", "prepared_batch")
"""Parameters of a case that an errand has under the same names."""
_LEFT_OUT: Final = ("save_total_limit", "load_best_model_at_end", "save_only_model", "label_names", "include_num_input_tokens_seen")
_FLAVOURS: Final = {"data_parallel": ("regression",), "gloo": ("regression", "regression", "saving")}
_DRAWN: Final = {"regression": strategies.regression_scenarios, "saving": strategies.saving_scenarios}
_MODELS: Final = {
    kind: tuple(dict.fromkeys(name for flavour in flavours for name in strategies.FLAVOURS[flavour].models))
    for kind, flavours in _FLAVOURS.items()
}


def cases(held: Held, kind: str) -> st.SearchStrategy[Case]:
    """Scenarios on several devices of a kind. Parameters of a case: `predict` (rows that are predicted after training), and of
    processes `apart` (each has an output directory of its own).
    """
    arguments = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}
    fitting = [
        _DRAWN[name](arguments=arguments, models=held.models).map(functools.partial(plain, held=arguments))
        for name in _FLAVOURS[kind]
        if held.models is None or set(held.models) & set(strategies.FLAVOURS[name].models)
    ]
    counts = held.counts(kind, COUNTS[kind])

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        scenario = draw(strategies.spread_scenarios(st.one_of(fitting), kind=kind, counts=counts))
        predict = draw(st.integers(0, 2 * scenario.devices.count + 1))
        apart = kind == "gloo" and scenario.argument("save_strategy") != "no" and draw(st.booleans())
        asked = {"predict": predict, "apart": int(apart)}
        return Case(experiment=_NAMES[kind], scenario=scenario, parameters={name: value for name, value in asked.items() if value})

    return drawn()


def plain(scenario: Scenario, held: Mapping[str, Any], left_out: Collection[str] = _LEFT_OUT) -> Scenario:
    """The scenario without worker processes, which take seconds, without poisoned losses, which are counted by micro-batches, and without
    checkpoints that are rotated or loaded again.
    """
    left_out = [name for name in scenario.arguments if name in left_out or _is_of_workers(name)]
    kept = scenario.without_arguments(*(name for name in left_out if name not in held))
    return kept.replace(components=kept.components.replace(poisoned=()))  # type: ignore[no-any-return]


def _is_of_workers(name: str) -> bool:
    return name.startswith("dataloader_") and name != "dataloader_drop_last"


def run(case: Case, subject: Subject) -> Runs:
    """The run on one device, and if it finishes, the one on several."""
    from trainer_props.running import run_on_devices

    errand = _errand(case)
    baseline = _baseline(Hashed(subject), on_one_device(case.scenario), errand.replace(apart=False, prepared=0))
    runs = Runs({BASELINE: baseline.first})
    if baseline.first.finished:
        runs |= run_on_devices(case.scenario, subject, errand)
    return runs


def _errand(case: Case) -> Any:
    from trainer_props.running import Errand

    numbers: dict[str, Any] = {name: int(case.parameters[name]) for name in _NUMBERS if name in case.parameters}
    return Errand(evaluate=case.scenario.data.n_eval > 0, apart=bool(case.parameters.get("apart")), **numbers)


@functools.lru_cache(maxsize=_SHARED_BASELINES)
def _baseline(subject: Hashed, scenario: Scenario, errand: Any) -> Runs:
    from trainer_props.running import run_on_devices

    return run_on_devices(scenario, subject.subject, errand)


_NAMES: Final = {"data_parallel": EMULATED, "gloo": PROCESSES}


def in_processes(case: Case) -> Case | None:
    """The same case in processes with gloo, which judge what an emulation shows; None if it is not emulated.

    Processes repeat rows to fill a short last batch, and then compute something else: they get as many more samples as fill it.
    """
    if case.scenario.devices.kind != "data_parallel":
        return None
    scenario = case.scenario.replace(devices=case.scenario.devices.replace(kind="gloo"))
    data = scenario.data.replace(n=scenario.data.n + repeats(scenario))
    return Case(experiment=PROCESSES, scenario=scenario.replace(data=data), parameters=case.parameters)


def _register(kind: str, statement: str, share: float) -> None:
    def drawn(held: Held) -> st.SearchStrategy[Case]:
        return also_on_gpus(cases, held, kind)

    chapter = "test_trainer_distributed"
    register(
        Experiment(
            _NAMES[kind], statement, chapter, drawn, run, _MODELS[kind], share, body=body, devices=(kind, ON_GPUS[kind]),
            confirmed_by=in_processes, avoids=("dataloader_num_workers",) if kind == "gloo" else (),
        )
    )  # fmt: skip


_register("data_parallel", "Train on several devices of one process (DataParallel, emulated), and on one with their batches together.", 0.8)
_register("gloo", "Train in several processes (DistributedDataParallel with gloo), and in one with their batches together.", 1.6)
