"""Known bugs of what saves memory."""

from __future__ import annotations

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.measures.pairs import CHANGED
from trainer_props.record import Runs
from trainer_props.scenario import Data, Model, Scenario
from trainer_props.zoo import MODELS


def _cannot_pin(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """The run that offloads ends in its first micro-batch, since no memory can be pinned."""
    changed = runs[CHANGED]
    offloads = (changed.arguments.get("activation_checkpointing_kwargs") or {}).get("offload")
    failure = changed.failure
    return (
        bool(offloads)
        and len(changed.batches) == 1
        and failure is not None
        and failure.kind == "RuntimeError"
        and ("pin_memory" in failure.message or "accelerator" in failure.message)
    )


known_bug(
    KnownBug(
        id="offload-needs-an-accelerator",
        verdict="limit",
        sentence=(
            "activation_checkpointing_kwargs={'offload': True}, which keeps activations in pinned memory of the host, ends a run on a "
            "machine without an accelerator with an error of torch in the first micro-batch; nothing refuses it before."
        ),
        link="https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments.activation_checkpointing_kwargs",
        versions=">=5.20",
        properties=("save_memory.finishes_with_less_memory",),
        region=lambda scenario: MODELS[scenario.model.name].pretrained and scenario.devices.kind == "single",
        symptom=_cannot_pin,
        example=Case(
            experiment="save_memory",
            scenario=Scenario(
                arguments={"per_device_train_batch_size": 1, "max_steps": 1}, data=Data(kind="tokens", n=1), model=Model(name="llama")
            ),
            parameters={"change": {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"offload": True}}},
        ),
    )
)
