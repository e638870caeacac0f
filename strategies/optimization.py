"""How weights are updated: optimizer, learning rate, schedule, warmup, weight decay, clipping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from hypothesis import strategies as st

from trainer_props.strategies.draft import Draft, check_bounds, check_names

OPTIMIZERS: Final = ("adamw_torch_fused", "sgd", "adamw_torch", "adagrad", "rmsprop")
"""The values of `optim` that torch itself serves on a processor; the default comes first."""

SCHEDULES: Final = (
    "linear", "constant", "cosine", "constant_with_warmup", "polynomial", "inverse_sqrt", "cosine_with_restarts", "cosine_with_min_lr",
    "warmup_stable_decay", "cosine_warmup_with_min_lr",
)  # fmt: skip
"""The schedules that are functions of the step; the default comes first."""

ALL: Final = "all"
"""A warmup as long as the run."""
ADAPTIVE_SCHEDULES: Final = ("reduce_lr_on_plateau", "greedy")
"""The schedules that follow evaluations."""

_FLOORED: Final = ("polynomial", "cosine_with_min_lr", "cosine_warmup_with_min_lr")
_OPTIM_ARGS: Final[dict[str, tuple[str, ...]]] = {
    "sgd": ("momentum=0.9", "momentum=0.5, dampening=0.5", "momentum=0.9,nesterov=true"),
    "adagrad": ("lr_decay=0.1", "eps=0.001", "lr_decay=0.5, eps=1e-6"),
    "rmsprop": ("alpha=0.9", "momentum=0.9", "centered=true", "alpha=0.5, eps=1e-4, momentum=0.5"),
}
_FEATURES: Final[dict[str, tuple[Any, ...]]] = {
    "max_grad_norm": (0.0, 0.1, 0.001, 1000.0, 0.5), "weight_decay": (0.1, 0.01, 0.5),
    "warmup_steps": (1, 2, 3, 4, 6, 9, 0.5, 0.1, 0.25, 0.07, 0.3, 0.9),
}  # fmt: skip
_ADAM: Final = {"adam_beta1": (0.8, 0.5, 0.0), "adam_beta2": (0.99, 0.9, 0.5), "adam_epsilon": (1e-6, 1e-3)}


@st.composite
def optimizers(draw: st.DrawFn, *, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Arguments that choose an optimizer of torch with its options, the learning rate, weight decay and clipping.

    Args:
        names: values of `optim` to choose from; default: all of `trainer-props list optimizers`.
    """
    draft = Draft(draw)
    draw_optimizer(draft, check_names("names", names, OPTIMIZERS))
    draft.switch_on({name: options for name, options in features(draft.get("optim")).items() if name != "warmup_steps"}, 5)
    apply_features(draft)
    return draft.arguments


@st.composite
def schedules(draw: st.DrawFn, *, names: Sequence[str] | None = None, max_steps: int = 8, learning_rate: float = 5e-5) -> dict[str, Any]:
    """Arguments that choose a learning-rate schedule with its options and warmup, for a run of `max_steps` updates.

    A schedule that follows evaluations comes only if `names` has it, and then needs an `eval_strategy` beside it.

    Args:
        names: values of `lr_scheduler_type` to choose from; default: those that are functions of the step.
        learning_rate: the initial one, which floors of schedules stay below.
    """
    check_bounds(1, max_steps=max_steps)
    allowed = SCHEDULES if names is None else check_names("names", names, (*SCHEDULES, *ADAPTIVE_SCHEDULES))
    draft = Draft(draw)
    draft.switch_on({"lr_scheduler_type": allowed[1:], "warmup_steps": _FEATURES["warmup_steps"]}, 3)
    draft.set("lr_scheduler_type", allowed[0])
    draw_schedule(draft, learning_rate, max_steps)
    draw_schedule_kwargs(draft, max_steps, learning_rate)
    return draft.arguments


def draw_optimizer(draft: Draft, names: Sequence[str]) -> None:
    """Decide optimizer and learning rate."""
    if draft.free("optim"):
        # SGD shows a wrong constant factor in the gradient, which Adam hides: it comes most often.
        draft.set("optim", draft.choose([*names, *(name for name in names if name == "sgd")]))
    if draft.free("learning_rate"):
        draft.set("learning_rate", draft.choose((5e-5, 0.1, 0.01, 0.3)))


def features(optim: str) -> dict[str, tuple[Any, ...]]:
    """The features of optimization with this optimizer, apart from the schedule."""
    own = {"optim_args": _OPTIM_ARGS[optim]} if optim in _OPTIM_ARGS else _ADAM
    return {**_FEATURES, **own}


def apply_features(draft: Draft) -> None:
    """Set the optimizer's options, weight decay and clipping to what their features say."""
    draft.apply("optim_args", *_ADAM, "weight_decay", "max_grad_norm")


