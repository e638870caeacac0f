"""The experiment that evaluates and predicts, before or after training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.registry import Body, Experiment, Held, Wanted, register, train_body
from trainer_props.record import Record
from trainer_props.scenario import Scenario

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME = "evaluate_and_predict"
SEVERAL = ("first", "second")
_RESULTS = (
    "lengths", "trained_evaluations", "several", "evaluate", "evaluate_again", "evaluations", "predictions", "label_ids", "metrics",
)  # fmt: skip
_FLAVOURS = {
    "regression": strategies.regression_scenarios,
    "token": strategies.token_scenarios,
    "hub": strategies.hub_scenarios,
    "seq2seq": strategies.seq2seq_scenarios,
}


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Scenarios with evaluation data, and what is done with them.

    Parameters of a case: `predict` (samples to predict), `train` (whether it is trained before), `several` (whether two data sets are
    evaluated by name), `prefix` (of the prediction's metrics).
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
        scenario: Scenario = draw(kind(arguments=arguments, models=held.models))
        n_eval = scenario.data.n_eval or draw(st.integers(1, 9))
        parameters: dict[str, Any] = {"predict": draw(st.integers(1, 9))}
        if draw(st.booleans()):
            parameters["train"] = True
        if draw(st.booleans()):
            parameters["several"] = True
        if draw(st.integers(0, 3)) == 3:
            parameters["prefix"] = "held_out"
        workers = [name for name in scenario.arguments if name.startswith("dataloader_") and name != "dataloader_drop_last"]
        quiet = scenario.without_arguments(*(name for name in workers if name not in arguments))
        return Case(experiment=NAME, scenario=quiet.replace(data=scenario.data.replace(n_eval=n_eval)), parameters=parameters)

    return drawn()


def run(case: Case, subject: Subject) -> Record:
    """Train if the case says so, evaluate twice, predict."""
    from trainer_props.running import run as run_scenario

    parameters = case.parameters

    def body(trainer: Any, record: Record, parts: Any) -> None:
        if parameters.get("train"):
            output = trainer.train()
            record.global_step, record.training_loss, record.metrics = output.global_step, output.training_loss, dict(output.metrics)
        n = int(parameters["predict"])
        parts.expect_test(n)
        test = parts.test_dataset(n)
        prefix = parameters.get("prefix", "test")
        results = record.results
        results["lengths"] = {prefix: n}
        results["trained_evaluations"] = len(record.evaluations)
        before = len(record.evaluations)
        if parameters.get("several"):
            results["lengths"] |= {f"eval_{SEVERAL[0]}": case.scenario.data.n_eval, f"eval_{SEVERAL[1]}": n}
            sets = {SEVERAL[0]: parts.eval_dataset(), SEVERAL[1]: test}
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

    return run_scenario(case.scenario, subject, body)


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source: `test_dataset` are the samples to predict."""
    parameters = case.parameters
    n, prefix = int(parameters["predict"]), parameters.get("prefix", "test")
    lengths = {prefix: n}
    kept = {name for name in _RESULTS if name in wanted.words} or set(_RESULTS)
    kept = kept if "results" in wanted.fields else set()
    lines = list(train_body(case, wanted).lines) if parameters.get("train") else []
    if "global_step" in wanted.fields and not lines:
        lines.append("record.global_step = trainer.state.global_step")
    if "trained_evaluations" in kept:
        lines.append('record.results["trained_evaluations"] = len(record.evaluations)')
    if "evaluations" in kept:
        lines.append("before = len(record.evaluations)")
    if parameters.get("several"):
        lengths |= {f"eval_{SEVERAL[0]}": case.scenario.data.n_eval, f"eval_{SEVERAL[1]}": n}
        sets = f'{{"{SEVERAL[0]}": trainer.eval_dataset, "{SEVERAL[1]}": test_dataset}}'
        evaluated = f"trainer.evaluate(eval_dataset={sets})"
        lines.append(f'record.results["several"] = dict({evaluated})' if "several" in kept else evaluated)
    for name in ("evaluate", "evaluate_again"):
        lines.append(f'record.results["{name}"] = dict(trainer.evaluate())' if name in kept else "trainer.evaluate()")
    if "evaluations" in kept:
        lines.append('record.results["evaluations"] = len(record.evaluations) - before')
    given = "test_dataset" if prefix == "test" else f'test_dataset, metric_key_prefix="{prefix}"'
    outputs = [name for name in ("predictions", "label_ids", "metrics") if name in kept]
    lines.append(f"{'predicted = ' if outputs else ''}trainer.predict({given})")
    lines += [f'record.results["{name}"] = predicted.{name}' for name in outputs]
    if "lengths" in kept:
        lines.append(f'record.results["lengths"] = {lengths!r}')
    return Body(lines)


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
