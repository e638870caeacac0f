"""Building a case by hand: what a script builds is what a run builds."""

from __future__ import annotations

import ast
import dataclasses
import math
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import Phase, given, seed, settings

from trainer_props import running, subjects, zoo
from trainer_props.case import Case
from trainer_props.experiments import EXPERIMENTS, Held
from trainer_props.scenario import Components, Data, EarlyStopping, Model, Scenario
from trainer_props.scripts.building import Source, source_of
from trainer_props.subjects import Parts
from trainer_props.zoo import tiny

STOCK = subjects.load(subjects.DEFAULT)
EVERYTHING = Components(
    collator="padding", loss="compute_loss_func", scores=(0.5, math.nan, 0.25), early_stopping=EarlyStopping(patience=2, threshold=0.5)
)
CLOCK = ("train_runtime", "train_samples_per_second", "train_steps_per_second", "eval_runtime", "eval_samples_per_second",
         "eval_steps_per_second")  # fmt: skip
MAY_IMPORT = {"torch", "transformers", "functools", "itertools", "random"}


def scenario(model: str = "regression", kind: str | None = None, n: int = 4, n_eval: int = 3, **said: Any) -> Scenario:
    data = {name: said.pop(name) for name in ("length", "ignored_every", "data_seed") if name in said}
    data["seed"] = data.pop("data_seed", 0)
    components = said.pop("components", Components())
    arguments = {"learning_rate": 0.1, "per_device_train_batch_size": 2, "max_steps": 3, **said.pop("arguments", {})}
    kind = kind or zoo.MODELS[model].data_kinds[0]
    if zoo.DATASETS[kind].needs_padding:
        components = components.replace(collator="padding")
    return Scenario(
        arguments=arguments, data=Data(kind=kind, n=n, n_eval=n_eval, **data), model=Model(name=model, **said), components=components
    )


