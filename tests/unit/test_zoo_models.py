"""Models of the zoo: that they are what their kinds say, on the real Trainer too."""

from __future__ import annotations

import gc
import random
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedModel, Trainer, TrainingArguments

from trainer_props import zoo
from trainer_props.scenario import Components, Data, Model, Scenario
from trainer_props.zoo import kinds, tiny
from trainer_props.zoo.regression_pretrained import RegressionPreTrainedModel

NAMES = list(zoo.MODELS)
ARCHITECTURES = [name for name, kind in zoo.MODELS.items() if kind.architecture is not None]
TAKING_ITEMS = [
    name for name, kind in zoo.MODELS.items() if kind.loss_reduction == "sum_over_items" or kind.swallows_num_items or kind.uncounted
]
MAP_STYLE = [name for name, kind in zoo.DATASETS.items() if kind.map_style and kind.package is None]
LOADED = [(name, kind) for kind in MAP_STYLE for name in NAMES if kind in zoo.MODELS[name].data_kinds]
LINES = [name for name in NAMES if name.startswith("regression") and not kinds.MODELS[name].layered]


def own_data(name: str, **changes: Any) -> Data:
    return Data(kind=zoo.MODELS[name].data_kinds[0], **changes)


def build(name: str, **changes: Any) -> nn.Module:
    return zoo.build_model(Model(name=name, **changes), own_data(name))


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def loss_of(output: Any) -> torch.Tensor:
    return output["loss"] if isinstance(output, dict) else output[0]


def items(kind: zoo.ModelKind, batch: dict[str, torch.Tensor]) -> int:
    labels = batch[kind.label_names[0] if kind.label_names else kind.main_input_name]
    return int((labels[:, 1:] if kind.labels_shifted else labels).ne(-100).sum())


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_a_function_of_the_seed(name: str) -> None:
    one, same, other = build(name, seed=3), build(name, seed=3), build(name, seed=4)
    assert torch.equal(weights(one), weights(same))
    assert torch.equal(weights(one), weights(other)) == (name in LINES)


@pytest.mark.parametrize("name", NAMES)
def test_both_dtypes_have_the_same_weights(name: str) -> None:
    double, single = build(name), build(name, dtype="float32")
    assert {parameter.dtype for parameter in double.parameters()} == {torch.float64}
    assert {parameter.dtype for parameter in single.parameters()} == {torch.float32}
    assert torch.equal(weights(double), weights(single).double())


@pytest.mark.parametrize("name", NAMES)
def test_copies_share_nothing(name: str) -> None:
    one = build(name)
    before = weights(build(name))
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(1)
    assert torch.equal(weights(build(name)), before)


def test_building_leaves_random_states_alone() -> None:
    tiny._loaded.cache_clear()
    before = torch.get_rng_state(), random.getstate()
    for name in NAMES:
        build(name)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns_and_nothing_is_random_but_dropout(name: str) -> None:
    model = build(name).train()
    batch = zoo.build_dataset(own_data(name), "train", model=Model(name=name)).rows(range(8))
    loss = loss_of(model(**batch))
    loss.backward()
    still = {key for key, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()}
    assert not still
    assert torch.equal(loss, loss_of(model(**batch))) != zoo.MODELS[name].dropout


@pytest.mark.parametrize(("name", "data_kind"), LOADED)
def test_loss_is_the_mean_over_what_counts(name: str, data_kind: str) -> None:
    kind = zoo.MODELS[name]
    data = Data(kind=data_kind, ignored_every=3 if kind.token_labels else 0)
    dataset = zoo.build_dataset(data, "train", model=Model(name=name))
    model = build(name).eval()
    together = dataset.rows(range(6))
    alone = [dataset.rows([index]) for index in range(6)]
    counts = [items(kind, row) for row in alone]
    assert sum(counts) == items(kind, together)
    expected = sum(count * loss_of(model(**row)).item() for count, row in zip(counts, alone, strict=True)) / sum(counts)
    # Whatever the model's dtype, transformers computes some norms and the loss of causal language models in float32.
    assert loss_of(model(**together)).item() == pytest.approx(expected, rel=1e-6 if kind.architecture else 1e-12)


