"""The same evaluation in two ways: in batches of other sizes, moved and put together in another way, with metrics batch by batch."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Final

from torch import Tensor

from trainer_props import zoo
from trainer_props.judgement import Judgement, close, holds_for_all, not_applicable, same
from trainer_props.measures import evaluation_batches as measures
from trainer_props.oracles import accounting
from trainer_props.properties import sources
from trainer_props.properties.needs import Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record, Runs
from trainer_props.scenario import Scenario
from trainer_props.zoo import DATASETS, MODELS
from trainer_props.zoo.content import NUMBERS

EXPERIMENTS: Final = ("evaluate_in_batches",)
BASELINE: Final = "baseline"
_TOLERANCES: Final = {"float64": 1e-9, "float32": 1e-4}
_METRICS: Final = ("eval_rows", "eval_labels", "eval_outputs")
_JUST_LOSS: Final = "only the loss is asked for"
_EVALUATE: Final = sources.docs("Trainer.evaluate")
_PREDICT: Final = sources.docs("Trainer.predict")


def _equal_rows(runs: Runs, scenario: Scenario) -> bool:
    return scenario.data.kind != "dynamic" and not scenario.data.ignored_every


def _declares_no_loss(runs: Runs, scenario: Scenario) -> bool:
    return runs.first.loss_reduction is None


BASELINE_FINISHED = Need("baseline_finished", "the evaluation does not finish", lambda runs, scenario: runs.first.finished)
BOTH_FINISHED = Need("finished", "an evaluation does not finish", lambda runs, scenario: all(each.finished for each in runs.values()))
EQUAL_ROWS = Need(
    "equal_rows", "rows have different numbers of labels, and the loss of a batch is the mean over its labels: it depends on the batch",
    _equal_rows,
)  # fmt: skip
NO_OWN_LOSS = Need("no_own_loss", "the subject declares a loss of its own", _declares_no_loss)
FULL_PRECISION = Need(
    "full_precision", "in half precision batches of another shape round differently",
    lambda runs, scenario: not (scenario.argument("bf16_full_eval") or scenario.argument("fp16_full_eval")),
)  # fmt: skip
IN_ORDER = Need(
    "in_order", "samples are grouped by length (prediction.rows_belong_to_their_samples says what becomes of their order)",
    lambda runs, scenario: scenario.argument("train_sampling_strategy") != "group_by_length" or not DATASETS[scenario.data.kind].map_style,
)  # fmt: skip
LAST_KEPT = Need(
    "last_kept", "dataloader_drop_last leaves rows out (evaluation.evaluation_covers_the_data_in_order says so)",
    lambda runs, scenario: not accounting.drops_last(scenario),
)  # fmt: skip
_BOTH: Final = (BOTH_FINISHED, LAST_KEPT)
_EXACT: Final = (*_BOTH, FULL_PRECISION)


@trainer_property(source=_EVALUATE, experiments=EXPERIMENTS, needs=[BASELINE_FINISHED], catalogue=[56])
def any_batches_come_to_an_end(runs: Runs, scenario: Scenario) -> Judgement:
    """What can be evaluated and predicted in one way can be evaluated and predicted in another."""
    crashed = "crashed" if measures.last(runs).stuck is None else "hung"
    return same("the evaluation", expected=measures.ENDED, observed=measures.ending(runs), symptom="does not end", verdict=crashed)


@trainer_property(
    source=sources.docs("TrainingArguments.per_device_eval_batch_size"), experiments=EXPERIMENTS,
    needs=[*_EXACT, EQUAL_ROWS, NO_OWN_LOSS], tolerance=_TOLERANCES["float64"], catalogue=[55, 56],
)  # fmt: skip
def the_loss_does_not_depend_on_batches(runs: Runs, scenario: Scenario) -> Judgement:
    """The evaluation loss does not depend on how samples are put into batches, nor on when results are moved or put together."""
    expected, observed = (measures.metric(runs, run, "evaluate", "eval_loss") for run in (BASELINE, _other(runs)))
    return close("eval_loss", expected=expected, observed=observed, tolerance=_tolerance(scenario))


@trainer_property(
    source=sources.docs("TrainingArguments.batch_eval_metrics"), experiments=EXPERIMENTS, needs=_EXACT,
    tolerance=_TOLERANCES["float64"], catalogue=[56, 58],
)  # fmt: skip
def sums_do_not_depend_on_batches(runs: Runs, scenario: Scenario) -> Judgement:
    """Metrics that add up over samples are the same in batches of any size, and batch by batch (`batch_eval_metrics`) or all at once."""
    if any(map(_only_loss, runs.values())):
        return not_applicable(_JUST_LOSS)
    return holds_for_all("metrics", [
        close(
            name, expected=measures.metric(runs, BASELINE, "evaluate", name),
            observed=measures.metric(runs, _other(runs), "evaluate", name), tolerance=_tolerance(scenario),
        )
        for name in _METRICS
    ])  # fmt: skip


@trainer_property(
    source=_PREDICT, experiments=EXPERIMENTS, needs=[*_EXACT, IN_ORDER], tolerance=_TOLERANCES["float64"], catalogue=[56, 57, 60]
)
def predictions_do_not_depend_on_batches(runs: Runs, scenario: Scenario) -> Judgement:
    """`predict` gives the same rows of the same outputs in any batches, as far as each row's own length goes."""
    if any(map(_only_loss, runs.values())):
        return not_applicable(_JUST_LOSS)
    outputs = measures.numbers_of_outputs(runs, BASELINE, "predictions")
    # what else a model of tokens gives may be as long as its inputs
    compared = range(max(outputs.value, default=0) if MODELS[scenario.model.name].family in NUMBERS else min([1, *outputs.value]))
    return holds_for_all("predictions", [
        same("numbers of outputs", expected=outputs, observed=measures.numbers_of_outputs(runs, _other(runs), "predictions"),
             symptom="different"),
        *(each for output in compared for each in _rows(runs, scenario, "predictions", output)),
    ])  # fmt: skip


