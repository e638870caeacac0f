"""The life of a job: whatever happens to it on the way, it is the run that was made in one piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from trainer_props.judgement import Judgement, Measured, close, holds_for_all, not_applicable, same
from trainer_props.measures import life as measures
from trainer_props.oracles import accounting, life
from trainer_props.properties import _resume as resume
from trainer_props.properties import sources
from trainer_props.properties.logs import LOG_TOLERANCE
from trainer_props.properties.needs import Need
from trainer_props.properties.registry import trainer_property
from trainer_props.record import Record, Runs
from trainer_props.scenario import Scenario

LIFE: Final = ("life",)
TOLERANCE: Final = resume.TOLERANCE
_STATE: Final = ("epoch", "global_step", "max_steps", "num_train_epochs", "num_input_tokens_seen", "total_flos", "scheduler_epoch")
_ADAPTIVE: Final = ("reduce_lr_on_plateau", "greedy")


def scenario_of(record: Record, scenario: Scenario) -> Scenario:
    """The scenario of a run of a life, with the arguments that it has."""
    return scenario.with_arguments(**record.results["changed"])


def scenarios_of(runs: Runs, scenario: Scenario) -> list[Scenario]:
    """The scenarios of the training runs of a life."""
    return [scenario_of(record, scenario) for record in measures.pieces(runs)]


def predicted(runs: Runs, scenarios: Sequence[Scenario]) -> list[life.Piece]:
    """What each training run should have done, given its scenario and the checkpoints that it found."""
    pairs = zip(measures.pieces(runs), scenarios, strict=True)
    return [life.piece(scenario, record.results["step"], record.results["before"]) for record, scenario in pairs]


def endings(runs: Runs, scenarios: Sequence[Scenario]) -> list[str]:
    """How each run should end, given the scenarios of the training runs."""
    crashes = iter([measures.CRASHES if each.crashes else measures.ENDS for each in predicted(runs, scenarios)])
    return [next(crashes) if record.results["step"][0] in life.TRAINING else measures.ENDS for record in measures.lived(runs)]


def last_steps(runs: Runs, scenarios: Sequence[Scenario]) -> list[int]:
    """`global_step` with which each training run should end, given their scenarios."""
    return [each.ends for each in predicted(runs, scenarios)]


def checkpoints(runs: Runs, scenarios: Sequence[Scenario]) -> list[list[int]]:
    """The steps of the checkpoints that should be there after each run, given the scenarios of the training runs."""
    left = iter([list(each.disk) for each in predicted(runs, scenarios)])
    trains = [record.results["step"][0] in life.TRAINING for record in measures.lived(runs)]
    return [next(left) if train else list(record.results["before"]) for record, train in zip(measures.lived(runs), trains, strict=True)]


def history(runs: Runs, scenarios: Sequence[Scenario]) -> list[list[Any]]:
    """Step and kind of the losses and evaluations that the log history should have, given the scenarios of the training runs."""
    return life.history(scenarios, measures.first_steps(runs, len(runs)).value, accounting.total_updates(scenarios[-1]))


_HISTORY: Final = "losses and evaluations in the log history"
PLANNED: Final[Mapping[str, tuple[Callable[[Runs, Sequence[Scenario]], list[Any]], Callable[..., Measured]]]] = {
    "how each run ends": (endings, measures.endings),
    "global_step at the end of each run": (last_steps, measures.last_steps),
    "steps of the checkpoints after each run": (checkpoints, measures.checkpoints),
    _HISTORY: (history, lambda runs, number: measures.history(runs)),
}
"""What the plans of the training runs decide: the quantity, what it should be, given their scenarios, and what measures it."""


def _run_by_run(quantity: str, runs: Runs, expected: list[Any], measured: Callable[..., Measured]) -> Judgement:
    """Up to the first run that is not as it should be: what is expected of those after it follows from what it left."""
    pairs = zip(expected, measured(runs, len(expected)).value, strict=True)
    number = next((number for number, (wanted, found) in enumerate(pairs, 1) if wanted != found), len(expected))
    return same(quantity, expected=expected[:number], observed=measured(runs, number), at="run")


def _planned(quantity: str, runs: Runs, scenario: Scenario) -> Judgement:
    plan, measured = PLANNED[quantity]
    return _run_by_run(quantity, runs, plan(runs, scenarios_of(runs, scenario)), measured)


def _named(runs: Runs) -> Iterator[tuple[str, Record]]:
    """The training runs of a life, with their names."""
    pieces = measures.pieces(runs)
    return ((name, record) for name, record in runs.items() if any(record is piece for piece in pieces))


def _follows_no_metric(runs: Runs, scenario: Scenario) -> bool:
    return (
        scenario.argument("lr_scheduler_type") not in _ADAPTIVE
        and scenario.components.early_stopping is None
        and not scenario.argument("load_best_model_at_end")
        and scenario.argument("metric_for_best_model") is None
        and scenario.argument("save_strategy") != "best"
    )


def _ends_no_epoch(runs: Runs, scenario: Scenario) -> bool:
    """No run begins with a checkpoint from after the end of an epoch that a stop had cut short: such are those of plans by epoch."""
    per_epoch, total = accounting.updates_per_epoch(scenario), accounting.total_updates(scenario)
    begun = measures.first_steps(runs, len(runs)).value
    return not any(
        record.global_step is not None
        and record.global_step in begun
        and record.global_step % per_epoch
        and record.global_step != total
        and scenario_of(record, scenario).argument("save_strategy") == "epoch"
        for record in measures.pieces(runs)
    )


def _intervals_known(runs: Runs, scenario: Scenario) -> bool:
    """Each run made of its ratios of logging and of evaluating the steps that they ask for."""
    for record, own in zip(measures.pieces(runs), scenarios_of(runs, scenario), strict=True):
        ratios = [(record.state.get(name), own.argument(name)) for name in ("logging_steps", "eval_steps")]
        total = accounting.total_updates(own)
        if any(asked and asked < 1 and made not in (None, accounting.resolve_steps(asked, total)) for made, asked in ratios):
            return False
    return True


def _ends_are_kept(runs: Runs, scenario: Scenario) -> bool:
    """No run begins at the end of an epoch with a checkpoint from before it, where the end of the epoch logs or evaluates."""
    per_epoch = accounting.updates_per_epoch(scenario)
    made: dict[int, Scenario] = {}
    for record in measures.pieces(runs):
        begins = measures.first_step(record)
        if begins in made and not begins % per_epoch:
            plans = [str(made[begins].argument(f"{kind}_strategy")) for kind in ("logging", "eval", "save")]
            if "epoch" in plans[:2] and plans[2] != "epoch":
                return False
        made |= dict.fromkeys(range(begins + 1, (record.global_step or 0) + 1), scenario_of(record, scenario))
    return True


def _is_done(runs: Runs, scenario: Scenario) -> bool:
    last = measures.pieces(runs)[-1]
    return last.global_step == accounting.total_updates(scenario) and not last.results.get("crashed")


BASELINE_FINISHED = Need("baseline_finished", "the run does not finish in one piece", lambda runs, scenario: runs.first.finished)
LIVED = Need("lived", "nothing is trained", lambda runs, scenario: bool(measures.pieces(runs)))
BEGAN = Need("began", "a run does not begin to train", lambda runs, scenario: all(record.events for record in measures.lived(runs)))
WELL = Need("well", "a run fails (life.runs_end_as_asked says so)", lambda runs, scenario: all(each.finished for each in runs.values()))
DONE = Need("done", "the job is not brought to its end", _is_done)
FOLLOWS_NO_METRIC = Need(
    "follows_no_metric", "training follows a metric (best model, early stopping, schedule), which depends on when it is evaluated",
    _follows_no_metric,
)  # fmt: skip
EPOCHS_GO_ON = Need("epochs_go_on", resume.EPOCHS_GO_ON.reason, _ends_no_epoch)
ENDS_KEPT = Need("ends_kept", resume.ENDS_KEPT.reason, _ends_are_kept)
INTERVALS_KNOWN = Need(
    "intervals_known", "an interval is not that of the arguments (steps.state_resolves_ratios says so)", _intervals_known
)


_ALWAYS: Final = (BASELINE_FINISHED, resume.RESUMABLE, LIVED)
_SAME: Final = (*_ALWAYS, BEGAN, WELL, resume.DATA_SKIPPED, FOLLOWS_NO_METRIC)
_RESUMING: Final = sources.docs("Trainer.train.resume_from_checkpoint")


@trainer_property(source=_RESUMING, experiments=LIFE, needs=_ALWAYS, catalogue=[74])
def runs_end_as_asked(runs: Runs, scenario: Scenario) -> Judgement:
    """Each run of a job ends by itself, or by the exception that it was asked to raise; none fails."""
    return _planned("how each run ends", runs, scenario)


@trainer_property(source=_RESUMING, experiments=LIFE, needs=[*_ALWAYS, BEGAN], catalogue=[74, 75])
def goes_on_from_the_newest_checkpoint(runs: Runs, scenario: Scenario) -> Judgement:
    """A run goes on after the update of the newest checkpoint, or from the beginning where there is none."""
    expected = [max(record.results["before"], default=0) for record in measures.pieces(runs)]
    return _run_by_run("global_step at the beginning of each run", runs, expected, measures.first_steps)


@trainer_property(source=sources.docs("TrainingArguments.max_steps"), experiments=LIFE, needs=_SAME, catalogue=[2, 74, 75])
def makes_the_updates_that_are_left(runs: Runs, scenario: Scenario) -> Judgement:
    """A run ends where it is asked to, or after the last update of the job."""
    return _planned("global_step at the end of each run", runs, scenario)


@trainer_property(source=sources.docs("TrainingArguments.save_total_limit"), experiments=LIFE, needs=_SAME, catalogue=[69, 70, 71])
def checkpoints_are_those_of_the_plan(runs: Runs, scenario: Scenario) -> Judgement:
    """After each run there are the checkpoints of before and those that its arguments ask for, less those beyond its limit."""
    return _planned("steps of the checkpoints after each run", runs, scenario)


@trainer_property(
    source=sources.docs("TrainingArguments.ignore_data_skip"), experiments=LIFE, needs=[*_SAME, resume.IDENTIFIED], catalogue=[74, 75, 79]
)
def updates_have_the_samples_of_one_run(runs: Runs, scenario: Scenario) -> Judgement:
    """Each update of a job, whichever run made it last, has the samples that it has when the job is done in one piece."""
    observed = measures.samples(runs)
    expected = measures.samples_of_the_baseline(runs, len(observed.value))
    return same("samples of an update", expected=expected, observed=observed, at="update")


@trainer_property(source=_RESUMING, experiments=LIFE, needs=_SAME, tolerance=TOLERANCE["float64"], catalogue=[53, 74, 75])
def updates_have_the_weights_of_one_run(runs: Runs, scenario: Scenario) -> Judgement:
    """After each update of a job, and when a run is over, the model has the weights that it has when the job is done in one piece."""
    tolerance, judgements = TOLERANCE[scenario.model.dtype], []
    for name, record in _named(runs):
        begins = measures.first_step(record)
        judgements += [
            close(
                "weights after an update", expected=measures.weights_of_the_baseline(runs, update),
                observed=measures.weights(runs, name, update), tolerance=tolerance, at=f"run {name}, update {update}, weight",
            )
            for update in range(begins + 1, begins + len(record.updates) + 1)
        ]  # fmt: skip
        if record.updates:
            judgements.append(
                close(
                    "weights when a run is over", expected=measures.weights_of_the_baseline(runs, begins + len(record.updates)),
                    observed=measures.final_weights(runs, name), tolerance=tolerance, at=f"run {name}, weight",
                )
            )  # fmt: skip
    return holds_for_all("weights", judgements)


@trainer_property(source=_RESUMING, experiments=LIFE, needs=_SAME, tolerance=1e-12, catalogue=[74, 75])
def updates_have_the_learning_rates_of_one_run(runs: Runs, scenario: Scenario) -> Judgement:
    """Each update of a job has the learning rate that it has when the job is done in one piece."""
    updates = len(measures.samples(runs).value)
    return close(
        "learning rates", expected=measures.learning_rates_of_the_baseline(runs, updates), observed=measures.learning_rates(runs),
        tolerance=1e-12, scale=0.0, at="rate",
    )  # fmt: skip


@trainer_property(
    source=sources.docs("TrainerState.log_history"), experiments=LIFE, needs=[*_SAME, DONE, EPOCHS_GO_ON, ENDS_KEPT, INTERVALS_KNOWN],
    catalogue=[47, 54, 74],
)  # fmt: skip
def log_history_has_each_entry_once(runs: Runs, scenario: Scenario) -> Judgement:
    """At the end of a job its log history has the losses and evaluations that the run asked for which made the update, each once."""
    return same(_HISTORY, expected=history(runs, scenarios_of(runs, scenario)), observed=measures.history(runs), at="entry")


@trainer_property(
    source=sources.docs("TrainerState.log_history"), experiments=LIFE, needs=_SAME, tolerance=LOG_TOLERANCE, catalogue=[74, 75]
)
def evaluations_are_those_of_one_run(runs: Runs, scenario: Scenario) -> Judgement:
    """What the log history of a job says of an evaluation after some update is what it says when the job is done in one piece."""
    evaluated = {step for step, kind in measures.kinds(runs.first) if kind == "evaluation"}
    steps = sorted(evaluated & {step for step, kind in measures.history(runs).value if kind == "evaluation"})
    expected = measures.evaluations_of_the_baseline(runs, steps)
    if not steps or None in expected.value:
        return not_applicable("no update is evaluated both ways")
    return close("eval_loss", expected=expected, observed=measures.evaluations(runs, steps), tolerance=LOG_TOLERANCE, at="evaluation")


@trainer_property(source=sources.docs("Trainer.evaluate"), experiments=LIFE, needs=_SAME, tolerance=LOG_TOLERANCE, catalogue=[55, 57, 81])
def a_checkpoint_evaluates_as_the_run_did(runs: Runs, scenario: Scenario) -> Judgement:
    """Evaluating, or predicting, with the weights of a checkpoint gives the loss that an evaluation after its update gives in one run."""
    evaluated = {step for step, kind in measures.kinds(runs.first) if kind == "evaluation"}
    judgements = []
    for name, record in runs.items():
        step = max(record.results.get("before", ()), default=0)
        if record.results.get("step", ("",))[0] not in life.LOOKING or step not in evaluated:
            continue
        expected = measures.evaluations_of_the_baseline(runs, [step])
        if expected.value == [None]:
            continue
        judgements.append(
            close("loss", expected=expected, observed=measures.seen_losses(runs, [name]), tolerance=LOG_TOLERANCE, at=f"run {name}")
        )
    return holds_for_all("evaluations of checkpoints", judgements)


@trainer_property(
    source=sources.docs("TrainerState"), experiments=LIFE, needs=[*_SAME, DONE, EPOCHS_GO_ON, ENDS_KEPT], catalogue=[5, 74, 75, 96]
)
def the_state_is_that_of_one_run(runs: Runs, scenario: Scenario) -> Judgement:
    """At the end of a job its state has the epoch, tokens, operations and steps of the schedule of a job that is done in one piece."""
    return holds_for_all(
        "state",
        [
            same(name, expected=measures.state_of_the_baseline(runs, [name]), observed=measures.state(runs, [name]), at="entry")
            for name in _STATE
        ],
    )