@pytest.mark.parametrize("name", TAKING_ITEMS)
def test_num_items_in_batch_is_honoured_where_the_kind_says_so(name: str) -> None:
    kind, model = zoo.MODELS[name], build(name)
    batch = zoo.build_dataset(own_data(name), "train", model=Model(name=name)).rows(range(4))
    plain = loss_of(model(**batch)).item()
    halved = loss_of(model(**batch, num_items_in_batch=torch.tensor(2 * items(kind, batch)))).item()
    assert halved == pytest.approx(plain if kind.swallows_num_items else plain / 2, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_trainer_sees_what_the_kind_says(name: str, tmp_path: Path) -> None:
    kind = zoo.MODELS[name]
    trainer = Trainer(model=build(name), args=TrainingArguments(str(tmp_path), report_to="none", use_cpu=True))
    assert trainer.model_accepts_loss_kwargs == (name in TAKING_ITEMS)
    assert (trainer.label_names == list(kind.label_names)) == kind.says_its_labels
    assert kind.uncounted == (name in TAKING_ITEMS and "labels" not in kind.label_names)
    assert trainer.model.main_input_name == kind.main_input_name
    assert isinstance(trainer.model, PreTrainedModel) == kind.pretrained


@pytest.mark.parametrize("name", [name for name in NAMES if zoo.MODELS[name].classifies])
def test_scores_are_over_classes(name: str) -> None:
    batch = zoo.build_dataset(own_data(name), "train", model=Model(name=name)).rows(range(4))
    output = build(name)(**batch)
    scores = output["logits"] if isinstance(output, dict) else output[1]
    assert scores.shape[:-1] == batch["labels"].shape
    assert scores.shape[-1] > batch["labels"].max()


def test_frozen_parameters() -> None:
    model = build("bert_classifier", frozen=("classifier.bias",))
    assert {name for name, parameter in model.named_parameters() if not parameter.requires_grad} == {"classifier.bias"}
    assert all(parameter.requires_grad for parameter in build("bert_classifier").parameters())


def test_unknown_frozen_parameters_are_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no parameter 'classifier.bia' to freeze: did you mean 'classifier.bias'"):
        build("bert_classifier", frozen=("classifier.bia",))


def test_unknown_dtypes_are_answered_with_the_nearest() -> None:
    with pytest.raises(zoo.UnknownName, match="did you mean 'float64'"):
        build("regression", dtype="flaot64")


@pytest.mark.parametrize(
    ("name", "loader"),
    [
        ("regression_pretrained", RegressionPreTrainedModel),
        ("llama", AutoModelForCausalLM),
        ("bert_classifier", AutoModelForSequenceClassification),
    ],
)
def test_pretrained_models_save_and_load(name: str, loader: Any, tmp_path: Path) -> None:
    model = build(name, dtype="float32")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5)
    model.save_pretrained(tmp_path)
    assert torch.equal(weights(loader.from_pretrained(tmp_path)), weights(model))
    assert tempfile.gettempdir() not in (tmp_path / "config.json").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_provenance(name: str) -> None:
    architecture = zoo.MODELS[name].architecture
    said = zoo.provenance(name)
    if architecture is None:
        assert said == "built by trainer-props"
    else:
        assert architecture.hub_id is not None
        assert (architecture.hub_id in said) == tiny.is_cached(name)
        assert (architecture.config_class in said) != tiny.is_cached(name)


@pytest.fixture
def fresh() -> Iterator[None]:
    """Nothing is loaded or looked up yet, and nothing of this test stays."""
    for cache in (tiny._loaded, tiny.is_cached):
        cache.cache_clear()
    yield
    for cache in (tiny._loaded, tiny.is_cached):
        cache.cache_clear()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_building_needs_no_network_and_leaves_no_files(name: str, fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "none"))
    monkeypatch.setenv("HF_TOKEN", "hf_never_read")
    build(name)
    assert list(tmp_path.iterdir()) == []


def test_a_cached_checkpoint_is_taken(fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, hidden_dropout_prob=0.3
    )
    checkpoint = transformers.BertForSequenceClassification(config)
    hub_id = kinds.MODELS["bert_classifier"].architecture.hub_id  # type: ignore[union-attr]
    repository = tmp_path / f"models--{hub_id.replace('/', '--')}"  # type: ignore[union-attr]
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40)
    checkpoint.save_pretrained(repository / "snapshots" / ("a" * 40))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))

    model = build("bert_classifier")
    assert torch.equal(weights(model), weights(checkpoint).double())
    assert model.config.hidden_dropout_prob == 0
    assert not torch.equal(weights(build("bert_classifier", seed=1)), weights(model))
    assert zoo.provenance("bert_classifier") == f"{hub_id}, from the local cache of the Hub"
    shutil.rmtree(repository)
    assert torch.equal(weights(build("bert_classifier")), weights(model))


@pytest.mark.parametrize("enabled", [False, True])
def test_progress_bars_are_as_before(enabled: bool, fresh: None, capfd: pytest.CaptureFixture[str]) -> None:
    logging = transformers.utils.logging
    was = logging.is_progress_bar_enabled()
    (logging.enable_progress_bar if enabled else logging.disable_progress_bar)()
    try:
        build("llama")
        assert logging.is_progress_bar_enabled() == enabled
        assert "Loading" not in capfd.readouterr().err
    finally:
        (logging.enable_progress_bar if was else logging.disable_progress_bar)()


@pytest.fixture(scope="module")
def few_objects() -> Iterator[None]:
    """Every run of a Trainer collects garbage, which takes long among all that is imported."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


FORMS = [
    *((name, zoo.MODELS[name].data_kinds[0]) for name in NAMES),
    *(("regression", kind) for kind in ("stream", "sized_stream", "table")),
    *((name, "dynamic") for name in ("lstm", "llama", "bert_classifier", "t5")),
]


@pytest.mark.parametrize(("name", "kind"), FORMS)
def test_identities_reach_forward_in_a_real_run(name: str, kind: str, few_objects: None, tmp_path: Path) -> None:
    if zoo.DATASETS[kind].package is not None:
        pytest.importorskip(zoo.DATASETS[kind].package)
    padding = zoo.DATASETS[kind].needs_padding
    scenario = Scenario(data=Data(kind=kind), model=Model(name=name), components=Components(collator="padding" if padding else "default"))
    dataset = zoo.build_dataset(scenario.data, "train", model=scenario.model)
    model = zoo.build_model(scenario.model, scenario.data)
    seen: list[tuple[int, ...] | None] = []
    model.register_forward_pre_hook(lambda module, args, kwargs: seen.append(zoo.identify(dataset, kwargs)), with_kwargs=True)
    before = weights(model)
    arguments = TrainingArguments(
        str(tmp_path), report_to="none", use_cpu=True, dataloader_pin_memory=False, disable_tqdm=True, save_strategy="no",
        logging_strategy="no", per_device_train_batch_size=4, max_steps=4,
    )
    Trainer(model=model, args=arguments, train_dataset=dataset, data_collator=zoo.collator(scenario)).train()
    assert sorted(index for batch in seen for index in batch or (-1,)) == list(range(16))
    assert not torch.equal(weights(model), before)
