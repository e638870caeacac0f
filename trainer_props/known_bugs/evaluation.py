"""Known bugs of evaluation and prediction."""

from __future__ import annotations

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.oracles import accounting
from trainer_props.record import Record
from trainer_props.scenario import Data, Scenario


def _last_batch_is_short(scenario: Scenario) -> bool:
    return accounting.drops_last(scenario) and scenario.data.n_eval % int(scenario.argument("per_device_eval_batch_size")) > 0


def _only_full_batches(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """Every evaluation leaves out the rows of its last, short batch and no other."""
    size = int(scenario.argument("per_device_eval_batch_size"))
    return all(
        sum(batch.size for batch in each.batches) == scenario.data.n_eval // size * size for each in record.evaluations if each.prefix == "eval"
    )


known_bug(KnownBug(
    id="drop-last-drops-evaluation",
    verdict="trap",
    sentence="dataloader_drop_last also drops the last rows of evaluation and prediction, and with a data set smaller than a batch the whole evaluation.",
    link="https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments.dataloader_drop_last",
    versions=">=4.46",
    properties=("evaluation.evaluation_covers_the_data_in_order", "evaluation.evaluation_says_its_loss"),
    region=_last_batch_is_short,
    symptom=_only_full_batches,
    example=Case(
        scenario=Scenario(
            arguments={"max_steps": 1, "eval_strategy": "steps", "dataloader_drop_last": True, "per_device_eval_batch_size": 2}, data=Data(n=8, n_eval=3)
        ),
    ),
))
