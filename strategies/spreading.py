"""Runs that are spread over several devices, made from runs on one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from trainer_props.oracles.accounting import STREAMS, devices_of_a_batch
from trainer_props.scenario import Devices, Scenario
from trainer_props.strategies.draft import check_bounds
from trainer_props.zoo.kinds import DATASETS

SPREAD: tuple[str, ...] = ("data_parallel", "gloo")
"""The kinds of devices of which a run may have several."""
_WHOLE = (True, False)


@st.composite
def spread_scenarios(
    draw: st.DrawFn, scenarios: st.SearchStrategy[Scenario], *, kind: str = "gloo", counts: Sequence[int] = (2,)
) -> Scenario:
    """Runs of `scenarios` on several devices, each of which has the batch size that the one device had: updates stay about as many.

    Half of them give every device the same number of rows in each micro-batch; in the others the last may have fewer, or none.

    Args:
        scenarios: runs on one device.
        kind: of SPREAD.
        counts: numbers of devices, the simplest first; what stands there twice comes twice as often.

    Raises:
        InvalidArgument: no number of devices, or one below 1, or an unknown kind.
    """
    if kind not in SPREAD or not counts:
        raise InvalidArgument(f"kind={kind!r}, counts={tuple(counts)!r}: a kind of {', '.join(SPREAD)}, and at least one number of devices")
    for each in counts:
        check_bounds(1, counts=each)
    scenario = draw(scenarios)
    return draw(_filling(scenario, Devices(kind=kind, count=draw(st.sampled_from(tuple(counts))))))


@st.composite
def _filling(draw: st.DrawFn, scenario: Scenario, devices: Devices, whole: Sequence[bool] = _WHOLE) -> Scenario:
    """The scenario on these devices, with as many times its data; `whole`: whether every micro-batch is full on every device."""
    count = devices_of_a_batch(scenario.replace(devices=devices))
    size = int(scenario.argument("per_device_train_batch_size"))
    n = -(-scenario.data.n // size) * size * count
    n_eval = scenario.data.n_eval
    if not draw(st.sampled_from(whole)):
        least = size * count if scenario.argument("dataloader_drop_last") else 1
        if least == 1 and count > 1 and draw(st.booleans()):  # the last batch has not a row for each device
            n -= size * count - draw(st.integers(1, count - 1))
        else:
            n -= draw(st.integers(0, min(n - least, size * count - 1)))
    elif n_eval:
        eval_size = int(scenario.argument("per_device_eval_batch_size"))
        n_eval = -(-n_eval // eval_size) * eval_size * count
    return scenario.replace(devices=devices, data=scenario.data.replace(n=n, n_eval=n_eval))  # type: ignore[no-any-return]


_SIZES: Final = ("per_device_train_batch_size", "per_device_eval_batch_size")
_OF_STREAMS: Final[tuple[dict[str, Any], ...]] = (
    {}, {"dispatch_batches": False}, {"split_batches": True}, {"dispatch_batches": False, "split_batches": True},
)  # fmt: skip
_OF_MAPS: Final[tuple[dict[str, Any], ...]] = (
    {"dispatch_batches": True}, {"split_batches": True}, {"dispatch_batches": False}, {"use_seedable_sampler": False},
    {"even_batches": False}, {"dispatch_batches": True, "split_batches": True}, {"split_batches": True, "use_seedable_sampler": False},
)  # fmt: skip


@st.composite
def sharded_scenarios(
    draw: st.DrawFn, scenarios: st.SearchStrategy[Scenario], *, counts: Sequence[int] = (2,), held: Mapping[str, Any] | None = None
) -> Scenario:
    """Runs of `scenarios` in several processes, to which accelerate's loaders hand out the data in one of the ways that they know.

    Streams are read by the first process for all, or by each; batches are one for each process, or split among them. Without
    `even_batches` all processes have as many full batches anyway: nothing else is promised to end. A sampler that shares out batches
    itself is left alone, and rows of different lengths are not put together across processes.

    Args:
        scenarios: runs on one device.
        counts: numbers of processes, the simplest first.
        held: arguments that stay as they are.

    Raises:
        InvalidArgument: no number of processes, or one below 1.
    """
    if not counts:
        raise InvalidArgument(f"counts={tuple(counts)!r}: at least one number of processes")
    for each in counts:
        check_bounds(1, counts=each)
    scenario = draw(scenarios)
    count, fixed = draw(st.sampled_from(tuple(counts))), held or {}
    options = [each for each in _ways(scenario) if _fits(each, scenario, count, fixed)] if "accelerator_config" not in fixed else []
    chosen = draw(st.sampled_from(options)) if options else dict(scenario.argument("accelerator_config") or {})
    if chosen and options:
        scenario = scenario.with_arguments(accelerator_config=chosen)
    if chosen.get("split_batches"):
        sizes = {name: count * int(scenario.argument(name)) for name in _SIZES if name not in fixed}
        data = scenario.data.replace(n=count * scenario.data.n, n_eval=count * scenario.data.n_eval)
        scenario = scenario.with_arguments(**sizes).replace(data=data)
    whole = (True,) if chosen.get("even_batches") is False else (True, False)  # what is not is shared out in ways of its own
    return draw(_filling(scenario, Devices(kind="gloo", count=count), whole))


def _ways(scenario: Scenario) -> tuple[dict[str, Any], ...]:
    """What `accelerator_config` may say for such data, the simplest first."""
    if scenario.data.kind in STREAMS:
        return _OF_STREAMS
    if scenario.argument("train_sampling_strategy") == "batch_rebalance":
        return ({},)
    if DATASETS[scenario.data.kind].needs_padding:
        return ({}, *(each for each in _OF_MAPS if not each.get("dispatch_batches")))
    return ({}, *_OF_MAPS) if scenario.argument("train_sampling_strategy") == "group_by_length" else _OF_MAPS


def _fits(way: Mapping[str, Any], scenario: Scenario, count: int, held: Mapping[str, Any]) -> bool:
    """What is split has to be a multiple of the number of processes; sizes that are not held become one."""
    return not way.get("split_batches") or all(int(scenario.argument(name)) % count == 0 for name in _SIZES if name in held)
