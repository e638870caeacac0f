"""TrainingArguments that can stand together, apart from any model and data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from trainer_props import compat
from trainer_props.arguments import DEFAULTS, default
from trainer_props.scenario import thaw
from trainer_props.strategies.draft import Draft
from trainer_props.strategies.plans import SAVING
from trainer_props.strategies.scenarios import FLAVOURS, Flavour, draw_scenario

_SAVING = Flavour(("regression",), saving=("no", *SAVING))
_UNSAID = tuple(name for name in ("save_strategy",) if default(name) != DEFAULTS[name])
"""Arguments whose default in a scenario is not that of TrainingArguments."""


@st.composite
def training_arguments(
    draw: st.DrawFn, *, fixed: Mapping[str, Any] | None = None, allow_evaluation: bool = True, allow_saving: bool = True
) -> dict[str, Any]:
    """Keyword arguments of the installed TrainingArguments, valid together, for short runs on some ten rows.

    What equals its default is left out; the simplest are one row a batch and one epoch, without checkpoints. No metric but the loss is
    asked for, so no `compute_metrics` is needed. Importing transformers is left to the first draw.

    Args:
        fixed: arguments held at these values, by their newest names; the rest stays valid around them.
        allow_evaluation: there may be evaluations, which need an `eval_dataset`.
        allow_saving: checkpoints may be written.

    Raises:
        InvalidArgument: when drawing: TrainingArguments has no such argument.
    """
    return _installed(_draw(draw, fixed, allow_evaluation, allow_saving), fixed or {})


@st.composite
def training_arguments_objects(
    draw: st.DrawFn,
    *,
    output_dir: str | os.PathLike[str],
    fixed: Mapping[str, Any] | None = None,
    allow_evaluation: bool = True,
    allow_saving: bool = True,
) -> Any:
    """`training_arguments` as TrainingArguments objects that write to `output_dir`.

    They are quiet and use the processor (`trainer_props.arguments.QUIET`).

    Args:
        output_dir: an existing or new directory. The other arguments are those of `training_arguments`.

    Raises:
        InvalidArgument: when drawing: no `output_dir`, or TrainingArguments has no such argument.
    """
    if not isinstance(output_dir, (str, os.PathLike)):
        raise InvalidArgument(f"output_dir={output_dir!r} must be a path")
    drawn = _draw(draw, fixed, allow_evaluation, allow_saving)
    return compat.training_arguments(_supported(drawn, fixed or {}), os.fspath(output_dir))


def _draw(draw: st.DrawFn, fixed: Mapping[str, Any] | None, allow_evaluation: bool, allow_saving: bool) -> dict[str, Any]:
    held = dict(fixed or {})
    ruled_out = {} if allow_evaluation else {"eval_strategy": "no", "eval_on_start": False, "load_best_model_at_end": False}
    if not allow_saving:
        ruled_out |= {"save_strategy": "no", "load_best_model_at_end": False}
    draft = Draft(draw, {**ruled_out, **held})
    draw_scenario(draft, _SAVING if allow_saving else FLAVOURS["regression"], ("regression",), metrics=False)
    return {name: value for name, value in draft.arguments.items() if name in held or value != default(name)}


def _installed(arguments: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: default(name) for name in _UNSAID if name not in arguments}
    return compat.translated(thaw({**said, **_supported(arguments, fixed)}))


def _supported(arguments: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments without what an older version lacks, unless it is held."""
    kept = dict(arguments)
    while True:
        try:
            compat.translated(kept)
        except compat.Unsupported as error:
            if error.field in fixed:
                raise
            del kept[error.field]
        else:
            return kept
