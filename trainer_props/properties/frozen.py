"""Frozen parameters: what has `requires_grad=False` stays as it is, and the others train as if they were alone."""

from __future__ import annotations

from typing import Final

from trainer_props.judgement import HOLDS, Judgement, close, holds_for_all, not_applicable, same
from trainer_props.measures import frozen as measures
from trainer_props.oracles import optimizers
from trainer_props.oracles.adaptive_schedules import NAMES as METRIC_DRIVEN
from trainer_props.properties import sources
from trainer_props.properties._prediction import rule_of
from trainer_props.properties.needs import Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Runs
from trainer_props.scenario import Scenario

FROZEN: Final = ("train_frozen",)
TOLERANCE: Final = {"float64": 1e-12, "float32": 1e-6}
"""By the type of the model: both runs compute the same, operation by operation."""
_LAST: Final = {"frozen": "frozen", "again": "again", "part 1": "part 2"}
"""The run whose last call is judged, by the name of the first one."""
_LOGGED: Final = ("loss", "grad_norm", "learning_rate")
_TRAINING: Final = sources.docs("Trainer.train")


def _name(runs: Runs) -> str:
    return _LAST[next(iter(runs))]


def _is_stateless(runs: Runs, scenario: Scenario) -> bool:
    try:
        rule = rule_of(scenario)()
    except optimizers.NoClosedForm:
        return False
    return isinstance(rule, optimizers.SGD) and not rule.momentum


FINISHED = Need("finished", "a run did not finish", lambda runs, scenario: all(each.finished for each in runs.values()))
MEASURED = Need("measured", "training was not called for the last time", lambda runs, scenario: "ended" in _of_last(runs))
ALONE = Need("alone", "there is no run in which only the others exist", lambda runs, scenario: "constants" in runs)
AGAIN = Need("again", "train() was called once", lambda runs, scenario: "fresh" in runs)
RESUMED = Need("resumed", "nothing was resumed", lambda runs, scenario: "part 2" in runs and runs.first.finished)
STATELESS = Need("stateless", "the optimizer goes on with what it has kept, as documented for train()", _is_stateless)
FOLLOWS_NO_METRIC = Need(
    "follows_no_metric", "what follows evaluations counts those of both calls",
    lambda runs, scenario: scenario.components.early_stopping is None and scenario.argument("lr_scheduler_type") not in METRIC_DRIVEN,
)  # fmt: skip


def _of_last(runs: Runs) -> dict[str, object]:
    return runs[_name(runs)].results if _name(runs) in runs else {}


@trainer_property(source=_TRAINING, experiments=FROZEN, needs=[FINISHED, MEASURED], catalogue=[32])
def frozen_parameters_keep_their_values(runs: Runs, scenario: Scenario) -> Judgement:
    """What is frozen when `train()` is called has the same values afterwards, bit for bit: in a first call, a second one, a resumed run."""
    name = _name(runs)
    expected = measures.frozen_at_the_stop(runs) if name == "part 2" else measures.frozen_before(runs, name)
    if not expected.value:
        return not_applicable("nothing is frozen in the last call")
    return same("values of frozen parameters", expected=expected, observed=measures.frozen_after(runs, name), symptom="changed")


@trainer_property(source=sources.docs("Trainer.create_optimizer"), experiments=FROZEN, needs=[FINISHED, MEASURED], catalogue=[31])
def parameter_groups_hold_what_is_trainable(runs: Runs, scenario: Scenario) -> Judgement:
    """While `train()` runs, every trainable parameter is in exactly one parameter group of the optimizer.

    Where the optimizer is made by this call, frozen parameters are in none. (A second call keeps the optimizer of the first one; what is
    frozen since then has no gradient there, and stays.)
    """
    name = _name(runs)
    trainable, frozen = measures.groups_of_the_trainable(runs, name), measures.groups_of_the_frozen(runs, name)
    symptom = "missing" if 0 in trainable.value.values() else "several"
    held = same("groups of trainable parameters", expected=dict.fromkeys(trainable.value, 1), observed=trainable, symptom=symptom)
    if name == "again":
        return held
    none = same("groups of frozen parameters", expected=dict.fromkeys(frozen.value, 0), observed=frozen, symptom="unexpected")
    return holds_for_all("parameter groups", [held, none])


@trainer_property(source=_TRAINING, experiments=FROZEN, needs=[FINISHED, ALONE], tolerance=TOLERANCE["float64"], catalogue=[32])
def the_others_train_as_if_alone(runs: Runs, scenario: Scenario) -> Judgement:
    """The trainable parameters end as in a run of a model in which what is frozen is no parameter at all, but constants."""
    return close(
        "trained parameters", expected=measures.trained_elements(runs, "constants"), observed=measures.trained_elements(runs, "frozen"),
        tolerance=TOLERANCE[scenario.model.dtype], at="element", symptom="different",
    )  # fmt: skip


@trainer_property(
    source=sources.docs("TrainingArguments.max_grad_norm"), experiments=FROZEN, needs=[FINISHED, ALONE], tolerance=TOLERANCE["float64"],
    catalogue=[29, 32],
)  # fmt: skip
def logs_are_of_the_others_alone(runs: Runs, scenario: Scenario) -> Judgement:
    """Losses, gradient norms and learning rates are logged as in a run in which what is frozen is no parameter at all."""
    judgements = []
    for each in _LOGGED:
        expected, observed = measures.logged(runs, "constants", [each]), measures.logged(runs, "frozen", [each])
        if expected.value or observed.value:
            tolerance = TOLERANCE[scenario.model.dtype]
            judgements.append(close(f"logged {each}", expected=expected, observed=observed, tolerance=tolerance, at="value"))
    return holds_for_all("logs", judgements)


@trainer_property(
    source=_TRAINING, experiments=FROZEN, needs=[FINISHED, AGAIN, STATELESS, FOLLOWS_NO_METRIC], tolerance=TOLERANCE["float64"],
    catalogue=[32, 43],
)  # fmt: skip
def a_second_call_trains_what_is_trainable_now(runs: Runs, scenario: Scenario) -> Judgement:
    """A second `train()` of one Trainer makes, of the weights that the first one left and of what is frozen now, what the `train()` of
    another Trainer makes of them. That is so for an optimizer without memory.
    """
    return close(
        "parameters after the second call", expected=measures.all_elements(runs, "fresh"), observed=measures.all_elements(runs, "again"),
        tolerance=TOLERANCE[scenario.model.dtype], at="element", symptom="different",
    )  # fmt: skip


@trainer_property(source=sources.docs("Trainer.train.resume_from_checkpoint"), experiments=FROZEN, needs=[RESUMED], catalogue=[32, 74])
def a_resumed_optimizer_knows_its_parameters(runs: Runs, scenario: Scenario) -> Judgement:
    """In a resumed run the optimizer keeps of each trainable parameter what it kept of that one when the checkpoint was written, and
    nothing of one that was frozen then. Or else, if others are frozen now, an error ends it before its first update.
    """
    stop, part = runs["part 1"].results, runs["part 2"]
    if not part.finished and not part.updates:
        if stop["trainable"] != part.results.get("trainable", []):
            return HOLDS
        return same("the run", expected="it ends", observed=measures.ending_of_the_resumed_part(runs), symptom="ends", verdict="crashed")
    if "states" not in part.results:
        return not_applicable("training did not begin")
    expected, observed = measures.states_at_the_stop(runs), measures.states_when_resumed(runs)
    return same("states of the optimizer", expected=expected, observed=observed, symptom="of another parameter")
