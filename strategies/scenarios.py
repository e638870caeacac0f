"""Whole runs, valid by construction. Each flavour is the part of the space that one experiment explores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from trainer_props.arguments import default
from trainer_props.scenario import Components, Scenario
from trainer_props.strategies import optimization, parts, patience, plans, sizes
from trainer_props.strategies.draft import Draft, check_names
from trainer_props.zoo.kinds import DATASETS, MODELS, DatasetKind, ModelKind


@dataclass(frozen=True)
class Flavour:
    """A part of the space of runs.

    Attributes:
        models: names of the models it draws, simplest first.
        streams: data are streams; otherwise they are map-style.
        saving: values of `save_strategy` that it draws.
        optimizers: runs are about optimizers and schedules; other features are off.
        noise: a collator may add noise to labels.
        idle: runs that ask for no update, or that have no batch to train or to evaluate on.
        max_micro_batches: about so many at most, rarely twice or four times as many.
    """

    models: tuple[str, ...]
    streams: bool = False
    saving: tuple[str, ...] = ()
    optimizers: bool = False
    noise: bool = False
    idle: bool = False
    max_micro_batches: int = 24


_COMMON: Final[dict[str, tuple[Any, ...]]] = {
    "seed": (0, 1, 7, 12345), "data_seed": (0, 1, 42), "dataloader_drop_last": (True,), "own_loss": (True,), "logging_first_step": (True,),
    "rows": parts.DATA_FEATURES["rows"], "poisoned": parts.COMPONENT_FEATURES["poisoned"],
}  # fmt: skip
_SAVING: Final[dict[str, tuple[Any, ...]]] = {
    "early_stopping": parts.STOPPING, "eval_on_start": (True,), "save_only_model": (True,),
    "odd_score": parts.COMPONENT_FEATURES["odd_score"],
}  # fmt: skip
_TOKENS: Final = {**parts.DATA_FEATURES, "include_num_input_tokens_seen": ("all", "non_padding")}
_UNUSUAL: Final[dict[str, tuple[Any, ...]]] = {
    "long": ("pass", "round"), "early_stopping": parts.STOPPING, "eval_on_start": (True,), **parts.COMPONENT_FEATURES,
    "logging_nan_inf_filter": (False,),
    "include_num_input_tokens_seen": ("all", "non_padding"), "remove_unused_columns": (False,),
    "torch_empty_cache_steps": (1, 2), "average_tokens_across_devices": (False,), "unused_eval_data": (1, 2),
    "hardly_ever": ("workers", "table", "workers"),
}  # fmt: skip
_SEVERAL: Final = 3
"""Evaluations after which the best one can be neither the first nor the last."""
_WORKERS: Final = {"dataloader_prefetch_factor": (1, 3, 1, 3), "dataloader_persistent_workers": (True,)}

_LINES: Final = tuple(name for name, kind in MODELS.items() if name.startswith("regression") and not kind.dropout)

FLAVOURS: Final[dict[str, Flavour]] = {
    "regression": Flavour(_LINES),
    "saving": Flavour(("regression", "regression_pretrained", "regression_layers", "regression_dict"), saving=plans.SAVING),
    "stream": Flavour((*_LINES, "lstm"), streams=True, max_micro_batches=20),
    "token": Flavour(("lstm",)),
    "optimizer": Flavour(("regression", "regression_layers", "regression_rms_norm"), optimizers=True),
    "hub": Flavour(("llama", "gpt2", "bert_classifier"), max_micro_batches=4),
    "seq2seq": Flavour(("t5",), max_micro_batches=4),
    "idle": Flavour(_LINES, idle=True, max_micro_batches=8),
    "random": Flavour(("regression_dropout",), saving=("no", *plans.SAVING), noise=True),
}
"""The flavours by the name that their function begins with."""


def scenarios(
    *, arguments: Mapping[str, Any] | None = None, models: Sequence[str] | None = None, allow_empty: bool = False
) -> st.SearchStrategy[Scenario]:
    """Any run: every flavour that draws one of the models.

    Args:
        arguments: TrainingArguments held at these values in every run; the rest stays valid around them.
        models: names of `trainer-props list models`; default: all.
        allow_empty: `dataloader_drop_last` may leave not one training batch.

    Raises:
        InvalidArgument: when drawing: an unknown argument or model.
    """

    @st.composite
    def any_flavour(draw: st.DrawFn) -> Scenario:
        names = check_names("models", models, MODELS)
        fitting = [flavour for flavour in FLAVOURS.values() if set(names) & set(flavour.models)]
        draft = Draft(draw, arguments, "arguments")
        return draw_scenario(draft, draft.choose(fitting), names, allow_empty=allow_empty)

    return any_flavour()


@st.composite  # here, and not where it is called: experiments call it in every draw, and Hypothesis reads the source of what it decorates
def _flavoured(
    draw: st.DrawFn, name: str, arguments: Mapping[str, Any] | None, models: Sequence[str] | None, allow_empty: bool
) -> Scenario:
    names = check_names("models", models, MODELS)
    return draw_scenario(Draft(draw, arguments, "arguments"), FLAVOURS[name], names, allow_empty=allow_empty)


def regression_scenarios(
    *, arguments: Mapping[str, Any] | None = None, models: Sequence[str] | None = None, allow_empty: bool = False
) -> st.SearchStrategy[Scenario]:
    """Runs of a regression model, in all its variants, on map-style data; no checkpoints. Arguments as for `scenarios`."""
    return _flavoured("regression", arguments, models, allow_empty)


def saving_scenarios(
    *, arguments: Mapping[str, Any] | None = None, models: Sequence[str] | None = None, allow_empty: bool = False
) -> st.SearchStrategy[Scenario]:
    """Runs that write checkpoints: plans, rotation, best model, early stopping. Arguments as for `scenarios`."""
    return _flavoured("saving", arguments, models, allow_empty)


def stream_scenarios(
    *, arguments: Mapping[str, Any] | None = None, models: Sequence[str] | None = None, allow_empty: bool = False
) -> st.SearchStrategy[Scenario]:
    """Runs on iterable data, with and without a length. Arguments as for `scenarios`.

    A `max_steps` held below 1 leaves streams with a length.
    """
    return _flavoured("stream", arguments, models, allow_empty)


def token_scenarios(
    *, arguments: Mapping[str, Any] | None = None, models: Sequence[str] | None = None, allow_empty: bool = False
) -> st.SearchStrategy[Scenario]:
    """Runs of a small LSTM on tokens. Arguments as for `scenarios`.

    Rows of one or several lengths, ignored labels, label smoothing, sampling by length.
    """
    return _flavoured("token", arguments, models, allow_empty)


def optimizer_scenarios(
    *, arguments: Mapping[str, Any] | None = None, models: Sequence[str] | None = None, allow_empty: bool = False
) -> st.SearchStrategy[Scenario]:
    """Runs with all optimizers of torch, all schedules, warmup, weight decay and clipping. Arguments as for `scenarios`."""
    return _flavoured("optimizer", arguments, models, allow_empty)


def hub_scenarios(
    *, arguments: Mapping[str, Any] | None = None, models: Sequence[str] | None = None, allow_empty: bool = False
) -> st.SearchStrategy[Scenario]:
    """Short runs of tiny models of the Hub. Arguments as for `scenarios`."""
    return _flavoured("hub", arguments, models, allow_empty)


def seq2seq_scenarios(
    *, arguments: Mapping[str, Any] | None = None, models: Sequence[str] | None = None, allow_empty: bool = False
) -> st.SearchStrategy[Scenario]:
    """Short runs of a tiny encoder-decoder. Arguments as for `scenarios`."""
    return _flavoured("seq2seq", arguments, models, allow_empty)


def idle_scenarios(
    *, arguments: Mapping[str, Any] | None = None, models: Sequence[str] | None = None, allow_empty: bool = True
) -> st.SearchStrategy[Scenario]:
    """Runs that ask for no update, or have no batch to train or to evaluate on (`dataloader_drop_last` and too little data).

    Arguments as for `scenarios`.
    """
    return _flavoured("idle", arguments, models, allow_empty)


def random_scenarios(
    *, arguments: Mapping[str, Any] | None = None, models: Sequence[str] | None = None, allow_empty: bool = False
) -> st.SearchStrategy[Scenario]:
    """Runs that draw random numbers while they train: of a model with dropout, on data with or without noise. Arguments as for `scenarios`.

    No oracle knows what they compute; two runs can be compared.
    """
    return _flavoured("random", arguments, models, allow_empty)


def draw_scenario(draft: Draft, flavour: Flavour, models: Sequence[str], *, allow_empty: bool = False, metrics: bool = True) -> Scenario:
    """Decide a whole run.

    Args:
        models: names; those that the flavour does not draw are passed over.
        metrics: there may be a metric `score` to go by, beside the loss.

    Raises:
        InvalidArgument: the flavour draws none of the models.
    """
    names = [name for name in flavour.models if name in models]
    if not names:
        raise InvalidArgument(f"models={tuple(models)!r}: these runs use {', '.join(flavour.models)}")
    model = MODELS[draft.choose(names)]
    optimization.draw_optimizer(draft, optimization.OPTIMIZERS)
    _draw_features(draft, flavour, model)
    kind = DATASETS[_draw_kind(draft, flavour, model)]
    draft.apply("seed", "data_seed", *(("train_sampling_strategy",) if kind.map_style else ()))
    lacking = _draw_lacking(draft) if flavour.idle else None
    metrics = metrics and not draft.held.get("prediction_loss_only")  # without predictions there is nothing to compute them from
    close = _draw_close(draft, flavour, metrics)
    if lacking == "batches":
        size = sizes.draw_empty(draft, max_micro_batches=flavour.max_micro_batches)
    else:
        size = sizes.draw_size(
            draft,
            unsized=not kind.sized,
            keeps_last=not kind.map_style,
            allow_empty=allow_empty,
            max_micro_batches=flavour.max_micro_batches,
            nothing=lacking == "updates",
            least_updates=_SEVERAL if close else 1,
        )
    optimization.apply_features(draft)
    rate = float(draft.get("learning_rate"))
    optimization.draw_schedule(draft, rate, size.updates)
    plans.draw_logging(draft, size.updates)
    stopping = draft.option("early_stopping") if draft.held.get("eval_strategy") != "no" else None
    needed = stopping is not None or (lacking == "evaluation batches" and draft.choose((False, True)))
    watching = plans.draw_watching(draft, size.updates, saving=flavour.saving, metrics=metrics, needed=needed, close=close)
    if lacking == "evaluation batches" and not watching.evaluates:
        draft.turn_on("eval_on_start", True)
    plans.draw_evaluation(draft, watching, least_rows=2 if lacking == "evaluation batches" else 1)
    evaluates = watching.evaluates or bool(draft.get("eval_on_start"))
    _apply_rest(draft, kind, evaluates)
    n_eval = _draw_eval_length(draft, evaluates, allow_empty, short=lacking == "evaluation batches")
    handed = _draw_components(draft, model, kind, watching, stopping, _SEVERAL if close else 1)
    if flavour.noise and not draft.get("dataloader_num_workers") and draft.choose((False, False, False, True)):
        handed = handed.replace(collator="noise")  # processes that load data would draw it from generators of their own
    optimization.draw_schedule_kwargs(draft, size.updates, rate)
    scenario = Scenario(
        arguments=draft.arguments,
        data=parts.draw_data(draft, kind.name, size.n, n_eval, model),
        model=parts.draw_model(draft, model.name),
        components=handed,
    )
    may_spend = bool(flavour.saving) and metrics and size.updates > 0 and patience.can_spend(draft)
    return patience.spend_patience(draft, scenario) if may_spend and draft.choose((False, False, True)) else scenario


def _draw_features(draft: Draft, flavour: Flavour, model: ModelKind) -> None:
    tokens = model.main_input_name == "input_ids"
    follow = optimization.ADAPTIVE_SCHEDULES if draft.held.get("eval_strategy") != "no" else ()
    often = _often(flavour, model, follow)
    for name, options in often.items():
        option = draft.choose(options)
        if option is not None:
            draft.turn_on(name, option)
    # What depends on model and optimizer comes last: the others keep their places, and their meaning, while those are being shrunk.
    every: dict[str, tuple[Any, ...]] = {
        "lr_scheduler_type": (*optimization.SCHEDULES[1:], *follow),
        "unusual": (True,),
        **({} if flavour.optimizers else _COMMON),
        **(_SAVING if flavour.saving else {}),
        "train_sampling_strategy": ("sequential", *(("group_by_length", "batch_rebalance") if tokens else ())),
        **(_TOKENS if tokens else {}),
        **parts.model_features(model.name),
        **optimization.features(draft.get("optim")),
    }
    decided = [name for name in often if draft.on(name)]  # drawn again, one of the draws would be lost
    features = {name: options for name, options in every.items() if name not in often}
    features |= {name: every[name] for name in often if name in every and name not in decided}
    draft.switch_on(features, 10)
    if draft.on("unusual"):
        unusual = {name: options for name, options in _UNUSUAL.items() if name not in every and name not in decided}
        unusual["label_names"] = (list(model.label_names),)
        draft.switch_on(unusual, 4)


def _often(flavour: Flavour, model: ModelKind, follow: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Features that a flavour is about, and that come up more often than by chance: name -> options, None for off."""
    often: dict[str, Sequence[Any]] = {}
    if flavour.optimizers:
        often["lr_scheduler_type"] = (None, *optimization.SCHEDULES[1:], *follow, *["reduce_lr_on_plateau"] * (10 if follow else 0))
        often["warmup_steps"] = (None, None, None, 1, 2, 3, 0.3, 0.5, 0.7, 0.28, 0.56, optimization.ALL, optimization.ALL)
        often["long"] = (*[None] * 14, "round")
    elif model.main_input_name == "input_ids":
        often["train_sampling_strategy"] = (None, None, *["group_by_length"] * 3, "sequential", "batch_rebalance")
        often["include_num_input_tokens_seen"] = (None, None, None, "all", "non_padding")
    elif flavour.saving:
        often["early_stopping"] = (None, None, None, (1, 0.0), (2, 0.0), (1, 0.5))
        often["odd_score"] = (*[None] * 12, (0, -math.inf), (0, math.inf))
    else:
        often["poisoned"] = (*[None] * 7, ((1, math.nan),), ((0, math.nan),))
        often["long"] = (*[None] * 12, "round")
        often["logging_nan_inf_filter"] = (*[None] * 5, False)
    if model.classifies:  # a module without a config can't be smoothed in 5.23.0, a known bug: of those a few are enough
        often["label_smoothing_factor"] = (None, None, 0.1, 0.5) if model.pretrained else (*[None] * 11, 0.1)
    return often


