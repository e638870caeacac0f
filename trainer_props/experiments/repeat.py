"""The experiment that trains a second time: with a fresh Trainer, with the same one, or with arguments that must not matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.case import Case
from trainer_props.experiments.observe import follows_evaluations
from trainer_props.experiments.pairs import held_arguments, pair_body, run_pair, without_workers
from trainer_props.experiments.registry import Body, Experiment, Held, Wanted, register, train_body
from trainer_props.experiments.resume_parts import unscored
from trainer_props.record import Runs
from trainer_props.scenario import Scenario

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "repeat"
_FLAVOURS: Final = {
    "regression": strategies.regression_scenarios, "optimizer": strategies.optimizer_scenarios, "token": strategies.token_scenarios,
    "stream": strategies.stream_scenarios, "random": strategies.random_scenarios,
}  # fmt: skip
_KINDS: Final = ("regression", "optimizer", "token", "stream", "random")
_SEEDS: Final = (0, 1, 7, 42)
_ELSE: Final[tuple[dict[str, Any], ...]] = ({"weight_decay": 0.25}, {"max_grad_norm": 0.5})


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Runs, and how they are repeated.

    Parameters of a case: `again` (the second run is a second `train()` of the same Trainer), or `change` (arguments of the second run);
    with neither, a fresh Trainer does the same.
    """
    arguments = held_arguments(held)
    kinds = [name for name in _KINDS if held.models is None or set(held.models) & set(strategies.FLAVOURS[name].models)]

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        kind = draw(st.sampled_from(kinds))
        scenario = _plain(draw(_FLAVOURS[kind](arguments=arguments, models=held.models)), arguments)
        how = draw(st.sampled_from(("fresh", "again", "seed", "change", "again")))
        if how == "again":
            if scenario.components.scores and follows_evaluations(scenario):  # scores are given once
                scenario = unscored(scenario, arguments)
            return Case(experiment=NAME, scenario=scenario, parameters={"again": True})
        changed: Mapping[str, Any] = {}
        if how == "seed" and not {"seed", "data_seed"} & arguments.keys():
            scenario = scenario.with_arguments(data_seed=draw(st.sampled_from(_SEEDS)))
            changed = {"seed": draw(st.sampled_from([seed for seed in _SEEDS if seed != scenario.argument("seed")]))}
        elif how == "change":
            faster = {"learning_rate": 2 * scenario.argument("learning_rate")}  # a schedule may end at a rate below the one of the scenario
            changed = draw(st.sampled_from([{"full_determinism": True}, faster, *_ELSE]))
        changed = {name: value for name, value in changed.items() if name not in arguments and scenario.argument(name) != value}
        return Case(experiment=NAME, scenario=scenario, parameters={"change": changed} if changed else {})

    return drawn()


def _plain(scenario: Scenario, held: dict[str, Any]) -> Scenario:
    """The scenario without worker processes and poisoned losses, which would go on being counted."""
    kept = without_workers(scenario, held)
    return kept.replace(components=kept.components.replace(poisoned=()))  # type: ignore[no-any-return]


def changes(case: Case) -> dict[str, Any]:
    """The arguments of the second run that differ from the first's."""
    return dict(case.parameters.get("change", {}))


def run(case: Case, subject: Subject) -> Runs:
    """The run, and its repetition."""
    from trainer_props.running.repeating import settings_restored, train_again
    from trainer_props.running.run import train

    with settings_restored():
        return run_pair(case, subject, changes(case), train_again if case.parameters.get("again") else train)


_AGAIN: Final = ("if again:", "    trainer.train()")
_BEGINNING: Final = '''\
class Beginning(TrainerCallback):
    """Keeps the weights with which a training begins, in a row."""

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self.weights = torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])'''


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source."""
    usual = train_body(case, wanted)
    if not case.parameters.get("again"):
        return pair_body(case, changes(case), usual)
    usual = begun_body(replace(usual, before=_AGAIN), wanted)
    return pair_body(case, {}, usual, {"again": (False, True)})


def begun_body(usual: Body, wanted: Wanted) -> Body:
    """The same, where `results` has the weights with which a training begins, if that is wanted."""
    if "results" not in wanted.fields:
        return usual
    kept = 'record.results["weights at the beginning"] = beginning.weights'
    lines = ["beginning = Beginning()", "trainer.add_callback(beginning)", *usual.lines, kept]
    return replace(usual, lines=lines, imports=[*usual.imports, "from transformers import TrainerCallback"], definitions=[_BEGINNING])


register(
    Experiment(
        NAME,
        "Train a second time: with a fresh Trainer, with the same one, or with other arguments that must not matter to the data.",
        "test_trainer",
        cases,
        run,
        tuple(dict.fromkeys(name for flavour in _FLAVOURS for name in strategies.FLAVOURS[flavour].models)),
        1.5,
        body=body,
    )
)
