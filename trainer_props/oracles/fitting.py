"""Which arguments fit together.

Source: the docstring of TrainingArguments (`load_best_model_at_end`): `save_strategy` has to be the same as `eval_strategy`, and if it is
`steps`, `save_steps` has to be a round multiple of `eval_steps`, whose default is `logging_steps`. Of a ratio and a number of steps nobody
knows whether one is a multiple of the other before the run has a length.
"""

from __future__ import annotations

from trainer_props.oracles.accounting import exact
from trainer_props.scenario import Scenario


def loads_best_model(scenario: Scenario) -> bool | None:
    """Whether evaluations, saves and loading the best model fit together; None where nothing is said about it."""
    if not scenario.argument("load_best_model_at_end"):
        return True
    evaluate, save = scenario.argument("eval_strategy"), scenario.argument("save_strategy")
    if save == "best" or evaluate == save == "no":
        return None
    return bool(evaluate == save and (save != "steps" or is_multiple(*intervals(scenario))))


def intervals(scenario: Scenario) -> tuple[float, float]:
    """`save_steps` and `eval_steps`, or what stands in for the latter."""
    return scenario.argument("save_steps"), scenario.argument("eval_steps") or scenario.argument("logging_steps")


def mixed(several: float, step: float) -> bool:
    """Whether one of them is a ratio, and the other a number of steps."""
    return (several < 1) != (step < 1)


def is_multiple(several: float, step: float) -> bool:
    """Whether one is a round multiple of the other, in the decimals as they are written."""
    return not mixed(several, step) and (exact(several) / exact(step)).denominator == 1
