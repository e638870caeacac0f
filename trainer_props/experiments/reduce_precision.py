"""The experiment that trains, evaluates and predicts in reduced precision, and looks at the types that the model computes in."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.pairs import without_workers
from trainer_props.experiments.registry import Body, Experiment, Held, Wanted, register
from trainer_props.record import Record

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "reduce_precision"
LAYERS: Final = ("regression_layers", "regression_rms_norm", "lstm")
"""Cheap models with products of matrices, which mixed precision is about."""
_LINES: Final = ("regression", "regression_dict", "regression_kwargs", "regression_renamed", "regression_double")
_TOKENS: Final = ("lstm",)
_HUB: Final = ("llama", "bert_classifier")
_MIXED: Final[tuple[dict[str, Any], ...]] = ({"bf16": True}, {"bf16": True}, {"bf16": True}, {}, {"fp16": True})
_FULL: Final[tuple[dict[str, Any], ...]] = ({"bf16_full_eval": True}, {"fp16_full_eval": True})
_BOTH: Final[tuple[dict[str, Any], ...]] = ({"bf16": True, "bf16_full_eval": True},)
_DECIDING: Final = frozenset({"bf16", "fp16", "bf16_full_eval", "fp16_full_eval"})
_WATCHED: Final[tuple[dict[str, Any], ...]] = ({"eval_strategy": "epoch"}, {"eval_strategy": "steps", "eval_steps": 1}, {})
_PLANS: Final = frozenset({"eval_strategy", "eval_steps"})
_SHORT: Final[dict[str, Any]] = {"max_steps": 2}


def watch(model: Any, moment: list[str]) -> list[dict[str, Any]]:
    """A list to which each call of the model adds: when it is, and the types of the weights, of the outputs, and inside."""
    import torch

    calls: list[dict[str, Any]] = []
    layers = [each for each in model.modules() if each is not model and not list(each.children()) and list(each.parameters())]

    def begun(module: Any, args: Any) -> None:
        when = "training" if module.training else moment[-1]
        weights = sorted({str(each.dtype) for each in module.parameters()})
        calls.append({"when": when, "weights": weights, "inside": [], "outputs": []})

    def inside(module: Any, args: Any) -> None:
        cast = str(torch.get_autocast_dtype("cpu")) if torch.is_autocast_enabled("cpu") else "as it is"
        calls[-1]["inside"] = sorted({cast, *calls[-1]["inside"]})

    def ended(module: Any, args: Any, outputs: Any) -> None:
        values = outputs.values() if isinstance(outputs, dict) else outputs
        calls[-1]["outputs"] = sorted({str(each.dtype) for each in values if hasattr(each, "dtype")})

    model.register_forward_pre_hook(begun)
    model.register_forward_hook(ended)
    for layer in layers:
        layer.register_forward_pre_hook(inside)
    return calls


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Short runs, and in which precision they are.

    Parameters of a case: `train` (whether it is trained before it is evaluated and predicts).
    """
    arguments = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        kinds = [name for name in ("mixed", "mixed", "full", "both") if _models(name, held)] or ["mixed"]
        kind = draw(st.sampled_from(kinds))
        options = {"mixed": _MIXED, "full": _FULL, "both": _BOTH}[kind]
        chosen = draw(st.sampled_from(options)) if not arguments.keys() & _DECIDING else {}
        watched = draw(st.sampled_from(_WATCHED)) if not arguments.keys() & _PLANS else {}
        models = _models(kind, held)
        names = models if (draw(st.integers(0, 9)) < 9 or kind == "both") and models else [*_hub(held), *models]
        name = draw(st.sampled_from(names))
        short = _SHORT if not arguments.keys() & {"max_steps", "num_train_epochs"} else {}
        others = {"lstm": strategies.token_scenarios, **dict.fromkeys(_HUB, strategies.hub_scenarios)}
        flavour = others.get(name, strategies.regression_scenarios)
        scenario = draw(flavour(arguments={**short, **watched, **chosen, **arguments}, models=[name]))
        scenario = without_workers(scenario, arguments)
        # autocast leaves float64 as it is, which weights in half precision can't be multiplied with
        if kind == "both" or (kind == "mixed" and draw(st.integers(0, 3))):
            scenario = scenario.replace(model=scenario.model.replace(dtype="float32"))
        n_eval = scenario.data.n_eval or draw(st.integers(1, 9))
        scenario = scenario.replace(data=scenario.data.replace(n_eval=n_eval), components=scenario.components.replace(poisoned=()))
        return Case(experiment=NAME, scenario=scenario, parameters={"train": True} if draw(st.booleans()) else {})

    return drawn()


def _models(kind: str, held: Held) -> list[str]:
    """The models for mixed precision, for evaluation in half precision, or for both."""
    names = {"mixed": LAYERS, "full": (*_LINES, *_TOKENS), "both": LAYERS}[kind]
    return [name for name in names if held.models is None or name in held.models]


def _hub(held: Held) -> list[str]:
    return [name for name in _HUB if held.models is None or name in held.models]


def run(case: Case, subject: Subject) -> Record:
    """Train if the case says so, evaluate, predict.

    Raises:
        NoSuchPrecision: this processor can't compute the model in that precision.
    """
    from trainer_props.running import run as run_scenario
    from trainer_props.running.precision import require_precision

    require_precision(case.scenario)

    def body(trainer: Any, record: Record, parts: Any) -> None:
        moment = ["evaluation during training"]
        record.results["calls"] = watch(trainer.model, moment)
        if case.parameters.get("train"):
            output = trainer.train()
            record.global_step, record.training_loss, record.metrics = output.global_step, output.training_loss, dict(output.metrics)
        moment.append("evaluation")
        trainer.evaluate()
        trainer.predict(parts.eval_dataset(), metric_key_prefix="eval")

    return run_scenario(case.scenario, subject, body)


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source."""
    watched = "calls" in wanted.words
    lines = ['moment = ["evaluation during training"]', 'record.results["calls"] = watch_types(trainer.model, moment)'] if watched else []
    if case.parameters.get("train"):
        lines.append("trainer.train()")
    if watched:
        lines.append('moment.append("evaluation")')
    lines += ["trainer.evaluate()", 'trainer.predict(eval_dataset, metric_key_prefix="eval")']
    source = inspect.getsource(watch).rstrip().replace("def watch(", "def watch_types(")
    return Body(lines, ["from typing import Any"] if watched else [], [source] if watched else [])


register(
    Experiment(
        NAME,
        "Train, evaluate and predict in mixed precision, or evaluate in half precision.",
        "test_trainer",
        cases,
        run,
        tuple(dict.fromkeys((*LAYERS, *_LINES, *_HUB))),
        1.0,
        body=body,
    )
)
