"""Resuming: a run that was interrupted and goes on from its checkpoint is the run that was never interrupted."""

from __future__ import annotations

from typing import Final

from trainer_props.judgement import Judgement, close, holds_for_all, is_true, not_applicable, same
from trainer_props.measures import resume as measures
from trainer_props.oracles import accounting
from trainer_props.properties import sources
from trainer_props.properties._prediction import loss_reduction
from trainer_props.properties._resume import (
    ALWAYS,
    BEGAN,
    DATA_SKIPPED,
    ENDS_KEPT,
    EXACT,
    IDENTIFIED,
    LOSSES_KNOWN,
    NOISE_GOES_ON,
    OVER,
    OWN_MICRO_BATCHES,
    PATIENCE,
    RESUMABLE,
    RESUME,
    RESUMED_RUN_FINISHED,
    RESUMED_RUNS,
    SAME_RUN,
    SAMPLES_GO_ON,
    SOMETHING_LEFT,
    STOPS_ALIKE,
    TO_THE_END,
    TOLERANCE,
    follows_losses,
)
from trainer_props.properties.logs import LOG_TOLERANCE, LOSSES
from trainer_props.properties.needs import Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Runs
from trainer_props.scenario import Scenario

_SHORTEST: Final = 0.002
_STATE: Final = ("epoch", "max_steps", "num_train_epochs", "num_input_tokens_seen", "total_flos", "scheduler_epoch")
_OF_SAMPLES: Final = ("num_input_tokens_seen", "total_flos")
_BEST: Final = ("best_metric", "best_global_step", "best_model_checkpoint")
_NUMBERS: Final = ("learning_rate", "grad_norm", "num_input_tokens_seen")
_SAME_DATA: Final = (*OVER, SAMPLES_GO_ON)
_SAME_NUMBERS: Final = (*EXACT, SAMPLES_GO_ON, NOISE_GOES_ON)
_RESUMING: Final = sources.docs("Trainer.train.resume_from_checkpoint")


@trainer_property(source=_RESUMING, experiments=RESUMED_RUNS, needs=[*ALWAYS, RESUMABLE], catalogue=[74])
def a_resumed_run_comes_to_its_end(runs: Runs, scenario: Scenario) -> Judgement:
    """A run that finishes when nothing interrupts it finishes also when it is resumed."""
    crashed = "crashed" if measures.last(runs).stuck is None else "hung"
    return same("the run", expected=measures.ENDED, observed=measures.ending(runs), symptom="does not end", verdict=crashed)


@trainer_property(source=_RESUMING, experiments=RESUMED_RUNS, needs=[*ALWAYS, BEGAN], catalogue=[74])
def resumes_from_the_last_save(runs: Runs, scenario: Scenario) -> Judgement:
    """A run goes on after the update at which its last checkpoint was written."""
    return same(
        "global_step at the beginning of each part",
        expected=measures.last_saved_steps(runs),
        observed=measures.first_steps(runs),
        at="part",
    )


@trainer_property(
    source=sources.docs("TrainingArguments.max_steps"), experiments=RESUMED_RUNS, needs=TO_THE_END, catalogue=[2, 74, 75, 76, 77, 78]
)
def ends_at_the_same_step(runs: Runs, scenario: Scenario) -> Judgement:
    """A resumed run ends at the same `global_step` as the run without interruptions."""
    if scenario.components.early_stopping is not None:
        return not_applicable("early stopping may end the run")
    return same(
        "global_step at the end", expected=measures.steps_at_the_end(runs, measures.BASELINE), observed=measures.steps_at_the_very_end(runs)
    )


@trainer_property(
    source=sources.docs("TrainingArguments.restore_callback_states_from_checkpoint"), experiments=RESUME, needs=[*EXACT, PATIENCE],
    catalogue=[80],
)  # fmt: skip
def patience_counts_through(runs: Runs, scenario: Scenario) -> Judgement:
    """With `restore_callback_states_from_checkpoint` early stopping counts on where it was: it ends the resumed run at the same update."""
    return same(
        "global_step at the end", expected=measures.steps_at_the_end(runs, measures.BASELINE), observed=measures.steps_at_the_very_end(runs)
    )


@trainer_property(
    source=sources.docs("TrainingArguments.ignore_data_skip"), experiments=RESUMED_RUNS, needs=[*EXACT, IDENTIFIED], catalogue=[74, 79]
)
def samples_go_on_where_they_were(runs: Runs, scenario: Scenario) -> Judgement:
    """The micro-batches of all parts together have the samples of the run without interruptions, in their order."""
    return same("samples of an update", expected=measures.samples_of_the_baseline(runs), observed=measures.samples(runs), at="update")


