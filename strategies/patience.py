"""Runs that spend their patience: early stopping, and a score that stops improving."""

from __future__ import annotations

from typing import Final

from trainer_props.scenario import Scenario
from trainer_props.strategies import parts
from trainer_props.strategies.draft import Draft

_PLAN: Final = (
    "eval_strategy", "eval_steps", "eval_delay", "eval_on_start", "prediction_loss_only", "label_names", "metric_for_best_model",
    "greater_is_better", "save_strategy", "save_steps", "max_steps", "num_train_epochs",
)  # fmt: skip
"""Arguments that are decided anew."""
_PATIENCE: Final = (1, 2, 2, 3)
_THRESHOLDS: Final = (0.0, 0.25, 0.5)
"""Exact in binary, as all scores here are: what improves by exactly a threshold does so without rounding."""
_SLOWLY: Final = (0.0, 1.0, 0.5)
"""By which part of the threshold the score improves in an evaluation that spends patience; 0: it gets worse."""
_APART: Final = 4
"""Between the best scores of two waves: more than all steps of one together."""
_ALL_BUT_SPENT: Final = 2
"""Most times that patience is all but spent before the score improves."""


def can_spend(draft: Draft) -> bool:
    """Whether all arguments that this decides are free."""
    return draft.free(*_PLAN)


def spend_patience(draft: Draft, scenario: Scenario) -> Scenario:
    """The scenario, evaluated after every update, with a score that lets its patience be all but spent once or twice, and then spent.

    Where there is a threshold, each of the evaluations between may improve by less than that, or by exactly as much.
    """
    patience, threshold = draft.choose(_PATIENCE), draft.choose(_THRESHOLDS)
    scores = _course(draft, patience, threshold)
    updates = draft.integer(1 + len(scores), 3 + len(scores))
    plan = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1}
    plan |= {"metric_for_best_model": "score", "max_steps": updates}
    if draft.choose((False, False, False, True)):
        plan["greater_is_better"] = False
        scores = tuple(-score for score in scores)
    least = int(scenario.argument("per_device_eval_batch_size")) if scenario.argument("dataloader_drop_last") else 1
    return scenario.replace(  # type: ignore[no-any-return]
        arguments={**scenario.without_arguments(*_PLAN).arguments, **plan},
        data=scenario.data.replace(n_eval=max(least, scenario.data.n_eval)),
        components=scenario.components.replace(scores=scores, early_stopping=parts.early_stopping((patience, threshold))),
    )


def _course(draft: Draft, patience: int, threshold: float) -> tuple[float, ...]:
    """Waves, each of which begins with a new best score, and goes on with scores that do not improve on the best one by enough."""
    scores: list[float] = []
    number = draft.integer(1, _ALL_BUT_SPENT)
    for wave in range(number):
        best = float(_APART * wave)
        scores.append(best)
        for _ in range(patience if wave == number - 1 else patience - 1):
            step = threshold * draft.choose(_SLOWLY) if threshold else 0.0
            best += step
            scores.append(best if step else best - 1.0)
    return tuple(scores)
