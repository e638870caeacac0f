"""Rare arguments with which the stock Trainer does what is documented, or what a known bug predicts: nothing else is found."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pytest
from transformers import Trainer, TrainerCallback

from trainer_props import subjects
from trainer_props.case import Case
from trainer_props.engine.judging import judge
from trainer_props.faults import FAULTS
from trainer_props.properties import PROPERTIES
from trainer_props.running import prepared
from trainer_props.running.devices import gloo
from trainer_props.scenario import Components, Data, Devices, EarlyStopping, Model, Scenario

SUBJECT = subjects.load(subjects.DEFAULT)
EACH_STEP: Final = {"eval_strategy": "steps", "eval_steps": 1, "optim": "sgd"}


def case(experiment: str, arguments: dict[str, Any], parameters: dict[str, Any], **parts: Any) -> Case:
    return Case(experiment=experiment, scenario=Scenario(arguments=arguments, **parts), parameters=parameters)


CASES: Final = {
    "other losses after a resume with ignore_data_skip end it elsewhere": case(
        "resume",
        {
            **EACH_STEP, "per_device_train_batch_size": 2, "num_train_epochs": 3, "learning_rate": 0.3, "seed": 0, "save_strategy": "steps",
            "save_steps": 1, "metric_for_best_model": "loss", "ignore_data_skip": True, "restore_callback_states_from_checkpoint": True,
        },
        {"interrupt_at": [1]}, data=Data(n=8, n_eval=2), components=Components(early_stopping=EarlyStopping(threshold=0.5)),
    ),
    "other losses of uneven micro-batches end it elsewhere": case(
        "regroup",
        {
            **EACH_STEP, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 4, "num_train_epochs": 6, "learning_rate": 0.3,
            "seed": 3, "logging_steps": 1, "metric_for_best_model": "loss",
        },
        {"regroup": [2, 2]}, data=Data(n=3, n_eval=2), components=Components(early_stopping=EarlyStopping(threshold=0.5)),
    ),
    "other losses in processes have other evaluations best": case(
        "train_in_processes",
        {
            "per_device_train_batch_size": 3, "per_device_eval_batch_size": 4, "num_train_epochs": 1.5,
            "learning_rate": 0.3, "optim": "sgd", "optim_args": "momentum=0.9,nesterov=true", "lr_scheduler_type": "constant",
            "max_grad_norm": 0.0, "seed": 1,
            "eval_strategy": "epoch", "eval_delay": 1, "eval_on_start": True, "save_strategy": "best", "metric_for_best_model": "loss",
        },
        {"apart": 1, "predict": 1}, data=Data(n=10, n_eval=5), model=Model(dtype="float32"), devices=Devices(kind="gloo", count=2),
    ),
    "an attempt that stops early finds a size that does not fit": case(
        "find_batch_size",
        {
            **EACH_STEP, "auto_find_batch_size": True, "per_device_train_batch_size": 8, "num_train_epochs": 6, "learning_rate": 0.1,
            "save_strategy": "steps", "save_steps": 1, "metric_for_best_model": "score", "restore_callback_states_from_checkpoint": True,
        },
        {"capacity": 2, "after": 2, "resume_at": 1}, data=Data(n=14, n_eval=2),
        components=Components(scores=(0.5, 1.0, 0.0), early_stopping=EarlyStopping()),
    ),
    "early stopping on a stream whose eval_delay nobody knows": case(
        "train_on_streams",
        {
            "per_device_train_batch_size": 1, "max_steps": 25, "eval_strategy": "epoch", "eval_delay": 1, "eval_on_start": True,
            "logging_strategy": "epoch", "metric_for_best_model": "loss",
        },
        {}, data=Data(kind="stream", n=1, n_eval=1), components=Components(early_stopping=EarlyStopping(threshold=0.25)),
    ),
    "a ratio of logging that is resolved in floating point": case(
        "life", {"per_device_train_batch_size": 1, "max_steps": 25, "logging_steps": 0.28, "save_strategy": "no", "optim": "sgd"},
        {"life": [["train"]]}, data=Data(n=10),
    ),
    "a run that diverges enlarges the rounding of float32": case(
        "shard_data",
        {
            **EACH_STEP, "accelerator_config": {"dispatch_batches": False, "split_batches": True}, "num_train_epochs": 2,
            "per_device_train_batch_size": 12, "per_device_eval_batch_size": 4, "learning_rate": 0.3, "optim_args": "momentum=0.9",
            "max_grad_norm": 0.0, "data_seed": 42, "logging_steps": 0.56, "lr_scheduler_type": "reduce_lr_on_plateau",
            "lr_scheduler_kwargs": {"factor": 0.5, "patience": 0}, "metric_for_best_model": "eval_score", "warmup_steps": 1, "seed": 7,
        },
        {"predict": 1, "prepared": 13, "prepared_batch": 6, "workers": 3}, data=Data(kind="sized_stream", n=72, n_eval=12),
        model=Model(name="regression_rms_norm", dtype="float32", frozen=("first.weight",), seed=1),
        components=Components(loss="compute_loss_func", scores=(0.75, 0.75, 0.25, 0.75, -1.0)), devices=Devices(kind="gloo", count=2),
    ),
    "epochs that are rounded in floating point make an update more on several devices": case(
        "train_on_devices", {"per_device_train_batch_size": 1, "num_train_epochs": 0.28, "optim": "sgd", "learning_rate": 0.1}, {},
        data=Data(n=50), devices=Devices(kind="data_parallel", count=2),
    ),
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield
    gloo.close()


@pytest.mark.parametrize("name", CASES)
def test_nothing_new_is_found(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pytest makes errors of them, which a session does not
        judged = judge(CASES[name], SUBJECT, list(PROPERTIES.values()))
    assert judged.holds
    assert judged.errors == ()
    assert [finding.property for finding in judged.findings if finding.known_bug is None] == []


class SilentOnceResumed(Trainer):
    """Evaluates no more where it was resumed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_callback(_Silence())


