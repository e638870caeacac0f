"""The experiment that observes a run more, or less: logs, evaluates, saves, prints, predicts in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.case import Case
from trainer_props.experiments.pairs import CONSOLE, TRACKERS, held_arguments, pair_body, run_pair, tracks, without_workers
from trainer_props.experiments.registry import Body, Experiment, Held, Wanted, register, train_body
from trainer_props.oracles import accounting
from trainer_props.record import Record, Runs
from trainer_props.scenario import Scenario
from trainer_props.zoo.kinds import MissingPackage

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "observe"
_FLAVOURS: Final = {
    "regression": strategies.regression_scenarios, "saving": strategies.saving_scenarios, "token": strategies.token_scenarios,
    "stream": strategies.stream_scenarios, "random": strategies.random_scenarios,
}  # fmt: skip
_KINDS: Final = ("regression", "saving", "token", "stream", "random", "random")
_PLAIN: Final[tuple[dict[str, Any], ...]] = (
    {"logging_strategy": "steps", "logging_steps": 1}, {"logging_strategy": "no"}, {"logging_strategy": "epoch"},
    {"logging_first_step": True}, *({name: value} for name, values in CONSOLE.items() for value in values),
    {"include_num_input_tokens_seen": "all"}, {"torch_empty_cache_steps": 1},
)  # fmt: skip
"""Ways to observe that no run reacts to."""
_WATCHING: Final[tuple[dict[str, Any], ...]] = (
    {"eval_strategy": "steps", "eval_steps": 1}, {"eval_strategy": "epoch"}, {"eval_strategy": "no"}, {"eval_on_start": True},
    {"save_strategy": "steps", "save_steps": 1}, {"save_strategy": "epoch"}, {"save_strategy": "no"},
    {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 1},
    {"save_strategy": "steps", "save_steps": 1, "save_only_model": True},
)  # fmt: skip
"""Ways to observe that a run reacts to if it goes by its evaluations."""


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Runs, and how they are observed otherwise.

    Parameters of a case: `observe` (arguments of the changed run), `predict` and `predict_at` (samples that the changed run predicts, and
    the update after which; 0: before training).
    """
    arguments = held_arguments(held)
    kinds = [name for name in _KINDS if held.models is None or set(held.models) & set(strategies.FLAVOURS[name].models)]

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        kind = draw(st.sampled_from(kinds))
        scenario = _watchable(draw(_FLAVOURS[kind](arguments=arguments, models=held.models)), arguments)
        if follows_evaluations(scenario) and draw(st.integers(0, 2)):
            scenario = _going_its_own_way(scenario, arguments)
        possible = _PLAIN if follows_evaluations(scenario) else (*_PLAIN, *_WATCHING)
        ways = [each for each in possible if _makes_sense(each, scenario, arguments)]
        chosen = draw(st.lists(st.sampled_from(ways), max_size=3)) if ways else []
        observed = {name: value for each in chosen for name, value in each.items()}
        parameters: dict[str, Any] = {}
        if not scenario.components.scores and (draw(st.integers(0, 3)) == 3 or not observed):  # a prediction takes a score too
            parameters["predict"] = draw(st.integers(1, 5))
            parameters["predict_at"] = draw(st.integers(0, max(1, accounting.total_updates(scenario))))
        elif _may_have_workers(scenario.with_arguments(**observed)) and "dataloader_num_workers" not in arguments and draw(_HARDLY_EVER):
            observed["dataloader_num_workers"] = 1
        if observed:
            parameters["observe"] = observed
        return Case(experiment=NAME, scenario=scenario, parameters=parameters)

    return drawn()


_HARDLY_EVER: Final = st.integers(0, 39).map(lambda number: number == 39)
"""Worker processes take as long as ten runs."""


def follows_evaluations(scenario: Scenario) -> bool:
    """Whether training goes by its evaluations: they end it, set its learning rate, or choose its last weights."""
    return (
        scenario.components.early_stopping is not None
        or bool(scenario.argument("load_best_model_at_end"))
        or scenario.argument("lr_scheduler_type") in ("reduce_lr_on_plateau", "greedy")
        or scenario.argument("save_strategy") == "best"
    )