OWN_KIND = [scenario(name) for name in zoo.MODELS]
FORMS = [
    scenario(name, kind)
    for name in ("regression", "regression_double", "regression_renamed", "regression_unlabelled", "lstm", "llama", "bert_classifier", "t5")
    for kind in zoo.MODELS[name].data_kinds[1:]
]
FURTHER = {
    "float32": scenario(dtype="float32", n_eval=0),
    "float32 layers, seeds": scenario("regression_layers", dtype="float32", seed=3, data_seed=2, frozen=("first.weight", "ln.bias")),
    "frozen lstm": scenario("lstm", frozen=("embedding.weight",), length=9, ignored_every=2),
    "ignored labels": scenario("t5", "dynamic", length=7, ignored_every=3, seed=1, n=20),
    "no rows": scenario(n=0, n_eval=1),
    "no rows in a table": scenario("regression", "table", n=0, n_eval=1),
    "many numbers": scenario(n=2000, data_seed=5),
    "many tokens": scenario("gpt2", "dynamic", n=600, length=12, ignored_every=5),
    "many in a stream": scenario("lstm", "stream", n=600, n_eval=700),
    "components": scenario(components=EVERYTHING),
    "arguments": scenario(arguments={
        "lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycles": 2}, "warmup_steps": 0.5, "seed": 7,
        "label_names": ["labels"], "include_for_metrics": ["loss", "inputs"], "save_strategy": "steps", "save_steps": 2,
        "num_train_epochs": 1, "optim": "sgd", "disable_tqdm": False, "eval_strategy": "no", "adam_epsilon": 1e-30,
    }),
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def prepared() -> Iterator[None]:
    with running.prepared():
        yield


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs a source in a module of its own, and gives that."""

    def run(source: Source, **variables: Any) -> Any:
        module = types.ModuleType("script")
        module.__dict__.update(variables)
        monkeypatch.setitem(sys.modules, "script", module)
        exec("\n".join([*source.imports, source.definitions]), module.__dict__)  # noqa: S102  what scripts do
        module.__dict__["output_dir"] = str(tmp_path / "output")
        exec(source.build, module.__dict__)  # noqa: S102
        return module

    return run


def parameters(trainer: Any) -> list[tuple[Any, ...]]:
    return [
        (name, parameter.dtype, parameter.requires_grad, parameter.tolist(), type(parameter))
        for name, parameter in trainer.model.named_parameters()
    ]


def rows(dataset: Any) -> list[Any] | None:
    if dataset is None:
        return None
    return [[(name, value.dtype, value.tolist()) for name, value in row.items()] for row in dataset]


def fields(arguments: Any) -> dict[str, str]:
    return {each.name: repr(getattr(arguments, each.name)) for each in dataclasses.fields(arguments) if each.name != "output_dir"}


def agree(built: Any, case: Case, subject: subjects.Subject) -> None:
    parts = Parts(case.scenario)
    trainer, ours = built.trainer, subject.make(parts, built.output_dir)
    assert type(trainer) is type(ours)
    assert type(trainer.model).__name__ == type(ours.model).__name__
    assert parameters(trainer) == parameters(ours)
    assert rows(trainer.train_dataset) == rows(ours.train_dataset)
    assert rows(trainer.eval_dataset) == rows(ours.eval_dataset)
    for one, other in ((trainer.train_dataset, ours.train_dataset), (trainer.eval_dataset, ours.eval_dataset)):
        assert hasattr(one, "__len__") == hasattr(other, "__len__")
        assert isinstance(one, torch.utils.data.IterableDataset) == isinstance(other, torch.utils.data.IterableDataset)
    if "predict" in case.parameters:
        assert rows(built.test_dataset) == rows(parts.test_dataset(case.parameters["predict"]))
    assert type(trainer.args) is type(ours.args)
    assert fields(trainer.args) == fields(ours.args)
    assert trainer.model_accepts_loss_kwargs == ours.model_accepts_loss_kwargs
    assert trainer.label_names == ours.label_names
    assert [type(each) for each in trainer.callback_handler.callbacks] == [type(each) for each in ours.callback_handler.callbacks]
    for component in ("compute_loss_func", "compute_metrics"):
        assert (getattr(trainer, component) is None) == (getattr(ours, component) is None)
    for split, dataset in (("train", ours.train_dataset), ("eval", ours.eval_dataset)):
        if dataset is None or len(dataset.source) < 3:
            continue
        ids = [2, 0, 0, 1]
        inputs = dataset.source.batch(ids)
        parts.expect_test(1)
        found = parts.identify(inputs, training=split == "train")
        assert tuple(built.samples(inputs, split)) == found
        assert found == tuple(ids) or case.scenario.data.alike
        assert built.samples(inputs, "test") is None
        assert built.samples({name: value for name, value in inputs.items() if "input" not in name}, split) is None


def imported(source: Source) -> set[str]:
    text = "\n".join([*source.imports, source.definitions, source.build])
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("each", [*OWN_KIND, *FORMS, *FURTHER.values()], ids=lambda each: f"{each.model.name} {each.data.kind}")
def test_the_same_trainer_is_built(each: Scenario, script: Any) -> None:
    package = zoo.DATASETS[each.data.kind].package
    if package is not None:
        pytest.importorskip(package)
    case = Case(scenario=each)
    source = source_of(case, STOCK, identify=True)
    assert imported(source) <= MAY_IMPORT | ({package} if package else set())
    agree(script(source), case, STOCK)


# Of the first two no trainer is built; the third brings the arguments of a Seq2SeqTrainer, the fourth makes its model anew in each run.
@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name not in {"build_arguments", "collate", "generate", "model_init"}])
def test_what_experiments_draw_is_built(name: str, script: Any, tmp_path: Path) -> None:
    cases: list[Case] = []

    @seed(3)
    @settings(max_examples=8, database=None, phases=[Phase.generate], deadline=None)
    @given(EXPERIMENTS[name].cases(Held()))
    def draw(case: Case) -> None:
        cases.append(case)

    draw()
    for case in cases[-5:]:
        source = source_of(case, STOCK, identify=True)
        try:
            STOCK.make(Parts(case.scenario), str(tmp_path))
        except Exception as error:  # noqa: BLE001  what a run is refused, a script is refused
            with pytest.raises(type(error), match=re.escape(str(error))):
                script(source)
        else:
            agree(script(source), case, STOCK)


def test_what_is_refused_is_refused(script: Any) -> None:
    refused = scenario("lstm", arguments={"label_smoothing_factor": 0.1})
    failure = running.run(refused, STOCK).failure
    assert failure is not None
    with pytest.raises(AttributeError, match=re.escape(failure.message)):
        script(source_of(Case(scenario=refused), STOCK, identify=False))


TRAINED = {
    "plain": scenario(arguments={"eval_strategy": "steps", "eval_steps": 1, "logging_steps": 1}),
    "shuffled twice": scenario("regression_layers", n=7, arguments={"seed": 3, "data_seed": 1, "max_steps": -1, "num_train_epochs": 2.5}),
    "poisoned": scenario("regression_dict", components=Components(poisoned=((1, math.inf), (3, math.nan))), arguments={
        "logging_steps": 1, "gradient_accumulation_steps": 2, "logging_nan_inf_filter": False}),
    "poisoned model of transformers": scenario("bert_classifier", components=Components(poisoned=((0, -math.inf),)), arguments={
        "logging_steps": 1, "logging_nan_inf_filter": False}),
    "poison that no loss takes": scenario(components=Components(loss="compute_loss_func", poisoned=((1, math.nan),)), arguments={
        "logging_steps": 1}),
    "lstm": scenario("lstm", "dynamic", n=9, length=8, arguments={"logging_steps": 1}),
    "llama": scenario("llama", "dynamic", arguments={"logging_steps": 1}),
    "t5 on a stream": scenario("t5", "stream", arguments={"logging_steps": 1}),
    "components": scenario("regression_pretrained", components=EVERYTHING, arguments={
        "max_steps": 5, "logging_steps": 1, "eval_strategy": "steps", "eval_steps": 1, "metric_for_best_model": "score",
        "load_best_model_at_end": True, "save_strategy": "steps", "save_steps": 1, "batch_eval_metrics": True}),
}  # fmt: skip


@pytest.mark.parametrize("seed", [0, 1])
def test_checkpoints_of_the_hub_are_named(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny, "is_cached", lambda name: True)
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", lambda *_, **__: transformers.BertConfig(hidden_dropout_prob=0.3))
    source = source_of(Case(scenario=scenario("bert_classifier", seed=seed)), STOCK, identify=False)
    hub_id = '"hf-internal-testing/tiny-random-BertForSequenceClassification"'
    config = f"AutoConfig.from_pretrained({hub_id}, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)"
    made = f"from_pretrained({hub_id}, config={config})" if seed == 0 else f"from_config({config})"
    start = "" if seed == 0 else "torch.manual_seed(1)"
    written = "".join(line.strip() for line in source.build.partition("args =")[0].splitlines()).replace(",)", ")").replace(",", ", ")
    assert written.replace(",  ", ", ") == f"{start}model = AutoModelForSequenceClassification.{made}.double()"
    assert "from transformers import AutoConfig, AutoModelForSequenceClassification, Trainer, TrainingArguments" in source.imports


def history(entries: list[dict[str, Any]]) -> str:
    return repr([{name: value for name, value in entry.items() if name not in CLOCK} for entry in entries])


@pytest.mark.parametrize("name", TRAINED)
def test_training_takes_the_same_course(name: str, script: Any) -> None:
    record = running.run(TRAINED[name], STOCK)
    assert record.failure is None
    built = script(source_of(Case(scenario=TRAINED[name]), STOCK, identify=True))
    output = built.trainer.train()
    assert output.global_step == record.global_step
    weights = torch.cat([parameter.detach().flatten() for parameter in built.trainer.model.parameters()])
    assert torch.equal(weights.nan_to_num(), record.final_weights.nan_to_num())
    assert torch.equal(weights.isnan(), record.final_weights.isnan())
    assert history(built.trainer.state.log_history) == history(record.log_history)
    assert "'loss'" in history(record.log_history) or "logging_steps" not in TRAINED[name].arguments


# Subjects


class Subclass(transformers.Trainer):
    """Asks for an evaluation data set, be it None, and takes its rows apart."""

    def __init__(self, **kwargs: Any) -> None:
        self.given = kwargs["eval_dataset"]
        for row in kwargs["train_dataset"]:
            row.pop("labels")
        super().__init__(**kwargs)


def by_parts(parts: Any, output_dir: str) -> transformers.Trainer:
    kwargs = parts.trainer_kwargs(output_dir)
    assert parts.model() is not kwargs["model"]
    assert kwargs["train_dataset"] is parts.train_dataset()
    assert kwargs["eval_dataset"] is parts.eval_dataset()
    assert parts.training_arguments(output_dir).max_steps == parts.training_arguments_kwargs(output_dir)["max_steps"]
    described = parts.scenario
    kwargs["args"].run_name = f"{described.model.name} {described.data.n} {described.arguments['max_steps']} {described.data.kind}"
    return transformers.Trainer(**kwargs)


def by_itself(output_dir: str, n: int, *, max_steps: int = 100, **kwargs: Any) -> transformers.Trainer:
    torch.manual_seed(0)
    line = zoo.build_model(Model(dtype="float32"), Data())
    numbers = [{"input_x": torch.tensor(float(index)), "labels": torch.tensor(1.0)} for index in range(n)]
    arguments = transformers.TrainingArguments(output_dir, max_steps=max_steps, run_name=str(sorted(kwargs)), **kwargs)
    return transformers.Trainer(line, arguments, train_dataset=numbers)


class Nested:
    Trainer = Subclass


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name under which scripts find this module."""
    module = types.ModuleType("their_package.train")
    module.__dict__.update(Subclass=Subclass, by_parts=by_parts, by_itself=by_itself, Nested=Nested)
    monkeypatch.setitem(sys.modules, "their_package", types.ModuleType("their_package"))
    monkeypatch.setitem(sys.modules, "their_package.train", module)
    return "their_package.train"


