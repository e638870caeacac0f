"""The experiment that resumes a run whose callbacks have states, beside the same run without interruptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.registry import Body, Experiment, Held, Wanted, register
from trainer_props.experiments.resume_parts import BASELINE, interruption_source, plain, training, training_source, unscored
from trainer_props.oracles import accounting
from trainer_props.record import Record, Runs

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "resume_callbacks"
_RESTORING: Final = "restore_callback_states_from_checkpoint"
_SIZES: Final = (1, 10, 100)


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Scenarios on map-style data, where they are interrupted, and their callbacks.

    Parameters of a case: `interrupt_at` (an update), `counters` (the sizes of the callbacks of one class: each adds its size to its total
    after each update).
    """
    arguments = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        scenario = unscored(plain(draw(strategies.regression_scenarios(arguments=arguments, models=held.models)), arguments), arguments)
        at = draw(st.integers(1, max(1, accounting.total_updates(scenario))))
        sizes = list(_SIZES[: draw(st.integers(1, len(_SIZES)))])
        return Case(
            experiment=NAME, scenario=scenario.with_arguments(**{_RESTORING: True, **arguments}),
            parameters={"interrupt_at": at, "counters": sizes},
        )  # fmt: skip

    return drawn()


def run(case: Case, subject: Subject) -> Runs:
    """The run without interruptions, and the same in two parts; of each it is noted what its callbacks have counted (`results`)."""
    from trainer_props.running import Interruption, output_directory
    from trainer_props.running import run as run_scenario

    at, sizes = _parameters(case)

    def part(directory: str, end: int | None, resumed: bool | None) -> Record:
        return run_scenario(case.scenario, subject, _counting(sizes, training(Interruption((at,), end), resumed)), directory=directory)

    with output_directory() as directory:
        runs = Runs({BASELINE: part(f"{directory}/{BASELINE}", None, None)})
        if runs.first.finished:
            runs["part 1"] = part(f"{directory}/interrupted", at, None)
            if runs["part 1"].checkpoints:
                runs["part 2"] = part(f"{directory}/interrupted", None, True)
    return runs


def _parameters(case: Case) -> tuple[int, list[int]]:
    return int(case.parameters.get("interrupt_at", 1)), [int(size) for size in case.parameters.get("counters", (1,))]


def _counting(sizes: list[int], train: Any) -> Any:
    def body(trainer: Any, record: Record, parts: Any) -> None:
        from trainer_props.running import counters

        for callback in counters.given(sizes):
            trainer.add_callback(callback)
        train(trainer, record, parts)
        record.results["totals"], record.results["order"] = counters.totals(trainer), counters.order(trainer)

    return body


_COUNTER: Final = '''\
class Counter(TrainerCallback, ExportableState):
    """Adds its size to its total after each update."""

    def __init__(self, size):
        self.size, self.total = size, 0

    def on_step_end(self, args, state, control, **kwargs):
        self.total += self.size

    def state(self):
        return {"args": {"size": self.size}, "attributes": {"total": self.total}}


class Listener(TrainerCallback):
    """Does nothing."""


def name(callback):
    return f"counter of {callback.size}" if isinstance(callback, Counter) else "listener"'''


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source: `run(output_dir, at, resumed)` makes one run."""
    at, sizes = _parameters(case)
    given = ", ".join([f"Counter({sizes[0]})", "Listener()", *(f"Counter({size})" for size in sizes[1:])])
    lines = [f"for callback in ({given}):", "    trainer.add_callback(callback)", "trainer.add_callback(Interruption(at))"]
    lines += [
        *training_source(wanted),
        "callbacks = [each for each in trainer.callback_handler.callbacks if type(each) in (Counter, Listener)]",
    ]
    if "totals" in wanted.words:
        lines.append('record.results["totals"] = sorted([each.size, each.total] for each in callbacks if type(each) is Counter)')
    if "order" in wanted.words:
        lines.append('record.results["order"] = [name(each) for each in callbacks]')
    several = [
        f'runs = {{"{BASELINE}": run(f"{{output_dir}}/{BASELINE}", None, None)}}',
        f'runs["part 1"] = run(f"{{output_dir}}/interrupted", {at}, None)',
        'runs["part 2"] = run(f"{output_dir}/interrupted", None, True)',
    ]
    imports = ["from transformers import TrainerCallback", "from transformers.trainer_callback import ExportableState"]
    return Body(lines, imports, [interruption_source([at]), _COUNTER], parameters=("at", "resumed"), several=several)


register(
    Experiment(
        NAME,
        "Resume a run with several callbacks of one class that have states.",
        "test_trainer_checkpointing",
        cases,
        run,
        strategies.FLAVOURS["regression"].models,
        0.3,
        body=body,
        avoids=("eval_on_start",),
    )
)
