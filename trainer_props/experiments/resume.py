"""The experiment that interrupts a run and goes on from its newest checkpoint, beside the same run without interruptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.registry import Body, Experiment, Held, Wanted, register
from trainer_props.experiments.resume_parts import (
    BASELINE,
    NEWEST,
    baseline,
    imports_of_training,
    interruption_source,
    lengths,
    newest_checkpoint,
    one_trainer,
    places,
    plain,
    step_of,
    training,
    training_source,
    unscored,
)
from trainer_props.oracles import accounting, best_model
from trainer_props.record import Record, Runs
from trainer_props.scenario import Scenario
from trainer_props.strategies import parts
from trainer_props.strategies.draft import Draft
from trainer_props.strategies.patience import can_spend, spend_patience

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainer_props.subjects import Subject

NAME: Final = "resume"
_EVENTS: Final = (
    "on_save", "on_step_begin", "on_step_end", "on_optimizer_step", "on_pre_optimizer_step", "on_epoch_end", "on_log", "on_evaluate",
    "on_substep_end", "on_epoch_begin",
)  # fmt: skip
_ONE_CHECKPOINT: Final = {"save_steps": 1, "save_total_limit": 1, "eval_strategy": "steps", "eval_steps": 1}
"""Beside the best checkpoint there is room for none, unless the best is loaded at the end."""
_LOSSES: Final = ("loss", "eval_loss")
_FLAVOURS: Final = ("regression", "saving", "random", "token", "stream")
_MORE_OFTEN: Final = "saving"
"""Its runs go by a metric, or end by early stopping: more of what has to go on."""


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Scenarios, a few of them on streams, and where and how they are interrupted.

    Parameters of a case: `interrupt_at` (updates, ascending), `how` (`stop`, or `exception`), `event` (where the exception is raised: the
    next one of that name), `by` (`latest`: the Trainer looks for the checkpoint itself; `path`: it is given), `trainer` (`fresh` in each
    part, or the `same` in all).
    """
    arguments = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}
    flavours = {
        "regression": strategies.regression_scenarios, "saving": strategies.saving_scenarios, "random": strategies.random_scenarios,
        "token": strategies.token_scenarios, "stream": strategies.stream_scenarios,
    }  # fmt: skip
    fitting = [
        scenarios
        for name, scenarios in flavours.items()
        if held.models is None or set(held.models) & set(strategies.FLAVOURS[name].models)
        for _ in range(2 if name == _MORE_OFTEN else 1)
    ]

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        length = draw(lengths(arguments))
        flavour = draw(st.sampled_from(fitting))
        scenario = plain(draw(flavour(arguments={**length, **arguments}, models=held.models)), arguments)
        same = draw(st.integers(0, 2)) == 2
        # noise and groups go on otherwise when a run is resumed: what would follow from that is not what this is about
        other = scenario.components.collator == "noise" or scenario.argument("train_sampling_strategy") == "group_by_length"
        # on a stream without length a later pass goes on otherwise, and ends elsewhere: evaluations come at other times
        other = other or scenario.data.kind in accounting.STREAMS
        scenario = unscored(scenario, arguments) if same or other else _stopping_early(draw, scenario, arguments)
        added = {**_added(draw, scenario), **arguments}
        total = max(1, accounting.total_updates(scenario))
        first = draw(places(scenario.with_arguments(**added)))
        at = {first}
        if draw(st.integers(0, 5)) == 5:
            at.add(draw(st.integers(first, total)))
        parameters: dict[str, Any] = {"interrupt_at": sorted(at)}
        # After a stop within an epoch checkpoints of epochs are not what they should be: little else is seen then.
        if draw(st.sampled_from([False, True, True, True] if _saves_by_epochs(scenario) else [False, True])):
            parameters["how"] = "exception"
            event = draw(st.sampled_from(_EVENTS))
            if event != _EVENTS[0]:
                parameters["event"] = event
        if draw(st.booleans()):
            parameters["by"] = "path"
        components = scenario.components
        # where a pass has no batches left, its end obeys what an exception has left in the flags of a Trainer
        same = same and not (scenario.data.kind == "stream" and "how" in parameters)
        if same and not components.scores and components.early_stopping is None and components.loss == "model":
            parameters["trainer"] = "same"
        return Case(experiment=NAME, scenario=scenario.with_arguments(**added), parameters=parameters)

    return drawn()