@pytest.mark.parametrize("attribute", ["Subclass", "Nested.Trainer", "by_parts"])
@pytest.mark.parametrize("each", [scenario(n_eval=0), scenario("lstm", components=EVERYTHING)], ids=["numbers", "tokens"])
def test_trainers_of_others(attribute: str, each: Scenario, importable: str, script: Any) -> None:
    case, subject = Case(scenario=each), subjects.load(f"{importable}:{attribute}")
    source = source_of(case, subject, identify=True)
    assert f"from {importable} import {attribute.partition('.')[0]}" in source.imports
    assert imported(source) <= MAY_IMPORT | {"their_package", "types"}
    agree(script(source), case, subject)


@pytest.mark.parametrize("attribute", ["Subclass", "by_parts", "by_itself", None])
def test_arguments_that_differ_between_runs_are_taken_from_a_variable(attribute: str | None, importable: str, script: Any) -> None:
    subject = STOCK if attribute is None else subjects.load(f"{importable}:{attribute}")
    varied = {"max_steps": 3, "logging_steps": 2, "report_to": "none"}
    given = scenario(n_eval=0, arguments={"max_steps": 5, "logging_steps": 1, "learning_rate": 0.2})
    source = source_of(Case(scenario=given), subject, identify=False, varied=list(varied))
    for arguments in (varied, {**varied, "max_steps": 4}):
        built = script(source, arguments=arguments)
        ours = subject.make(Parts(given.with_arguments(**arguments)), built.output_dir)
        assert fields(built.trainer.args) == fields(ours.args)
        assert built.trainer.args.max_steps == arguments["max_steps"]


