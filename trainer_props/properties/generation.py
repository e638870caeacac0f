"""Generating: what an encoder-decoder writes, what is asked of it, and that this leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from trainer_props.judgement import Judgement, close, holds_for_all, same
from trainer_props.measures import generation as measures
from trainer_props.oracles import label_smoothing
from trainer_props.properties import sources
from trainer_props.properties.needs import FINISHED, Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record
from trainer_props.scenario import Scenario
from trainer_props.zoo.content import PAD
from trainer_props.zoo.generation import Batch, generated

EXPERIMENTS: Final = ("generate",)
GENERATED: Final = Need("generated", "the subject is no Seq2SeqTrainer", lambda record, scenario: "made" in record.results)
OUR_LOSS: Final = Need("our_loss", "the subject declares a loss of its own", lambda record, scenario: record.loss_reduction is None)
_LOSS: Final = 1e-4
"""Models of transformers compute losses in single precision, whatever their type."""
_EVALUATE: Final = sources.docs("Seq2SeqTrainer.evaluate")


@trainer_property(source=_EVALUATE, experiments=EXPERIMENTS, needs=[FINISHED, GENERATED], catalogue=[89])
def rows_are_what_the_model_generates(record: Record, scenario: Scenario) -> Judgement:
    """With `predict_with_generate` row i of the predictions is what the model's own `generate` makes of row i, and padding.

    The options are those of the call; where it is silent, `generation_max_length` and `generation_num_beams`, then the `generation_config`
    of the arguments, then the model's own.
    """

    def judgements() -> Iterator[Judgement]:
        for call in range(len(record.results["made"])):
            rows = [list(row) for batch in batches(record, scenario, call) for row in batch.tokens]
            observed = measures.number_of_rows(record, call, "predictions")
            yield same("rows of predictions", expected=len(rows), observed=observed, at=f"call {call}")
            for number, row in enumerate(rows):
                tokens = measures.tokens_of_row(record, call, number, PAD)
                expected = measures.without_end(row, PAD)
                yield same("generated tokens", expected=expected, observed=tokens, symptom="others", at=f"call {call}, row {number}, token")

    return holds_for_all("generated tokens", judgements())


@trainer_property(source=sources.issue(22634), experiments=EXPERIMENTS, needs=[FINISHED, GENERATED], catalogue=[60, 89])
def predictions_are_tokens(record: Record, scenario: Scenario) -> Judgement:
    """Predictions that were generated hold tokens and nothing else: what is shorter than others is padded with the padding token, so that a
    tokenizer can decode it.
    """
    return holds_for_all("predictions", [
        same("places that hold no token", expected=[], observed=measures.no_tokens(record, call), symptom="some", at=f"call {call}")
        for call in range(len(record.results["made"]))
    ])  # fmt: skip


@trainer_property(source=sources.docs("Seq2SeqTrainer.predict"), experiments=EXPERIMENTS, needs=[FINISHED, GENERATED], catalogue=[57, 60])
def labels_belong_to_generated_rows(record: Record, scenario: Scenario) -> Judgement:
    """Row i of `label_ids` holds the labels of row i, and padding at its end."""
    return holds_for_all("labels", [
        same("row of labels", expected=measures.without_end(list(row), PAD), observed=measures.labels_of_row(record, call, number, PAD),
             symptom="others", at=f"call {call}, row {number}, label")
        for call in range(len(record.results["made"]))
        for number, row in enumerate(row for batch in batches(record, scenario, call) for row in batch.labels)
    ])  # fmt: skip


@trainer_property(source=_EVALUATE, experiments=EXPERIMENTS, needs=[FINISHED, GENERATED, OUR_LOSS], tolerance=_LOSS, catalogue=[55])
def generating_leaves_the_loss(record: Record, scenario: Scenario) -> Judgement:
    """With `predict_with_generate` the evaluation loss still is that of the labels, smoothed if `label_smoothing_factor` says so: the mean
    of the losses of the batches, each weighted by its rows.
    """
    judgements = []
    for call in range(len(record.results["made"])):
        found = batches(record, scenario, call)
        rows = [len(batch.labels) for batch in found]
        expected = sum(loss_of_batch(batch, scenario) * n for batch, n in zip(found, rows, strict=True)) / sum(rows)
        observed = measures.loss_of_call(record, call)
        judgements.append(close("eval_loss", expected=expected, observed=observed, tolerance=_LOSS, at=f"call {call}"))
    return holds_for_all("eval_loss", judgements)


@trainer_property(source=sources.GENERATION_CONFIG, experiments=EXPERIMENTS, needs=[FINISHED, GENERATED], catalogue=[90])
def generation_config_stays(record: Record, scenario: Scenario) -> Judgement:
    """Options of a call are for that call: the generation configurations of model and arguments are afterwards what they were."""
    return holds_for_all("generation configurations", [
        same(f"generation configuration of the {whose}", expected=measures.config_before(record, whose),
             observed=measures.config_after(record, whose), symptom="changed")
        for whose in ("arguments", "model")
    ])  # fmt: skip


def batches(record: Record, scenario: Scenario, call: int) -> tuple[Batch, ...]:
    """What the model makes of the data in a call."""
    asked: Mapping[str, Any] = record.results["asked"]
    size = int(scenario.argument("per_device_eval_batch_size"))
    return generated(scenario.model, scenario.data, size, options(asked, call), asked["config"])


def options(asked: Mapping[str, Any], call: int) -> dict[str, Any]:
    """The options of `generate` in a call: its own, and those of the arguments where it is silent. There is one bound of the length."""
    own = {name: value for name, value in asked["calls"][call][1].items() if value is not None}
    found = {}
    if asked.get("generation_max_length") is not None and not own.keys() & {"max_length", "max_new_tokens"}:
        found["max_length"] = asked["generation_max_length"]
    if asked.get("generation_num_beams") is not None:
        found["num_beams"] = asked["generation_num_beams"]
    return {**found, **own}


def loss_of_batch(batch: Batch, scenario: Scenario) -> float:
    """The loss of a batch, smoothed if the arguments say so."""
    epsilon = float(scenario.argument("label_smoothing_factor"))
    if not epsilon:
        return batch.loss
    return float(label_smoothing.smoothed_cross_entropy(*batch.scores, epsilon, shift=False, items=None))
