"""What evaluations of released versions leave behind, and data sets that they mistake for each other."""

from __future__ import annotations

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.observe import groups_by_length
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.record import Evaluation, Record
from trainer_props.scenario import Data, Model, Scenario


def _has_evaluation_data(scenario: Scenario) -> bool:
    return scenario.data.n_eval > 0


def _all_in_eval_mode(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    return bool(judgement.observed == [False])


known_bug(
    KnownBug(
        id="evaluation-ends-in-eval-mode",
        verdict="trap",
        sentence=(
            "evaluate() and predict() put the model into eval mode and leave it there, so that whoever trains on by a loop of their own "
            "trains without dropout; train() itself sets the mode before each step."
        ),
        link="https://huggingface.co/docs/transformers/main_classes/trainer#transformers.Trainer.evaluation_loop",
        versions=">=4.46",
        properties=("evaluation_traces.mode_stays",),
        region=_has_evaluation_data,
        symptom=_all_in_eval_mode,
        example=Case(experiment="evaluate_and_predict", scenario=Scenario(data=Data(n=1, n_eval=1)), parameters={"predict": 1}),
    )
)


def _a_seed_for_each_pass(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """One number was drawn for each pass over data, as torch's data loaders do; it has the bits of two numbers between 0 and 1."""
    passes = len(record.evaluations) - record.results["trained_evaluations"]
    return bool(record.results["before"]["ahead"][2 * passes :][:2] == judgement.observed)


known_bug(
    KnownBug(
        id="evaluation-draws-random-numbers",
        verdict="limit",
        sentence=(
            "Each evaluation draws from torch's global random number generator (the seed that a data loader has ready for its workers): "
            "dropout in the training that follows differs."
        ),
        link="https://docs.pytorch.org/docs/stable/data.html#randomness-in-multi-process-data-loading",
        versions=">=4.46",
        properties=("evaluation_traces.random_numbers_stay",),
        region=_has_evaluation_data,
        symptom=_a_seed_for_each_pass,
        example=Case(experiment="evaluate_and_predict", scenario=Scenario(data=Data(n=1, n_eval=1)), parameters={"predict": 1}),
    )
)


def _order(evaluation: Evaluation) -> list[int]:
    """The samples that an evaluation met, in its order; nothing where the batches do not tell them."""
    return [sample for batch in evaluation.batches for sample in batch.samples or ()]


def _workers_persist(scenario: Scenario) -> bool:
    return bool(scenario.argument("dataloader_persistent_workers") and scenario.argument("dataloader_num_workers"))


def _of_the_same_data(one: list[int], other: list[int], scenario: Scenario) -> bool:
    """Two evaluations went through the same samples; in another order `dataloader_drop_last` leaves out others, but as many."""
    if not scenario.argument("dataloader_drop_last"):
        return sorted(one) == sorted(other)
    distinct = all(len(set(samples)) == len(samples) for samples in (one, other))
    return one == other or (distinct and len(one) == len(other) and not set(one).isdisjoint(other) and groups_by_length(scenario))


def _first_data_again(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """Of the data sets that `evaluate` was given by name the second is evaluated on the samples of the first, in whatever order."""
    given = record.evaluations[record.results["trained_evaluations"] :][: len(record.results.get("several", {})) and 2]
    samples = [_order(each) for each in given]
    return len(samples) == 2 and samples[0] != [] and _of_the_same_data(samples[0], samples[1], scenario)


known_bug(
    KnownBug(
        id="persistent-workers-evaluate-the-first-data",
        verdict="bug",
        sentence=(
            "With dataloader_persistent_workers a data set that is given to evaluate() is ignored once another was evaluated: its data "
            "loader is kept, and every data set without a name of its own is taken for that one."
        ),
        link="https://github.com/huggingface/transformers/issues/30527",
        versions=">=4.46",
        properties=("evaluation.evaluation_covers_the_data_in_order", "prediction.several_data_sets_are_told_apart"),
        region=_workers_persist,
        symptom=_first_data_again,
        example=Case(
            experiment="evaluate_and_predict",
            scenario=Scenario(
                arguments={"dataloader_num_workers": 1, "dataloader_persistent_workers": True}, data=Data(n=1, n_eval=2)
            ),
            parameters={"predict": 1, "several": True},
        ),
    )
)


def _other_order(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """The second evaluation goes through the samples of the first one, in another order: its batches, or the places in them, are others."""
    data_sets = len(record.results.get("named", ())) or 1
    orders = [_order(each) for each in record.evaluations[-1 - 2 * data_sets : -1]]
    once, again = orders[:data_sets], orders[data_sets:]
    alike = len(once) == len(again) and all(_of_the_same_data(one, other, scenario) for one, other in zip(once, again, strict=True))
    return once != again and alike


known_bug(
    KnownBug(
        id="persistent-workers-regroup-the-evaluation",
        verdict="limit",
        sentence=(
            "With dataloader_persistent_workers and train_sampling_strategy='group_by_length' each evaluation takes the data in another "
            "order, since the data loader that is kept has a sampler whose generator goes on: the same weights get another loss."
        ),
        link="https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments.train_sampling_strategy",
        versions=">=4.46",
        properties=("prediction.evaluating_twice_gives_the_same",),
        region=lambda scenario: _workers_persist(scenario) and groups_by_length(scenario),
        symptom=_other_order,
        example=Case(
            experiment="evaluate_and_predict",
            scenario=Scenario(
                arguments={
                    "dataloader_num_workers": 1, "dataloader_persistent_workers": True, "train_sampling_strategy": "group_by_length",
                    "per_device_eval_batch_size": 2,
                },
                data=Data(kind="tokens", n=1, n_eval=7),
                model=Model(name="lstm"),
            ),
            parameters={"predict": 1},
        ),
    )
)  # fmt: skip
