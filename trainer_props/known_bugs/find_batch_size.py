"""Known bugs of finding a batch size that fits."""

from __future__ import annotations

import math
from typing import Any

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.measures import find_batch_size as measures
from trainer_props.record import Record, Runs
from trainer_props.scenario import Data, Model, Scenario

_ARGUMENTS = "https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments"


def _finds(scenario: Scenario) -> bool:
    return bool(scenario.argument("auto_find_batch_size"))


def _begins(record: Record) -> list[int]:
    """The places of the events with which attempts begin."""
    return [place for place, event in enumerate(record.events) if event.name == "on_train_begin"]


def _goes_on_with_what_was_updated(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """The first attempt that begins with something else begins with the weights of the last update that ended before it."""
    record, begun = runs.first, runs.first.results["begun_weights"]
    attempts = list(zip(begun, record.results["begun_states"], strict=True))
    number = next(place for place, each in enumerate(attempts) if repr(each) != repr(attempts[0]))
    before = record.events[: _begins(record)[number]]
    done = sum(event.name == "on_step_end" for event in before)
    weights = [element for each in begun[number].values() for element in each]
    return done > 0 and repr(weights) == repr(record.updates[done - 1].weights.tolist())


def _sizes(record: Record) -> list[int]:
    return [batch.size for batch in record.batches[measures.begun_at(record) :]]


def _only_the_order_differs(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """Micro-batches have the size that was found, which is not the given one; their samples come in the order of another grouping."""
    found = runs["fitting"]
    return runs.first.results["batch_size"] < scenario.argument("per_device_train_batch_size") and _sizes(runs.first) == _sizes(found)


def _batches_stay_large(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """The first batch of each attempt is as large as that of the first attempt."""
    record = runs.first
    firsts = [record.events[place].batches for place in _begins(record)]
    sizes = {record.batches[first].size for first in firsts if first < len(record.batches)}
    return len(firsts) > 1 and len(sizes) == 1


def _more_operations(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """Nothing differs but the number of operations, which is that of the failed attempts too."""
    observed, expected = runs.first, runs["fitting"]
    pairs = zip(observed.log_history, expected.log_history, strict=True)
    others = all(
        one[name] == other[name]
        for one, other in pairs
        for name in one
        if name != "total_flos" and not name.endswith(measures.CLOCKS) and not (isinstance(one[name], float) and math.isnan(one[name]))
    )
    tokens = observed.state["num_input_tokens_seen"] == expected.state["num_input_tokens_seen"]
    return others and tokens and observed.state["total_flos"] > expected.state["total_flos"]


def _saved_by_failed_attempts(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """What is left beside the checkpoints of the last attempt was written by attempts before; rotation takes those for its own."""
    record = runs.first
    saves = sum(event.name == "on_save" for event in record.events[: _begins(record)[-1]])
    before = {f"checkpoint-{each.step}" for each in record.checkpoints[:saves]}
    missing = [each for each in judgement.expected if each not in judgement.observed]
    others = {each for each in judgement.observed if each not in judgement.expected}
    return bool(others) and others <= before and (not missing or scenario.argument("save_total_limit") is not None)


def _short(capacity: int, data: Data, arguments: dict[str, Any], model: str = "regression", **parameters: Any) -> Case:
    usual = {"auto_find_batch_size": True, "optim": "sgd", "learning_rate": 0.1}
    scenario = Scenario(arguments={**usual, **arguments}, data=data, model=Model(name=model))
    return Case(experiment="find_batch_size", scenario=scenario, parameters={"capacity": capacity, **parameters})


def _sampled(strategy: str) -> dict[str, str]:
    return {"train_sampling_strategy": strategy}


known_bug(
    KnownBug(
        id="failed-attempts-leave-their-weights",
        verdict="bug",
        sentence=(
            "When memory runs short after an update, auto_find_batch_size begins anew with the weights and the optimizer's state that the "
            "failed attempt left: steps, epochs and learning rates begin anew, the model does not."
        ),
        link=f"{_ARGUMENTS}.auto_find_batch_size",
        versions=">=4.46",
        properties=("find_batch_size.each_attempt_begins_anew",),
        region=_finds,
        symptom=_goes_on_with_what_was_updated,
        example=_short(1, Data(n=4), {"per_device_train_batch_size": 2, "max_steps": 2}, after=1),
    )
)

known_bug(
    KnownBug(
        id="grouping-by-the-given-batch-size",
        verdict="bug",
        sentence=(
            "With group_by_length, groups are made for per_device_train_batch_size, also where auto_find_batch_size has found a smaller "
            "one: samples come in another order than in a run with that batch size."
        ),
        link=f"{_ARGUMENTS}.train_sampling_strategy",
        versions=">=4.46",
        properties=("find_batch_size.samples_are_those_of_the_batch_size",),
        region=lambda scenario: scenario.argument("train_sampling_strategy") == "group_by_length",
        symptom=_only_the_order_differs,
        example=_short(
            1,
            Data(kind="tokens", n=8),
            {"per_device_train_batch_size": 4, "max_steps": 4, **_sampled("group_by_length")},
            "lstm",
        ),
    )
)

known_bug(
    KnownBug(
        id="rebalancing-by-the-given-batch-size",
        verdict="bug",
        sentence=(
            "With batch_rebalance, batches are made for per_device_train_batch_size whatever auto_find_batch_size tries: they never get "
            "smaller, and the run ends with the error that no batch size fits."
        ),
        link=f"{_ARGUMENTS}.train_sampling_strategy",
        versions=">=5.14",
        properties=("find_batch_size.a_size_that_fits_is_found",),
        region=lambda scenario: scenario.argument("train_sampling_strategy") == "batch_rebalance",
        symptom=_batches_stay_large,
        example=_short(
            1, Data(kind="tokens", n=4), {"per_device_train_batch_size": 2, "max_steps": 1, **_sampled("batch_rebalance")}, "lstm"
        ),
    )
)  # fmt: skip

known_bug(
    KnownBug(
        id="operations-of-failed-attempts-counted",
        verdict="bug",
        sentence="total_flos counts the floating-point operations of the attempts too for which memory ran short.",
        link="https://huggingface.co/docs/transformers/main_classes/callback#transformers.TrainerState",
        versions=">=4.46",
        properties=("find_batch_size.failed_attempts_count_for_nothing", "find_batch_size.logs_are_those_of_the_batch_size"),
        region=_finds,
        symptom=_more_operations,
        example=_short(
            1,
            Data(n=4),
            {"per_device_train_batch_size": 2, "max_steps": 1, "gradient_accumulation_steps": 2},
            "regression_pretrained",
            after=1,
        ),
    )
)

known_bug(
    KnownBug(
        id="checkpoints-of-failed-attempts-stay",
        verdict="bug",
        sentence=(
            "Checkpoints of attempts for which memory ran short stay in output_dir, among those of the run that begins anew: they count "
            "for save_total_limit, and the newest one may be taken for resuming."
        ),
        link=f"{_ARGUMENTS}.auto_find_batch_size",
        versions=">=4.46",
        properties=("find_batch_size.failed_attempts_leave_no_checkpoint",),
        region=lambda scenario: _finds(scenario) and scenario.argument("save_strategy") != "no",
        symptom=_saved_by_failed_attempts,
        example=_short(3, Data(n=8), {"per_device_train_batch_size": 4, "num_train_epochs": 2, "save_strategy": "epoch"}, after=3),
    )
)
