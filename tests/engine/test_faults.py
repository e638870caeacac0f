"""Every property kills the faults that were planted for it, by something new."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import pytest
from transformers import Trainer

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine import Session
from trainer_props.engine.judging import judge
from trainer_props.experiments import Held
from trainer_props.faults import FAULTS
from trainer_props.faults._source import SourceChanged, rewritten
from trainer_props.properties import PROPERTIES
from trainer_props.running import prepared
from trainer_props.scenario import Components, Data, EarlyStopping, Model, Scenario

Run = Callable[..., Session]

# Where a fault shows soonest; the others in the first experiment of their property.
CHAPTERS: Final = {"checkpoints": "train_and_save", "early_stopping": "train_and_save"}
EXPERIMENT: Final = {
    "saved-in-half-precision": "save_and_reload",
    "weights-saved-under-another-name": "save_and_reload",
    "passes-of-a-stream-not-counted": "train_on_streams",
    "short-window-breaks-the-run": "train_on_streams",
    "stream-peeked-into": "train_on_streams",
    "neighbours-of-a-stream-swapped": "train_on_streams",
    "model-tried-before-training": "train_nothing",
    "short-batch-in-spite-of-drop-last": "train_nothing",
    "shortest-first": "train_on_tokens",
    "tokens-counted-once-an-update": "train_on_tokens",
    "tokens-of-the-log-before": "train_on_tokens",
    "ignored-labels-counted": "train_hub_models",
    "smoothing-weights-swapped": "train_hub_models",
    "decay-divided-by-what-warmup-leaves": "train_with_optimizers",
    **dict.fromkeys(
        ("second-rank-asks-for-its-logs", "last-rank-goes-backwards", "labels-counted-on-each-rank-alone", "padding-kept-in-predictions"),
        "train_in_processes",
    ),
    **dict.fromkeys(
        (
            "items-added-up-once-more", "tokens-of-the-own-rank", "workers-seeded-without-their-rank",
            "last-rank-ends-a-row-early", "every-second-batch-is-the-one-before", "ranks-counted-from-the-end",
            "prepared-loaders-keep-short-batches",
        ),
        "shard_data",
    ),
    "length-of-the-checkpoint-kept": "resume_changed",
    **dict.fromkeys(("lost-batches-left-out-in-any-case", "infinite-evaluation-losses-not-filtered"), "evaluate_and_predict"),
}
# What a fault needs and few draws bring: held, so that this file stays fast.
_SGD: Final = {"per_device_train_batch_size": 1, "optim": "sgd", "learning_rate": 0.1}
_SCORED: Final = {"eval_strategy": "steps", "eval_steps": 1, "metric_for_best_model": "score", "max_steps": 6}
_SAVED: Final = {**_SCORED, "save_strategy": "steps", "save_steps": 1}
HELD: Final[Mapping[str, dict[str, Any]]] = {
    "log-on-each-node-ignored": {"log_on_each_node": False},
    "patience-off-by-one": _SCORED,
    "best-checkpoint-named-before-it-is-written": {
        "eval_strategy": "steps",
        "eval_steps": 1,
        "save_strategy": "steps",
        "save_steps": 2,
        "metric_for_best_model": "score",
    },
    "evaluation-delay-ignored": {"eval_strategy": "steps", "eval_steps": 1, "eval_delay": 2},
    "newest-checkpoint-taken-for-the-best": _SAVED,
    "best-step-follows-every-evaluation": _SAVED,
    "tie-taken-for-an-improvement": _SAVED,
    "latest-metric-taken-for-the-best": _SAVED,
    "direction-ignored": {**_SCORED, "greater_is_better": True},
    "metrics-computed-twice": _SCORED,
    "warmup-ratio-rounded-down": {"warmup_steps": 0.3},
    "every-evaluation-taken-for-the-best": {**_SCORED, "save_strategy": "best"},
    "rotation-deletes-the-best": {**_SAVED, "load_best_model_at_end": True, "save_total_limit": 2},
    "limit-of-one-leaves-two": {"load_best_model_at_end": True, "save_total_limit": 1},
    "last-batch-dropped-though-full": {"dataloader_drop_last": True},
    "shortest-first": {"train_sampling_strategy": "group_by_length"},
    "tokens-counted-once-an-update": {"include_num_input_tokens_seen": "all"},
    "tokens-of-the-log-before": {"include_num_input_tokens_seen": "all", "logging_steps": 1},
    "plateau-watches-the-wrong-way": {**_SCORED, "lr_scheduler_type": "reduce_lr_on_plateau"},
    "decay-on-biases": {"weight_decay": 0.1},
    "decay-divided-by-what-warmup-leaves": {"lr_scheduler_type": "linear"},
    "smoothing-weights-swapped": {"label_smoothing_factor": 0.1},
    # Two batches, of which the last is short; and a run that is long on any machine, since run times are rounded.
    "evaluation-loss-averages-batches": {"eval_strategy": "epoch", "per_device_eval_batch_size": 2},
    "speed-counts-micro-batches": {"max_steps": 60, "gradient_accumulation_steps": 2},
    "best-forgotten": _SCORED,
    "evaluations-of-the-given-model": {"eval_strategy": "steps", "eval_steps": 1, "max_steps": 6},
    "tokens-counted-from-the-resume": {"include_num_input_tokens_seen": "all", "logging_steps": 1},
    "updates-skipped-as-batches": {"gradient_accumulation_steps": 2, "num_train_epochs": 1},
    "first-log-divided-by-all-steps": {"logging_steps": 1},
    "refusal-after-an-update": {"save_only_model": True},
    "logged-loss-of-one-device": {"logging_strategy": "steps", "logging_steps": 1},
    "logged-norm-grows-with-devices": {"logging_strategy": "steps", "logging_steps": 1},
    "evaluation-loss-of-one-rank": {"eval_strategy": "epoch"},
    "random-state-of-rank-zero-alone": {"save_strategy": "epoch"},
    "optimizer-written-by-every-rank": {"save_strategy": "epoch"},
    "tokens-counted-anew-by-other-ranks": {"include_num_input_tokens_seen": "all"},
    "optimizer-not-loaded-in-several-processes": {"optim": "adamw_torch", "learning_rate": 0.1},
    "tokens-of-the-own-rank": {"include_num_input_tokens_seen": "all"},
    "ranks-counted-from-the-end": {"train_sampling_strategy": "sequential"},
    "best-metric-of-the-save-before": _SAVED,
    "older-runs-not-counted": {"save_total_limit": 1},
    "any-checkpoint-taken-for-the-best": {**_SCORED, "save_strategy": "steps", "save_steps": 2, "load_best_model_at_end": True},
    "schedule-stepped-by-logs": {"lr_scheduler_type": "linear", "max_steps": 6},
    "batches-averaged-during-training": {"eval_strategy": "epoch", "per_device_eval_batch_size": 2},
    "first-name-only-during-training": {"eval_strategy": "epoch"},
    "smoothing-left-out-where-it-generates": {"label_smoothing_factor": 0.5},
    "mixed-precision-taken-for-half": {"bf16": True, "bf16_full_eval": True},
    "outputs-not-cast-back": {"bf16": True},
    "autocast-around-the-whole-run": {"bf16": True, "optim": "sgd", "learning_rate": 0.1},
    "evaluation-takes-the-wrapper-off": {"bf16": True, "eval_strategy": "epoch"},
    "train-mode-after-every-evaluation": {"eval_strategy": "epoch"},
    "losses-given-with-those-of-a-full-batch": {"include_for_metrics": ["loss"]},
    "logs-counted-from-the-resume": {"logging_steps": 2},
    "no-save-after-the-first-update": {"save_strategy": "steps", "save_steps": 1},
}


def _stopped(stopping: EarlyStopping, scores: tuple[float, ...], **more: Any) -> Case:
    arguments = {**_SCORED, "greater_is_better": True, **more}
    return Case(scenario=Scenario(arguments=arguments, data=Data(n_eval=2), components=Components(scores=scores, early_stopping=stopping)))


def _frozen_between(before: str, then: str, **arguments: Any) -> Case:
    scenario = Scenario(arguments=arguments, model=Model(frozen=(before,)))
    return Case(experiment="train_frozen", scenario=scenario, parameters={"how": "again", "then": [then]})


def _short(capacity: int, after: int = 0, error: str = "cuda", **more: Any) -> Case:
    arguments = {
        "auto_find_batch_size": True, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "num_train_epochs": 1,
        "optim": "sgd", "learning_rate": 0.1, **more,
    }  # fmt: skip
    return Case(
        experiment="find_batch_size",
        scenario=Scenario(arguments=arguments),
        parameters={"capacity": capacity, "after": after, "error": error},
    )


def _random(experiment: str, parameters: dict[str, Any]) -> Case:
    scenario = Scenario(arguments={**_SGD, "max_steps": 4}, data=Data(n=2, n_eval=1), model=Model(name="regression_dropout"))
    return Case(experiment=experiment, scenario=scenario, parameters=parameters)


def _crashed(**arguments: Any) -> Case:
    steps = [["train", 1], ["crash", 1, "on_step_end"], ["again"]]
    return Case(experiment="life", scenario=Scenario(arguments={**_SGD, "save_strategy": "no", **arguments}), parameters={"life": steps})


# Faults that show in few of the runs that are drawn, for what can't be held.
CASES: Final = {
    "infinite-losses-not-filtered": Case(
        scenario=Scenario(arguments={"logging_steps": 2, "max_steps": 2}, components=Components(poisoned=((1, math.inf),)))
    ),
    "filtered-losses-replaced-by-large-ones": Case(
        scenario=Scenario(arguments={"logging_steps": 1, "max_steps": 2}, components=Components(poisoned=((1, math.nan),)))
    ),
    "short-window-divided-by-accumulation": Case(
        scenario=Scenario(
            arguments={
                "gradient_accumulation_steps": 2,
                "num_train_epochs": 1,
                "max_grad_norm": 0.0,
                "optim": "sgd",
                "per_device_train_batch_size": 1,
            },
            data=Data(n=3),
        )
    ),
    "loss-taken-for-scaled-without-a-count": Case(
        scenario=Scenario(
            arguments={"gradient_accumulation_steps": 2, "max_grad_norm": 0.0, "max_steps": 1, "optim": "sgd"},
            data=Data(kind="target"),
            model=Model(name="regression_renamed"),
        )
    ),
    "padding-left-to-what-puts-batches-together": Case(
        experiment="generate",
        scenario=Scenario(
            arguments={"per_device_eval_batch_size": 1}, data=Data(kind="seq2seq", n=1, n_eval=4, length=2), model=Model(name="t5")
        ),
        parameters={
            "calls": [["predict", {}]],
            "config": {
                "decoder_start_token_id": 0, "pad_token_id": 0, "max_length": 6, "eos_token_id": [2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
            },
        },
    ),
    "infinite-metrics-written-as-null": Case(
        experiment="train_and_save",
        scenario=Scenario(arguments={**_SAVED, "max_steps": 1}, data=Data(n_eval=1), components=Components(scores=(math.inf,))),
    ),
    "threshold-ignored": _stopped(EarlyStopping(patience=1, threshold=0.25), (0.5, 0.6, 0.7)),
    "patience-not-restored-by-improvement": _stopped(EarlyStopping(patience=2), (0.5, 0.25, 0.75, 0.5, 1.0)),
    "patience-begins-anew": _stopped(EarlyStopping(patience=2), (1.0, 0.5, 0.25), restore_callback_states_from_checkpoint=True).replace(
        experiment="resume", parameters={"interrupt_at": [2]}
    ),
    "moved-arrays-stacked-without-padding": Case(
        experiment="evaluate_in_batches",
        scenario=Scenario(
            arguments={"per_device_eval_batch_size": 1},
            data=Data(kind="dynamic", n=1, n_eval=9),
            model=Model(name="lstm"),
            components=Components(collator="padding"),
        ),
        parameters={"eval_accumulation_steps": 1},
    ),
    "every-error-taken-for-memory": _short(1, error="other"),
    "rest-of-a-window-used": _short(1, after=1),
    "tokens-of-failed-attempts-counted": _short(1, after=1, include_num_input_tokens_seen="all"),
    "history-of-failed-attempts-stays": _short(1, after=2, logging_steps=1),
    "not-below-half": _short(1),
    "gradients-zeroed-and-kept": _frozen_between("a", "b"),
    "optimizer-state-lost-where-some-are-frozen": _frozen_between("a", "a", max_steps=3).replace(
        parameters={"how": "resume", "then": ["a"], "at": 2}
    ),
    "schedule-of-the-first-call-goes-on": _frozen_between("a", "a", optim="sgd", learning_rate=0.1, max_steps=2),
    "operations-counted-from-the-resume": Case(
        experiment="resume",
        scenario=Scenario(arguments={"max_steps": 2}, model=Model(name="regression_pretrained")),
        parameters={"interrupt_at": [1]},
    ),
    "state-saved-before-the-rest": Case(
        experiment="resume_after_a_kill",
        scenario=Scenario(arguments={"max_steps": 3, "optim": "sgd", "learning_rate": 0.1, "save_strategy": "steps", "save_steps": 1}),
        parameters={"write": 5},
    ),
    "gradient-norm-of-the-log-before": Case(
        experiment="observe",
        scenario=Scenario(arguments={**_SGD, "max_steps": 6, "logging_steps": 2, "max_grad_norm": 0.0}, data=Data(n=3)),
        parameters={"observe": {"logging_strategy": "epoch"}},
    ),
    "generator-seeded-by-saving": _random("observe", {"observe": {"save_strategy": "steps", "save_steps": 1}}),
    "dropout-switched-off-by-evaluation": _random("observe", {"observe": {"eval_strategy": "steps", "eval_steps": 1}}),
    "full-determinism-adds-the-rank": _random("repeat", {"change": {"full_determinism": True}}),
    "random-states-left-between-epochs": _random("resume", {"interrupt_at": [2]}),
    "trained-weights-are-kept": _crashed(max_steps=4),
    "history-outlives-the-crash": _crashed(max_steps=3, logging_steps=1),
}
MAX_EXAMPLES: Final = 400


DRAWN: Final = sorted(name for name, each in FAULTS.items() if name not in CASES and not each.property.startswith("arguments."))


@pytest.fixture(scope="module", autouse=True)
def _prepared_once() -> Iterator[None]:
    """Sessions of a second each would spend most of it on getting ready."""
    with prepared():
        yield


@pytest.mark.parametrize("name", DRAWN)
def test_the_property_kills_the_fault(name: str, session: Run) -> None:
    fault = FAULTS[name]
    judged_by = PROPERTIES[fault.property]
    experiment = EXPERIMENT.get(name) or CHAPTERS.get(judged_by.chapter) or judged_by.experiments[0]
    done = session(
        fault.make(), experiments=[experiment], properties=[fault.property], max_examples=MAX_EXAMPLES, seed=0,
        held=Held(arguments=HELD.get(name, {})), first_failure=True, shrink_seconds=0.0,
    )  # fmt: skip
    count = done.result.properties[fault.property]
    assert not done.result.errors
    assert count.violated, f"{name} survives {fault.property}, which was evaluated {count.evaluated} times"


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_property_kills_the_fault_on_its_case(name: str) -> None:
    fault = FAULTS[name]
    judged_by = [PROPERTIES[fault.property]]
    found = judge(CASES[name], subjects.wrap(fault.make(), name), judged_by).findings
    healthy = judge(CASES[name], subjects.load(subjects.DEFAULT), judged_by).findings
    assert [finding for finding in found if finding.known_bug is None]
    assert not [finding for finding in healthy if finding.known_bug is None]


def test_every_property_has_a_fault() -> None:
    assert set(PROPERTIES) == {fault.property for fault in FAULTS.values()}


def test_what_is_said_of_faults_here_is_said_of_faults() -> None:
    assert {*EXPERIMENT, *HELD, *CASES} <= set(FAULTS)


def test_a_source_without_the_expression_is_refused() -> None:
    with pytest.raises(SourceChanged, match="has 'no such text' 0 times, not 1"):
        rewritten(Trainer, "_run_epoch", "no such text", "")
    with pytest.raises(SourceChanged, match="no method no_such_method"):
        rewritten(Trainer, "no_such_method", "", "")


def test_rewriting_leaves_the_class_as_it_is() -> None:
    before = Trainer.training_step
    assert rewritten(Trainer, "training_step", "loss.detach()", "loss.detach() * 2") is not before
    assert Trainer.training_step is before
