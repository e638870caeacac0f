"""The experiment with frozen parameters: its runs, what is written down of them, and how they are judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from transformers import Trainer

from trainer_props import subjects, zoo
from trainer_props.case import Case
from trainer_props.engine.judging import judge
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.experiments.frozen import changed, parameter_names
from trainer_props.faults import FAULTS
from trainer_props.known_bugs import KNOWN_BUGS
from trainer_props.oracles import accounting
from trainer_props.properties import PROPERTIES
from trainer_props.record import Runs
from trainer_props.running import parameters, prepared
from trainer_props.scenario import Data, Model, Scenario
from trainer_props.scripts.verifying import shows
from trainer_props.scripts.writing import script

SUBJECT = subjects.load(subjects.DEFAULT)
MINE = [each for each in PROPERTIES.values() if "train_frozen" in each.experiments]
LAYERS = ("first.weight", "first.bias", "ln.weight", "ln.bias", "last.weight", "last.bias")


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    with prepared():
        yield


def case(*frozen: str, model: str = "regression", arguments: dict[str, Any] | None = None, **given_parameters: Any) -> Case:
    usual = {"per_device_train_batch_size": 2, "max_steps": 4, "learning_rate": 0.1, "logging_steps": 1, **(arguments or {})}
    scenario = Scenario(arguments=usual, data=Data(n=8), model=Model(name=model, frozen=frozen))
    return Case(experiment="train_frozen", scenario=scenario, parameters=given_parameters)


def runs_of(given_case: Case) -> Runs:
    runs = EXPERIMENTS["train_frozen"].run(given_case, SUBJECT)
    assert isinstance(runs, Runs)
    return runs


def test_a_constant_is_no_parameter_and_computes_the_same() -> None:
    model = zoo.build_model(Model(name="regression_layers"), Data())
    inputs = torch.arange(4.0, dtype=torch.float64)
    before = model(input_x=inputs, labels=inputs)[0]
    for name in LAYERS[:3]:
        parameters.make_constant(model, name)
    assert [name for name, _ in model.named_parameters()] == list(LAYERS[3:])
    assert model(input_x=inputs, labels=inputs)[0].equal(before)


def test_one_run_has_parameters_and_the_other_constants() -> None:
    runs = runs_of(case("a"))
    assert list(runs) == ["frozen", "constants"]
    assert runs["frozen"].results["trainable"] == runs["constants"].results["trainable"] == ["b"]
    assert runs["frozen"].results["groups"] == {"a": 0, "b": 1}
    assert runs["frozen"].results["ended"]["b"] == runs["constants"].results["ended"]["b"] != runs["frozen"].results["begun"]["b"]


@pytest.mark.parametrize("how", [{"how": "again"}, {"how": "resume", "at": 2}], ids=str)
def test_the_second_part_has_what_is_frozen_then(how: dict[str, Any]) -> None:
    given_case = case("a", then=["b"], **how)
    assert changed(given_case) == ["a", "b"]
    runs = runs_of(given_case)
    last = runs["again" if how["how"] == "again" else "part 2"].results
    assert last["trainable"] == ["a"]
    assert last["ended"]["b"] != [-0.25]


def test_a_resumed_part_goes_on_where_the_first_one_stopped() -> None:
    runs = runs_of(case("a", how="resume", then=["a"], at=3))
    assert [record.global_step for record in runs.values()] == [3, 4]
    states = runs["part 2"].results["states"]
    assert states == runs["part 1"].results["states"]
    assert set(states["b"]) == {"step", "exp_avg", "exp_avg_sq"}
    assert states["a"] == {}


@pytest.mark.parametrize(
    "given_case",
    [
        case("a"), case("b", arguments={"weight_decay": 0.1, "gradient_accumulation_steps": 2, "max_grad_norm": 0.1}),
        case(*LAYERS[1:], model="regression_layers", arguments={"optim": "sgd", "optim_args": "momentum=0.9", "weight_decay": 0.5}),
        case("a", how="again", then=["a"], arguments={"optim": "sgd"}), case(how="again", then=["a"], arguments={"weight_decay": 0.1}),
        case("a", how="resume", then=["a"], at=2), case("a", how="resume", then=[], at=2),
    ],
    ids=str,
)  # fmt: skip
def test_what_the_trainer_does_holds(given_case: Case) -> None:
    judged = judge(given_case, SUBJECT, MINE)
    assert (judged.findings, judged.errors) == ((), ())
    assert judged.holds


def test_other_parameters_frozen_are_an_error_or_known() -> None:
    refused = runs_of(case("a", how="resume", then=[], at=2))["part 2"]
    assert refused.failure is not None
    assert (refused.failure.kind, refused.updates) == ("ValueError", [])
    swapped = judge(case("a", how="resume", then=["b"], at=2), SUBJECT, MINE)
    assert [each.known_bug for each in swapped.findings] == ["optimizer-state-of-another-parameter"]


def test_a_refusal_of_the_same_parameters_is_a_violation() -> None:
    class Refuses(Trainer):
        def train(self, resume_from_checkpoint: Any = None, **kwargs: Any) -> Any:
            if resume_from_checkpoint:
                raise ValueError("not again")
            return super().train(**kwargs)

    judged = judge(case("a", how="resume", then=["a"], at=2), subjects.wrap(Refuses, "refuses"), MINE)
    assert [(each.property, each.verdict) for each in judged.findings] == [("frozen.a_resumed_optimizer_knows_its_parameters", "crashed")]


def test_unfrozen_parameters_that_stay_are_known_and_what_is_lost_besides_is_not() -> None:
    example = KNOWN_BUGS["unfrozen-parameters-not-trained"].example
    assert [each.known_bug for each in judge(example, SUBJECT, MINE).findings] == ["unfrozen-parameters-not-trained"] * 2

    class Nothing(Trainer):
        def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
            optimizer = super().create_optimizer(*args, **kwargs)
            for group in optimizer.param_groups:
                group["params"] = group["params"][:0]
            return optimizer

    new = judge(example, subjects.wrap(Nothing, "nothing"), MINE).findings
    assert ("frozen.parameter_groups_hold_what_is_trainable", None) in [(each.property, each.known_bug) for each in new]


@pytest.mark.parametrize(
    ("name", "given_case"),
    [
        ("frozen-parameters-decay", case("a", arguments={"learning_rate": 1.0})),
        ("gradients-averaged-over-all-parameters", case("a", arguments={"optim": "sgd"})),
        ("gradient-norm-is-a-mean-over-all-parameters", case("a")),
        ("schedule-of-the-first-call-goes-on", case("a", how="again", then=["a"], arguments={"optim": "sgd"})),
        ("optimizer-state-lost-where-some-are-frozen", case("a", how="resume", then=["a"], at=2)),
        ("frozen-parameters-in-a-group", case("a", how="resume", then=["a"], at=2)),
    ],
)
def test_scripts_do_the_same(name: str, given_case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    faulty = subjects.wrap(FAULTS[name].make(), "transformers:Trainer")
    finding = next(each for each in judge(given_case, faulty, MINE).findings if each.property == FAULTS[name].property)
    text = script(finding, SUBJECT)
    code, output = _executed(text, capsys)
    assert code == 0, output  # the Trainer itself does not do it
    code, output = _executed(text, capsys, Trainer=FAULTS[name].make())
    assert shows(text, code, output)


def _executed(text: str, capsys: pytest.CaptureFixture[str], **names: Any) -> tuple[int, str]:
    namespace: dict[str, Any] = {"__name__": "script", **names}
    text = text.replace("PrinterCallback, Trainer,", "PrinterCallback,") if names else text
    exec(compile(text, "script.py", "exec"), namespace)  # noqa: S102  what a script is for
    capsys.readouterr()
    return namespace["main"](), capsys.readouterr().out


def test_cases_leave_one_parameter_at_least() -> None:
    @settings(max_examples=60, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EXPERIMENTS["train_frozen"].cases(Held(arguments={"dataloader_num_workers": 0}, forbidden=["weight_decay"])))
    def check(drawn: Case) -> None:
        names = set(parameter_names(drawn.scenario.model.name))
        assert set(drawn.scenario.model.frozen) < names
        assert drawn.scenario.model.frozen
        assert set(drawn.parameters.get("then", ())) < names
        assert drawn.parameters.get("at", 1) <= max(1, accounting.total_updates(drawn.scenario))
        assert drawn.scenario.argument("weight_decay") == 0.0
        assert not drawn.scenario.components.poisoned
        assert Case.from_json(drawn.to_json()) == drawn

    check()
