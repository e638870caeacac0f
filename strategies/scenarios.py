"""Whole runs, valid by construction. Each flavour is the part of the space that one experiment explores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from trainer_props.scenario import Components, Scenario
from trainer_props.strategies import optimization, parts, plans, sizes
from trainer_props.strategies.draft import Draft, check_names
from trainer_props.zoo.kinds import DATASETS, MODELS, DatasetKind, ModelKind


@dataclass(frozen=True)
class Flavour:
    """A part of the space of runs.

    Attributes:
        models: names of the models it draws, simplest first.
        streams: data are streams; otherwise they are map-style.
        saving: checkpoints are written.
        optimizers: runs are about optimizers and schedules, which vary more.
        max_micro_batches: about so many at most, rarely twice as many.
    """

    models: tuple[str, ...]
    streams: bool = False
    saving: bool = False
    optimizers: bool = False
    max_micro_batches: int = 16


_COMMON: Final = (
    "max_grad_norm", "train_sampling_strategy", "dataloader_drop_last", "weight_decay", "lr_scheduler_type", "warmup_steps", "logging_first_step", "seed",
    "data_seed", "optim_args", "adam_beta1", "adam_beta2", "adam_epsilon", "dtype", "frozen", "own_loss", "rows",
)  # fmt: skip
_SAVING: Final = ("early_stopping", "eval_on_start")
_TOKENS: Final = ("length", "ignored_every", "include_num_input_tokens_seen")
_UNUSUAL: Final = (
    "long", "early_stopping", "eval_on_start", "poisoned", "logging_nan_inf_filter", "include_num_input_tokens_seen", "remove_unused_columns", "label_names",
    "torch_empty_cache_steps", "average_tokens_across_devices", "weights", "unused_eval_data", "nan_score", "hardly_ever",
)  # fmt: skip
_HARDLY_EVER: Final = ("zero", "table", "dataloader_num_workers")

_LINES: Final = tuple(name for name in MODELS if name.startswith("regression"))

FLAVOURS: Final[dict[str, Flavour]] = {
    "regression": Flavour(_LINES),
    "saving": Flavour(("regression", "regression_pretrained", "regression_layers", "regression_dict"), saving=True),
    "stream": Flavour((*_LINES, "lstm"), streams=True),
    "token": Flavour(("lstm",)),
    "optimizer": Flavour(("regression", "regression_layers"), optimizers=True),
    "hub": Flavour(("llama", "gpt2", "bert_classifier"), max_micro_batches=3),
    "seq2seq": Flavour(("t5",), max_micro_batches=3),
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


def _flavoured(name: str, arguments: Mapping[str, Any] | None, models: Sequence[str] | None, allow_empty: bool) -> st.SearchStrategy[Scenario]:
    @st.composite
    def flavoured(draw: st.DrawFn) -> Scenario:
        names = check_names("models", models, MODELS)
        return draw_scenario(Draft(draw, arguments, "arguments"), FLAVOURS[name], names, allow_empty=allow_empty)

    return flavoured()


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
    """Runs on iterable data, with and without a length. Arguments as for `scenarios`; a `max_steps` held below 1 leaves streams with a length."""
    return _flavoured("stream", arguments, models, allow_empty)


def token_scenarios(
    *, arguments: Mapping[str, Any] | None = None, models: Sequence[str] | None = None, allow_empty: bool = False
) -> st.SearchStrategy[Scenario]:
    """Runs of a small LSTM on tokens: rows of one or several lengths, ignored labels, label smoothing, sampling by length. Arguments as for `scenarios`."""
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
    _draw_features(draft, flavour, model)
    kind = DATASETS[_draw_kind(draft, flavour, model)]
    size = sizes.draw_size(
        draft, unsized=not kind.sized, keeps_last=not kind.map_style, allow_empty=allow_empty, max_micro_batches=flavour.max_micro_batches
    )
    _draw_seeds_and_sampling(draft, model, kind)
    optimization.draw_optimizer(draft, optimization.OPTIMIZERS)
    evaluable = draft.held.get("eval_strategy") != "no"
    schedules = (*optimization.SCHEDULES, *(optimization.ADAPTIVE_SCHEDULES if evaluable else ()))
    optimization.draw_schedule(draft, schedules, size.updates)
    plans.draw_logging(draft, size.updates)
    stopping = evaluable and draft.on("early_stopping")
    watching = plans.draw_watching(draft, size.updates, saving=flavour.saving, metrics=metrics, needed=stopping)
    plans.draw_evaluation(draft, watching)
    _draw_rest(draft, model, kind)
    n_eval = _draw_eval_length(draft, watching.evaluates or bool(draft.get("eval_on_start")), allow_empty)
    return Scenario(
        arguments=draft.arguments,
        data=parts.draw_data(draft, kind.name, size.n, n_eval, model),
        model=parts.draw_model(draft, model.name),
        components=_draw_components(draft, model, kind, watching, size, stopping),
    )


def _draw_features(draft: Draft, flavour: Flavour, model: ModelKind) -> None:
    features = [*_COMMON, *(_SAVING if flavour.saving else ())]
    if model.main_input_name == "input_ids":
        features += _TOKENS
    if model.classifies and model.pretrained:
        features.append("label_smoothing_factor")
    draft.switch_on(features, 10)
    if draft.choose((False, False, False, True)):
        unusual = [*_UNUSUAL, *(("label_smoothing_factor",) if model.classifies else ())]
        draft.switch_on([name for name in unusual if name not in features], 4)
        if draft.on("hardly_ever"):
            draft.switch_on(_HARDLY_EVER, 1)


def _draw_kind(draft: Draft, flavour: Flavour, model: ModelKind) -> str:
    available = [name for name in model.data_kinds if name in parts.available_datasets()]
    if flavour.streams:
        return draft.choose(["stream", "sized_stream"] if draft.get("max_steps") > 0 or draft.free("max_steps") else ["sized_stream"])
    mapped = [name for name in available if DATASETS[name].map_style and DATASETS[name].package is None]
    if draft.on("table") and "table" in available:  # a datasets.Dataset takes longer to build than to train on
        return "table"
    return draft.choose(mapped)


def _draw_seeds_and_sampling(draft: Draft, model: ModelKind, kind: DatasetKind) -> None:
    draft.option("seed", (0, 1, 7, 12345))
    draft.option("data_seed", (0, 1, 42))
    if kind.map_style:
        by_length = ("group_by_length", "batch_rebalance") if model.main_input_name == "input_ids" else ()
        draft.option("train_sampling_strategy", ("sequential", *by_length))


def _draw_rest(draft: Draft, model: ModelKind, kind: DatasetKind) -> None:
    draft.option("include_num_input_tokens_seen", ("all", "non_padding"))
    draft.option("label_smoothing_factor", (0.1, 0.5, 0.9))
    draft.option("label_names", (list(model.label_names),))
    if kind.package is None:  # tables have a column that no model takes
        draft.option("remove_unused_columns", (False,))
    draft.option("torch_empty_cache_steps", (1, 2))
    draft.option("average_tokens_across_devices", (False,))
    draft.option("dataloader_num_workers", (1,))
    if draft.get("dataloader_num_workers"):
        draft.switch_on(("dataloader_prefetch_factor", "dataloader_persistent_workers"), 2)
        draft.option("dataloader_prefetch_factor", (1, 3))
        draft.option("dataloader_persistent_workers", (True,))


def _draw_eval_length(draft: Draft, evaluates: bool, allow_empty: bool) -> int:
    if not evaluates:
        return draft.integer(1, 4) if draft.on("unused_eval_data") else 0
    lowest = 1
    if draft.get("dataloader_drop_last") and not allow_empty:
        if draft.free("per_device_eval_batch_size"):
            draft.set("per_device_eval_batch_size", draft.integer(1, 5))
        lowest = int(draft.get("per_device_eval_batch_size"))
    return draft.integer(lowest, lowest + 8)


def _draw_components(
    draft: Draft, model: ModelKind, kind: DatasetKind, watching: plans.Watching, size: sizes.Size, stopping: bool
) -> Components:
    scored = watching.metric is not None and watching.metric.removeprefix("eval_") == "score"
    smoothed = draft.get("label_smoothing_factor")
    own_loss = model.family == "regression" and not smoothed and draft.on("own_loss")
    return Components(
        collator="padding" if kind.needs_padding else "default",
        loss="compute_loss_func" if own_loss else "model",
        scores=parts.draw_scores(draft, allow_nan=True) if scored or (watching.evaluates and draft.on("scores")) else (),
        poisoned=parts.draw_poisoned(draft, size.micro_batches) if draft.on("poisoned") else (),
        early_stopping=parts.draw_early_stopping(draft) if stopping and watching.evaluates else None,
    )
