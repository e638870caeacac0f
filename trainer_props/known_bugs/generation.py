"""Known bugs of generating."""

from __future__ import annotations

import math
from typing import Any, Final

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.properties.generation import batches, loss_of_batch
from trainer_props.record import Record
from trainer_props.scenario import Data, Model, Scenario

_USUAL_LENGTH: Final = 20
_DEFAULTS: Final[dict[str, Any]] = {
    "max_length": _USUAL_LENGTH, "min_length": 0, "num_beams": 1, "num_return_sequences": 1, "do_sample": False, "early_stopping": False,
    "use_cache": True, "temperature": 1.0, "top_k": 50, "top_p": 1.0, "typical_p": 1.0, "repetition_penalty": 1.0, "length_penalty": 1.0,
    "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0, "encoder_repetition_penalty": 1.0, "diversity_penalty": 0.0,
    "num_beam_groups": 1, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0, "output_scores": False, "return_dict_in_generate": False,
    "remove_invalid_values": False,
}
"""Those that are documented; versions of transformers add others."""
_SPECIAL: Final = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}


def _size(scenario: Scenario) -> int:
    return int(scenario.argument("per_device_eval_batch_size"))


def _last_batch_is_short(scenario: Scenario) -> bool:
    return scenario.data.n_eval > _size(scenario) and scenario.data.n_eval % _size(scenario) > 0


def _batches_count_alike(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """Every loss is the mean of the losses of the batches, whatever their rows."""
    for call, made in enumerate(record.results["made"]):
        losses = [loss_of_batch(batch, scenario) for batch in batches(record, scenario, call)]
        if not math.isclose(sum(losses) / len(losses), made["loss"], rel_tol=1e-4):
            return False
    return True


known_bug(
    KnownBug(
        id="seq2seq-loss-counts-batches-alike",
        verdict="bug",
        sentence=(
            "The evaluation loss of a Seq2SeqTrainer is the mean over batches and not over samples: a last batch that is short counts as "
            "much as a full one, since nothing of its repeated loss is dropped."
        ),
        link="https://github.com/huggingface/transformers/pull/41904",
        versions=">=4.46",
        properties=("generation.generating_leaves_the_loss",),
        region=_last_batch_is_short,
        symptom=_batches_count_alike,
        example=Case(
            experiment="generate",
            scenario=Scenario(
                arguments={"per_device_eval_batch_size": 2}, data=Data(kind="seq2seq", n=1, n_eval=3, length=2), model=Model(name="t5")
            ),
            parameters={"calls": [["predict", {"max_length": 2}]]},
        ),
    )
)


def _defaults_are_filled_in(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """What was set stays; where something was not, there is a default now, and no option of a call."""
    if judgement.quantity != "generation configuration of the model":
        return False
    before, after = (dict(map(tuple, record.results[when]["model"])) for when in ("before", "after"))
    given = {name for _, options in record.results["asked"]["calls"] for name in options}
    new = after.keys() - before.keys()
    return before.items() <= after.items() and all(after[name] == _DEFAULTS.get(name, after[name]) for name in new) and not (
        (given - _DEFAULTS.keys()) & new
    )  # fmt: skip


known_bug(
    KnownBug(
        id="generating-fills-the-configuration",
        verdict="bug",
        sentence=(
            "Evaluating with predict_with_generate writes the defaults of all options into the model's generation_config, where they "
            "were not set: a max_length of 20, for one, is saved with the model then."
        ),
        link="https://github.com/huggingface/transformers/issues/25139",
        versions=">=5.0",
        properties=("generation.generation_config_stays",),
        region=lambda scenario: True,
        symptom=_defaults_are_filled_in,
        example=Case(
            experiment="generate",
            scenario=Scenario(data=Data(kind="seq2seq", n=1, n_eval=1, length=2), model=Model(name="t5")),
            parameters={"calls": [["predict", {"max_length": 2}]]},
        ),
    )
)


def _batches_differ_in_width(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """In each call rows end in -100 from the width of their own batch on, padded as far as the configuration says, and nowhere else."""
    own = (record.results["asked"]["config"] or {}).get("max_length") or _USUAL_LENGTH
    for call, made in enumerate(record.results["made"]):
        widths = [max(own, len(batch.tokens[0])) for batch in batches(record, scenario, call) for _ in batch.tokens]
        for row, width in zip(made["predictions"], widths, strict=True):
            if len(row) != max(widths) or [place for place, token in enumerate(row) if token < 0] != list(range(width, len(row))):
                return False
            if any(token != -100 for token in row[width:]):
                return False
    return True


known_bug(
    KnownBug(
        id="predictions-padded-with-ignored",
        verdict="trap",
        sentence=(
            "Generated predictions are padded with -100, which is no token, where a batch of others is wider and wider than the "
            "max_length of the generation configuration: a tokenizer can't decode them."
        ),
        link="https://github.com/huggingface/transformers/issues/22634",
        versions=">=4.46",
        properties=("generation.predictions_are_tokens",),
        region=lambda scenario: scenario.data.n_eval > _size(scenario),
        symptom=_batches_differ_in_width,
        example=Case(
            experiment="generate",
            scenario=Scenario(
                arguments={"per_device_eval_batch_size": 1}, data=Data(kind="seq2seq", n=1, n_eval=4, length=2), model=Model(name="t5")
            ),
            parameters={
                "calls": [["predict", {"max_length": 6}]],
                "config": {**_SPECIAL, "max_length": 2, "eos_token_id": list(range(2, 12))},
            },
        ),
    )
)
