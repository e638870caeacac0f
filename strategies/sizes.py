"""How much is trained: updates first, since that is what properties speak about; the length of the data set follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from hypothesis import strategies as st

from trainer_props.strategies.draft import Draft, check_bounds

MAX_ROWS = 40

ROUND_STEPS = (25, 25, 25, 50)
"""Numbers of updates of which many a ratio in hundredths is a whole number: there rounding shows, and rarely anywhere below."""

_FRACTIONS = (0.5, 1.5, 0.3, 1.1, 0.7, 0.1, 2.25, 0.01)


@dataclass(frozen=True)
class Size:
    """How much a run trains.

    Attributes:
        n: rows of training data.
        updates: updates that the arguments ask for.
        micro_batches: at most so many training micro-batches.
    """

    n: int
    updates: int
    micro_batches: int


@st.composite
def batch_sizes(draw: st.DrawFn, *, min_size: int = 1, max_size: int = 8) -> int:
    """Rows in a micro-batch of one device, small ones first."""
    check_bounds(1, min_size=min_size, max_size=max_size)
    return draw(st.integers(min_size, max_size))


@st.composite
def accumulation_steps(draw: st.DrawFn, *, min_steps: int = 1, max_steps: int = 4) -> int:
    """Values of `gradient_accumulation_steps`: micro-batches in an update."""
    check_bounds(1, min_steps=min_steps, max_steps=max_steps)
    return draw(st.integers(min_steps, max_steps))


@st.composite
def dataset_lengths(draw: st.DrawFn, *, samples_per_update: int = 1, min_updates: int = 1, max_updates: int = 8) -> int:
    """Lengths of a data set whose passes take from `min_updates` to `max_updates` updates.

    The number of updates is drawn first, then how many samples the last one lacks: lengths at and next to a multiple of
    `samples_per_update` are as likely as they are interesting.

    Args:
        samples_per_update: per-device batch size, accumulation and devices multiplied.
    """
    check_bounds(1, samples_per_update=samples_per_update)
    check_bounds(1, min_updates=min_updates, max_updates=max_updates)
    updates = draw(st.integers(min_updates, max_updates))
    return updates * samples_per_update - draw(st.integers(0, samples_per_update - 1))


def draw_size(
    draft: Draft,
    *,
    unsized: bool = False,
    keeps_last: bool = False,
    allow_empty: bool = False,
    max_micro_batches: int = 24,
    nothing: bool = False,
    least_updates: int = 1,
) -> Size:
    """Decide batch size, accumulation, length of the data and of the run.

    Args:
        unsized: the data have no length, so that only `max_steps` can end the run.
        keeps_last: `dataloader_drop_last` has no effect on the training data.
        allow_empty: not one training batch may be full while short ones are dropped.
        max_micro_batches: at most about so many, or twice as many; four times as many in a number of updates that is round.
        nothing: zero epochs, or zero steps, are asked for, unless one of them is held; only for data with a length.
        least_updates: a pass over the data has so many updates, and the run too unless it is held short or passes are few.

    What samples the rows (`train_sampling_strategy`) comes first. Features: `dataloader_drop_last`, `long` (many updates in a
    `pass`, or in many passes a `round` number of them).
    """
    # A choice that is bound to be small leaves no draw out: the fewer draws, the simpler is an example to Hypothesis.
    accumulation = _draw_accumulation(draft, max_micro_batches)
    most = 2 * max_micro_batches // accumulation if draft.option("long") == "pass" else min(6, max_micro_batches // accumulation)
    asked = draft.integer(least_updates, max(least_updates, 2, most))
    if draft.free("per_device_train_batch_size"):
        draft.set("per_device_train_batch_size", draft.integer(1, max(2, min(8, MAX_ROWS // (asked * accumulation)))))
    batch = int(draft.get("per_device_train_batch_size"))
    draft.apply("dataloader_drop_last")
    dropping = bool(draft.get("dataloader_drop_last")) and not keeps_last
    window = batch * accumulation
    # What is dropped as a whole: `batch_rebalance` cuts whole windows.
    unit = window if draft.get("train_sampling_strategy") == "batch_rebalance" and not keeps_last else batch
    most_missing = asked * window - unit if dropping and not allow_empty else window - 1
    n = asked * window - draft.integer(0, min(most_missing, window - 1))
    units = n // unit if dropping else -(-n // unit)
    per_epoch = -(-units * unit // window)
    if nothing and draft.free("max_steps", "num_train_epochs"):
        draft.set(draft.choose(("num_train_epochs", "max_steps")), 0)
        return Size(n, 0, 0)
    updates = _draw_length(draft, per_epoch, max_micro_batches // accumulation, unsized, least_updates)
    return Size(n, updates, updates * accumulation)


def draw_empty(draft: Draft, *, max_micro_batches: int = 24) -> Size:
    """Decide a batch size that the data do not fill once, that short batches are dropped, and what the run asks for all the same.

    Args:
        max_micro_batches: as for `draw_size`, for the bounds of what is asked for.
    """
    accumulation = _draw_accumulation(draft, max_micro_batches)
    draft.set("dataloader_drop_last", True)
    batch = draft.integer(2, 8)
    draft.set("per_device_train_batch_size", batch)
    n = draft.integer(1, batch - 1)
    _draw_length(draft, 0, max_micro_batches // accumulation, False, 1)
    return Size(n, 0, 0)


def _draw_accumulation(draft: Draft, max_micro_batches: int) -> int:
    if draft.free("gradient_accumulation_steps"):
        draft.set("gradient_accumulation_steps", draft.integer(1, min(4, max_micro_batches // 2)))
    return int(draft.get("gradient_accumulation_steps"))


def _draw_length(draft: Draft, per_epoch: int, budget: int, unsized: bool, least: int) -> int:
    """Decide epochs or `max_steps`, and return how many updates that makes; `budget` updates at most, where there is a choice."""
    if draft.free("max_steps", "num_train_epochs") or (unsized and draft.free("max_steps")):
        many = [each for each in ROUND_STEPS if each <= 4 * budget]
        rounds = draft.option("long") == "round" and len(many) > 1
        # As many options and draws in each case, so that a run can leave out that it is long.
        kinds = ("epochs", "round", "round") if rounds else ("epochs", "steps", "fraction")
        kind = ("round" if rounds else "steps") if unsized else draft.choose(kinds)
        if kind == "round":
            draft.set("max_steps", draft.choose(many))
        elif kind == "steps":
            draft.set("max_steps", draft.integer(least, max(least, 2, min(3 * max(1, per_epoch), budget))))
        else:
            draft.set("num_train_epochs", _epochs(draft, kind, budget / max(1, per_epoch)))
    elif draft.free("num_train_epochs") and draft.get("max_steps") < 0:
        draft.set("num_train_epochs", draft.integer(1, max(2, min(3, budget // max(1, per_epoch)))))
    max_steps = int(draft.get("max_steps"))
    if max_steps >= 0:
        return max_steps if per_epoch else 0
    return math.ceil(Fraction(str(draft.get("num_train_epochs"))) * per_epoch)


def _epochs(draft: Draft, kind: str, budget: float) -> float:
    if kind == "fraction":
        return draft.choose([each for each in _FRACTIONS if each <= budget] or _FRACTIONS[:1])
    return draft.integer(1, max(2, min(5, int(budget))))
