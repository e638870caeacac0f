"""What is trained and on what: data sets, models, devices and the components that are handed to the Trainer."""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Sequence
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from trainer_props.scenario import Components, Data, Devices, EarlyStopping, Model
from trainer_props.strategies.draft import Draft, check_bounds, check_names
from trainer_props.zoo.content import NUMBERS
from trainer_props.zoo.kinds import DATASETS, MODELS, ModelKind

LOSSES: Final = ("model", "compute_loss_func")
_NO_NUMBERS: Final = (math.nan, math.inf, -math.inf)
DATA_FEATURES: Final = {"length": (2, 3, 9, 12), "ignored_every": (2, 3, 5), "rows": (1, 2)}
COMPONENT_FEATURES: Final[dict[str, tuple[Any, ...]]] = {
    "odd_score": tuple((place, value) for value in _NO_NUMBERS for place in (0, 1, 2)),
    "poisoned": (*(((place, value),) for value in _NO_NUMBERS for place in (0, 1, 2, 5)), ((0, math.nan), (2, math.nan))),
}  # fmt: skip
STOPPING: Final = tuple((patience, threshold) for threshold in (0.0, 0.5, 0.25) for patience in (1, 2, 3))

_FREEZABLE: Final = {
    "lstm": ("embedding.weight", "head.bias"), "regression_layers": ("first.weight", "first.bias", "ln.weight"),
    "regression_rms_norm": ("first.weight", "ln_f.weight"), "regression_dropout": ("first.weight", "last.bias"),
    "llama": ("model.norm.weight",), "gpt2": ("transformer.wpe.weight",), "bert_classifier": ("classifier.bias",),
}  # fmt: skip
_LINE: Final = ("a", "b")


@st.composite
def datasets(
    draw: st.DrawFn,
    *,
    kinds: Sequence[str] | None = None,
    min_size: int = 1,
    max_size: int = 40,
    max_eval_size: int = 0,
    max_length: int = 12,
) -> Data:
    """Descriptions of data sets.

    Args:
        kinds: names of `trainer-props list datasets`; default: all whose package is installed, and whose rows are kept.
        min_size, max_size: bounds of the number of training rows.
        max_eval_size: most evaluation rows; 0: never any.
        max_length: most tokens in a row, for token data.
    """
    names = check_names("kinds", kinds, available_datasets() if kinds is None else DATASETS)
    check_bounds(0, min_size=min_size, max_size=max_size)
    check_bounds(0, max_eval_size=max_eval_size)
    check_bounds(2, max_length=max_length)
    draft = Draft(draw)
    draft.switch_on(DATA_FEATURES, 3)
    n, kind = draft.integer(min_size, max_size), draft.choose(names)
    return draw_data(draft, kind, n, draft.integer(0, max_eval_size), None, max_length=max_length)


@st.composite
def models(
    draw: st.DrawFn, *, names: Sequence[str] | None = None, dtypes: Sequence[str] = ("float64", "float32"), allow_frozen: bool = True
) -> Model:
    """Descriptions of models.

    Args:
        names: of `trainer-props list models`; default: all.
        dtypes: of `float64` and `float32`.
        allow_frozen: some parameters may have `requires_grad=False`.
    """
    known = check_names("names", names, MODELS)
    types = check_names("dtypes", dtypes, ("float64", "float32"))
    draft = Draft(draw)
    name = draft.choose(known)
    features = model_features(name)
    draft.switch_on({"weights": features["weights"], "dtype": types[1:], **({"frozen": features["frozen"]} if allow_frozen else {})}, 3)
    return draw_model(draft, name, types[0])


@st.composite
def devices(draw: st.DrawFn, *, kinds: Sequence[str] = ("single",), max_count: int = 1) -> Devices:
    """On what a run is spread: one of the kinds, `single` always being one device.

    Args:
        max_count: most devices in data parallel, for the other kinds.
    """
    if isinstance(kinds, str) or not kinds:
        raise InvalidArgument(f"kinds={kinds!r} must be a sequence of at least one name")
    check_bounds(1, max_count=max_count)
    draft = Draft(draw)
    kind = draft.choose(kinds)
    return Devices(kind=kind, count=1 if kind == "single" else draft.integer(1, max_count))


