"""Known bugs of evaluation and prediction."""

from __future__ import annotations

from collections.abc import Sequence

from trainer_props import zoo
from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.measures import prediction as measures
from trainer_props.oracles import accounting, best_model
from trainer_props.properties import prediction
from trainer_props.record import Record
from trainer_props.scenario import Components, Data, Model, Scenario
from trainer_props.zoo import DATASETS, MODELS


def _last_batch_is_short(scenario: Scenario) -> bool:
    return accounting.drops_last(scenario) and scenario.data.n_eval % int(scenario.argument("per_device_eval_batch_size")) > 0


def _only_full_batches(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """Some last batch is short, and every evaluation and prediction leaves out the rows of its short last batch and no other.

    The others come in the order of the data set; where samples are grouped by length, in another, which leaves out others. With workers
    that persist a data set may be taken for another one (a known bug of its own), whose rows these are then.
    """
    if judgement.quantity in ("metrics", "names of metrics") and not _only_a_loss_of_nothing_is_missing(record):
        return False
    persistent = bool(scenario.argument("dataloader_persistent_workers") and scenario.argument("dataloader_num_workers"))
    size = int(scenario.argument("per_device_eval_batch_size"))
    lengths = {"eval": scenario.data.n_eval, **record.results.get("lengths", {})}
    grouped = scenario.argument("train_sampling_strategy") == "group_by_length"
    short = False
    for each in record.evaluations:
        length = lengths.get(each.prefix)
        if length is None:
            continue
        kept = length // size * size
        short = short or kept < length
        met = sum(batch.size for batch in each.batches)
        if persistent and met in {other // size * size for other in lengths.values()}:
            kept = met
        seen = [sample for batch in each.batches for sample in batch.samples or ()]
        in_place = len(set(seen)) == kept if grouped else seen == list(range(kept))
        if met != kept or not (in_place or not record.identified):
            return False
    return short


def _only_a_loss_of_nothing_is_missing(record: Record) -> bool:
    for each in record.evaluations:
        names = ("loss", "runtime", "samples_per_second", "steps_per_second")
        missing = {name for name in names if f"{each.prefix}_{name}" not in each.metrics}
        if missing - {"loss"} or (missing and each.batches):
            return False
    return True


def _no_metric(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    return record.failure is not None and record.failure.kind == "KeyError" and "metric_for_best_model" in record.failure.message


known_bug(
    KnownBug(
        id="empty-evaluation-crashes",
        verdict="trap",
        sentence=(
            "dataloader_drop_last with fewer evaluation samples than per_device_eval_batch_size evaluates nothing, and a run that "
            "tracks a metric then fails for want of it."
        ),
        link="https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments.dataloader_drop_last",
        versions=">=4.46",
        properties=("steps.run_finishes", "steps.data_without_a_batch_are_refused"),
        region=lambda scenario: (
            _last_batch_is_short(scenario) and accounting.evaluation_batches(scenario) == 0 and best_model.metric_name(scenario) is not None
        ),
        symptom=_no_metric,
        example=Case(
            scenario=Scenario(
                arguments={
                    "max_steps": 1,
                    "eval_strategy": "steps",
                    "dataloader_drop_last": True,
                    "per_device_eval_batch_size": 2,
                    "metric_for_best_model": "loss",
                },
                data=Data(n=8, n_eval=1),
            ),
        ),
    )
)

known_bug(
    KnownBug(
        id="drop-last-drops-evaluation",
        verdict="trap",
        sentence=(
            "dataloader_drop_last also drops the last rows of evaluation and prediction, and with a data set smaller than a batch the "
            "whole evaluation."
        ),
        link="https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments.dataloader_drop_last",
        versions=">=4.46",
        properties=(
            "evaluation.evaluation_covers_the_data_in_order",
            "evaluation.evaluation_says_its_loss",
            "prediction.one_row_a_sample",
            "prediction.several_data_sets_are_told_apart",
            "prediction.prediction_metrics_have_their_prefix",
        ),
        region=accounting.drops_last,
        symptom=_only_full_batches,
        example=Case(
            scenario=Scenario(
                arguments={"max_steps": 1, "eval_strategy": "steps", "dataloader_drop_last": True, "per_device_eval_batch_size": 2},
                data=Data(n=8, n_eval=3),
            ),
        ),
    )
)


def _function_on_tuples(scenario: Scenario) -> bool:
    return scenario.components.loss == "compute_loss_func" and not MODELS[scenario.model.name].dict_output


def _nothing_left(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """The only output of the model is taken for its loss: no predictions are left of any batch."""
    predictions = record.results.get("predictions")
    batches = predictions if isinstance(predictions, list) else [predictions]
    return all(isinstance(batch, tuple) and not batch for batch in batches)


known_bug(
    KnownBug(
        id="loss-function-eats-output",
        verdict="bug",
        sentence=(
            "With compute_loss_func and a model that returns tuples, prediction takes the first output for the loss, which the model "
            "was never asked for, and leaves it out."
        ),
        link="https://huggingface.co/docs/transformers/main_classes/trainer#transformers.Trainer.prediction_step",
        versions=">=4.46",
        properties=("prediction.one_row_a_sample",),
        region=_function_on_tuples,
        symptom=_nothing_left,
        example=Case(
            experiment="evaluate_and_predict",
            scenario=Scenario(
                arguments={"per_device_train_batch_size": 1, "max_steps": 1},
                data=Data(n=1, n_eval=1),
                components=Components(loss="compute_loss_func"),
            ),
            parameters={"predict": 1},
        ),
    )
)


def _grouped(scenario: Scenario) -> bool:
    return scenario.argument("train_sampling_strategy") == "group_by_length" and DATASETS[scenario.data.kind].map_style


def _permuted(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """The samples were predicted each once, in another order than that of the data set, and each row is that of the sample in its place."""
    seen = [sample for batch in record.evaluations[-1].batches for sample in batch.samples or ()]
    if sorted(seen) != list(range(len(seen))) or seen == sorted(seen):
        return False
    outputs = list(prediction.outputs_of(record, scenario, len(seen)))
    rows = list(prediction.rows_of(record.results["predictions"]))
    same = (prediction.is_output(row, outputs[sample], scenario) for row, sample in zip(rows, seen, strict=False))
    return len(rows) == len(seen) and all(same) and _labels_follow(record, scenario, seen)


def _labels_follow(record: Record, scenario: Scenario, seen: Sequence[int]) -> bool:
    """Each row of labels is that of the sample in its place, as far as there is one column of them."""
    labels = record.results["label_ids"]
    if labels is None or isinstance(labels, tuple):
        return True
    name = MODELS[scenario.model.name].label_names[0]
    dataset = zoo.build_dataset(scenario.data, "test", model=scenario.model, n=len(seen))
    wanted = [dataset.rows([sample])[name][0].tolist() for sample in seen]
    return all(
        measures.row_of_labels(record, index, len(row) if isinstance(row, list) else None).value == row for index, row in enumerate(wanted)
    )


known_bug(
    KnownBug(
        id="grouping-permutes-predictions",
        verdict="bug",
        sentence=(
            "With train_sampling_strategy='group_by_length' predict() returns its rows, and their labels, in the order of the lengths "
            "and not of the data set."
        ),
        link="https://github.com/huggingface/transformers/pull/33514",
        versions=">=4.46",
        properties=("prediction.rows_belong_to_their_samples", "prediction.labels_belong_to_their_samples"),
        region=_grouped,
        symptom=_permuted,
        example=Case(
            experiment="evaluate_and_predict",
            scenario=Scenario(
                arguments={"per_device_train_batch_size": 1, "max_steps": 1, "train_sampling_strategy": "group_by_length"},
                data=Data(kind="tokens", n=1, n_eval=1),
                model=Model(name="lstm"),
            ),
            parameters={"predict": 4},
        ),
    )
)
