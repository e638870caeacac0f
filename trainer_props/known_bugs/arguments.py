"""Known bugs of TrainingArguments: what they accept, how they refuse, and where setters and copies go their own way."""

from __future__ import annotations

from typing import Any, Final

from trainer_props.arguments import DEFAULTS
from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, Symptom, known_bug
from trainer_props.oracles import fitting
from trainer_props.properties import sources
from trainer_props.record import Record
from trainer_props.scenario import Scenario

_REFUSED: Final = ("arguments.bad_values_are_refused",)

_UNCHECKED_NUMBERS: Final = frozenset({
    "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps", "eval_accumulation_steps",
    "save_total_limit",
    "ddp_bucket_cap_mb", "dataloader_num_workers", "ddp_timeout", "dataloader_prefetch_factor", "learning_rate", "num_train_epochs",
    "weight_decay",
    "max_grad_norm", "adam_epsilon", "adam_beta1", "adam_beta2", "label_smoothing_factor", "eval_delay", "seed", "max_steps",
})  # fmt: skip
_HALF_CHECKED: Final = {"warmup_steps": (1.5, "nan"), "logging_steps": (-1,), "eval_steps": (-1,), "save_steps": (-1,)}
_COMPARED: Final = frozenset({"warmup_steps", "logging_steps", "eval_steps", "save_steps"})
_CONVERTED: Final = {
    "eval_strategy": "IntervalStrategy", "logging_strategy": "IntervalStrategy", "save_strategy": "SaveStrategy",
    "hub_strategy": "HubStrategy",
    "lr_scheduler_type": "SchedulerType", "optim": "OptimizerNames", "debug": "DebugOption",
}
_UNCHECKED_NAMES: Final = frozenset({
    "include_num_input_tokens_seen", "train_sampling_strategy", "log_level", "log_level_replica", "dataloader_multiprocessing_context",
    "include_for_metrics",
})  # fmt: skip
_SETTER_DEFAULTS: Final = {
    "set_evaluate: eval_delay": None, "set_logging: logging_nan_inf_filter": False, "set_logging: log_on_each_node": False,
}


_ALIASES: Final = frozenset({"gradient_checkpointing", "activation_checkpointing"})