def _draw_lacking(draft: Draft) -> str:
    """Decide what a run has nothing of: updates that are asked for, training batches, or evaluation batches."""
    options = ["updates"]
    if draft.held.get("dataloader_drop_last", True):
        options += [*(["batches"] if draft.free("per_device_train_batch_size") else []), "evaluation batches"]
    lacking = draft.choose(options)
    if lacking == "evaluation batches":
        draft.turn_on("dataloader_drop_last", True)
    return lacking


def _draw_close(draft: Draft, flavour: Flavour, metrics: bool) -> bool:
    """Decide whether a run that goes by evaluations has one after each of several updates, and goes by a score."""
    follows = draft.option("lr_scheduler_type") in optimization.ADAPTIVE_SCHEDULES
    free = draft.free("eval_strategy", "eval_steps", "metric_for_best_model", "max_steps")
    return metrics and bool(flavour.saving or follows) and free and draft.choose((False, True, True) if follows else (False, True))


def _draw_kind(draft: Draft, flavour: Flavour, model: ModelKind) -> str:
    available = [name for name in model.data_kinds if name in parts.available_datasets()]
    if flavour.streams:
        bounded = draft.get("max_steps") > 0 or draft.free("max_steps")
        return draft.choose(["stream", "sized_stream", "stream"] if bounded else ["sized_stream"])
    mapped = [name for name in available if DATASETS[name].map_style and DATASETS[name].package is None]
    if draft.option("hardly_ever") == "table" and "table" in available:  # a datasets.Dataset takes longer to build than to train on
        return "table"
    return draft.choose(mapped)


