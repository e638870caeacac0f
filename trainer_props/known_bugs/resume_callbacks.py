"""Known bugs of callbacks that have states."""

from __future__ import annotations

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.measures import resume as measures
from trainer_props.record import Runs
from trainer_props.scenario import Data, Scenario

_RESTORING = "restore_callback_states_from_checkpoint"


def _restores(scenario: Scenario) -> bool:
    return bool(scenario.argument(_RESTORING))


def _first_states_of_several(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """There are several, and each has counted from the resume on: it got back the state with which the interrupted run began."""
    part = measures.last(runs)
    counted = (part.global_step or 0) - measures.first_step(part)
    return len(judgement.observed) > 1 and all(total == size * counted for size, total in judgement.observed)


def _restored_ones_come_last(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """The callbacks with a state come after the others, in their order."""
    return bool(judgement.observed == sorted(judgement.expected, key=lambda name: name != "listener"))


_EXAMPLE = Case(
    experiment="resume_callbacks",
    scenario=Scenario(
        arguments={"per_device_train_batch_size": 1, "max_steps": 2, "optim": "sgd", "learning_rate": 0.1, _RESTORING: True}, data=Data(n=2)
    ),
    parameters={"interrupt_at": 1, "counters": [1, 10]},
)

known_bug(
    KnownBug(
        id="resume-several-callbacks-of-a-class",
        verdict="bug",
        sentence=(
            "Of several callbacks of one class the states at each save are added to a list, of which a resumed run takes the first ones: "
            "each callback gets back the state with which training began."
        ),
        link="https://github.com/huggingface/transformers/pull/33875",
        versions=">=4.46",
        properties=("resume_callbacks.each_callback_gets_its_state_back",),
        region=_restores,
        symptom=_first_states_of_several,
        example=_EXAMPLE,
    )
)

known_bug(
    KnownBug(
        id="resume-reorders-callbacks",
        verdict="bug",
        sentence="Callbacks whose states are restored are called after all others from then on, wherever they stood.",
        link="https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments." + _RESTORING,
        versions=">=4.46",
        properties=("resume_callbacks.callbacks_keep_their_order",),
        region=_restores,
        symptom=_restored_ones_come_last,
        example=_EXAMPLE,
    )
)