@trainer_property(source=_RESUMING, experiments=RESUMED_RUNS, needs=_SAME_DATA, tolerance=TOLERANCE["float64"], catalogue=[74, 75, 76, 77])
def weights_go_on_where_they_were(runs: Runs, scenario: Scenario) -> Judgement:
    """After each update, and at the end, the model has the weights of the run without interruptions."""
    tolerance = TOLERANCE[scenario.model.dtype]
    updates = len(measures.epochs_of_the_baseline(runs).value)
    pairs = [
        close(
            "weights after an update", expected=measures.weights_of_the_baseline(runs, update), observed=measures.weights(runs, update),
            tolerance=tolerance, at=f"update {update}, weight",
        )
        for update in range(1, updates + 1)
    ]  # fmt: skip
    at_the_end = close(
        "weights at the end", expected=measures.final_weights_of_the_baseline(runs), observed=measures.final_weights(runs),
        tolerance=tolerance, at="weight",
    )  # fmt: skip
    return holds_for_all("weights", [*pairs, at_the_end])


@trainer_property(
    source=_RESUMING, experiments=RESUMED_RUNS, needs=[*SAME_RUN, ENDS_KEPT, SOMETHING_LEFT, STOPS_ALIKE], tolerance=1e-12,
    catalogue=[74, 77],
)
def learning_rates_go_on_where_they_were(runs: Runs, scenario: Scenario) -> Judgement:
    """Each update has the learning rate of the run without interruptions."""
    if follows_losses(scenario) and not all(need.met(runs, scenario) for need in (DATA_SKIPPED, SAMPLES_GO_ON, NOISE_GOES_ON)):
        return not_applicable("the schedule follows losses, and other samples or other noise come")
    return close(
        "learning rates", expected=measures.learning_rates_of_the_baseline(runs), observed=measures.learning_rates(runs), tolerance=1e-12,
        scale=0.0, at="rate",
    )  # fmt: skip


@trainer_property(
    source=sources.docs("TrainerState"), experiments=RESUMED_RUNS, needs=[*SAME_RUN, SOMETHING_LEFT, STOPS_ALIKE], catalogue=[5, 74]
)
def epochs_go_on_where_they_were(runs: Runs, scenario: Scenario) -> Judgement:
    """`state.epoch` after each update is that of the run without interruptions: training goes on in the epoch in which it was."""
    return same("epoch after updates", expected=measures.epochs_of_the_baseline(runs), observed=measures.epochs(runs), at="update")


@trainer_property(
    source=sources.docs("TrainerState.log_history"), experiments=RESUME, needs=[*SAME_RUN, DATA_SKIPPED, SOMETHING_LEFT], catalogue=[74]
)
def log_history_has_the_same_entries(runs: Runs, scenario: Scenario) -> Judgement:
    """The log history of a resumed run has the entries of the run without interruptions: the same steps, epochs and names."""
    return same(
        "entries of the log history", expected=measures.shape_of_history_of_the_baseline(runs), observed=measures.shape_of_history(runs),
        at="entry",
    )  # fmt: skip


def _same_shape(runs: Runs, scenario: Scenario) -> bool:
    return bool(measures.shape_of_history(runs).value == measures.shape_of_history_of_the_baseline(runs).value)


SAME_ENTRIES = Need("same_entries", "the log history has other entries (resume.log_history_has_the_same_entries says so)", _same_shape)
_LOGGED: Final = (*_SAME_NUMBERS, SAME_ENTRIES)


@trainer_property(
    source=sources.docs("TrainingArguments.logging_steps"), experiments=RESUME, needs=_LOGGED, tolerance=LOG_TOLERANCE,
    catalogue=[74],
)  # fmt: skip
def logged_losses_are_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """A resumed run logs the losses of the run without interruptions."""
    return _logged(runs, "logged loss", ["loss"], LOG_TOLERANCE)


@trainer_property(
    source=sources.docs("TrainerState.log_history"), experiments=RESUME, needs=_LOGGED, tolerance=TOLERANCE["float64"],
    catalogue=[74, 96],
)  # fmt: skip
def logged_numbers_are_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """A resumed run logs the learning rates, gradient norms and numbers of tokens of the run without interruptions."""
    return holds_for_all("log", [_logged(runs, f"logged {name}", [name], TOLERANCE[scenario.model.dtype]) for name in _NUMBERS])


def _logged(runs: Runs, quantity: str, names: list[str], tolerance: float) -> Judgement:
    expected = measures.logged_values_of_the_baseline(runs, names)
    if not expected.value:
        return not_applicable("nothing of that kind is logged")
    return close(quantity, expected=expected, observed=measures.logged_values(runs, names), tolerance=tolerance, at="value")


@trainer_property(
    source=sources.docs("TrainingArguments.eval_strategy"), experiments=RESUME, needs=_LOGGED, tolerance=LOG_TOLERANCE,
    catalogue=[74],
)  # fmt: skip
def evaluations_give_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """The evaluations of a resumed run give what those of the run without interruptions give."""
    expected = measures.evaluations_of_the_baseline(runs)
    if not expected.value:
        return not_applicable("nothing is evaluated")
    return close("values of evaluations", expected=expected, observed=measures.evaluations(runs), tolerance=LOG_TOLERANCE, at="value")