def _added(draw: st.DrawFn, scenario: Scenario) -> dict[str, Any]:
    """Arguments that matter to a run that goes on, and that scenarios seldom have."""
    added: dict[str, Any] = {}
    if scenario.components.early_stopping is not None and draw(st.integers(0, 7)) < 7:
        added["restore_callback_states_from_checkpoint"] = True
    if draw(st.integers(0, 9)) == 9:
        added["ignore_data_skip"] = True
    evaluates, metric = scenario.argument("eval_strategy") != "no", scenario.argument("metric_for_best_model")
    if evaluates and metric is None and draw(st.booleans()):
        metric = added["metric_for_best_model"] = "loss"
    # a loss gets better as a rule: now the first one is the best
    if evaluates and metric in _LOSSES and scenario.argument("greater_is_better") is None and draw(st.booleans()):
        added["greater_is_better"] = True
    goes_by = best_model.metric_name(scenario.with_arguments(**added)) is not None
    if goes_by and not scenario.argument("load_best_model_at_end") and draw(st.booleans()):
        added |= _ONE_CHECKPOINT | {"save_strategy": draw(st.sampled_from(["steps", "best"]))}
    if draw(st.integers(0, 7)) == 7:
        added["save_only_model"] = True
    return added


_STOPPING: Final = ((2, 0.0), (1, 0.0), (2, 0.0), (3, 0.0), (1, 0.3))


def _stopping_early(draw: st.DrawFn, scenario: Scenario, held: Mapping[str, Any]) -> Scenario:
    """The scenario, with early stopping in most cases in which it goes by a metric: a patience of one has nothing to go on with.

    A loss gets better as a rule, and patience is not spent: often a score takes its place, which soon does not, at every update.
    """
    if scenario.argument("eval_strategy") == "no":
        return scenario
    goes_by, stopping = scenario.argument("metric_for_best_model") is not None, scenario.components.early_stopping
    draft = Draft(draw, held, "arguments")
    if can_spend(draft) and draft.choose((False, True)):
        return spend_patience(draft, scenario)
    if not goes_by or (stopping is not None and stopping.patience > 1) or not draw(st.integers(0, 2)):
        return scenario
    stopping = parts.early_stopping(draw(st.sampled_from(_STOPPING)))
    return scenario.replace(components=scenario.components.replace(early_stopping=stopping))  # type: ignore[no-any-return]


def _saves_by_epochs(scenario: Scenario) -> bool:
    save = scenario.argument("save_strategy")
    return bool("epoch" in (save, scenario.argument("eval_strategy") if save == "best" else None))


def run(case: Case, subject: Subject) -> Runs:
    """The baseline from beginning to end; then part by part the same run with its interruptions: each part by a fresh Trainer, or by one.

    A Trainer that has trained, and has nothing to resume from, would train on with the weights that it has: then that was the last part.
    """
    at = tuple(int(step) for step in case.parameters.get("interrupt_at", (1,)))
    runs = Runs({BASELINE: baseline(subject, case.scenario, at)})
    if runs.first.finished:
        _parts(case, subject, at, runs)
    return runs


def _parts(case: Case, subject: Subject, at: tuple[int, ...], runs: Runs) -> None:
    from trainer_props.running import Interruption, output_directory
    from trainer_props.running import run as run_scenario

    how, event = case.parameters.get("how", "stop"), case.parameters.get("event", _EVENTS[0])
    subject = one_trainer(subject) if case.parameters.get("trainer") == "same" else subject
    with output_directory() as directory:
        for number, step in enumerate((*at, None), start=1):
            newest = newest_checkpoint(directory)
            if newest is None and number > 1 and case.parameters.get("trainer") == "same":
                return
            interruption = Interruption(at, step, how, event)
            resumed = None if newest is None else str(newest) if case.parameters.get("by") == "path" else True
            scenario = continued(case.scenario, evaluations_until(runs.first, step_of(newest)))
            record = run_scenario(scenario, subject, training(interruption, resumed), directory=directory)
            runs[f"part {number}"] = record
            if number > 1 and case.parameters.get("trainer") == "same":
                record.results["trained_before"] = True
            if not interruption.happened:
                return


