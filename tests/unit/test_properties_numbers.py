"""The properties about losses and optimization: they hold for records of real runs, and each sees its own wrong."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any, Final

import pytest
import torch
import transformers

from trainer_props.judgement import Holds, Judgement, NotApplicable, Violated
from trainer_props.properties import PROPERTIES
from trainer_props.properties import _prediction as memo
from trainer_props.properties._gradients import explained_by
from trainer_props.record import Failure, Record
from trainer_props.running.run import run
from trainer_props.scenario import Components, Data, Devices, Model, Scenario
from trainer_props.subjects import wrap

Wrong = Callable[[Record], Any]
CHAPTERS: Final = ("loss", "optimization")


def scenario(model: str = "regression", *, kind: str = "regression", n_eval: int = 0, **changes: Any) -> Scenario:
    """Three epochs' worth of windows of three micro-batches, the last of each epoch with one (13 rows in fours)."""
    components, frozen = changes.pop("components", Components()), changes.pop("frozen", ())
    arguments = {
        "per_device_train_batch_size": 4, "gradient_accumulation_steps": 3, "num_train_epochs": 3, "learning_rate": 0.05,
        "logging_steps": 1, "optim": "sgd", "max_grad_norm": 0.0, **changes,
    }
    data = Data(kind=kind, n=13, n_eval=n_eval)
    return Scenario(arguments=arguments, data=data, model=Model(name=model, frozen=frozen), components=components)


PLATEAU: Final = {
    "lr_scheduler_type": "reduce_lr_on_plateau", "lr_scheduler_kwargs": {"patience": 9}, "eval_strategy": "steps", "eval_steps": 1,
}
SCENARIOS: Final = {
    "plain": scenario(),
    "clipped": scenario(max_grad_norm=0.5, weight_decay=0.1, optim="adamw_torch"),
    "layers": scenario("regression_layers", weight_decay=0.1, optim="adamw_torch_fused", frozen=("ln.weight",)),
    "items": scenario("regression_kwargs", components=Components(loss="compute_loss_func")),
    "warmup": scenario(warmup_steps=0.3, optim="rmsprop", optim_args="centered=true, momentum=0.5", logging_steps=4),
    "plateau": scenario(**PLATEAU, n_eval=4, optim="adagrad"),
    "two labels": scenario("regression_double", kind="two_labels"),
    "smoothed": scenario("bert_classifier", kind="classification", label_smoothing_factor=0.1),
}


@functools.cache
def recorded(name: str) -> Record:
    return run(SCENARIOS[name], wrap(transformers.Trainer))


def judge(identifier: str, record: Record, of: Scenario) -> Judgement:
    return PROPERTIES[identifier](record, of)


def scaled(factor: float, *names: str) -> Wrong:
    """Multiply a field of the second update."""

    def change(record: Record) -> None:
        for name in names:
            setattr(record.updates[1], name, getattr(record.updates[1], name) * factor)

    return change


def logged(**values: Any) -> Wrong:
    def change(record: Record) -> None:
        entry = next(entry for entry in record.log_history if "loss" in entry)
        entry.update(values)

    return change


def rates(values: dict[int, float]) -> Wrong:
    """Replace the learning rates of some updates."""

    def change(record: Record) -> None:
        for index, rate in values.items():
            record.updates[index].learning_rates = (rate,) * len(record.updates[index].learning_rates)

    return change


def parameter(name: str, **values: Any) -> Wrong:
    def change(record: Record) -> None:
        found = next(each for each in record.parameters if each.name == name)
        for field, value in values.items():
            setattr(found, field, value)

    return change


def thaw(record: Record) -> None:
    """A frozen parameter (the fifth block of the flat weights: after `first`, 4 + 4 elements) creeps."""
    record.updates[2].weights[8] += 1e-15


def losses(factor: float) -> Wrong:
    def change(record: Record) -> None:
        record.batches[1].loss = factor * (record.batches[1].loss or 0.0)

    return change


def turned(record: Record) -> None:
    """Another direction at the same length, or nearly."""
    record.updates[1].gradient = record.updates[1].gradient * torch.tensor([1.0, 1.001])


def items(record: Record) -> None:
    record.batches[3].items = 4.0


def scheduler(record: Record) -> None:
    record.updates[2].scheduler_epoch = 4


def crash(record: Record) -> None:
    record.failure = Failure("train", "ZeroDivisionError", "division by zero", ("File optimization.py, line 1",))


