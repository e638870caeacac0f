"""The experiment in which a Seq2SeqTrainer generates: options from its arguments, from a configuration, and from each call."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.registry import Body, Experiment, Held, Wanted, register
from trainer_props.record import Record
from trainer_props.scenario import Components, Data, Model, Scenario, thaw
from trainer_props.serialization import code

if TYPE_CHECKING:
    from trainer_props.subjects import Parts, Subject

NAME: Final = "generate"
_SPECIAL: Final = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}
_ENDS: Final = (list(range(2, 12)), list(range(3, 32, 2)), [11])
"""Tokens that end a text: of a model that knows nothing some texts then end early."""
_STARTS: Final = (17, 22, 5)
"""Tokens that begin a text: a model that knows nothing mostly repeats what it began with, and the usual one is that of padding."""


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Evaluation data of an encoder-decoder, and what is asked of it.

    Parameters of a case: `calls` (pairs of `evaluate` or `predict` and the options of that call), `asked` (arguments of
    Seq2SeqTrainingArguments, beside `predict_with_generate`), `config` (those of its `generation_config`, if there is one).
    """
    arguments = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        chosen: dict[str, Any] = {"per_device_eval_batch_size": draw(st.integers(1, 3))}
        if draw(st.integers(0, 3)) == 3:
            chosen["label_smoothing_factor"] = draw(st.sampled_from((0.1, 0.5)))
        kind = draw(st.sampled_from(("seq2seq", "seq2seq", "dynamic")))
        scenario = Scenario(
            arguments={**chosen, **arguments},
            data=Data(kind=kind, n=1, n_eval=draw(st.integers(1, 4)), length=draw(st.integers(2, 6)), seed=draw(st.integers(0, 2))),
            model=Model(name="t5", dtype=draw(st.sampled_from(("float64", "float32"))), seed=draw(st.integers(0, 2))),
            components=Components(collator="padding" if kind == "dynamic" else "default"),
        )
        asked: dict[str, Any] = {}
        if draw(st.booleans()):
            asked["generation_max_length"] = draw(st.integers(2, 6))
        if draw(st.integers(0, 2)) == 2:
            asked["generation_num_beams"] = draw(st.integers(1, 3))
        parameters: dict[str, Any] = {"asked": asked}
        if draw(st.integers(0, 2)) == 2:
            parameters["config"] = {**_SPECIAL, "max_length": draw(st.sampled_from((2, 2, 3, 6)))}
            parameters["config"]["decoder_start_token_id"] = draw(st.sampled_from((0, *_STARTS)))
            if draw(st.booleans()):
                parameters["config"]["eos_token_id"] = draw(st.sampled_from(_ENDS))
        shortest = "generation_max_length" in asked or "config" in parameters
        names = ["predict", "evaluate"] if draw(st.integers(0, 2)) == 2 else [draw(st.sampled_from(("predict", "evaluate")))]
        parameters["calls"] = [[name, draw(_options(bounded=shortest))] for name in names]
        return Case(experiment=NAME, scenario=scenario, parameters=parameters)

    return drawn()


@st.composite
def _options(draw: st.DrawFn, *, bounded: bool) -> dict[str, Any]:
    """Options of a call. `bounded`: something else says how long a text may be; without any bound it would be 20 tokens."""
    options: dict[str, Any] = {}
    length = draw(st.sampled_from((*((None, None) if bounded else ()), "max_length", "max_length", "max_new_tokens")))
    if length is not None:
        options[length] = draw(st.integers(2, 6))
    if draw(st.integers(0, 3)) == 3:
        options["num_beams"] = draw(st.integers(1, 3))
    if draw(st.booleans()):
        options["eos_token_id"] = draw(st.sampled_from(_ENDS))
    start = draw(st.sampled_from((*_STARTS, None)))
    if start is not None:
        options["decoder_start_token_id"] = start
    return options


def asks(case: Case) -> bool:
    """Whether something says of every call how long a text may be."""
    parameters = case.parameters
    lengths = {"max_length", "max_new_tokens"}
    bounded = "config" in parameters or "generation_max_length" in parameters.get("asked", {})
    return bounded or all(lengths & options.keys() for _, options in parameters.get("calls", ()))


def settings(case: Case) -> dict[str, Any]:
    """Keyword arguments of Seq2SeqTrainingArguments that a case adds, but for the `generation_config`."""
    return {"predict_with_generate": True, **thaw(case.parameters.get("asked", {}))}


def config(case: Case) -> dict[str, Any] | None:
    """The keyword arguments of the `generation_config`, or None if there is none."""
    return thaw(case.parameters["config"]) if "config" in case.parameters else None


def generated(trainer: Any, dataset: Any, calls: Any) -> dict[str, Any]:
    """What `compute_metrics` is given in each call with its options, the losses, and the generation configurations before and after."""
    seen: list[Any] = []

    def plain(given: Any) -> Any:
        items = {} if given is None else given.to_dict()
        return [[name, value] for name, value in sorted(items.items()) if value is not None and not name.startswith("_")]

    def configs() -> dict[str, Any]:
        return {"model": plain(trainer.model.generation_config), "arguments": plain(trainer.args.generation_config)}

    def compute_metrics(prediction: Any) -> dict[str, float]:
        seen.append(prediction)
        return {}

    found: dict[str, Any] = {"before": configs(), "made": []}
    trainer.compute_metrics = compute_metrics
    for name, options in calls:
        if name == "evaluate":
            metrics = trainer.evaluate(**options)
        else:
            metrics = trainer.predict(dataset, metric_key_prefix="eval", **options).metrics
        made = {"predictions": seen[-1].predictions.tolist(), "label_ids": seen[-1].label_ids.tolist(), "loss": metrics["eval_loss"]}
        found["made"].append(made)
    return {**found, "after": configs()}


def run(case: Case, subject: Subject) -> Record:
    """Evaluate and predict by generating, on a Seq2SeqTrainer."""
    from trainer_props import subjects
    from trainer_props.running import run as run_scenario

    subject = subjects.generating(subject)
    calls = [(str(name), thaw(options)) for name, options in case.parameters.get("calls", ())]

    def make(parts: Parts, output_dir: str) -> Any:
        parts.generation, parts.generation_config = settings(case), config(case)
        return subject.make(parts, output_dir)

    def body(trainer: Any, record: Record, parts: Any) -> None:
        record.results["asked"] = {**settings(case), "config": config(case), "calls": calls}
        if hasattr(trainer.args, "predict_with_generate"):
            record.results |= generated(trainer, parts.eval_dataset(), calls)

    return run_scenario(case.scenario, dataclasses.replace(subject, make=make), body)


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source."""
    calls = [(str(name), thaw(options)) for name, options in case.parameters.get("calls", ())]
    call = f"generated(trainer, eval_dataset, {code(calls)})".replace("'", '"')
    line = f"record.results.update({call})" if "results" in wanted.fields else call
    return Body([line], ["from typing import Any"], [inspect.getsource(generated).rstrip()])


register(
    Experiment(
        NAME,
        "Evaluate and predict by generating, with options from arguments and calls.",
        "test_trainer_seq2seq",
        cases,
        run,
        ("t5",),
        1.0,
        body=body,
        avoids=("dataloader_drop_last", "train_sampling_strategy"),
        sensible=asks,
    )
)