@trainer_property(source=_PREDICT, experiments=EXPERIMENTS, needs=[*_BOTH, IN_ORDER], catalogue=[56, 57, 60])
def labels_do_not_depend_on_batches(runs: Runs, scenario: Scenario) -> Judgement:
    """`predict` gives the labels of each row in any batches, and beyond a row's own length -100."""
    if any(map(_only_loss, runs.values())):
        return not_applicable(_JUST_LOSS)
    columns = measures.numbers_of_outputs(runs, BASELINE, "label_ids")
    return holds_for_all("labels", [
        same("numbers of columns of labels", expected=columns, observed=measures.numbers_of_outputs(runs, _other(runs), "label_ids"),
             symptom="different"),
        *(each for column in range(max(columns.value, default=0)) for each in _rows(runs, scenario, "label_ids", column)),
        *(
            same("labels beyond the length of a row", expected=[], observed=measures.wrong_padding(runs, run, list(_lengths(scenario))),
                 symptom="not padded", at=run)
            for run in runs
        ),
    ])  # fmt: skip


@trainer_property(
    source=_PREDICT, experiments=EXPERIMENTS, needs=[*_EXACT, NO_OWN_LOSS], tolerance=_TOLERANCES["float64"], catalogue=[55, 61]
)
def predicting_says_what_evaluating_says(runs: Runs, scenario: Scenario) -> Judgement:
    """`predict` on the evaluation data returns the metrics that `evaluate` returns."""
    if not IN_ORDER.met(runs, scenario) and not EQUAL_ROWS.met(runs, scenario):
        return not_applicable("samples are grouped by length, in other batches each time")
    return holds_for_all("metrics of predict", [
        close(
            f"{name} of predict", expected=measures.metric(runs, run, "evaluate", name),
            observed=measures.metric(runs, run, "predict", name), tolerance=_tolerance(scenario), at=run,
        )
        for run in runs
        for name in measures.names_of_metrics(runs, run, "evaluate").value
    ])  # fmt: skip