@trainer_property(source=sources.docs("TrainerState"), experiments=RESUME, needs=EXACT, catalogue=[74, 96])
def the_state_is_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """At the end the state has the epoch, tokens, operations and steps of the schedule of the run without interruptions."""
    names = _STATE if SAMPLES_GO_ON.met(runs, scenario) else [name for name in _STATE if name not in _OF_SAMPLES]
    return holds_for_all(
        "state",
        [
            same(name, expected=measures.state_of_the_baseline(runs, [name]), observed=measures.state(runs, [name]), at="entry")
            for name in names
        ],
    )


@trainer_property(source=sources.docs("TrainerState.best_metric"), experiments=RESUME, needs=_SAME_NUMBERS, catalogue=[63, 74])
def the_best_is_the_same(runs: Runs, scenario: Scenario) -> Judgement:
    """At the end the best metric, its step and its checkpoint are those of the run without interruptions."""
    if runs.first.state["best_metric"] is None:
        return not_applicable("no metric is tracked")
    names = list(_BEST)
    return same(
        "best metric, its step, its checkpoint", expected=measures.state_of_the_baseline(runs, names), observed=measures.state(runs, names),
        at="entry",
    )  # fmt: skip


@trainer_property(source=_RESUMING, experiments=RESUME, needs=[*EXACT, SAMPLES_GO_ON], catalogue=[74])
def random_numbers_go_on_where_they_were(runs: Runs, scenario: Scenario) -> Judgement:
    """After training the random number generators of torch, numpy and Python are where they are after the run without interruptions."""
    return same(
        "next random numbers", expected=measures.next_random_numbers_of_the_baseline(runs), observed=measures.next_random_numbers(runs),
        symptom="different",
    )  # fmt: skip


def _of_the_last_part(need: Need) -> Need:
    return Need(need.name, need.reason, lambda runs, scenario: need.met(measures.last(runs), scenario))


_LOSSES = tuple(map(_of_the_last_part, LOSSES))


@trainer_property(
    source=sources.docs("Trainer.train"),
    experiments=RESUMED_RUNS,
    needs=[*ALWAYS, RESUMED_RUN_FINISHED, *_LOSSES, LOSSES_KNOWN, OWN_MICRO_BATCHES],
    tolerance=LOG_TOLERANCE,
    catalogue=[49],
)
def train_loss_is_of_this_call(runs: Runs, scenario: Scenario) -> Judgement:
    """The training loss that a resumed `train()` returns is the mean over the updates of this call."""
    reduction = loss_reduction(scenario)
    expected = measures.mean_loss_of_the_last_part(runs, reduction)
    if expected.value is None:
        return not_applicable("the resumed run makes no update")
    return close("training_loss", expected=expected, observed=measures.training_loss(runs), tolerance=LOG_TOLERANCE)


@trainer_property(source=sources.docs("Trainer.train"), experiments=RESUMED_RUNS, needs=[*ALWAYS, RESUMED_RUN_FINISHED], catalogue=[49])
def speed_is_of_this_call(runs: Runs, scenario: Scenario) -> Judgement:
    """`train_steps_per_second` of a resumed `train()` is the number of updates of this call over its run time."""
    metrics = measures.last(runs).metrics
    if "train_steps_per_second" not in metrics or metrics.get("train_runtime", 0.0) < _SHORTEST:
        return not_applicable("the run is too short for its rounded run time")
    slowest, fastest = measures.speeds(measures.last(runs))
    rate = measures.speed(measures.last(runs))
    return is_true(
        "train_steps_per_second", measures.speed_is_of_the_last_part(runs), expected=[slowest, fastest], observed=rate,
        symptom="too small" if rate < slowest else "too large",
    )  # fmt: skip


@trainer_property(source=sources.docs("Trainer.train"), experiments=RESUMED_RUNS, needs=[*ALWAYS, RESUMED_RUN_FINISHED], catalogue=[49])
def samples_a_second_are_of_this_call(runs: Runs, scenario: Scenario) -> Judgement:
    """`train_samples_per_second` of a resumed `train()` counts no more samples than the updates of this call can hold."""
    metrics = measures.last(runs).metrics
    if "train_samples_per_second" not in metrics or metrics.get("train_runtime", 0.0) < _SHORTEST:
        return not_applicable("the run is too short for its rounded run time")
    size = accounting.total_train_batch_size(scenario)
    most, rate = measures.most_samples_a_second(measures.last(runs), size), measures.samples_a_second(measures.last(runs))
    return is_true(
        "train_samples_per_second", measures.updates_can_hold_the_samples(runs, size), expected=f"at most {most}", observed=rate,
        symptom="too large",
    )  # fmt: skip


@trainer_property(source=sources.docs("TrainingArguments.save_only_model"), experiments=RESUME, needs=ALWAYS, catalogue=[72])
def what_cannot_be_resumed_is_refused(runs: Runs, scenario: Scenario) -> Judgement:
    """A checkpoint with the model alone (`save_only_model`), from which training can't be resumed, is refused by a resuming `train()`."""
    if not scenario.argument("save_only_model") or not any(measures.last_saved_steps(runs).value):
        return not_applicable("checkpoints are complete")
    return same("resuming from the model alone", expected="refused", observed=measures.answer_to_resuming(runs), symptom="accepted")
