"""The experiment that evaluates the same model on the same data under two settings that may change how, but not what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.registry import Body, Experiment, Held, Wanted, register
from trainer_props.record import Record, Runs
from trainer_props.scenario import Components, Scenario, thaw
from trainer_props.strategies import parts
from trainer_props.strategies.draft import Draft
from trainer_props.zoo.kinds import DATASETS, MODELS, DatasetKind, ModelKind

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "evaluate_in_batches"
BASELINE: Final = "baseline"
OTHER: Final = "other"
_MODELS: Final = (
    *(name for name in MODELS if name.startswith("regression") and MODELS[name].label_names), "regression_double", *["lstm"] * 6,
    "llama", "gpt2", "bert_classifier", "t5",
)  # fmt: skip
"""Simplest first; the models of the Hub, which cost ten times a line, come up less often."""
_SIZES: Final = (None, 1, 2, 3, 4)
_VARIED: Final[dict[str, tuple[Any, ...]]] = {
    "eval_accumulation_steps": (1, 2, 3),
    "batch_eval_metrics": (True,),
    "eval_do_concat_batches": (False,),
    "prediction_loss_only": (True,),
}
_SHARED: Final[dict[str, tuple[Any, ...]]] = {
    "include_for_metrics": (["loss"], ["inputs"], ["inputs", "loss"]),
    "eval_use_gather_object": (True,),
    "bf16_full_eval": (True,),
    "fp16_full_eval": (True,),
}
"""Settings that both evaluations have, if any."""
_HALF: Final = ("bf16_full_eval", "fp16_full_eval")
_NOTHING: Final[dict[str, float]] = {"rows": 0, "labels": 0.0, "outputs": 0.0}
_SETTINGS: Final = ("per_device_eval_batch_size", *_VARIED)
_WEIGHTS: Final = frozenset({"initial_weights", "final_weights"})
"""Fields of a record for which metrics do not matter."""
_RESULTS: Final = ("evaluate", "predict", "predictions", "label_ids", "seen")


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Evaluation data, a model, and two ways to evaluate it.

    The parameters of a case are the arguments of TrainingArguments in which the other evaluation differs from the scenario's.
    """
    arguments = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}
    names = [name for name in _MODELS if held.models is None or name in held.models]

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        draft = Draft(draw, arguments, "arguments")
        kind = MODELS[draft.choose(names)]
        kinds = [name for name in kind.data_kinds if name in parts.available_datasets()]
        data_kind = DATASETS[draft.choose([*kinds, *(["dynamic"] * 3 if "dynamic" in kinds else [])])]
        features = {**parts.DATA_FEATURES, **parts.model_features(kind.name), **_features(kind, data_kind), **_SHARED}
        if not _takes_half(kind):
            features = {name: options for name, options in features.items() if name not in _HALF}
        draft.switch_on({name: options for name, options in features.items() if name != "frozen"}, 4)
        if draft.choose((False, True)):
            draft.turn_on("include_for_metrics", draft.choose(_SHARED["include_for_metrics"]))
        if len(kind.label_names) > 1 and draft.choose((False, True)):  # several columns are put together as one is not
            draft.turn_on("eval_use_gather_object", True)
        draft.apply("label_smoothing_factor", "remove_unused_columns", "include_for_metrics", "eval_use_gather_object")
        draft.apply(*[name for name in _HALF if draft.on(name)][:1])  # not both
        if data_kind.name == "stream":
            draft.set("max_steps", 1)  # or the Trainer refuses data whose length it can't know
        other = _draw_ways(draft)
        data = parts.draw_data(draft, data_kind.name, 1, draft.integer(1, 9), kind)
        components = Components(
            collator="padding" if data_kind.needs_padding else "default", loss="compute_loss_func" if draft.on("own_loss") else "model"
        )
        scenario = Scenario(arguments=draft.arguments, data=data, model=parts.draw_model(draft, kind.name), components=components)
        return Case(experiment=NAME, scenario=scenario, parameters=other)

    return drawn()


def _features(kind: ModelKind, data_kind: DatasetKind) -> dict[str, tuple[Any, ...]]:
    """What a model and its data may have."""
    features: dict[str, tuple[Any, ...]] = {}
    if kind.family == "regression":
        features["own_loss"] = (True,)
    if kind.classifies and kind.pretrained:
        features["label_smoothing_factor"] = (0.1, 0.5)
    if data_kind.package is None:  # tables have a column that no model takes
        features["remove_unused_columns"] = (False,)
    return features


def _takes_half(kind: ModelKind) -> bool:
    """Whether the model runs in half precision though its inputs do not: tokens have no precision, and a line has no layer that minds."""
    return not (kind.layered and kind.main_input_name == "input_x")


def _draw_ways(draft: Draft) -> dict[str, Any]:
    """Decide the settings of the scenario, and return those in which the other evaluation differs."""
    other: dict[str, Any] = {}
    if draft.free("per_device_eval_batch_size"):
        usual = default("per_device_eval_batch_size")
        first, second = draft.choose(_SIZES) or usual, draft.choose(_SIZES) or usual
        draft.set("per_device_eval_batch_size", first)
        if second != first:
            other["per_device_eval_batch_size"] = second
    for name, options in _VARIED.items():
        where = draft.choose(("neither", "other", "first", "both", "neither", "other", "neither")) if draft.free(name) else "neither"
        if where in ("first", "both"):
            draft.set(name, draft.choose(options))
        if where in ("first", "other"):
            other[name] = default(name) if where == "first" else draft.choose(options)
    if draft.free("dataloader_num_workers") and draft.integer(0, 39) == 39:
        other["dataloader_num_workers"] = 1  # starting a process costs more than everything else
    return other