@trainer_property(source=sources.docs("TrainingArguments.eval_do_concat_batches"), experiments=EXPERIMENTS, needs=_BOTH, catalogue=[60])
def batches_are_put_together_or_kept_apart(runs: Runs, scenario: Scenario) -> Judgement:
    """`predict` returns one array of all rows; with `eval_do_concat_batches=False` a list with an item for each batch."""
    judgements = []
    for run, record in runs.items():
        if _only_loss(record) or 0 in measures.numbers_of_outputs(runs, run, "predictions").value:
            continue  # that there are no predictions is another property's finding
        settings, n = record.results["settings"], scenario.data.n_eval
        size = int(settings["per_device_eval_batch_size"])
        apart = [size] * (n // size) + [n % size] * (n % size > 0)
        expected = [n] if settings["eval_do_concat_batches"] else ["each", *apart]
        judgements += [
            same(f"rows of {name}", expected=expected, observed=measures.rows_that_are_kept(runs, run, name), symptom="different", at=run)
            for name in ("predictions", "label_ids")
        ]
    return holds_for_all("rows", judgements)


@trainer_property(source=sources.docs("TrainingArguments.prediction_loss_only"), experiments=EXPERIMENTS, needs=_BOTH, catalogue=[55])
def only_the_loss_is_returned(runs: Runs, scenario: Scenario) -> Judgement:
    """With `prediction_loss_only` there are no predictions, no labels and no metrics but the loss; without it there are all of them."""
    return holds_for_all("what is returned", [
        same(
            "what is returned beside the loss", expected=[] if _only_loss(record) else ["predictions", "label_ids", "metrics"],
            observed=measures.what_is_returned(runs, run), symptom="different", at=run,
        )
        for run, record in runs.items()
    ])  # fmt: skip


@trainer_property(
    source=sources.docs("TrainingArguments.include_for_metrics"), experiments=EXPERIMENTS, needs=[*_BOTH, IN_ORDER],
    tolerance=_TOLERANCES["float64"], catalogue=[58],
)  # fmt: skip
def metrics_get_what_they_ask_for(runs: Runs, scenario: Scenario) -> Judgement:
    """With `include_for_metrics` `compute_metrics` is given the model's main input, row by row, and the loss of each sample."""
    asked = list(scenario.argument("include_for_metrics"))
    if not asked or any(map(_only_loss, runs.values())):
        return not_applicable("nothing is asked for" if not asked else _JUST_LOSS)
    judgements = []
    rows = [list(row) for row in _inputs(scenario)]
    for run, record in runs.items():
        if "inputs" in asked:
            observed = measures.inputs_given_to_metrics(runs, run, [len(row) for row in rows])
            judgements.append(same("inputs given to compute_metrics", expected=rows, observed=observed, at=f"{run}, row"))
        if "loss" in asked and FULL_PRECISION.met(runs, scenario):
            expected = [scenario.data.n_eval, record.results["evaluate"]["eval_loss"]]
            observed = measures.losses_given_to_metrics(runs, run)
            judgements.append(close("number and mean of the losses given to compute_metrics", expected=expected, observed=observed,
                                    tolerance=_tolerance(scenario), at=f"{run}, number"))  # fmt: skip
    return holds_for_all("what compute_metrics is given", judgements)


@trainer_property(source=sources.docs("TrainingArguments.bf16_full_eval"), experiments=EXPERIMENTS, needs=[BOTH_FINISHED], catalogue=[61])
def weights_and_their_type_stay(runs: Runs, scenario: Scenario) -> Judgement:
    """Evaluating and predicting leave the weights as they were, bit for bit and in their type, in whatever precision that is done."""
    return holds_for_all("weights", [
        same("type of weights, and weights", expected=measures.weights_before(runs, run), observed=measures.weights_afterwards(runs, run),
             symptom="changed", at=f"{run}, entry")
        for run in runs
    ])  # fmt: skip


def _rows(runs: Runs, scenario: Scenario, name: str, output: int) -> Iterator[Judgement]:
    """The judgements on an output of `predictions`, or a column of `label_ids`, row by row."""
    other, tolerance = _other(runs), _tolerance(scenario) if name == "predictions" else 0.0
    number = measures.number_of_rows(runs, BASELINE, name, output)
    yield same(f"number of rows of {name}", expected=number, observed=measures.number_of_rows(runs, other, name, output))
    for row, length in zip(range(number.value), _lengths(scenario), strict=False):
        expected, observed = (measures.row(runs, run, name, output, row, length) for run in (BASELINE, other))
        yield close(f"row of {name}", expected=expected, observed=observed, tolerance=tolerance, at=f"row {row}, element",
                    symptom="different")  # fmt: skip


@functools.lru_cache(maxsize=64)
def _lengths(scenario: Scenario) -> tuple[int | None, ...]:
    """The own lengths of the rows of labels, and so of the first output; None where a row has a single label."""
    label = MODELS[scenario.model.name].label_names[0]
    rows = (row[label][0] for row in _dataset(scenario))
    return tuple(len(row) if row.dim() else None for row in rows)


@functools.lru_cache(maxsize=64)
def _inputs(scenario: Scenario) -> tuple[tuple[float, ...], ...]:
    """The rows of the main input."""
    name = MODELS[scenario.model.name].main_input_name
    return tuple(tuple(row[name].reshape(-1).tolist()) for row in _dataset(scenario))


def _dataset(scenario: Scenario) -> list[dict[str, Tensor]]:
    dataset = zoo.build_dataset(scenario.data, "eval", model=scenario.model)
    return [dataset.rows([index]) for index in range(scenario.data.n_eval)]


def _other(runs: Runs) -> str:
    return list(runs)[-1]


def _only_loss(record: Record) -> bool:
    return bool(record.results["settings"]["prediction_loss_only"])


def _tolerance(scenario: Scenario) -> float:
    return _TOLERANCES[scenario.model.dtype] if MODELS[scenario.model.name].architecture is None else 1e-4
