"""The experiment with `auto_find_batch_size` on a device whose memory is too small, beside a run with the batch size that was found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trainer_props import strategies
from trainer_props.arguments import default
from trainer_props.case import Case
from trainer_props.experiments.registry import OUTPUT, Body, Experiment, Held, Wanted, register
from trainer_props.oracles import accounting
from trainer_props.record import Record, Runs
from trainer_props.scenario import Scenario
from trainer_props.zoo import MODELS

if TYPE_CHECKING:
    from trainer_props.subjects import Subject

NAME: Final = "find_batch_size"
_FLAVOURS: Final = ("regression", "saving", "token")
_MORE_OFTEN: Final = "saving"
"""Its runs leave checkpoints."""
_MODELS: Final = tuple(dict.fromkeys(name for flavour in _FLAVOURS for name in strategies.FLAVOURS[flavour].models))
_FIND: Final = "auto_find_batch_size"
_TOKENS: Final = "include_num_input_tokens_seen"
_SIZE: Final = "per_device_train_batch_size"
_EVALUATING: Final = frozenset({"eval_strategy", "save_strategy", "load_best_model_at_end", "metric_for_best_model", "lr_scheduler_type"})
"""With none of these given, half of the runs do not evaluate: of those that go by a metric attempts can't be compared."""
_LATEST: Final = 5
_ROWS: Final = 6


def cases(held: Held) -> st.SearchStrategy[Case]:
    """Scenarios on map-style data, and when memory runs short.

    Parameters of a case: `capacity` (rows of the largest batch that fits), `after` (micro-batches of an attempt that fit, whatever their
    size), `error` (`cuda`, `cpu`: what the device says; `other`: it has another trouble), `resume_at` (an update from whose checkpoint the
    run is resumed).
    """
    arguments = {**{argument: default(argument) for argument in held.forbidden}, **held.arguments}
    flavours = {
        "regression": strategies.regression_scenarios, "saving": strategies.saving_scenarios, "token": strategies.token_scenarios,
    }  # fmt: skip
    fitting = [
        (name, scenarios)
        for name, scenarios in flavours.items()
        if held.models is None or set(held.models) & set(strategies.FLAVOURS[name].models)
        for _ in range(2 if name == _MORE_OFTEN else 1)
    ]

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        unseen = {"eval_strategy": "no"} if not arguments.keys() & _EVALUATING and draw(st.booleans()) else {}
        name, scenarios = draw(st.sampled_from(fitting))
        counted = [each for each in strategies.FLAVOURS[name].models if MODELS[each].pretrained]
        models = counted if counted and held.models is None and draw(st.integers(0, 2)) == 2 else held.models
        scenario = _plain(draw(scenarios(arguments={**unseen, **arguments}, models=models)), arguments)
        if _SIZE not in arguments and not scenario.argument("dataloader_drop_last"):
            scenario = scenario.with_arguments(**{_SIZE: draw(st.integers(2, 9))})
        if scenario.data.n == 1 and not scenario.argument("dataloader_drop_last"):  # a batch of one row can't become smaller
            scenario = scenario.replace(data=scenario.data.replace(n=draw(st.integers(1, _ROWS))))
        largest = min(accounting.batch_size(scenario), scenario.data.n)
        capacity = 0 if largest == 1 or draw(st.integers(0, 15)) == 15 else draw(st.integers(1, largest - 1))
        parameters: dict[str, Any] = {"capacity": capacity}
        if scenario.argument("save_strategy") != "no" and draw(st.booleans()):  # memory runs short when there are checkpoints already
            scenario = _of_two_epochs(scenario, arguments)
            epoch = accounting.batches_per_epoch(scenario)
            parameters["after"] = draw(st.integers(max(1, epoch), epoch + 1))
        elif draw(st.booleans()):  # within the first window nothing is updated yet: attempts differ in what they count alone
            within = max(1, int(scenario.argument("gradient_accumulation_steps")) - 1)
            parameters["after"] = draw(st.one_of(st.integers(1, within), st.integers(1, _LATEST)))
        if _TOKENS not in arguments and draw(st.integers(0, 3)) == 3:
            scenario = scenario.with_arguments(**{_TOKENS: "all"})
        error = draw(st.sampled_from(["cuda", "other", "cpu", "cuda", "cpu", "cuda"]))
        if error != "cuda":
            parameters["error"] = error
        if capacity and error != "other" and draw(st.integers(0, 2)):
            parameters["resume_at"] = draw(st.integers(1, max(1, accounting.total_updates(scenario))))
        return Case(experiment=NAME, scenario=scenario.with_arguments(**{_FIND: True, **arguments}), parameters=parameters)

    return drawn()