def evaluations_until(record: Record, step: int) -> int:
    """How often a run has evaluated by the end of an update."""
    return sum(each.step <= step for each in record.evaluations) if step else 0


def continued(scenario: Scenario, evaluations: int) -> Scenario:
    """The scenario of a part that goes on after so many evaluations: a metric that is given in advance goes on where it was."""
    scores = scenario.components.scores
    rest = scores[min(evaluations, len(scores) - 1) :] if scores else ()
    return scenario.replace(components=scenario.components.replace(scores=rest))  # type: ignore[no-any-return]


_INTERRUPTED: Final = '''\
class Interrupted(Exception):
    """Ends a run on purpose."""'''
_EVALUATED: Final = '''\
history = []  # of the run without interruptions


def evaluated_until(checkpoint):
    """How often that run had evaluated when it was where this checkpoint is."""
    step = int(checkpoint.rpartition("-")[2]) if checkpoint else 0
    return sum("eval_runtime" in entry and entry["step"] <= step for entry in history)'''


_TRAINERS: Final = "trainers = {}  # by output directory"
_SAME: Final = (
    "trainer = trainers.setdefault(output_dir, trainer)  # the same one in all parts",
    "trainer.remove_callback(Interruption)",
    'optimizer = getattr(trainer.optimizer, "optimizer", None)',
    "if optimizer is not None:  # it is watched already",
    "    optimizer._optimizer_step_pre_hooks.clear(), optimizer._optimizer_step_post_hooks.clear()",
)


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source: `run(output_dir, at, resumed)` makes one run, `main` makes the baseline and the parts."""
    at = [int(step) for step in case.parameters.get("interrupt_at", (1,))]
    how, event = case.parameters.get("how", "stop"), case.parameters.get("event", _EVENTS[0])
    scores = list(case.scenario.components.scores)
    same = case.parameters.get("trainer") == "same"
    lines = [*(_SAME if same else []), "interruption = Interruption(at)", "trainer.add_callback(interruption)"]
    if len(scores) > 1:
        lines.append(f"trainer.compute_metrics = metric(*{scores!r}[min(evaluated_until(resumed), {len(scores) - 1}) :])")
    interruption = interruption_source(at, how, event, draws="random" in wanted.words)
    definitions = [interruption, NEWEST, *([_EVALUATED] if len(scores) > 1 else []), *([_TRAINERS] if same else [])]
    done = training_source(wanted, "resumed" if case.parameters.get("by") == "path" else "resumed is not None")
    if how == "stop":
        lines += done
    else:
        lines += ["try:", *(f"    {line}" for line in done), "except Interrupted as error:", '    print("interrupted:", repr(error))']
        definitions.insert(0, _INTERRUPTED)
    lines.append("record.interrupted = interruption.happened")
    several = [
        f'runs = {{"{BASELINE}": run(f"{{output_dir}}/{BASELINE}", None, None)}}',
        *(['history.extend(runs["baseline"].history)'] if len(scores) > 1 else []),
        f"for number, at in enumerate({[*at, None]}, start=1):",
        '    resumed = newest_checkpoint(f"{output_dir}/interrupted")',
        *(["    if resumed is None and number > 1:", "        break"] if same else []),
        '    runs[f"part {number}"] = run(f"{output_dir}/interrupted", at, resumed)',
        '    if not getattr(runs[f"part {number}"], "interrupted", False):',
        "        break",
    ]
    if len(scores) > 1:
        lines.append("record.history = trainer.state.log_history")
    imports = ["import glob", "from transformers import TrainerCallback", *imports_of_training(wanted)]
    return Body(lines, imports, definitions, parameters=("at", "resumed"), several=several)


register(
    Experiment(
        NAME,
        "Interrupt a run and resume it, once or several times; compare it with the same run without interruptions.",
        "test_trainer_checkpointing",
        cases,
        run,
        tuple(dict.fromkeys(name for flavour in _FLAVOURS for name in strategies.FLAVOURS[flavour].models)),
        3.0,
        body=body,
        avoids=("eval_on_start",),
    )
)