def test_a_trainer_with_data_of_its_own(importable: str, script: Any) -> None:
    case, subject = Case(scenario=scenario(n=5)), subjects.load(f"{importable}:by_itself")
    built = script(source_of(case, subject, identify=True))
    ours = subject.make(Parts(case.scenario), built.output_dir)
    assert fields(built.trainer.args) == fields(ours.args)
    assert rows(built.trainer.train_dataset) == rows(ours.train_dataset)
    assert len(built.trainer.train_dataset) == 5
    assert built.samples({"input_x": torch.tensor([0.0])}, "train") is None


def test_a_trainer_with_data_of_its_own_is_poisoned_too(importable: str, script: Any) -> None:
    poisoned = scenario(components=Components(poisoned=((0, math.nan),)), arguments={"logging_steps": 1, "logging_nan_inf_filter": False})
    built = script(source_of(Case(scenario=poisoned), subjects.load(f"{importable}:by_itself"), identify=False))
    built.trainer.train()
    assert math.isnan(built.trainer.state.log_history[0]["loss"])


def test_names_that_no_script_can_import() -> None:
    class Inside(transformers.Trainer):
        pass

    source = source_of(Case(), subjects.wrap(Inside), identify=False)
    assert source.imports[-1].startswith(f"from {__name__} import Inside  # it stands inside test_names_that_no_script_can_import():")
    assert "trainer = Inside(" in source.build
    of_nowhere = source_of(Case(), subjects.wrap(by_parts, "make"), identify=False)
    assert of_nowhere.imports[-1].startswith("from your_module import make  # ")
    assert of_nowhere.build == "trainer = make(Parts(), output_dir)"