WRONGS: Final[list[tuple[str, str, Wrong]]] = [
    ("loss.micro_batch_losses_are_the_models", "plain", losses(1 + 1e-9)),
    ("loss.micro_batch_losses_are_the_models", "two labels", losses(0.5)),
    ("loss.reported_loss_averages_updates", "plain", logged(loss=0.1)),
    ("loss.reported_loss_averages_updates", "warmup", logged(loss=0.1)),
    ("loss.num_items_count_labels_of_window", "items", items),
    ("loss.label_smoothing", "smoothed", scaled(1 + 1e-2, "gradient")),
    ("optimization.gradient_averages_own_micro_batches", "plain", scaled(3.0, "gradient")),
    ("optimization.gradient_averages_own_micro_batches", "plain", scaled(1 + 1e-9, "gradient")),
    ("optimization.gradient_averages_own_micro_batches", "clipped", turned),
    ("optimization.applied_gradient_is_clipped", "clipped", scaled(1.01, "gradient")),
    ("optimization.applied_gradient_is_clipped", "clipped", scaled(0.5, "gradient")),
    ("optimization.logged_grad_norm_is_before_clipping", "clipped", logged(grad_norm=0.5)),
    ("optimization.logged_grad_norm_is_before_clipping", "plain", logged(grad_norm=None)),
    ("optimization.optimizer_follows_its_rule", "plain", scaled(1 + 1e-9, "weights")),
    ("optimization.optimizer_follows_its_rule", "clipped", parameter("b", weight_decay=0.0)),
    ("optimization.optimizer_follows_its_rule", "layers", scaled(1 + 1e-9, "weights")),
    ("optimization.optimizer_follows_its_rule", "warmup", scaled(1 + 1e-9, "weights")),
    ("optimization.optimizer_follows_its_rule", "plateau", scaled(1 + 1e-9, "weights")),
    ("optimization.weights_match_reference", "plain", scaled(1 + 1e-9, "weights")),
    ("optimization.weights_match_reference", "layers", scaled(1 + 1e-6, "weights")),
    ("optimization.decay_groups", "layers", parameter("first.bias", weight_decay=0.1)),
    ("optimization.decay_groups", "layers", parameter("first.weight", weight_decay=0.0)),
    ("optimization.decay_groups", "clipped", parameter("a", groups=(0, 1))),
    ("optimization.frozen_parameters_stay", "layers", thaw),
    ("optimization.frozen_parameters_stay", "layers", parameter("ln.weight", groups=(0,))),
    ("optimization.learning_rates_follow_schedule", "plain", rates({1: 0.049})),
    ("optimization.logged_learning_rate_was_used", "plain", logged(learning_rate=0.04)),
    ("optimization.learning_rates_stay_within_bounds", "plain", rates({1: 0.06})),
    ("optimization.learning_rates_stay_within_bounds", "plain", rates({1: -0.01})),
    ("optimization.warmup_rises_to_learning_rate", "warmup", rates({0: 0.01})),
    ("optimization.warmup_rises_to_learning_rate", "warmup", rates({1: 0.0})),
    ("optimization.warmup_rises_to_learning_rate", "warmup", rates({2: 0.045})),
    ("optimization.warmup_of_any_length_finishes", "warmup", crash),
    ("optimization.scheduler_steps_once_an_update", "plain", scheduler),
    ("optimization.scheduler_steps_once_an_update", "plain", lambda record: record.state.update(scheduler_epoch=7)),
    ("optimization.improvement_never_lowers_learning_rate", "plateau", rates({3: 0.01})),
]


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_property_is_violated_by_a_right_run(name: str) -> None:
    record = recorded(name)
    assert record.finished
    ours = [identifier for identifier, each in PROPERTIES.items() if each.chapter in CHAPTERS]
    judgements = {identifier: judge(identifier, record, SCENARIOS[name]) for identifier in ours}
    assert {key: value for key, value in judgements.items() if isinstance(value, Violated)} == {}


@pytest.mark.parametrize(("identifier", "name", "wrong"), WRONGS)
def test_each_property_sees_its_own_wrong(identifier: str, name: str, wrong: Wrong) -> None:
    assert judge(identifier, recorded(name), SCENARIOS[name]) == Holds()
    record = copy.deepcopy(recorded(name))
    wrong(record)
    assert isinstance(judge(identifier, record, SCENARIOS[name]), Violated)


def test_every_property_has_a_wrong() -> None:
    assert {identifier for identifier, _, _ in WRONGS} == {key for key, each in PROPERTIES.items() if each.chapter in CHAPTERS}


def test_the_first_wrong_update_and_its_parameter_are_named() -> None:
    record = copy.deepcopy(recorded("plain"))
    scaled(3.0, "gradient")(record)
    judgement = judge("optimization.gradient_averages_own_micro_batches", record, SCENARIOS["plain"])
    assert isinstance(judgement, Violated)
    assert judgement.divergence == "update 2, b"
    assert judgement.observed == pytest.approx(3 * judgement.expected, rel=1e-12)