def _plain(scenario: Scenario, held: dict[str, Any]) -> Scenario:
    """The scenario without worker processes, which take seconds, and without poisoned losses, which are counted from the beginning."""
    workers = [name for name in scenario.arguments if name.startswith("dataloader_") and name not in ("dataloader_drop_last", *held)]
    kept = scenario.without_arguments(*workers)
    return kept.replace(components=kept.components.replace(poisoned=()))  # type: ignore[no-any-return]


def _of_two_epochs(scenario: Scenario, held: dict[str, Any]) -> Scenario:
    """The scenario with more than one epoch, unless its length is given in updates."""
    if scenario.argument("max_steps") >= 0 or scenario.argument("num_train_epochs") > 1 or "num_train_epochs" in held:
        return scenario
    return scenario.with_arguments(num_train_epochs=2)


def run(case: Case, subject: Subject) -> Runs:
    """`searched`, the run that has to find its batch size; `fitting`, another one with that batch size (or the last one that was tried) and
    enough memory from the beginning; and `resumed`, if the case says so: the first one, resumed from a checkpoint on the same device.
    """
    from trainer_props.running import output_directory
    from trainer_props.running import run as run_scenario

    at = case.parameters.get("resume_at")
    with output_directory() as directory:
        runs = Runs(searched=run_scenario(case.scenario, subject, _searching(case, at, resumed=False), directory=directory))
        found = runs.first.results.get("batch_size")
        if found is None or case.parameters.get("error") == "other":
            return runs
        fitting = case.scenario.without_arguments(_FIND).with_arguments(**{_SIZE: found})
        runs["fitting"] = run_scenario(fitting, subject, _fitting(at))
        if runs.first.finished and at in _saved_at_last(runs.first) and f"checkpoint-{at}" in runs.first.folders:
            runs["resumed"] = run_scenario(case.scenario, subject, _searching(case, at, resumed=True), directory=directory)
    return runs


def _saved_at_last(record: Record) -> list[int]:
    """The steps after which the last attempt has saved: what those before have left is of another batch size."""
    names = [event.name for event in record.events]
    begun = len(names) - names[::-1].index("on_train_begin")
    return [each.step for each in record.checkpoints[names[:begun].count("on_save") :]]


def _searching(case: Case, at: int | None, *, resumed: bool) -> Any:
    def body(trainer: Any, record: Record, parts: Any) -> None:
        from trainer_props.running import Interruption
        from trainer_props.running.memory import Memory

        parameters = case.parameters
        memory = Memory(trainer, record.results, parameters["capacity"], parameters.get("after", 0), parameters.get("error", "cuda"))
        trainer.add_callback(memory)
        trainer.add_callback(Interruption([at] if at else []))
        output = trainer.train(resume_from_checkpoint=f"{trainer.args.output_dir}/checkpoint-{at}" if resumed else None)
        record.global_step, record.training_loss, record.metrics = output.global_step, output.training_loss, dict(output.metrics)

    return body


def _fitting(at: int | None) -> Any:
    def body(trainer: Any, record: Record, parts: Any) -> None:
        from trainer_props.running import Interruption, train

        trainer.add_callback(Interruption([at] if at else []))
        train(trainer, record, parts)

    return body


_WEIGHTS: Final = '''\
def weights_of(trainer):
    """The elements of each parameter."""
    return {name: parameter.detach().reshape(-1).tolist() for name, parameter in trainer.model.named_parameters()}'''
