"""Experiments that train once. They differ in what they draw, so that each part of the space gets its share of a session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.registry import Experiment, Held, register
from trainer_props.record import Record
from trainer_props.scenario import Data, Scenario

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

Scenarios = Callable[..., st.SearchStrategy[Scenario]]


def train_once(case: Case, subject: Subject) -> Record:
    """Train the scenario from its beginning to its end."""
    from trainer_props.running import run  # what is heavy is imported when something runs, not when tests are collected

    return run(case.scenario, subject)


def _experiment(
    name: str, statement: str, chapter: str, scenarios: Scenarios, flavour: str, share: float = 1.0, *, own_data: bool = False
) -> Experiment:
    def cases(held: Held) -> st.SearchStrategy[Case]:
        arguments = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}
        if held.own_data:
            return scenarios(arguments=arguments, models=["regression"]).map(
                lambda each: Case(experiment=name, scenario=_plain(each, arguments))
            )
        return scenarios(arguments=arguments, models=held.models).map(lambda each: Case(experiment=name, scenario=each))

    return register(Experiment(name, statement, chapter, cases, train_once, strategies.FLAVOURS[flavour].models, share, own_data))


def _plain(scenario: Scenario, held: Mapping[str, Any]) -> Scenario:
    """The scenario without what only our own model and data can serve: a metric of ours, poisoned losses, a loss function; and, where the
    run evaluates, without `dataloader_drop_last`, since nobody knows here how long the evaluation data are. What is held stays.
    """
    arguments = dict(scenario.arguments)
    if "metric_for_best_model" not in held and arguments.pop("metric_for_best_model", None) is not None:
        arguments["metric_for_best_model"] = "loss"
        if "greater_is_better" not in held:
            arguments["greater_is_better"] = False
    unserved = ["label_names", "include_num_input_tokens_seen", "batch_eval_metrics", "include_for_metrics", "remove_unused_columns"]
    if scenario.argument("eval_strategy") != "no" or scenario.argument("eval_on_start"):
        unserved.append("dataloader_drop_last")
    for name in unserved:
        if name not in held:
            arguments.pop(name, None)
    return Scenario(arguments=arguments, data=Data(n=scenario.data.n, n_eval=scenario.data.n_eval))


_experiment(
    "train_once",
    "Train a regression model once on map-style data.",
    "test_trainer",
    strategies.regression_scenarios,
    "regression",
    1.5,
    own_data=True,
)
_experiment(
    "train_nothing",
    "Ask for no update, or give too little data for a batch of training or of evaluation.",
    "test_trainer",
    strategies.idle_scenarios,
    "idle",
    0.7,
)
_experiment(
    "train_and_save",
    "Train once with checkpoints, best model, rotation and early stopping.",
    "test_trainer_checkpointing",
    strategies.saving_scenarios,
    "saving",
    3.0,
    own_data=True,
)
_experiment("train_on_streams", "Train once on an iterable data set.", "test_trainer_data", strategies.stream_scenarios, "stream", 3.2)
_experiment(
    "train_on_tokens",
    "Train a small LSTM once on tokens: rows of one or several lengths, ignored labels, label smoothing.",
    "test_trainer_data",
    strategies.token_scenarios,
    "token",
)
_experiment(
    "train_with_optimizers",
    "Train once with any optimizer of torch and any learning-rate schedule.",
    "test_trainer_optimizers",
    strategies.optimizer_scenarios,
    "optimizer",
    2.8,
)
_experiment("train_hub_models", "Train a tiny model of the Hub once.", "test_trainer", strategies.hub_scenarios, "hub", 1.8)
_experiment("train_seq2seq", "Train a tiny encoder-decoder once.", "test_trainer_seq2seq", strategies.seq2seq_scenarios, "seq2seq", 1.3)
