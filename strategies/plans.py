"""When a run logs, evaluates and saves, and what it takes for its best model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from hypothesis import strategies as st

from trainer_props.strategies.draft import Draft, check_bounds

RATIOS: Final = (0.5, 0.25, 0.1, 0.3, 0.28, 0.56, 0.07, 0.9)
LOGGING_FEATURES: Final = {"logging_first_step": (True,), "logging_nan_inf_filter": (False,)}
EVALUATION_FEATURES: Final[dict[str, tuple[Any, ...]]] = {
    "scores": (True,), "metric_for_best_model": (True,), "greater_is_better": (False, True),
    "eval_delay": (1, 2, 0.5, 3), "eval_accumulation_steps": (1, 2), "batch_eval_metrics": (True,), "eval_do_concat_batches": (False,),
    "include_for_metrics": (["loss"], ["inputs"], ["inputs", "loss"]), "prediction_loss_only": (True,), "eval_on_start": (True,),
}  # fmt: skip
"""The features of evaluation; `metric_for_best_model` stands for any metric, `scores` for a `compute_metrics`."""
SAVING: Final = ("epoch", "steps", "best")
_INTERVALS: Final = ("epoch", "steps")


@dataclass(frozen=True)
class Watching:
    """What evaluations are for.

    Attributes:
        evaluates: there are evaluations.
        metric: the metric that the run goes by (`metric_for_best_model`), or None.
    """

    evaluates: bool
    metric: str | None


@st.composite
def logging_plans(draw: st.DrawFn, *, max_steps: int = 8) -> dict[str, Any]:
    """Arguments that say when a run of `max_steps` updates logs: by steps, a ratio of the run, epochs, or not at all."""
    check_bounds(1, max_steps=max_steps)
    draft = Draft(draw)
    draft.switch_on(LOGGING_FEATURES, 2)
    draw_logging(draft, max_steps)
    return draft.arguments


@st.composite
def evaluation_plans(draw: st.DrawFn, *, max_steps: int = 8) -> dict[str, Any]:
    """Arguments that say when and how a run of `max_steps` updates evaluates; `eval_strategy` is `no` in the simplest."""
    check_bounds(1, max_steps=max_steps)
    draft = Draft(draw)
    watching = draw_watching(draft, max_steps)
    draw_evaluation(draft, watching)
    return draft.arguments


@st.composite
def saving_plans(draw: st.DrawFn, *, max_steps: int = 8) -> dict[str, Any]:
    """Arguments that say when a run of `max_steps` updates saves, how many checkpoints stay, and whether the best is loaded.

    The evaluations that this needs come with them.
    """
    check_bounds(1, max_steps=max_steps)
    draft = Draft(draw)
    draw_watching(draft, max_steps, saving=SAVING)
    return draft.arguments


def draw_logging(draft: Draft, updates: int) -> None:
    """Decide when the run logs. Features: `LOGGING_FEATURES`, `long` (`round`: intervals are ratios)."""
    # A run of a round number of updates is about ratios.
    about_ratios = draft.option("long") == "round"
    kinds = ("default", "ratio", "epoch", "ratio", "ratio") if about_ratios else ("default", "no", "epoch", "steps", "ratio")
    kind = draft.choose(kinds) if draft.free("logging_strategy") else "steps"
    if kind in ("epoch", "no"):
        draft.set("logging_strategy", kind)
    elif kind != "default" and draft.free("logging_steps"):
        draft.set("logging_steps", _interval(draft, kind, updates))
    draft.apply("logging_first_step", "logging_nan_inf_filter")


def draw_watching(
    draft: Draft, updates: int, *, saving: Sequence[str] = (), metrics: bool = True, needed: bool = False, close: bool = False
) -> Watching:
    """Decide when the run evaluates and saves, and the metric that it goes by.

    Args:
        saving: values of `save_strategy` to choose from; none: no checkpoints, unless an argument that is held asks for them.
        metrics: there may be a metric `score` beside the loss.
        needed: something else needs evaluations.
        close: the run evaluates after every update and goes by a score, as far as that is free: what is best changes, patience ends.
    """
    held = draft.held
    _draw_saving(draft, saving)
    save = draft.get("save_strategy")
    best = bool(draft.get("load_best_model_at_end"))
    adaptive = draft.get("lr_scheduler_type") in ("reduce_lr_on_plateau", "greedy")
    if "eval_strategy" not in held:
        if best and save != "best":
            draft.set("eval_strategy", save)
        else:
            required = save == "best" or adaptive or needed or close
            # The same number of options in each case, so that shrinking the cause leaves the rest as it is.
            options = ("steps",) * 3 if close else ("epoch", "steps", "steps") if required else ("no", *_INTERVALS)
            draft.set("eval_strategy", draft.choose(options))
    _draw_steps(draft, updates, tied=best and save == "steps", close=close)
    evaluates = draft.get("eval_strategy") != "no"
    if evaluates:
        draft.switch_on(EVALUATION_FEATURES, 5)
    named = draft.on("metric_for_best_model") or held.get("metric_for_best_model") is not None
    goes_by = best or save == "best" or adaptive or needed or close or named
    if save == "best" and not evaluates:
        draft.set("metric_for_best_model", "loss")
    if not (evaluates and goes_by):
        return Watching(evaluates, None)
    return Watching(evaluates, _draw_metric(draft, metrics, required=save == "best" or needed, close=close))


def _draw_saving(draft: Draft, saving: Sequence[str]) -> None:
    held = draft.held
    if draft.free("save_strategy"):
        options = _save_options(held, saving)
        if options:
            draft.set("save_strategy", draft.choose(options))
    save = draft.get("save_strategy")
    if save != "no":
        if draft.free("load_best_model_at_end") and _can_load_best(save, held.get("eval_strategy")):
            draft.set("load_best_model_at_end", draft.choose((False, True, True, True)))
        if draft.free("save_total_limit"):
            draft.set("save_total_limit", draft.choose((None, 1, 2, 3, 1, 2)))
        draft.apply("save_only_model")


def draw_evaluation(draft: Draft, watching: Watching, *, least_rows: int = 1) -> None:
    """Decide how the run evaluates; the plan (`draw_watching`) comes first, and switches on the features it needs.

    Args:
        least_rows: no evaluation batch is smaller.
    """
    draft.apply("eval_on_start", "eval_delay", "eval_accumulation_steps", "eval_do_concat_batches")
    if watching.evaluates:
        # Evaluation data are short: with the default of 8 they would be a single batch.
        size = draft.choose((None, *range(least_rows, 5)))
        if size is not None:
            draft.set("per_device_eval_batch_size", size)
    draft.apply("include_for_metrics", "batch_eval_metrics")
    if watching.metric in (None, "loss", "eval_loss"):
        draft.apply("prediction_loss_only")


def _save_options(held: Mapping[str, Any], saving: Sequence[str]) -> Sequence[str]:
    """The saving strategies that can stand beside what is held."""
    evaluation, best = held.get("eval_strategy"), held.get("load_best_model_at_end")
    wanted = [each for each in (saving or SAVING if best else saving) if not (best and each == "no")]
    if best and evaluation == "no":
        return ("no",)
    if best and evaluation is not None:
        return [each for each in wanted if each in ("best", evaluation)]
    return [each for each in wanted if each != "best" or evaluation != "no"]


def _can_load_best(save: str, evaluation: str | None) -> bool:
    return evaluation != "no" and (save == "best" or evaluation in (None, save))


def _draw_metric(draft: Draft, metrics: bool, *, required: bool, close: bool) -> str | None:
    if draft.free("metric_for_best_model"):
        if metrics:
            # None stands for the loss, but not with save_strategy="best".
            named = ("loss", "score", "eval_score", "eval_loss") if required else (None, "score", "loss", "eval_score", "eval_loss")
            draft.set("metric_for_best_model", draft.choose(("score", "eval_score") if close else named))
        elif required:
            draft.set("metric_for_best_model", "loss")
    draft.apply("greater_is_better")
    metric = draft.get("metric_for_best_model")
    return "loss" if metric is None else str(metric)


def _draw_steps(draft: Draft, updates: int, *, tied: bool, close: bool) -> None:
    """Decide `eval_steps` and `save_steps`; if they are tied, the latter is a multiple of the former. `close`: evaluate at each."""
    if draft.get("eval_strategy") == "steps" and draft.free("eval_steps"):
        if tied and not draft.free("save_steps"):
            draft.set("eval_steps", _divisor(draft, draft.held["save_steps"]))
        else:
            kind = draft.choose(("each",) * 5 if close else ("default", "steps", "ratio", "steps", "steps"))
            if kind == "each":
                draft.set("eval_steps", 1)
            elif kind != "default" or draft.get("logging_steps") == 0:
                draft.set("eval_steps", _interval(draft, kind, updates))
    if draft.get("save_strategy") == "steps" and draft.free("save_steps"):
        if tied:
            step = draft.get("eval_steps") or draft.get("logging_steps")
            if step != draft.get("save_steps"):
                multiple = draft.choose(_multiples(step))
                draft.set("save_steps", multiple)
        else:
            kind = draft.choose(("default", "steps", "ratio", "steps", "steps"))
            if kind != "default":
                draft.set("save_steps", _interval(draft, kind, updates))


def _interval(draft: Draft, kind: str, updates: int) -> float:
    if kind == "ratio":
        # A ratio that makes whole updates is where rounding shows: those come up more.
        whole = [each for each in RATIOS if updates and (Fraction(str(each)) * updates).denominator == 1]
        return draft.choose((*RATIOS, *whole, *whole))
    # What is due several times in a run says more than what is due once: small intervals come up most.
    return draft.choose((1, 2, 3, max(1, updates // 2), max(1, updates - 1), updates + 1))


def _multiples(step: float) -> list[float]:
    """The step and multiples of it that TrainingArguments takes for such (it multiplies ratios by a million before it divides)."""
    if step >= 1:
        return [step, 2 * step, step, 3 * step]
    several = (round(times * step, 9) for times in (1, 2, 3))
    return [each for each in several if each < 1 and (each * 1_000_000) % (step * 1_000_000) == 0]


def _divisor(draft: Draft, step: float) -> float:
    if step < 1:
        return step
    return draft.choose([each for each in range(1, min(int(step), 8) + 1) if int(step) % each == 0])
