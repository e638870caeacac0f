"""The experiment that evaluates and predicts, before or after training."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments import poisoning
from trainer_props.experiments.evaluation_traces import TRACES, source, taken
from trainer_props.experiments.registry import Body, Experiment, Held, Wanted, register, train_body
from trainer_props.oracles import best_model
from trainer_props.record import Record
from trainer_props.scenario import Scenario
from trainer_props.serialization import code

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME = "evaluate_and_predict"
SEVERAL = ("first", "second")
_RESULTS = (
    "lengths", "named", "trained_evaluations", "several", "evaluate", "evaluate_again", "evaluations", "predictions", "label_ids",
    "metrics", "before", "after",
)  # fmt: skip
_OF_ONE_METRIC = frozenset({"metric_for_best_model", "load_best_model_at_end", "lr_scheduler_type", "greater_is_better"})
_PLANS = frozenset({"eval_strategy", "save_strategy", "load_best_model_at_end"})
_WATCHED: Final[tuple[dict[str, Any], ...]] = ({}, {"eval_strategy": "epoch"}, {"eval_strategy": "steps", "eval_steps": 1})
"""Plans for a run that is trained before: the evaluations after it are compared with those in it."""
_POISON = tuple(((place, value),) for value in ("nan", "inf", "-inf") for place in (0, 1))
"""Batches of each evaluation, and what their losses are."""
_PERSISTENT = {"dataloader_num_workers": 1, "dataloader_persistent_workers": True}
"""Rarely drawn: starting a process costs more than everything else."""
_SEVERAL = 4
"""Rows that can stand in many orders."""
_FLAVOURS = {
    "regression": strategies.regression_scenarios,
    "token": strategies.token_scenarios,
    "stream": strategies.stream_scenarios,
    "hub": strategies.hub_scenarios,
    "seq2seq": strategies.seq2seq_scenarios,
}


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Scenarios with evaluation data, and what is done with them.

    Parameters of a case: `predict` (samples to predict), `train` (whether it is trained before), `several` (whether two data sets are
    evaluated by name), `named` (whether the evaluation data of the trainer are two data sets by name), `prefix` (of the prediction's
    metrics), `poison` (batches of each evaluation, and what their losses are).
    """
    silent = {argument: default(argument) for argument in held.forbidden}
    arguments = {**silent, **held.arguments}

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        fitting = [
            scenarios
            for flavour, scenarios in _FLAVOURS.items()
            if held.models is None or set(held.models) & set(strategies.FLAVOURS[flavour].models)
        ]
        # tiny models of the Hub cost ten times a regression model
        kind = draw(st.sampled_from(fitting[:1] * 6 + fitting))
        train = draw(st.booleans())
        persistent = not train and not arguments.keys() & _PERSISTENT.keys() and draw(st.integers(0, 7)) == 7
        if persistent and draw(st.booleans()):  # what is kept goes on: rows have an order that is drawn for each evaluation
            kind = next((scenarios for scenarios in fitting if scenarios is _FLAVOURS["token"]), kind)
        watched = draw(st.sampled_from(_WATCHED)) if train and not arguments.keys() & _PLANS else {}
        scenario: Scenario = draw(kind(arguments={**watched, **arguments}, models=held.models))
        n_eval = scenario.data.n_eval or draw(st.integers(_SEVERAL if persistent else 1, 9))
        parameters: dict[str, Any] = {"predict": draw(st.integers(1, 9))}
        if train:
            parameters["train"] = True
        if draw(st.booleans()):
            parameters["several"] = True
        if draw(st.integers(0, 3)) == 3:
            parameters["prefix"] = "held_out"
        if draw(st.booleans()):
            parameters["poison"] = draw(st.sampled_from(_POISON))
            scenario, n_eval = _told_of_poison(draw, scenario, n_eval, arguments)
        workers = [name for name in scenario.arguments if name.startswith("dataloader_") and name != "dataloader_drop_last"]
        quiet = scenario.without_arguments(*(name for name in workers if name not in arguments))
        if draw(st.booleans()) and not arguments.keys() & _OF_ONE_METRIC:
            parameters["named"] = True
            quiet = _by_a_named_metric(quiet)
        if persistent:
            quiet = quiet.with_arguments(**_PERSISTENT)
            parameters["several"] = True  # whoever evaluates the same data again gets the right ones in any case
        return Case(experiment=NAME, scenario=quiet.replace(data=scenario.data.replace(n_eval=n_eval)), parameters=parameters)

    return drawn()


def _told_of_poison(draw: st.DrawFn, scenario: Scenario, n_eval: int, held: Mapping[str, Any]) -> tuple[Scenario, int]:
    """The scenario and its number of samples to evaluate, with which losses that are replaced show in more ways."""
    if "logging_nan_inf_filter" not in held and draw(st.booleans()):
        scenario = scenario.with_arguments(logging_nan_inf_filter=False)
    if "per_device_eval_batch_size" not in held and not scenario.argument("dataloader_drop_last"):
        scenario = scenario.with_arguments(per_device_eval_batch_size=draw(st.integers(1, 3)))
        n_eval = max(2, n_eval)  # beside the batch whose loss is replaced there is another, more often than not
    return scenario, n_eval


def _by_a_named_metric(scenario: Scenario) -> Scenario:
    """The scenario with a metric of the first data set, where it goes by one: a metric has to name its data set."""
    name = best_model.metric_name(scenario)
    if name is None:
        return scenario
    return scenario.with_arguments(metric_for_best_model=f"{SEVERAL[0]}_{name}")