def _anywhere(scenario: Scenario) -> bool:
    """The bad value alone decides: it is no part of the scenario, so the symptom reads it from the record."""
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number_accepted(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    name, value = record.results["bad"]["field"], record.results["bad"]["value"]
    if judgement.symptom != "accepted" or not _is_number(value):
        return False
    return name in _UNCHECKED_NUMBERS or value in _HALF_CHECKED.get(name, ()) or (str(value) in _HALF_CHECKED.get(name, ()))


def _type_accepted(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    name, value = record.results["bad"]["field"], record.results["bad"]["value"]
    return judgement.symptom == "accepted" and name in _UNCHECKED_NUMBERS and (value is None or isinstance(value, str))


def _comparison_failed(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    bad = record.results["bad"]
    if judgement.symptom != "argument not named" or bad["field"] not in _COMPARED:
        return False
    return "not supported between instances of" in bad["error"]["message"]


def _enumeration_failed(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    bad = record.results["bad"]
    if judgement.symptom != "argument not named" or bad["field"] not in _CONVERTED:
        return False
    return f"is not a valid {_CONVERTED[bad['field']]}" in bad["error"]["message"]


def _name_accepted(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    return judgement.symptom == "accepted" and record.results["bad"]["field"] in _UNCHECKED_NAMES


def _has_a_default_that_setters_change(scenario: Scenario) -> bool:
    changed = ("eval_delay", "logging_nan_inf_filter", "log_on_each_node")
    return any(scenario.argument(name) == DEFAULTS[name] for name in changed)


def _setter_defaults(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    return all(key in _SETTER_DEFAULTS and value is _SETTER_DEFAULTS[key] for key, value in judgement.observed.items())


def _replaces_alias(scenario: Scenario) -> bool:
    names = ("gradient_checkpointing", "gradient_checkpointing_kwargs")
    return any(scenario.argument(name) for name in names)


def _alias_lost(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    if judgement.symptom != "different" or not set(judgement.observed) <= _ALIASES:
        return False
    return not any(judgement.observed.values())


def _refusal(name: str, verdict: str, sentence: str, link: str, symptom: Symptom, field: str, value: Any) -> None:
    example = Case(experiment="build_arguments", parameters={"field": field, "value": value})
    known_bug(KnownBug(name, verdict, sentence, link, "<=5.23.0", _REFUSED, _anywhere, symptom, example))


_refusal(
    "arguments-unchecked-numbers", "bug",
    "Most numbers are not checked: batch sizes of 0, negative accumulation, learning rates, decays and seeds, and NaN are accepted, "
    "and fail, or train, much later.",
    sources.pull_request(32020), _number_accepted, "gradient_accumulation_steps", 0,
)  # fmt: skip
_refusal(
    "arguments-unchecked-types", "limit",
    "Types are not checked: a text where a number is wanted, such as the 1e-3 of a YAML file, or None, is kept and fails much later.",
    "https://github.com/huggingface/trl/pull/1450", _type_accepted, "learning_rate", "1e-3",
)  # fmt: skip
_refusal(
    "arguments-compared-before-checked", "bug",
    "A text or None for warmup_steps, logging_steps, eval_steps or save_steps fails in a comparison that does not name the argument.",
    sources.docs("TrainingArguments.logging_steps"), _comparison_failed, "logging_steps", "10",
)  # fmt: skip
_refusal(
    "arguments-enumeration-without-name", "bug",
    "An unknown option of an enumeration is refused by a message that names the class of the enumeration, and not the argument.",
    sources.docs("TrainingArguments.eval_strategy"), _enumeration_failed, "eval_strategy", "sometimes",
)  # fmt: skip
_refusal(
    "arguments-unchecked-options", "bug",
    "Arguments whose options are texts and no enumeration accept any text: only the command line looks at the options.",
    sources.docs("TrainingArguments.train_sampling_strategy"), _name_accepted, "train_sampling_strategy", "shuffled",
)  # fmt: skip

known_bug(
    KnownBug(
        "arguments-setter-defaults", "bug",
        "Setters differ from their documentation where they are silent: set_evaluate makes eval_delay None, with which "
        "a plan of evaluations crashes, and set_logging switches off logging_nan_inf_filter and log_on_each_node.",
        sources.docs("TrainingArguments.set_evaluate"), "<=5.23.0", ("arguments.silent_setters_keep_their_documented_defaults",),
        _has_a_default_that_setters_change,
        _setter_defaults, Case(experiment="build_arguments"),
    )
)  # fmt: skip
known_bug(
    KnownBug(
        "arguments-alias-lost-on-replace", "trap",
        "dataclasses.replace(args, gradient_checkpointing=True) changes nothing: the new name, already resolved to False, wins over "
        "its deprecated alias.",
        sources.docs("TrainingArguments.gradient_checkpointing"), ">=5.20,<=5.23.0", ("arguments.replacing_values_is_building_with_them",),
        _replaces_alias, _alias_lost, Case(experiment="build_arguments", scenario=Scenario(arguments={"gradient_checkpointing": True})),
    )
)  # fmt: skip


def _remainder_in_floats(scenario: Scenario) -> bool:
    """Whether dividing leaves something in floating point, of the ratios and of the ratios times a million."""
    several, step = fitting.intervals(scenario)
    million = 1_000_000
    return several % step != 0 and (several * million) % (step * million) != 0


def _multiple_with_a_remainder(scenario: Scenario) -> bool:
    several, step = fitting.intervals(scenario)
    return several < 1 and fitting.is_multiple(several, step) and _remainder_in_floats(scenario)


def _mixed_without_a_remainder(scenario: Scenario) -> bool:
    several, step = fitting.intervals(scenario)
    return fitting.mixed(several, step) and several % step == 0


known_bug(
    KnownBug(
        "ratio-multiples-in-floating-point", "bug",
        "Whether save_steps is a multiple of eval_steps is asked of ratios in floating point, times a million: 0.0159 is refused as no "
        "multiple of 0.0053.",
        sources.docs("TrainingArguments.load_best_model_at_end"), "<=5.23.0", ("arguments.plans_that_fit_are_accepted",),
        _multiple_with_a_remainder, lambda judgement, record, scenario: "which is not a multiple of" in str(judgement.observed),
        Case(
            experiment="build_arguments",
            scenario=Scenario(
                arguments={
                    "load_best_model_at_end": True, "eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 0.0053,
                    "save_steps": 0.0159,
                }
            ),
            parameters={"plan": True},
        ),
    )
)  # fmt: skip
known_bug(
    KnownBug(
        "mixed-intervals-accepted", "bug",
        "Saving by a number of steps and evaluating by a ratio is refused with load_best_model_at_end, since nobody knows whether they "
        "meet, but accepted where the number is a multiple of the ratio: every 10 updates and every half of the run.",
        sources.docs("TrainingArguments.load_best_model_at_end"), "<=5.23.0", ("arguments.plans_that_do_not_fit_are_refused",),
        _mixed_without_a_remainder, lambda judgement, record, scenario: judgement.symptom == "accepted",
        Case(
            experiment="build_arguments",
            scenario=Scenario(
                arguments={
                    "load_best_model_at_end": True, "eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 0.5, "save_steps": 10,
                }
            ),
            parameters={"plan": True},
        ),
    )
)  # fmt: skip