def _may_have_workers(scenario: Scenario) -> bool:
    """Whether it does not matter to a run who loads its data: noise would come from generators of other processes."""
    evaluates = scenario.argument("eval_strategy") != "no" or bool(scenario.argument("eval_on_start"))
    return not evaluates and scenario.components.collator != "noise"


def _makes_sense(observed: Mapping[str, Any], scenario: Scenario, held: Mapping[str, Any]) -> bool:
    """Whether nothing of it is held, some of it is new, and it can be done here.

    Where `eval_steps` is silent, `logging_steps` stands for it: other logs are other evaluations then.
    """
    if "logging_steps" in observed and scenario.argument("eval_steps") is None and follows_evaluations(scenario):
        return False
    changed = any(scenario.argument(name) != value for name, value in observed.items())
    return not observed.keys() & held.keys() and changed and all(map(tracks, observed.get("report_to", ())))


def _watchable(scenario: Scenario, held: dict[str, Any]) -> Scenario:
    """The scenario with evaluation data that fill a batch, and without worker processes and poisoned losses."""
    kept = without_workers(scenario, held)
    least = int(kept.argument("per_device_eval_batch_size")) if kept.argument("dataloader_drop_last") else 1
    data = kept.data.replace(n_eval=max(kept.data.n_eval, least))
    return kept.replace(data=data, components=kept.components.replace(poisoned=()))  # type: ignore[no-any-return]


def _going_its_own_way(scenario: Scenario, held: dict[str, Any]) -> Scenario:
    """The scenario without what makes it follow its evaluations, as far as that is free: it can be evaluated and saved at any time."""
    following = ["load_best_model_at_end"]
    if scenario.argument("save_strategy") == "best":
        following.append("save_strategy")
    kept = scenario.without_arguments(*(name for name in following if name not in held))
    return kept.replace(components=kept.components.replace(early_stopping=None))  # type: ignore[no-any-return]


def changes(case: Case) -> dict[str, Any]:
    """The arguments of the changed run that differ from the baseline's."""
    return dict(case.parameters.get("observe", {}))


def run(case: Case, subject: Subject) -> Runs:
    """The run as it is, and observed otherwise.

    Raises:
        MissingPackage: a tracker has no package here.
    """
    for tracker in changes(case).get("report_to", ()):
        if not tracks(tracker):
            raise MissingPackage(f"report_to {tracker!r} needs one of the packages {', '.join(TRACKERS[tracker])}")
    at = case.parameters.get("predict_at")
    rows = int(case.parameters.get("predict", 1))

    def predicting(trainer: Any, record: Record, parts: Any) -> None:
        from trainer_props.running.run import train
        from trainer_props.running.watching import Prediction

        parts.expect_test(rows)
        if at:
            trainer.add_callback(Prediction(trainer, parts.test_dataset(rows), at))
        else:
            trainer.predict(parts.test_dataset(rows))
        train(trainer, record, parts)

    return run_pair(case, subject, changes(case), None if at is None else predicting, prints=True)


_PREDICTION: Final = '''\
class Prediction(TrainerCallback):
    """Predicts after an update."""

    def __init__(self, trainer, at):
        self.trainer, self.at = trainer, at

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.at:
            self.trainer.predict(test_dataset)'''


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source."""
    usual, at = replace(train_body(case, wanted), prints=True), case.parameters.get("predict_at")
    if at is None:
        return pair_body(case, changes(case), usual)
    predict = f"trainer.add_callback(Prediction(trainer, {at}))" if at else "trainer.predict(test_dataset)"
    usual = replace(usual, lines=["if predicts:", f"    {predict}", *usual.lines])
    if at:
        usual = replace(usual, imports=[*usual.imports, "from transformers import TrainerCallback"], definitions=[_PREDICTION])
    return pair_body(case, changes(case), usual, {"predicts": (False, True)})


register(
    Experiment(
        NAME,
        "Train the same run with other plans of logging, evaluating and saving, another console, or a prediction in between.",
        "test_trainer",
        cases,
        run,
        tuple(dict.fromkeys(name for flavour in _FLAVOURS for name in strategies.FLAVOURS[flavour].models)),
        1.5,
        body=body,
    )
)