def run(case: Case, subject: Subject) -> Runs:
    """Evaluate and predict the evaluation data, in the scenario's way and in the other."""
    runs = Runs({BASELINE: _evaluated(case.scenario, subject)})
    if runs.first.finished:
        runs[OTHER] = _evaluated(case.scenario.with_arguments(**thaw(case.parameters)), subject)
    return runs


def _evaluated(scenario: Scenario, subject: Subject) -> Record:
    from trainer_props.running import run as run_scenario

    def body(trainer: Any, record: Record, parts: Any) -> None:
        results = record.results
        results["settings"] = {name: thaw(scenario.argument(name)) for name in _SETTINGS}
        trainer.compute_metrics = metric = Sums()
        results["evaluate"] = dict(trainer.evaluate())
        results["seen"], metric.seen = metric.seen, []
        predicted = trainer.predict(parts.eval_dataset(), metric_key_prefix="eval")
        results["predict"] = dict(predicted.metrics)
        results["predictions"], results["label_ids"] = predicted.predictions, predicted.label_ids

    return run_scenario(scenario, subject, body)


class Sums:
    """Sums over rows that come batch after batch, or all at once; labels of -100 and what belongs to them do not count.

    Attributes:
        seen: what it was given, one object a call.
    """

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.sums = dict(_NOTHING)

    def __call__(self, prediction: Any, compute_result: bool = True) -> dict[str, float]:
        """Add what is there; the sums once all of it was."""
        self.seen.append(prediction)
        outputs, labels = prediction.predictions, prediction.label_ids
        for output, label in zip(outputs, labels, strict=True) if isinstance(labels, list) else [(outputs, labels)]:
            columns = label if isinstance(label, tuple) else (label,)
            self.sums["rows"] += len(columns[0])
            for each, column in zip(output if isinstance(output, tuple) else (output,), columns, strict=False):
                counted = column != -100
                self.sums["labels"] += column[counted].sum().item()
                self.sums["outputs"] += each[counted].sum().item()
        found = self.sums
        if compute_result:
            self.sums = dict(_NOTHING)
        return found if compute_result else {}


_SUMS: Final = '''\
class Sums:
    """Sums over rows that come batch after batch, or all at once; labels of -100 and what belongs to them do not count."""

    def __init__(self):
        self.seen, self.sums = [], {"rows": 0, "labels": 0.0, "outputs": 0.0}

    def __call__(self, prediction, compute_result=True):
        self.seen.append(prediction)
        outputs, labels = prediction.predictions, prediction.label_ids
        for output, label in zip(outputs, labels) if isinstance(labels, list) else [(outputs, labels)]:
            columns = label if isinstance(label, tuple) else (label,)
            self.sums["rows"] += len(columns[0])
            for each, column in zip(output if isinstance(output, tuple) else (output,), columns):
                counted = column != -100
                self.sums["labels"] += column[counted].sum().item()
                self.sums["outputs"] += each[counted].sum().item()
        found = self.sums
        if compute_result:
            self.sums = {"rows": 0, "labels": 0.0, "outputs": 0.0}
        return found if compute_result else {}'''


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source: `run(output_dir, **arguments)` evaluates in one way."""
    kept = {name for name in _RESULTS if name in wanted.words} or set(_RESULTS)
    kept = kept if "results" in wanted.fields else set()
    metrics = not wanted.fields <= _WEIGHTS
    lines = ["trainer.compute_metrics = metric = Sums()"] if metrics else []
    lines.append('record.results["evaluate"] = dict(trainer.evaluate())' if "evaluate" in kept else "trainer.evaluate()")
    if "seen" in kept:
        lines.append('record.results["seen"], metric.seen = metric.seen, []')
    predicts = 'trainer.predict(eval_dataset, metric_key_prefix="eval")'
    outputs = [name for name in ("predict", "predictions", "label_ids") if name in kept]
    lines.append(f"{'predicted = ' if outputs else ''}{predicts}")
    lines += [f'record.results["{name}"] = {"dict(predicted.metrics)" if name == "predict" else f"predicted.{name}"}' for name in outputs]
    other = thaw(case.parameters)
    said = {name: case.scenario.argument(name) for name in other}
    several = [f'runs = {{"{BASELINE}": run(output_dir{_keywords(said)}), "{OTHER}": run(output_dir{_keywords(other)})}}']
    return Body(lines, [], [_SUMS] if metrics else [], varied=tuple(other), several=several)


def _keywords(arguments: dict[str, Any]) -> str:
    return "".join(f", {name}={value!r}" for name, value in arguments.items())


register(
    Experiment(
        NAME,
        "Evaluate and predict the same data twice, in batches of another size or put together in another way.",
        "test_trainer",
        cases,
        run,
        tuple(dict.fromkeys(_MODELS)),
        1.0,
        body=body,
    )
)
