"""Runs that are spread over several devices, made from runs on one."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from trainer_props.scenario import Devices, Scenario
from trainer_props.strategies.draft import check_bounds

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
    count = draw(st.sampled_from(tuple(counts)))
    size = int(scenario.argument("per_device_train_batch_size"))
    n = -(-scenario.data.n // size) * size * count
    n_eval = scenario.data.n_eval
    if not draw(st.sampled_from(_WHOLE)):
        if scenario.argument("dataloader_drop_last"):
            n -= draw(st.integers(0, min(n - size * count, size * count - 1)))
        elif count > 1 and draw(st.booleans()):  # the last batch has not a row for each device
            n -= size * count - draw(st.integers(1, count - 1))
        else:
            n -= draw(st.integers(0, size * count - 1))
    elif n_eval:
        eval_size = int(scenario.argument("per_device_eval_batch_size"))
        n_eval = -(-n_eval // eval_size) * eval_size * count
    return scenario.replace(devices=Devices(kind=kind, count=count), data=scenario.data.replace(n=n, n_eval=n_eval))  # type: ignore[no-any-return]