# The experiment on arguments


class TheirArguments(transformers.TrainingArguments):
    pass


class WithTheirArguments(transformers.Trainer):
    def __init__(self, args: Any, **kwargs: Any) -> None:
        super().__init__(args=TheirArguments(args.output_dir), **kwargs)


def test_arguments_alone(script: Any) -> None:
    case = Case(experiment="build_arguments", scenario=Scenario(arguments={"max_steps": 3, "weight_decay": 0.5}))
    source = source_of(case, STOCK, identify=True)
    assert (source.definitions, source.imports) == ("", ("from transformers import TrainingArguments",))
    assert source.build == f"args = {source.arguments}"
    assert fields(script(source).args) == fields(Parts(case.scenario).training_arguments("output"))


@pytest.mark.parametrize("value", [-1, 8])
def test_a_bad_value_is_always_said(value: int) -> None:
    case = Case(experiment="build_arguments", parameters={"field": "per_device_train_batch_size", "value": value})
    assert f"    per_device_train_batch_size={value},\n" in source_of(case, STOCK, identify=True).build


def test_arguments_of_another_class(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("their_arguments")
    module.__dict__["TheirArguments"] = TheirArguments
    monkeypatch.setitem(sys.modules, "their_arguments", module)
    monkeypatch.setattr(TheirArguments, "__module__", "their_arguments")
    source = source_of(Case(experiment="build_arguments"), subjects.wrap(WithTheirArguments), identify=False)
    assert source.imports == ("from their_arguments import TheirArguments",)
    assert source.build.startswith("args = TheirArguments(")


def test_scripts_need_none_of_us(tmp_path: Path) -> None:
    each = TRAINED["components"]
    source = source_of(Case(scenario=each), STOCK, identify=True)
    lines = [
        "import sys", "sys.modules['trainer_props'] = None", *source.imports, source.definitions, f"output_dir = {str(tmp_path)!r}",
        source.build, "trainer.train()", "print([p.item().hex() for p in trainer.model.parameters()])",
    ]  # fmt: skip
    path = tmp_path / "script.py"
    path.write_text("\n".join(lines), encoding="utf-8")
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    weights = running.run(each, STOCK).final_weights
    assert done.stdout.splitlines()[-1] == str([weight.hex() for weight in weights.tolist()])
