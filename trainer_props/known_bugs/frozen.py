"""Known bugs of frozen parameters."""

from __future__ import annotations

from typing import Any

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.known_bugs.registry import KnownBug, known_bug
from trainer_props.record import Runs
from trainer_props.scenario import Data, Model, Scenario

_DOCS = "https://huggingface.co/docs/transformers/main_classes/trainer#transformers"


def _some_frozen(scenario: Scenario) -> bool:
    return bool(scenario.model.frozen)


def _not_trained_again(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """What was frozen in the first call and is trainable in the second is in no parameter group and keeps its values; the others are in
    one.
    """
    if "again" not in runs:
        return False
    results = runs["again"].results
    unfrozen = [name for name in results["trainable"] if name in scenario.model.frozen]
    return bool(unfrozen) and all(
        results["groups"][name] == int(name not in unfrozen) and (name not in unfrozen or results["begun"][name] == results["ended"][name])
        for name in results["trainable"]
    )


def _states_by_position(judgement: Violated, runs: Runs, scenario: Scenario) -> bool:
    """The optimizer keeps what it kept before, all of it, of as many other parameters."""
    if not isinstance(judgement.observed, dict):
        return False
    kept = {str(sorted(each.items())) for each in runs["part 1"].results["states"].values() if each}
    found = {str(sorted(each.items())) for each in judgement.observed.values() if each}
    same_number = len(runs["part 1"].results["trainable"]) == len(runs["part 2"].results["trainable"])
    return same_number and found == kept and runs["part 1"].results["trainable"] != runs["part 2"].results["trainable"]


def _frozen(arguments: dict[str, Any], **parameters: Any) -> Case:
    usual = {"per_device_train_batch_size": 1, "learning_rate": 0.1, **arguments}
    scenario = Scenario(arguments=usual, data=Data(n=2), model=Model(frozen=("a",)))
    return Case(experiment="train_frozen", scenario=scenario, parameters=parameters)


known_bug(
    KnownBug(
        id="unfrozen-parameters-not-trained",
        verdict="trap",
        sentence=(
            "A second train() keeps the optimizer of the first one: a parameter that was frozen then and is trainable now is in no "
            "parameter group, and stays as it is without a word."
        ),
        link=f"{_DOCS}.Trainer.create_optimizer",
        versions=">=4.46",
        properties=("frozen.parameter_groups_hold_what_is_trainable", "frozen.a_second_call_trains_what_is_trainable_now"),
        region=_some_frozen,
        symptom=_not_trained_again,
        example=_frozen({"max_steps": 1, "optim": "sgd"}, how="again", then=[]),
    )
)

known_bug(
    KnownBug(
        id="optimizer-state-of-another-parameter",
        verdict="trap",
        sentence=(
            "The state of the optimizer is restored by position: resumed with other parameters frozen, but as many in each group, a "
            "parameter goes on with the momentum of another one."
        ),
        link="https://docs.pytorch.org/docs/stable/generated/torch.optim.Optimizer.load_state_dict.html",
        versions=">=4.46",
        properties=("frozen.a_resumed_optimizer_knows_its_parameters",),
        region=_some_frozen,
        symptom=_states_by_position,
        example=_frozen({"max_steps": 2}, how="resume", then=["b"], at=1),
    )
)