class _Silence(TrainerCallback):
    resumed = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.resumed = state.global_step > 0

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.resumed:
            control.should_evaluate = False


class Unsaid(Trainer):
    """Says nothing of prediction steps."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.callback_handler.on_prediction_step = lambda args, state, control: control  # type: ignore[method-assign]


class Mislabelled(Trainer):
    """Predicts in the order of the lengths, and gives the labels of the data set's own."""

    def predict(self, test_dataset: Any, *args: Any, **kwargs: Any) -> Any:
        found = super().predict(test_dataset, *args, **kwargs)
        return found._replace(label_ids=np.array([test_dataset[index]["labels"] for index in range(len(test_dataset))]))


class Lossless(Trainer):
    """Evaluates, and does not say the loss."""

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        found = super().evaluation_loop(*args, **kwargs)
        found.metrics.pop("eval_loss", None)
        return found


class Forgetful(Trainer):
    """Resumes with a fresh optimizer."""

    def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
        pass


ALIKE: Final = {
    "events that a worst metric does not explain": (
        lambda: Unsaid, "callbacks.events_are_those_of_the_plans", case(
            "train_once",
            {"per_device_train_batch_size": 1, "max_steps": 1, "eval_strategy": "steps", "eval_steps": 1, "metric_for_best_model": "score"},
            {}, data=Data(n=1, n_eval=1), components=Components(scores=(float("-inf"),)),
        ),
    ),
    "labels that are not permuted as their predictions are": (
        lambda: Mislabelled, "prediction.rows_belong_to_their_samples", case(
            "evaluate_and_predict", {"per_device_train_batch_size": 1, "max_steps": 1, "train_sampling_strategy": "group_by_length"},
            {"predict": 6}, data=Data(kind="tokens", n=1, n_eval=1), model=Model(name="lstm"),
        ),
    ),
    "a loss that is missing where batches were evaluated": (
        lambda: Lossless, "evaluation.evaluation_says_its_loss", case(
            "train_once",
            {
                "per_device_train_batch_size": 1, "per_device_eval_batch_size": 2, "max_steps": 1, "dataloader_drop_last": True,
                "eval_strategy": "steps", "eval_steps": 1,
            },
            {}, data=Data(n=1, n_eval=3),
        ),
    ),
    "weights before the update that a finished run makes too many": (
        lambda: Forgetful, "resume.weights_go_on_where_they_were", case(
            "resume", {"per_device_train_batch_size": 1, "max_steps": 3, "learning_rate": 0.1, "lr_scheduler_type": "constant"},
            {"interrupt_at": [1, 3]}, data=Data(n=4),
        ),
    ),
    "a small decay that each device adds is no rounding": (
        FAULTS["decay-grows-with-devices"].make, "devices.weights_are_those_of_one_device", case(
            "train_on_devices",
            {
                "per_device_train_batch_size": 2, "max_steps": 8, "optim": "sgd", "learning_rate": 5e-5, "weight_decay": 0.1,
                "lr_scheduler_type": "linear", "warmup_steps": 5, "logging_steps": 1,
            },
            {}, data=Data(n=16), model=Model(dtype="float32"), devices=Devices(kind="data_parallel", count=2),
        ),
    ),
    "evaluations that never come are no early stop": (
        lambda: SilentOnceResumed, "resume.log_history_has_the_same_entries", case(
            "resume",
            {
                "per_device_train_batch_size": 1, "num_train_epochs": 5, "optim": "sgd", "learning_rate": 0.1, "eval_strategy": "epoch",
                "save_strategy": "steps", "save_steps": 1, "metric_for_best_model": "loss", "restore_callback_states_from_checkpoint": True,
            },
            {"interrupt_at": [1]}, data=Data(n=1, n_eval=1), components=Components(early_stopping=EarlyStopping(patience=4)),
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ALIKE)
def test_what_looks_alike_and_is_wrong_is_found(name: str) -> None:
    make, identifier, wrong = ALIKE[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        findings = judge(wrong, subjects.wrap(make(), "transformers:Trainer"), list(PROPERTIES.values())).findings
    assert (identifier, None) in {(finding.property, finding.known_bug) for finding in findings}
