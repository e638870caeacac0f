"""When a run that loads its best model at the end evaluates and saves: plans that fit together, and plans that do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hypothesis import strategies as st

from trainer_props.strategies.draft import Draft

_INTERVALS: Final = (*["steps"] * 6, "epoch", "no")
_HUNDREDTHS: Final = (10, 25, 5, 20, 30, 7, 1, 15, 3)
_PARTS: Final = (100, 100, 1000, 10_000, 10_000)
_TIMES: Final = (1, 2, 3, 4, 5, 6, 7, 13, 17, 19)
_LARGEST: Final = 8


@st.composite
def best_model_plans(draw: st.DrawFn, *, fixed: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Arguments that say when a run evaluates, logs and saves, by steps or by ratios, and that it loads its best model at the end.

    Not all of them fit together: then TrainingArguments has to refuse them.

    Args:
        fixed: arguments held at these values.

    Raises:
        InvalidArgument: when drawing: TrainingArguments has no such argument.
    """
    draft = Draft(draw, fixed)
    draft.set("load_best_model_at_end", draft.choose((*[True] * 7, False)))
    evaluate = draft.choose(_INTERVALS)
    draft.set("eval_strategy", evaluate)
    draft.set("save_strategy", draft.choose((*[evaluate] * 8, "best", "steps", "epoch", "no")))
    if draft.get("save_strategy") == "best":
        draft.set("metric_for_best_model", "loss")
    first, by_ratio = draft.choose((True, True, False)), draft.choose((False, True))
    parts = draft.choose(_PARTS)
    count = draft.choose(_HUNDREDTHS) if parts == _PARTS[0] else draft.integer(1, parts // 10)  # the finer ones are where rounding shows
    step = count / parts if by_ratio else draft.integer(1, _LARGEST)
    # The default of eval_steps is logging_steps.
    draft.set("eval_steps" if first else "logging_steps", step)
    how = draft.choose(("multiple", "any", "multiple", "any", "mixed"))
    draft.set("save_steps", _save_steps(draft, step, parts, how))
    return draft.arguments


def _save_steps(draft: Draft, step: float, parts: int, how: str) -> float:
    ratio = (step < 1) != (how == "mixed")
    if how == "multiple":
        several = step * draft.choose(_TIMES)
        return several if step >= 1 else min(round(several, 9), 1 - 1 / parts)
    return draft.integer(1, parts - 1) / parts if ratio else draft.integer(1, 4 * _LARGEST)
