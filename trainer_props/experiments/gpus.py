"""The experiments on several devices where these are GPUs: asked for by `--devices`, the same cases run there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from hypothesis import strategies as st

from trainer_props.case import Case
from trainer_props.experiments.registry import Held

ON_GPUS: Final = {"data_parallel": "cuda_data_parallel", "gloo": "cuda_processes"}
"""Kinds of devices of any machine -> what they stand for."""


def also_on_gpus(cases: Callable[[Held, str], st.SearchStrategy[Case]], held: Held, kind: str) -> st.SearchStrategy[Case]:
    """Cases on devices of a kind, and on GPUs in their place as far as those are asked for: nothing draws them by itself."""
    twin = ON_GPUS[kind]
    asked = held.devices or ()
    found = []
    if held.devices is None or any(each == kind for each, _ in asked):
        found.append(cases(held, kind))
    counts = tuple((kind, count) for each, count in asked if each == twin)
    if counts:
        found.append(cases(replace(held, devices=counts), kind).map(_moved))
    return st.one_of(found)


def _moved(case: Case) -> Case:
    scenario = case.scenario
    devices = scenario.devices.replace(kind=ON_GPUS[scenario.devices.kind])
    return case.replace(scenario=scenario.replace(devices=devices))  # type: ignore[no-any-return]


def why_not(kind: str) -> str:
    """Why no run on GPUs of a kind is possible here; an empty text if one is, or the kind needs none."""
    if kind not in ON_GPUS.values():
        return ""
    from trainer_props.running.devices import cards  # what is heavy is imported when it is asked for

    return cards.missing()
