"""Known bugs of single runs: their length, their schedules, their components."""

from __future__ import annotations

import math

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs._pairs import in_each_run, in_each_run_that_failed
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.oracles import accounting, best_model, schedules, weight_decay
from trainer_props.properties._prediction import predicted_learning_rates
from trainer_props.record import Record
from trainer_props.scenario import Components, Data, Model, Scenario
from trainer_props.zoo import MODELS

_DOCS = "https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments"


def _failed(kind: str, *words: str) -> object:
    def symptom(judgement: Violated, record: Record, scenario: Scenario) -> bool:
        return record.failure is not None and record.failure.kind == kind and all(word in record.failure.message for word in words)

    return symptom


def _one_update(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """One update is made; where an interval is a ratio, it is one of no updates, and that update divides by it."""
    if judgement.quantity == "the run":
        intervals = [scenario.argument(name) for name in ("logging_steps", "eval_steps", "save_steps")]
        is_ratio = any(value is not None and 0 < value < 1 for value in intervals)
        return is_ratio and record.failure is not None and record.failure.kind == "ZeroDivisionError"
    return record.global_step == 1 and len(record.updates) == 1


def _warmup_is_all(scenario: Scenario) -> bool:
    total = accounting.total_updates(scenario)
    return scenario.argument("lr_scheduler_type") == "polynomial" and schedules.warmup_steps(scenario, total) == total


def _in_floats(value: float, total: int) -> int:
    return math.ceil(total * value) if value < 1 else int(value)


def _ratio_is_inexact(scenario: Scenario) -> bool:
    """Some ratio of updates, or of epochs, comes out one too large in binary floating point."""
    total = accounting.total_updates(scenario)
    ratios = [scenario.argument(name) for name in ("logging_steps", "eval_steps", "save_steps", "warmup_steps")]
    if any(value is not None and 0 < value < 1 and _in_floats(value, total) != accounting.resolve_steps(value, total) for value in ratios):
        return True
    return _epochs_are_inexact(scenario)


def _epochs_are_inexact(scenario: Scenario) -> bool:
    per_epoch = accounting.updates_per_epoch(scenario)
    in_floats = math.ceil(scenario.argument("num_train_epochs") * per_epoch)
    return bool(scenario.argument("max_steps") < 0 and in_floats != accounting.total_updates(scenario))


def _rounded_in_floats(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """What the run did is what the same formulas give in floating point: its length, its intervals, or its learning rates."""
    per_epoch = accounting.updates_per_epoch(scenario)
    by_epochs = math.ceil(scenario.argument("num_train_epochs") * per_epoch)
    total = by_epochs if scenario.argument("max_steps") < 0 else int(scenario.argument("max_steps"))
    if record.state["max_steps"] != total or (judgement.quantity == "global_step" and record.global_step != total):
        return False
    if judgement.quantity.startswith("learning rate"):
        return _rates_in_floats(record, scenario, total)
    ratios = [(name, scenario.argument(name)) for name in ("logging_steps", "eval_steps", "save_steps")]
    return all(record.state[name] == _in_floats(value, total) for name, value in ratios if value is not None and 0 < value < 1)


def _rates_in_floats(record: Record, scenario: Scenario, total: int) -> bool:
    name, peak = str(scenario.argument("lr_scheduler_type")), float(scenario.argument("learning_rate"))
    if name not in schedules.CLOSED_FORMS:
        return False
    warmup, kwargs = _in_floats(scenario.argument("warmup_steps"), total), scenario.argument("lr_scheduler_kwargs") or {}
    predicted = [peak * schedules.factor(name, step, total, warmup, kwargs, peak) for step in range(len(record.updates))]
    observed = [update.learning_rates[0] for update in record.updates]
    return all(math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-15) for left, right in zip(predicted, observed, strict=True))


def _divides_by_zero_at_the_end(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    if record.failure is None or record.failure.kind != "ZeroDivisionError":
        return False
    begun = record.events[0].step if record.events else 0
    done = len(record.results["rates"]) if "rates" in record.results else begun + len(record.updates)
    return done >= accounting.total_updates(scenario) - 1


known_bug(
    KnownBug(
        id="ratio-in-floating-point",
        verdict="bug",
        sentence=(
            "Ratios of steps and epochs are multiplied in binary floating point before rounding up: 0.07 of 100 updates are 8, and 2.2 "
            "epochs of 25 updates are 56."
        ),
        link=f"{_DOCS}.warmup_steps",
        versions=">=4.46",
        properties=(
            "steps.global_step_counts_updates",
            "steps.state_resolves_ratios",
            "steps.no_event_beyond_the_last_update",
            "steps.state_knows_max_steps",
            "optimization.learning_rates_follow_schedule",
            "optimization.warmup_rises_to_learning_rate",
            "devices.global_step_counts_with_devices",
        ),
        region=_ratio_is_inexact,
        symptom=in_each_run(_rounded_in_floats),
        example=Case(scenario=Scenario(arguments={"num_train_epochs": 2.2, "per_device_train_batch_size": 1}, data=Data(n=25))),
    )
)

known_bug(
    KnownBug(
        id="max-steps-zero-trains",
        verdict="bug",
        sentence="max_steps=0 is accepted and trains one update (num_train_epochs=0 trains none).",
        link=f"{_DOCS}.max_steps",
        versions=">=4.46",
        properties=(
            "steps.global_step_counts_updates",
            "steps.no_event_beyond_the_last_update",
            "steps.no_update_no_work",
            "steps.run_finishes",
        ),
        region=lambda scenario: scenario.argument("max_steps") == 0 and accounting.batches_per_epoch(scenario) > 0,
        symptom=_one_update,
        example=Case(scenario=Scenario(arguments={"max_steps": 0}, data=Data(n=1))),
    )
)

known_bug(
    KnownBug(
        id="polynomial-all-warmup",
        verdict="bug",
        sentence=(
            "lr_scheduler_type='polynomial' with a warmup as long as the run divides by zero at the last update; every other schedule "
            "guards it."
        ),
        link=f"{_DOCS}.warmup_steps",
        versions=">=4.46",
        properties=(
            "steps.run_finishes",
            "optimization.warmup_of_any_length_finishes",
            "schedules.stepping_raises_nothing",
            # one of two runs may be stopped before its last update
            "devices.every_rank_comes_to_its_end",
            "find_batch_size.a_size_that_fits_is_found",
            "observe.finishes_however_observed",
            "regroup.both_groupings_finish",
            "resume.a_resumed_run_comes_to_its_end",
            "resume_in_processes.resumed_ranks_come_to_their_end",
        ),
        region=_warmup_is_all,
        symptom=in_each_run_that_failed(_divides_by_zero_at_the_end),
        example=Case(
            experiment="train_with_optimizers",
            scenario=Scenario(arguments={"lr_scheduler_type": "polynomial", "max_steps": 1, "warmup_steps": 1}, data=Data(n=1)),
        ),
    )
)

known_bug(
    KnownBug(
        id="empty-epoch-unnamed",
        verdict="bug",
        sentence="Data too small for one batch under dataloader_drop_last are refused for having no length, though they have one.",
        link=f"{_DOCS}.dataloader_drop_last",
        versions=">=4.46",
        properties=("steps.data_without_a_batch_are_refused",),
        region=lambda scenario: accounting.batches_per_epoch(scenario) == 0 and scenario.argument("max_steps") <= 0,
        symptom=_failed("ValueError", "does not have a length"),  # type: ignore[arg-type]
        example=Case(scenario=Scenario(arguments={"dataloader_drop_last": True}, data=Data(n=1))),
    )
)

known_bug(
    KnownBug(
        id="label-smoothing-needs-config",
        verdict="bug",
        sentence="label_smoothing_factor with a plain torch.nn.Module, which Trainer accepts, fails for want of model.config.",
        link=f"{_DOCS}.label_smoothing_factor",
        versions=">=4.46",
        properties=("steps.run_finishes",),
        region=lambda scenario: scenario.argument("label_smoothing_factor") != 0 and not MODELS[scenario.model.name].pretrained,
        symptom=_failed("AttributeError", "config"),  # type: ignore[arg-type]
        example=Case(
            experiment="train_on_tokens",
            scenario=Scenario(arguments={"label_smoothing_factor": 0.1}, data=Data(kind="tokens", n=1), model=Model(name="lstm")),
        ),
    )
)


def _rising_metric(scenario: Scenario) -> bool:
    kwargs = scenario.argument("lr_scheduler_kwargs") or {}
    return (
        scenario.argument("lr_scheduler_type") == "reduce_lr_on_plateau" and best_model.greater_is_better(scenario) and "mode" not in kwargs
    )


def _as_if_falling(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """The learning rates are those of a schedule that takes a lower metric for a better one."""
    predicted = predicted_learning_rates(record, scenario)
    observed = [update.learning_rates[0] for update in record.updates]
    return predicted is not None and all(math.isclose(left, right, rel_tol=1e-9) for left, right in zip(predicted, observed, strict=False))


known_bug(
    KnownBug(
        id="plateau-ignores-direction",
        verdict="trap",
        sentence=(
            "lr_scheduler_type='reduce_lr_on_plateau' ignores greater_is_better: unless lr_scheduler_kwargs name a mode, a metric that "
            "improves by rising lowers the learning rate."
        ),
        link=f"{_DOCS}.lr_scheduler_type",
        versions=">=4.46",
        properties=("optimization.improvement_never_lowers_learning_rate",),
        region=_rising_metric,
        symptom=_as_if_falling,
        example=Case(
            experiment="train_with_optimizers",
            scenario=Scenario(
                arguments={
                    "per_device_train_batch_size": 1,
                    "max_steps": 3,
                    "eval_strategy": "steps",
                    "eval_steps": 1,
                    "lr_scheduler_type": "reduce_lr_on_plateau",
                    "lr_scheduler_kwargs": {"patience": 0},
                    "metric_for_best_model": "score",
                },
                data=Data(n=3, n_eval=1),
                components=Components(scores=(0.0, 1.0)),
            ),
        ),
    )
)


def _norm_is_decayed(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """The weights of torch's RMSNorm, and no other parameters, are decayed against the rule."""
    coefficient = float(scenario.argument("weight_decay"))
    wrong = [
        each.layer
        for each in record.parameters
        if each.trainable and each.weight_decay != (coefficient if weight_decay.is_decayed(each.name, each.layer) else 0.0)
    ]
    return bool(wrong) and set(wrong) == {"RMSNorm"} and coefficient > 0


known_bug(
    KnownBug(
        id="rms-norm-is-decayed",
        verdict="bug",
        sentence="Weight decay reaches the weights of a torch.nn.RMSNorm unless the name of its attribute says that it is a norm.",
        link="https://github.com/huggingface/transformers/pull/35927",
        versions=">=4.46",
        properties=("optimization.decay_groups", "optimization.weights_match_reference"),
        region=lambda scenario: MODELS[scenario.model.name].has_rms_norm and scenario.argument("weight_decay") != 0,
        symptom=_norm_is_decayed,
        example=Case(
            experiment="train_with_optimizers",
            scenario=Scenario(
                arguments={"per_device_train_batch_size": 1, "max_steps": 1, "weight_decay": 0.1},
                data=Data(n=1),
                model=Model(name="regression_rms_norm"),
            ),
        ),
    )
)