_KEPT: Final = '''\
def kept_by(trainer):
    """What the optimizer keeps of each parameter."""
    kept = {name: trainer.optimizer.state.get(each, {}) for name, each in trainer.model.named_parameters()}
    return {
        name: {key: torch.as_tensor(value).reshape(-1).tolist() for key, value in state.items() if value is not None}
        for name, state in kept.items()
    }'''
_MEMORY: Final = '''\
class Memory(TrainerCallback):
    """Training batches of more than {capacity} rows do not fit{after}."""

    def __init__(self, trainer):
        self.trainer, self.seen = trainer, 0
        trainer.model.register_forward_pre_hook(self.before_forward, with_kwargs=True)

    def on_train_begin(self, args, state, control, **kwargs):
        self.seen = 0
        record.results["batch_size"] = state.train_batch_size{begun}

    def before_forward(self, module, args, kwargs):
        self.seen += module.training
        rows = next(len(each) for each in kwargs.values() if isinstance(each, torch.Tensor) and each.dim() > 0)
        if module.training and {condition}rows > {capacity}:
            raise RuntimeError(ERROR)'''
_SAVE: Final = '''\
class Save(TrainerCallback):
    """Saves after update {at}."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == {at}:
            control.should_save = True'''


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source: `run(output_dir, checkpoint, **arguments)` makes one run."""
    from trainer_props.running.memory import ERRORS

    parameters, words = case.parameters, wanted.words
    at, after = parameters.get("resume_at"), parameters.get("after", 0)
    kept = [f"record.{name} = {value}" for name, value in OUTPUT.items() if name in wanted.fields]
    calls = {"begun_weights": "weights_of", "begun_states": "kept_by"}
    begun = [f'record.results["{name}"].append({call}(self.trainer))' for name, call in calls.items() if name in words]
    begun += ['record.results["attempts"] += 1'] if "attempts" in words else []
    memory = _MEMORY.format(
        capacity=parameters["capacity"],
        after=f" after {after} of each attempt" if after else "",
        begun="".join(f"\n        {line}" for line in begun),
        condition=f"self.seen > {after} and " if after else "",
    )
    results = {"attempts": 0, "begun_weights": [], "begun_states": []}
    lines = [f"record.results = {json.dumps({name: value for name, value in results.items() if name in words})}"]
    lines += [f'if arguments["{_FIND}"]:', "    trainer.add_callback(Memory(trainer))"]
    lines += ["trainer.add_callback(Save())"] if at else []
    train = "trainer.train(resume_from_checkpoint=checkpoint)" if at else "trainer.train()"
    lines += [f"output = {train}" if kept else train, *kept]
    given = f"{_FIND}=True, {_SIZE}={case.scenario.argument(_SIZE)}"
    extra = "None, " if at else ""
    several = [
        f'runs = {{"searched": run(f"{{output_dir}}/searched", {extra}{given})}}',
        'found = runs["searched"].results.get("batch_size")',
        "if found is not None:",
        f'    runs["fitting"] = run(f"{{output_dir}}/fitting", {extra}{_FIND}=False, {_SIZE}=found)',
    ]
    if at:
        several += [
            f'checkpoint = f"{{output_dir}}/searched/checkpoint-{at}"',
            "if found is not None and os.path.isdir(checkpoint):",
            f'    runs["resumed"] = run(f"{{output_dir}}/searched", checkpoint, {given})',
        ]
    error = f"ERROR = {json.dumps(ERRORS[parameters.get('error', 'cuda')])}"
    definitions = [
        error,
        *([_WEIGHTS] if "begun_weights" in words else []),
        *([_KEPT] if "begun_states" in words else []),
        memory,
        *([_SAVE.format(at=at)] if at else []),
    ]
    imports = ["from transformers import TrainerCallback", *(["import os"] if at else [])]
    return Body(lines, imports, definitions, parameters=("checkpoint",) if at else (), varied=(_FIND, _SIZE), several=several)


register(
    Experiment(
        NAME,
        "Find a batch size that fits into a memory that is too small; compare with a run of that batch size.",
        "test_trainer_data",
        cases,
        run,
        _MODELS,
        0.8,
        body=body,
        sensible=lambda case: bool(case.scenario.argument("auto_find_batch_size")),
    )
)