def draw_schedule(draft: Draft, learning_rate: float, updates: int) -> None:
    """Decide the schedule of a run of so many updates, and its warmup. Features: `lr_scheduler_type`, `warmup_steps` (`ALL` among them)."""
    # A floor, or an end, has to lie below the learning rate.
    if draft.free("lr_scheduler_kwargs") and (learning_rate > 1e-6 or draft.option("lr_scheduler_type") not in _FLOORED):
        draft.apply("lr_scheduler_type")
    if draft.option("warmup_steps") == ALL:
        draft.turn_on("warmup_steps", max(1, updates))
    draft.apply("warmup_steps")


def draw_schedule_kwargs(draft: Draft, updates: int, learning_rate: float) -> None:
    """Decide the options of the schedule for a run of so many updates.

    Best drawn last: then they leave an example together with their schedule.
    """
    options = _SCHEDULE_KWARGS.get(draft.get("lr_scheduler_type"))
    if options is not None and draft.free("lr_scheduler_kwargs"):
        draft.set("lr_scheduler_kwargs", options(draft, learning_rate, updates))


def draw_further_schedule_kwargs(draft: Draft) -> None:
    """Decide options that schedules have besides; in training they matter rarely."""
    options = _FURTHER_KWARGS.get(draft.get("lr_scheduler_type"))
    if options is not None and draft.free("lr_scheduler_kwargs"):
        draft.set("lr_scheduler_kwargs", {**(draft.get("lr_scheduler_kwargs") or {}), **_perhaps(draft, **options)} or None)


def _perhaps(draft: Draft, **options: Sequence[Any]) -> dict[str, Any]:
    chosen = {name: draft.choose((None, *values)) for name, values in options.items()}
    return {name: value for name, value in chosen.items() if value is not None}


def _floor(draft: Draft, rate: float) -> dict[str, Any]:
    return draft.choose(({"min_lr_rate": 0.1}, {"min_lr": rate / 8}, {"min_lr_rate": 0.5}, {"min_lr": 0.0}))


def _with_floor(draft: Draft, rate: float, updates: int) -> dict[str, Any]:
    return {**_floor(draft, rate), **_perhaps(draft, num_cycles=(1.0, 0.25))}


def _warmup_with_floor(draft: Draft, rate: float, updates: int) -> dict[str, Any]:
    return {**_floor(draft, rate), **_perhaps(draft, num_cycles=(1.0, 0.25), warmup_lr_rate=(0.5, 0.1))}


def _stable_decay(draft: Draft, rate: float, updates: int) -> dict[str, Any]:
    decay = {"num_decay_steps": draft.integer(1, max(1, updates))}
    shape = _perhaps(draft, decay_type=("linear", "1-sqrt"), warmup_type=("cosine", "1-sqrt"), min_lr_ratio=(0.1, 0.5), num_cycles=(1.5,))
    # Without a number of stable steps the decay ends with the run; with few of them the rest of the run stays at the floor.
    stable = draft.choose((None, 0, 1, 2))
    return {**decay, **shape, **({} if stable is None else {"num_stable_steps": stable})}


def _or_none(kwargs: dict[str, Any]) -> dict[str, Any] | None:
    return kwargs or None


_FURTHER_KWARGS: Final[dict[str, dict[str, Sequence[Any]]]] = {
    "reduce_lr_on_plateau": {
        "threshold": (0.5, 0.25), "threshold_mode": ("abs", "rel"), "cooldown": (2,), "min_lr": (1e-3,), "eps": (1e-2,), "factor": (0.25,),
    },
    "greedy": {
        "threshold": (0.5, 0.25), "threshold_mode": ("abs", "rel"), "cooldown": (1, 2), "warmup": (2,), "eps": (1e-2,), "factor": (0.25,),
        "smooth": (True,), "window_size": (2, 3), "reset_start": (1, 2),
    },
}  # fmt: skip
_SCHEDULE_KWARGS: Final[dict[str, Callable[[Draft, float, int], dict[str, Any] | None]]] = {
    "cosine": lambda draft, rate, updates: _or_none(_perhaps(draft, num_cycles=(1.0, 0.25, 1.5))),
    "cosine_with_restarts": lambda draft, rate, updates: _or_none(_perhaps(draft, num_cycles=(2, 3))),
    "polynomial": lambda draft, rate, updates: _or_none(_perhaps(draft, power=(2.0, 0.5), lr_end=(0.0, rate / 8))),
    "inverse_sqrt": lambda draft, rate, updates: _or_none(_perhaps(draft, timescale=(4, 1, 100))),
    "cosine_with_min_lr": _with_floor,
    "cosine_warmup_with_min_lr": _warmup_with_floor,
    "warmup_stable_decay": _stable_decay,
    "reduce_lr_on_plateau": lambda draft, rate, updates: _or_none(
        _perhaps(draft, factor=(0.5,), patience=(0, 1, 0, 0), mode=(None, "max"), cooldown=(1,))
    ),
    "greedy": lambda draft, rate, updates: {
        "min_lr": rate / 8, "max_lr": rate * 8, **_perhaps(draft, factor=(0.5,), patience=(0, 1, 0, 0), mode=(None, "max"), warmup=(1,)),
    },
}  # fmt: skip