def run(case: Case, subject: Subject) -> Record:
    """Train if the case says so, evaluate twice, predict."""
    from trainer_props.running import run as run_scenario

    parameters = case.parameters

    def body(trainer: Any, record: Record, parts: Any) -> None:
        results = record.results
        n = int(parameters["predict"])
        parts.expect_test(n)
        test = parts.test_dataset(n)
        sets = {SEVERAL[0]: parts.eval_dataset(), SEVERAL[1]: test}
        prefix = parameters.get("prefix", "test")
        results["lengths"] = _lengths(case)
        poisoning.poison(trainer, _poisoned(case))
        if parameters.get("named"):
            results["named"] = list(SEVERAL)
            trainer.eval_dataset = sets
        if parameters.get("train"):
            output = trainer.train()
            record.global_step, record.training_loss, record.metrics = output.global_step, output.training_loss, dict(output.metrics)
        results["trained_evaluations"] = len(record.evaluations)
        before = len(record.evaluations)
        results["before"] = taken(trainer)
        if parameters.get("several"):
            results["several"] = dict(trainer.evaluate(eval_dataset=sets))
        results["evaluate"] = dict(trainer.evaluate())
        results["evaluate_again"] = dict(trainer.evaluate())
        results["evaluations"] = len(record.evaluations) - before
        predicted = trainer.predict(test, metric_key_prefix=prefix)
        results["predictions"], results["label_ids"], results["metrics"] = (
            predicted.predictions,
            predicted.label_ids,
            dict(predicted.metrics or {}),
        )
        results["after"] = taken(trainer)

    return run_scenario(case.scenario, subject, body)


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source: `test_dataset` are the samples to predict."""
    parameters = case.parameters
    kept = {name for name in _RESULTS if name in wanted.words} or set(_RESULTS)
    kept = kept if "results" in wanted.fields else set()
    traces = [name for name in TRACES if name in wanted.words] or list(TRACES) if kept & {"before", "after"} else []
    lines = [f"trainer.eval_dataset = {_SETS}"] if parameters.get("named") else []
    lines += train_body(case, wanted).lines if parameters.get("train") else []
    if "global_step" in wanted.fields and not parameters.get("train"):
        lines.append("record.global_step = trainer.state.global_step")
    if "trained_evaluations" in kept:
        lines.append('record.results["trained_evaluations"] = len(record.evaluations)')
    if traces:
        lines.append(f'record.results["before"] = {_taken(traces)}')
    lines += [*_evaluating(case, kept), *_predicting(case, kept)]
    if traces:
        lines.append(f'record.results["after"] = {_taken(traces)}')
    if "named" in kept and parameters.get("named"):
        lines.append(f'record.results["named"] = {list(SEVERAL)!r}')
    poisoned = _poisoned(case)
    before = [f"poison(trainer, {code(poisoned)})"] if poisoned else []
    definitions = [*source(traces), *([poisoning.source()] if poisoned else [])]
    return Body(lines, ["from typing import Any"] if definitions else [], definitions, before=before)


_SETS: Final = f'{{"{SEVERAL[0]}": trainer.eval_dataset, "{SEVERAL[1]}": test_dataset}}'


def _evaluating(case: Case, kept: Collection[str]) -> Iterator[str]:
    """The evaluations, as lines of source."""
    if "evaluations" in kept:
        yield "before = len(record.evaluations)"
    if case.parameters.get("several"):
        evaluated = f"trainer.evaluate(eval_dataset={'trainer.eval_dataset' if case.parameters.get('named') else _SETS})"
        yield f'record.results["several"] = dict({evaluated})' if "several" in kept else evaluated
    for name in ("evaluate", "evaluate_again"):
        yield f'record.results["{name}"] = dict(trainer.evaluate())' if name in kept else "trainer.evaluate()"
    if "evaluations" in kept:
        yield 'record.results["evaluations"] = len(record.evaluations) - before'


def _predicting(case: Case, kept: Collection[str]) -> Iterator[str]:
    """The prediction, as lines of source."""
    prefix = case.parameters.get("prefix", "test")
    given = "test_dataset" if prefix == "test" else f'test_dataset, metric_key_prefix="{prefix}"'
    outputs = [name for name in ("predictions", "label_ids", "metrics") if name in kept]
    yield f"{'predicted = ' if outputs else ''}trainer.predict({given})"
    yield from (f'record.results["{name}"] = predicted.{name}' for name in outputs)
    if "lengths" in kept:
        yield f'record.results["lengths"] = {_lengths(case)!r}'


def _poisoned(case: Case) -> dict[int, float]:
    """The batches of each evaluation whose losses are replaced, and by what."""
    return {int(place): float(value) for place, value in case.parameters.get("poison", ())}


def _lengths(case: Case) -> dict[str, int]:
    """The number of samples by prefix, that of the prediction first."""
    n = int(case.parameters["predict"])
    lengths = {str(case.parameters.get("prefix", "test")): n}
    if case.parameters.keys() & {"several", "named"}:
        lengths |= {f"eval_{SEVERAL[0]}": case.scenario.data.n_eval, f"eval_{SEVERAL[1]}": n}
    return lengths


def _taken(traces: list[str]) -> str:
    items = ", ".join(f'"{name}": {name}(trainer)' for name in traces)
    return f"{{{items}}}"


register(
    Experiment(
        NAME,
        "Evaluate twice and predict, before or after training, on one or two data sets.",
        "test_trainer",
        cases,
        run,
        tuple(name for flavour in _FLAVOURS for name in strategies.FLAVOURS[flavour].models),
        1.5,
        body=body,
    )
)
