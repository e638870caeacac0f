"""Known bugs of single runs: their length, their schedules, their components."""

from __future__ import annotations

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.oracles import accounting, schedules
from trainer_props.record import Record
from trainer_props.scenario import Data, Model, Scenario
from trainer_props.zoo import MODELS

_DOCS = "https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments"


def _failed(kind: str, *words: str) -> object:
    def symptom(judgement: Violated, record: Record, scenario: Scenario) -> bool:
        return record.failure is not None and record.failure.kind == kind and all(word in record.failure.message for word in words)

    return symptom


def _one_update(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    return record.global_step == 1 and len(record.updates) == 1


def _warmup_is_all(scenario: Scenario) -> bool:
    total = accounting.total_updates(scenario)
    return scenario.argument("lr_scheduler_type") == "polynomial" and schedules.warmup_steps(scenario, total) == total


known_bug(KnownBug(
    id="max-steps-zero-trains",
    verdict="bug",
    sentence="max_steps=0 is accepted and trains one update (num_train_epochs=0 trains none).",
    link=f"{_DOCS}.max_steps",
    versions=">=4.46",
    properties=("steps.global_step_counts_updates", "steps.no_event_beyond_the_last_update", "steps.no_update_no_work"),
    region=lambda scenario: scenario.argument("max_steps") == 0 and accounting.batches_per_epoch(scenario) > 0,
    symptom=_one_update,
    example=Case(scenario=Scenario(arguments={"max_steps": 0}, data=Data(n=1))),
))

known_bug(KnownBug(
    id="polynomial-all-warmup",
    verdict="bug",
    sentence="lr_scheduler_type='polynomial' with a warmup as long as the run divides by zero at the last update; every other schedule guards it.",
    link=f"{_DOCS}.warmup_steps",
    versions=">=4.46",
    properties=("steps.run_finishes", "optimization.warmup_of_any_length_finishes"),
    region=_warmup_is_all,
    symptom=_failed("ZeroDivisionError"),  # type: ignore[arg-type]
    example=Case(
        experiment="train_with_optimizers",
        scenario=Scenario(arguments={"lr_scheduler_type": "polynomial", "max_steps": 1, "warmup_steps": 1}, data=Data(n=1)),
    ),
))

known_bug(KnownBug(
    id="empty-epoch-unnamed",
    verdict="bug",
    sentence="Data too small for one batch under dataloader_drop_last are refused for having no length, though they have one.",
    link=f"{_DOCS}.dataloader_drop_last",
    versions=">=4.46",
    properties=("steps.data_without_a_batch_are_refused",),
    region=lambda scenario: accounting.batches_per_epoch(scenario) == 0 and scenario.argument("max_steps") <= 0,
    symptom=_failed("ValueError", "does not have a length"),  # type: ignore[arg-type]
    example=Case(scenario=Scenario(arguments={"dataloader_drop_last": True}, data=Data(n=1))),
))

known_bug(KnownBug(
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
))
