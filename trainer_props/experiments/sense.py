"""Whether a case is one that can be asked about: what is drawn is, what is made of it by hand need not be."""

from __future__ import annotations

from typing import Final

from trainer_props.case import Case
from trainer_props.experiments.registry import EXPERIMENTS
from trainer_props.oracles import accounting
from trainer_props.scenario import Scenario
from trainer_props.zoo.kinds import DATASETS, MODELS

_LEAST: Final = {"min_lr", "min_lr_rate"}
_NEEDED: Final = {
    "warmup_stable_decay": {"num_decay_steps"}, "cosine_with_min_lr": _LEAST, "cosine_warmup_with_min_lr": _LEAST,
}  # fmt: skip
"""Schedules that need one of some options."""
_SIZES: Final = ("per_device_train_batch_size", "per_device_eval_batch_size")


def makes_sense(case: Case) -> bool:
    """Whether the settings of a case go together: model, data and collator; metrics and what computes them; batches and who shares them;
    and what its experiment asks with its arguments.
    """
    experiment = EXPERIMENTS[case.experiment]
    return (not experiment.models or _fits(case.scenario)) and experiment.sensible(case)


def _fits(scenario: Scenario) -> bool:
    return _model_fits(scenario) and _evaluation_fits(scenario) and _schedule_fits(scenario) and _batches_fit(scenario)


def _model_fits(scenario: Scenario) -> bool:
    model, data = MODELS[scenario.model.name], DATASETS[scenario.data.kind]
    if model.family not in data.families or (data.needs_padding and scenario.components.collator == "default"):
        return False
    labels = scenario.argument("label_names")
    if labels is not None and set(labels) != set(model.label_names):
        return False
    return model.classifies or not scenario.argument("label_smoothing_factor")


def _evaluation_fits(scenario: Scenario) -> bool:
    components, named = scenario.components, scenario.argument("metric_for_best_model")
    if components.early_stopping is not None and (named is None or scenario.argument("eval_strategy") == "no"):
        return False
    if named is not None and named.removeprefix("eval_") == "score" and not components.scores:
        return False
    return bool(scenario.data.n_eval) or not scenario.argument("eval_on_start")


def _schedule_fits(scenario: Scenario) -> bool:
    """Whether it is given the options without which it can't be made."""
    needed = _NEEDED.get(str(scenario.argument("lr_scheduler_type")))
    return needed is None or bool(needed & set(scenario.argument("lr_scheduler_kwargs") or {}))


def _batches_fit(scenario: Scenario) -> bool:
    """Whether processes can share batches, where they do; and all have as many full ones where nothing makes up for what is missing."""
    count, data = scenario.devices.count, scenario.data
    if count == 1:
        return True
    sizes = [(int(scenario.argument(name)), rows) for name, rows in zip(_SIZES, (data.n, data.n_eval), strict=True) if rows]
    if accounting.loader_option(scenario, "split_batches"):
        return all(size % count == 0 for size, _ in sizes)
    alone = scenario.devices.kind == "fake"  # who plays one rank waits for no other
    return alone or bool(accounting.loader_option(scenario, "even_batches")) or all(rows % (size * count) == 0 for size, rows in sizes)
