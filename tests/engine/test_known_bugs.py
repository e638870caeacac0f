"""Every known bug shows on the installed transformers by its own example, in its region, with its symptom."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Final

import pytest
from packaging.specifiers import SpecifierSet

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.properties import PROPERTIES
from trainer_props.running import prepared
from trainer_props.running.devices import gloo
from trainer_props.scenario import Components, Data, Devices, EarlyStopping, Model, Scenario

INSTALLED = version("transformers")
SUBJECT = subjects.load(subjects.DEFAULT)

# What else a bug can lead to than its example.
OTHERWISE: Final = (
    (
        "worst-infinity-is-never-best",  # a callback asks for a stop when there is a save, and there is one later
        Case(experiment="train_with_flags", scenario=Scenario(
            arguments={
                "per_device_train_batch_size": 1, "num_train_epochs": 2, "optim": "sgd", "learning_rate": 0.1, "eval_strategy": "steps",
                "eval_steps": 1, "save_strategy": "best", "metric_for_best_model": "score",
            },
            data=Data(n=3, n_eval=1), components=Components(scores=(float("-inf"), 0.5)),
        ), parameters={"plan": (("on_save", 1, "should_epoch_stop"),)}),
    ),
    (
        "best-overrules-a-save",  # the same
        Case(experiment="train_with_flags", scenario=Scenario(
            arguments={
                "per_device_train_batch_size": 1, "num_train_epochs": 2, "optim": "sgd", "learning_rate": 0.1, "eval_strategy": "steps",
                "eval_steps": 1, "save_strategy": "best", "metric_for_best_model": "score",
            },
            data=Data(n=4, n_eval=1), components=Components(scores=(1.0, 0.0, 2.0, 0.0)),
        ), parameters={"plan": (("on_step_end", 2, "should_save"), ("on_save", 2, "should_epoch_stop"))}),
    ),
    (
        "resume-keeps-the-old-intervals",  # from before the interruption, whose checkpoint the limit of the first part has removed
        Case(experiment="resume_changed", scenario=Scenario(
            arguments={
                "per_device_train_batch_size": 1, "num_train_epochs": 2, "optim": "sgd", "learning_rate": 0.1, "eval_strategy": "epoch",
                "save_strategy": "steps", "save_steps": 1, "metric_for_best_model": "score",
            },
            data=Data(n=4, n_eval=1), components=Components(scores=(1.0, 0.0)),
        ), parameters={"interrupt_at": 5, "before": {"save_steps": 2, "save_strategy": "steps", "save_total_limit": 1}}),
    ),
    (
        "polynomial-all-warmup",  # in a resumed run, where early stopping has ended the one without interruptions before
        Case(experiment="resume", scenario=Scenario(
            arguments={
                "per_device_train_batch_size": 1, "max_steps": 3, "lr_scheduler_type": "polynomial", "warmup_steps": 3, "optim": "sgd",
                "eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1, "metric_for_best_model": "score",
            },
            data=Data(n=3, n_eval=1), components=Components(scores=(1.0, 0.0), early_stopping=EarlyStopping()),
        ), parameters={"interrupt_at": [2]}),
    ),
    (
        "accumulation-inflates-loss",  # where a callback ends an epoch before the short window at its end
        Case(experiment="train_with_flags", scenario=Scenario(
            arguments={
                "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "num_train_epochs": 2, "optim": "sgd",
                "learning_rate": 0.1, "logging_steps": 1,
            },
            data=Data(n=3), model=Model(name="regression_kwargs_unaware"),
        ), parameters={"plan": (("on_step_end", 1, "should_epoch_stop"),)}),
    ),
    (
        "eval-on-start-is-never-best",  # where those that count come before any update, too
        Case(experiment="train_on_streams", scenario=Scenario(
            arguments={
                "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "max_steps": 1, "eval_strategy": "epoch",
                "eval_on_start": True, "metric_for_best_model": "score",
            },
            data=Data(kind="stream", n=1, n_eval=1), components=Components(scores=(0.75, 0.5), early_stopping=EarlyStopping()),
        )),
    ),
    (
        "training-loss-of-one-rank",  # of no update at all
        Case(experiment="shard_data", scenario=Scenario(
            arguments={
                "per_device_train_batch_size": 1, "per_device_eval_batch_size": 1, "gradient_accumulation_steps": 3, "max_steps": 1,
                "eval_strategy": "epoch", "metric_for_best_model": "score",
            },
            data=Data(kind="stream", n=4, n_eval=2), devices=Devices(kind="gloo", count=2),
            components=Components(scores=(0.0,), early_stopping=EarlyStopping()),
        )),
    ),
    (
        "resumed-rebalance-of-the-first-pass",  # and so do several processes after one
        Case(experiment="resume_in_processes", scenario=Scenario(
            arguments={
                "per_device_train_batch_size": 1, "max_steps": 6, "save_strategy": "steps", "save_steps": 5, "optim": "sgd",
                "learning_rate": 0.1, "train_sampling_strategy": "batch_rebalance",
            },
            data=Data(kind="dynamic", n=8), model=Model(name="lstm"), devices=Devices(kind="gloo", count=2),
            components=Components(collator="padding"),
        ), parameters={"at": 5, "how": "from_one"}),
    ),
    (
        "best-checkpoint-of-another-run",  # which stays, since what is better comes after the last save
        Case(experiment="save_into_a_used_folder", scenario=Scenario(
            arguments={
                "per_device_train_batch_size": 1, "num_train_epochs": 2, "eval_strategy": "epoch", "metric_for_best_model": "loss",
                "save_strategy": "steps",
            },
            data=Data(n=1, n_eval=1),
        ), parameters={"older": (1,)}),
    ),
    (
        "stream-leftover-gradient",  # and early stopping counts passes, of which each makes fewer updates
        Case(experiment="regroup", scenario=Scenario(
            arguments={
                "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "max_steps": 4, "eval_strategy": "epoch",
                "metric_for_best_model": "score", "lr_scheduler_type": "constant",
            },
            data=Data(kind="stream", n=3, n_eval=1), components=Components(scores=(0.0,), early_stopping=EarlyStopping(patience=2)),
        ), parameters={"regroup": (2, 1)}),
    ),
    *(
        ("stream-never-steps", Case(experiment="regroup", scenario=Scenario(  # and the other run, which makes updates, logs them
            arguments={
                "per_device_train_batch_size": size, "gradient_accumulation_steps": 2, "max_steps": 1, "eval_strategy": "epoch",
                "logging_strategy": "epoch", "metric_for_best_model": "loss", "optim": "sgd",
            },
            data=Data(kind="stream", n=n, n_eval=1), components=Components(early_stopping=EarlyStopping()),
        ), parameters={"regroup": (2 * size, 1)}))
        for size, n in ((1, 1), (4, 2))
    ),
    (
        "split-streams-seem-longer",  # and one process goes on without that
        Case(experiment="resume_in_processes", scenario=Scenario(
            arguments={
                "accelerator_config": {"dispatch_batches": False, "split_batches": True}, "per_device_train_batch_size": 4,
                "gradient_accumulation_steps": 2, "max_steps": 8, "save_strategy": "steps", "save_steps": 4,
            },
            data=Data(kind="sized_stream", n=20), devices=Devices(kind="gloo", count=2),
        ), parameters={"at": 4, "how": "to_one"}),
    ),
    (
        "resume-after-limit-of-one",  # with a limit that the first part alone had
        Case(experiment="resume_changed", scenario=Scenario(
            arguments={
                "max_steps": 3, "per_device_train_batch_size": 1, "eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps",
                "save_steps": 1, "metric_for_best_model": "loss", "greater_is_better": True,
            },
            data=Data(n=3, n_eval=1),
        ), parameters={"interrupt_at": 2, "before": {"save_total_limit": 1}}),
    ),
    (
        "dispatched-resume-skips-too-little",  # and that batch is the last of a later pass, in the order of the first
        Case(experiment="resume_in_processes", scenario=Scenario(
            arguments={
                "accelerator_config": {"dispatch_batches": True, "split_batches": True}, "per_device_train_batch_size": 4,
                "max_steps": 4, "save_strategy": "steps", "save_steps": 3, "optim": "sgd", "learning_rate": 0.1,
            },
            data=Data(n=7), devices=Devices(kind="gloo", count=2),
        ), parameters={"at": 3}),
    ),
    (
        "devices-inflate-loss",  # and a stream leaves a micro-batch over, which is logged with its pass
        Case(experiment="shard_data", scenario=Scenario(
            arguments={
                "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "max_steps": 2, "logging_strategy": "epoch",
            },
            data=Data(kind="stream", n=6), model=Model(name="regression_kwargs_unaware"), devices=Devices(kind="gloo", count=2),
        )),
    ),
    (
        "dispatched-resume-skips-too-little",  # and a short batch is completed otherwise
        Case(experiment="resume_in_processes", scenario=Scenario(
            arguments={
                "accelerator_config": {"dispatch_batches": True, "split_batches": True}, "per_device_train_batch_size": 2,
                "max_steps": 2, "save_strategy": "steps", "save_steps": 1, "train_sampling_strategy": "sequential", "optim": "sgd",
                "learning_rate": 0.1,
            },
            data=Data(n=3), devices=Devices(kind="gloo", count=2),
        ), parameters={"at": 1}),
    ),
    (
        "stream-never-steps",  # and early stopping may end it
        Case(experiment="train_on_streams", scenario=Scenario(
            arguments={
                "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "max_steps": 1,
                "eval_strategy": "epoch", "metric_for_best_model": "loss",
            },
            data=Data(kind="stream", n=1, n_eval=1), components=Components(early_stopping=EarlyStopping()),
        )),
    ),
    (
        "stopped-window-leaks",  # and momentum remembers it
        Case(experiment="train_with_flags", scenario=Scenario(
            arguments={
                "gradient_accumulation_steps": 3, "num_train_epochs": 4, "per_device_train_batch_size": 5, "optim": "sgd",
                "optim_args": "momentum=0.9", "train_sampling_strategy": "sequential", "weight_decay": 0.5,
            },
            data=Data(seed=1), model=Model(name="regression_kwargs", dtype="float32"), components=Components(loss="compute_loss_func"),
        ), parameters={"plan": (("on_epoch_begin", 3, "should_epoch_stop"),)}),
    ),
    (
        "persistent-workers-regroup-the-evaluation",  # and in each order another row is dropped
        Case(experiment="evaluate_and_predict", scenario=Scenario(
            arguments={
                "dataloader_drop_last": True, "dataloader_num_workers": 1, "dataloader_persistent_workers": True,
                "per_device_eval_batch_size": 2, "train_sampling_strategy": "group_by_length",
            },
            data=Data(kind="tokens", n=8, n_eval=7), model=Model(name="lstm"),
        ), parameters={"predict": 1}),
    ),
    (
        "dispatched-resume-skips-too-little",  # and if it skips enough, a later pass has the order of the first
        Case(experiment="resume_in_processes", scenario=Scenario(
            arguments={
                "accelerator_config": {"dispatch_batches": True, "split_batches": True}, "max_steps": 4,
                "per_device_train_batch_size": 2, "save_steps": 3, "save_strategy": "steps",
            },
            data=Data(n=4), devices=Devices(kind="gloo", count=2),
        ), parameters={"at": 3}),
    ),
    (
        "resume-loses-the-end-of-an-epoch",  # and early stopping, by losses after other random numbers, ends the run sooner
        Case(experiment="resume", scenario=Scenario(
            arguments={
                "per_device_train_batch_size": 2, "max_steps": 7, "optim": "sgd", "learning_rate": 0.3, "eval_strategy": "epoch",
                "save_strategy": "steps", "save_steps": 3, "metric_for_best_model": "loss", "restore_callback_states_from_checkpoint": True,
            },
            data=Data(n=2, n_eval=3), model=Model(name="regression_dropout", frozen=("first.weight",)),
            components=Components(early_stopping=EarlyStopping(threshold=0.5)),
        ), parameters={"interrupt_at": [1]}),
    ),
    (
        "resume-counts-operations-twice",  # but not those that a log has counted before
        Case(experiment="resume", scenario=Scenario(
            arguments={
                "per_device_train_batch_size": 2, "num_train_epochs": 3, "optim": "sgd", "learning_rate": 0.1, "eval_strategy": "steps",
                "eval_steps": 1, "logging_steps": 2, "save_strategy": "steps", "save_steps": 1,
            },
            data=Data(n=11, n_eval=6), model=Model(name="regression_pretrained"),
        ), parameters={"event": "on_evaluate", "how": "exception", "interrupt_at": [6, 7], "trainer": "same"}),
    ),
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield
    gloo.close()


@pytest.mark.parametrize("name", sorted(KNOWN_BUGS))
def test_its_example_shows_it(name: str) -> None:
    bug = KNOWN_BUGS[name]
    if not SpecifierSet(bug.versions).contains(INSTALLED):
        pytest.skip(f"transformers {INSTALLED} is not one of {bug.versions}")
    assert bug.region(bug.example.scenario)
    findings = judge(bug.example, SUBJECT, list(PROPERTIES.values())).findings
    assert bug.shows in {finding.property for finding in findings if finding.known_bug == name}
    assert {finding.known_bug for finding in findings} <= KNOWN_BUGS.keys(), "the example shows something new besides"


@pytest.mark.parametrize(("name", "case"), OTHERWISE)
def test_it_shows_otherwise_too(name: str, case: Case) -> None:
    if not SpecifierSet(KNOWN_BUGS[name].versions).contains(INSTALLED):
        pytest.skip(f"transformers {INSTALLED} is not one of {KNOWN_BUGS[name].versions}")
    found = {finding.known_bug for finding in judge(case, SUBJECT, list(PROPERTIES.values())).findings}
    assert name in found
    assert None not in found


@pytest.mark.parametrize("name", sorted(KNOWN_BUGS))
def test_it_is_tied_to_what_exists(name: str) -> None:
    bug = KNOWN_BUGS[name]
    assert bug.link.startswith("https://")
    assert bug.sentence.endswith(".")
    assert bug.example.experiment in EXPERIMENTS
    for identifier in bug.properties:
        assert bug.properties.count(identifier) == 1
        assert identifier in PROPERTIES
    assert any(bug.example.experiment in PROPERTIES[identifier].experiments for identifier in bug.properties)