@st.composite
def components(
    draw: st.DrawFn,
    *,
    losses: Sequence[str] = LOSSES,
    max_scores: int = 4,
    allow_nan: bool = False,
    max_poisoned: int = 0,
    allow_early_stopping: bool = False,
) -> Components:
    """What is handed to the Trainer beside its arguments, model and data.

    Args:
        losses: of `model` and `compute_loss_func`.
        max_scores: most values in the sequence of scores; 0: no `compute_metrics`.
        allow_nan: a score may be NaN.
        max_poisoned: among the first so many micro-batches there may be losses that are NaN or infinite; 0: never.
        allow_early_stopping: an `EarlyStoppingCallback` may be added; it needs evaluations and a metric to go by.
    """
    known = check_names("losses", losses, LOSSES)
    check_bounds(0, max_scores=max_scores)
    check_bounds(0, max_poisoned=max_poisoned)
    draft = Draft(draw)
    if allow_nan:
        draft.switch_on({"odd_score": [each for each in COMPONENT_FEATURES["odd_score"] if math.isnan(each[1])]}, 1)
    return Components(
        loss=draft.choose(known),
        scores=draw_scores(draft, longest=max_scores) if max_scores and draft.choose((False, True)) else (),
        poisoned=_draw_poisoned(draft, max_poisoned) if max_poisoned and draft.choose((False, True)) else (),
        early_stopping=early_stopping(draft.choose(STOPPING)) if allow_early_stopping and draft.choose((False, True)) else None,
    )


@functools.cache
def available_datasets() -> tuple[str, ...]:
    """Names of the data sets that can be built with what is installed; not of those that are there for their length alone."""
    kinds = [each for each in DATASETS.values() if not each.lazy]
    return tuple(each.name for each in kinds if each.package is None or importlib.util.find_spec(each.package) is not None)


def draw_data(draft: Draft, kind: str, n: int, n_eval: int, model: ModelKind | None, *, max_length: int = 12) -> Data:
    """Decide what is left open of a data set. `model`: the kind of model that it is for; None: any. Features: `DATA_FEATURES`."""
    tokens = model.main_input_name == "input_ids" if model is not None else kind not in NUMBERS
    length = min(draft.option("length", 6) if tokens else 6, max_length)
    token_labels = tokens and kind != "classification" and (model is None or model.token_labels)
    ignored_every = draft.option("ignored_every", 0) if token_labels else 0
    return Data(kind=kind, n=n, n_eval=n_eval, length=length, ignored_every=ignored_every, seed=draft.option("rows", 0))


def model_features(name: str) -> dict[str, tuple[Any, ...]]:
    """The features of a model."""
    return {"weights": (1, 2), "dtype": ("float32",), "frozen": _FREEZABLE.get(name, _LINE if name.startswith("regression") else ())}


def draw_model(draft: Draft, name: str, dtype: str = "float64") -> Model:
    """What the features of a model make of it."""
    frozen = draft.option("frozen")
    return Model(name=name, dtype=draft.option("dtype", dtype), frozen=() if frozen is None else (frozen,), seed=draft.option("weights", 0))


def draw_scores(draft: Draft, shortest: int = 1, longest: int = 6) -> tuple[float, ...]:
    """What the metric `score` is, evaluation by evaluation. Few values, so that ties come up."""
    values = (0.5, 0.25, 0.75, 0.0, 1.0, -1.0)
    scores = [draft.choose(values) for _ in range(draft.integer(shortest, longest))]
    if draft.on("odd_score"):
        place, value = draft.option("odd_score")
        scores[min(place, len(scores) - 1)] = value
    return tuple(scores)


def early_stopping(option: tuple[int, float]) -> EarlyStopping:
    """The early stopping of an option: patience and threshold."""
    return EarlyStopping(patience=option[0], threshold=option[1])


def _draw_poisoned(draft: Draft, micro_batches: int) -> tuple[tuple[int, float], ...]:
    return ((draft.integer(0, micro_batches - 1), draft.choose(_NO_NUMBERS)),)
