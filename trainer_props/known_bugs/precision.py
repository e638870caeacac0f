"""Known bugs of reduced precision."""

from __future__ import annotations

from trainer_props.case import Case
from trainer_props.judgement import Holds, Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.properties.precision import AS_IT_IS, losses_are_those_of_the_precision
from trainer_props.record import Record
from trainer_props.scenario import Data, Model, Scenario


def _in_full_precision(judgement: Violated, record: Record, scenario: Scenario) -> bool:
    """Nothing is cast, and every loss is that of full precision."""
    if judgement.quantity == "what layers cast to":
        return bool(judgement.observed == [AS_IT_IS])
    return isinstance(losses_are_those_of_the_precision(record, scenario.without_arguments("fp16")), Holds)


known_bug(
    KnownBug(
        id="fp16-ignored-on-the-processor",
        verdict="trap",
        sentence="On the processor fp16 has no effect: everything is computed in full precision, and nothing says so.",
        link="https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments.fp16",
        versions=">=4.46",
        properties=("precision.layers_compute_in_mixed_precision", "precision.losses_are_those_of_the_precision"),
        region=lambda scenario: bool(scenario.argument("fp16")),
        symptom=_in_full_precision,
        example=Case(
            experiment="reduce_precision",
            scenario=Scenario(
                arguments={"fp16": True, "max_steps": 1, "per_device_train_batch_size": 2},
                data=Data(n=2, n_eval=2),
                model=Model(name="regression_layers", dtype="float32"),
            ),
        ),
    )
)
