"""Known bugs by which a run depends on how it is observed."""

from __future__ import annotations

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.measures import resume
from trainer_props.oracles import accounting
from trainer_props.record import Record, Runs
from trainer_props.scenario import Data, Model, Scenario
from trainer_props.zoo import DATASETS

_DOCS = "https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments"


def groups_by_length(scenario: Scenario) -> bool:
    """Training samples are grouped by length."""
    return scenario.argument("train_sampling_strategy") == "group_by_length" and DATASETS[scenario.data.kind].map_style


def another_order(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """The runs have micro-batches of the same sizes, and no sample twice in an epoch: the order alone is another."""
    sizes = [[batch.size for batch in record.batches] for record in runs.values()]
    return all(each == sizes[0] for each in sizes) and not any(map(_repeats, runs.values()))


def _repeats(record: Record) -> bool:
    seen = [(batch.epoch, sample) for batch in record.batches for sample in batch.samples or ()]
    return len(set(seen)) < len(seen)


def _another_order_after_a_resume(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """A part begins within an epoch that is not the first, or within any by a Trainer that has trained before: the generator is not where
    it was when a fresh one began. The parts have micro-batches of the sizes of the run without interruptions, no sample twice in an epoch
    of a part, and the same samples until such a part begins.
    """
    parts, per_epoch = resume.parts(runs), max(1, accounting.updates_per_epoch(scenario))
    begun = [resume.first_step(part) for part in parts]
    used = [bool(part.results.get("trained_before")) for part in parts]
    after = [step for step, again in zip(begun, used, strict=True) if (step > per_epoch or again) and step % per_epoch]
    for part, step in zip(parts, begun, strict=True):
        usual = [batch for batch in runs.first.batches if batch.step >= step]
        if any(one.size != two.size for one, two in zip(part.batches, usual, strict=False)) or _repeats(part):
            return False
    same = zip(judgement.expected, judgement.observed, strict=False)
    return bool(after) and all(one == two for one, two in list(same)[: min(after)])


def _lost_by_the_printer(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """Of the names that are returned, `total_flos` alone is missing, in the run without a progress bar."""
    return judgement.quantity == "names of the metrics" and sorted([*judgement.expected, "total_flos"]) == sorted(judgement.observed)


known_bug(
    KnownBug(
        id="group-by-length-draws-from-the-global-generator",
        verdict="bug",
        sentence=(
            "train_sampling_strategy='group_by_length' draws the order of an epoch from torch's global generator, whatever data_seed says: "
            "an evaluation or a prediction before it changes the order of the training data, and so does a resume within a later epoch, or "
            "by a Trainer that has trained before."
        ),
        link="https://github.com/huggingface/transformers/pull/48025",
        versions=">=4.46",
        properties=(
            "observe.micro_batches_have_the_same_samples", "repeat.the_order_is_that_of_the_data_seed",
            "resume.samples_go_on_where_they_were",
        ),
        region=groups_by_length,
        symptom={"observe": another_order, "repeat": another_order, "resume": _another_order_after_a_resume},
        example=Case(
            experiment="observe",
            scenario=Scenario(
                arguments={"per_device_train_batch_size": 1, "num_train_epochs": 1, "train_sampling_strategy": "group_by_length"},
                data=Data(kind="tokens", n=4, n_eval=1),
                model=Model(name="lstm"),
            ),
            parameters={"observe": {"eval_on_start": True}},
        ),
    )
)

known_bug(
    KnownBug(
        id="total-flos-lost-by-the-printer",
        verdict="bug",
        sentence=(
            "With disable_tqdm=True the metrics that train() returns lack total_flos: the callback that prints them takes it out of the "
            "dictionary that is returned."
        ),
        link=f"{_DOCS}.disable_tqdm",
        versions=">=4.46",
        properties=("observe.the_same_is_returned",),
        region=lambda scenario: bool(scenario.argument("disable_tqdm")),
        symptom=_lost_by_the_printer,
        example=Case(
            experiment="observe",
            scenario=Scenario(arguments={"per_device_train_batch_size": 1, "max_steps": 1}, data=Data(n=1, n_eval=1)),
            parameters={"observe": {"disable_tqdm": False}},
        ),
    )
)