def test_a_wrong_update_is_no_wrong_rest_of_the_run() -> None:
    """Gradients are taken at the weights that the run had: other weights, other gradients expected, and only the update before is off."""
    record = copy.deepcopy(recorded("plain"))
    for update in record.updates[1:]:
        update.weights = update.weights + 1.0
    judged = [PROPERTIES["optimization.optimizer_follows_its_rule"](record, SCENARIOS["plain"])]
    assert isinstance(judged[0], Violated)
    assert judged[0].divergence.startswith("update 2")


def cut(record: Record, name: str, value: Any) -> Record:
    changed = copy.deepcopy(record)
    setattr(changed.batches[4], name, value)
    return changed


def test_prediction_ends_where_samples_are_unknown() -> None:
    prediction = memo.prediction(cut(recorded("plain"), "samples", None), SCENARIOS["plain"])
    assert len(prediction.updates) == 2  # the fifth micro-batch belongs to the third update
    assert prediction.reason == "samples could not be identified"


def test_prediction_ends_where_a_loss_was_replaced() -> None:
    poisoned = SCENARIOS["plain"].replace(components=Components(poisoned=((3, float("nan")),)))
    prediction = memo.prediction(copy.deepcopy(recorded("plain")), poisoned)
    assert len(prediction.updates) == 1
    assert prediction.reason == "the loss of a micro-batch was replaced"


def test_prediction_ends_where_weights_overflow() -> None:
    record = copy.deepcopy(recorded("plain"))
    record.updates[0].weights = record.updates[0].weights * 1e120
    prediction = memo.prediction(record, SCENARIOS["plain"])
    assert len(prediction.updates) == 1
    assert prediction.reason == "the run diverges"


def test_an_update_has_no_micro_batch_of_the_pass_before() -> None:
    record = copy.deepcopy(recorded("plain"))
    record.updates = [record.updates[0], record.updates[2]]  # the fourth micro-batch is left over at the end of the first pass
    assert memo.spans(record) == [(0, 3), (4, 7)]


def test_nothing_is_predicted_for_other_models_and_several_devices() -> None:
    record = copy.deepcopy(recorded("plain"))
    assert memo.prediction(record, SCENARIOS["plain"].replace(devices=Devices(kind="emulated", count=2))).reason == "several devices"
    other = copy.deepcopy(recorded("plain"))
    other.parameters[0].name = "slope"
    assert memo.prediction(other, SCENARIOS["plain"]).reason == "the run trained another model than the scenario's"


def test_optimizers_without_a_rule_leave_gradients_judged() -> None:
    of = SCENARIOS["plain"].with_arguments(optim="adafactor")
    record = copy.deepcopy(recorded("plain"))
    assert isinstance(judge("optimization.weights_match_reference", record, of), NotApplicable)
    assert isinstance(judge("optimization.optimizer_follows_its_rule", record, of), NotApplicable)
    assert judge("optimization.gradient_averages_own_micro_batches", record, of) == Holds()


def test_the_reference_loop_runs_once_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(memo, "_predict", lambda record, of: calls.append(record) or memo.Prediction())
    record = copy.deepcopy(recorded("plain"))
    assert memo.prediction(record, SCENARIOS["plain"]) is memo.prediction(record, SCENARIOS["plain"])
    assert len(calls) == 1


@pytest.mark.parametrize("maximum", [0.0, 10.0, 0.1])
def test_a_wrong_divisor_is_told_from_other_wrongs(maximum: float) -> None:
    """The first window's gradient, three times too long, is what is left to clip: the other windows as they are."""
    of = scenario("regression_kwargs_unaware", max_grad_norm=maximum)
    record = run(of, wrap(transformers.Trainer))
    windows = [3.0, 1.0] * 3
    assert explained_by(record, of, windows)
    assert explained_by(record, of, [1.0] * 6) == (maximum == 0.1)  # where everything is clipped, its length before leaves no trace
    scaled(1.01, "gradient")(record)
    assert not explained_by(record, of, windows)


@pytest.mark.parametrize("name", ["logged_loss_is_the_mean_since_the_last_log", "train_loss_is_the_mean_of_all_updates"])
def test_losses_whose_sum_overflows_are_not_judged(name: str) -> None:
    record = copy.deepcopy(recorded("plain"))
    assert isinstance(judge(f"logs.{name}", record, SCENARIOS["plain"]), Holds)
    record.batches[0].loss = 3e37
    found = judge(f"logs.{name}", record, SCENARIOS["plain"])
    assert isinstance(found, NotApplicable)
    assert "overflow" in found.reason
    record.batches[0].loss = 3e36
    assert isinstance(judge(f"logs.{name}", record, SCENARIOS["plain"]), Violated)