def _apply_rest(draft: Draft, kind: DatasetKind, evaluates: bool) -> None:
    draft.apply("include_num_input_tokens_seen", "label_smoothing_factor", "label_names")
    draft.apply("torch_empty_cache_steps", "average_tokens_across_devices")
    if kind.package is None:  # tables have a column that no model takes
        draft.apply("remove_unused_columns")
    # torch waits five seconds for the end of a worker from which another was forked, as one for evaluation is.
    if draft.option("hardly_ever") == "workers" and not evaluates:
        draft.set("dataloader_num_workers", 1)
    if draft.get("dataloader_num_workers"):
        for name, options in _WORKERS.items():
            draft.set(name, draft.choose((default(name), *options)))


def _draw_eval_length(draft: Draft, evaluates: bool, allow_empty: bool, *, short: bool) -> int:
    """Decide the rows of the evaluation data. `short`: they are fewer than a batch, unless that is held at 1."""
    if not evaluates:
        return int(draft.option("unused_eval_data", 0))
    if short:
        return draft.integer(1, int(draft.get("per_device_eval_batch_size")) - 1)
    lowest = 1
    if draft.get("dataloader_drop_last") and not allow_empty:
        if draft.free("per_device_eval_batch_size"):
            draft.set("per_device_eval_batch_size", draft.integer(1, 5))
        lowest = int(draft.get("per_device_eval_batch_size"))
    return draft.integer(lowest, lowest + 5)


def _draw_components(
    draft: Draft, model: ModelKind, kind: DatasetKind, watching: plans.Watching, stopping: tuple[int, float] | None, scores: int
) -> Components:
    scored = watching.metric is not None and watching.metric.removeprefix("eval_") == "score"
    own_loss = model.family == "regression" and not draft.get("label_smoothing_factor") and draft.on("own_loss")
    return Components(
        collator="padding" if kind.needs_padding else "default",
        loss="compute_loss_func" if own_loss else "model",
        scores=parts.draw_scores(draft, scores) if scored or (watching.evaluates and draft.on("scores")) else (),
        poisoned=draft.option("poisoned", ()),
        early_stopping=parts.early_stopping(stopping) if stopping is not None and watching.evaluates else None,
    )
