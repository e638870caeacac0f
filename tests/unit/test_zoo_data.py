"""Data sets of the zoo: what rows hold, and that they are told apart by it."""

from __future__ import annotations

import random
import sys
import time
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, IterableDataset
from transformers import default_data_collator

from trainer_props import zoo
from trainer_props.scenario import Components, Data, Model, Scenario
from trainer_props.zoo.content import IGNORED, SPLITS, Permutation

PAIRS = [(name, kind) for name in zoo.MODELS for kind in zoo.MODELS[name].data_kinds]
EQUAL_LENGTH = [(name, kind) for name, kind in PAIRS if not zoo.DATASETS[kind].needs_padding]
TOKEN_MODELS = [name for name, kind in zoo.MODELS.items() if kind.token_labels]
FAMILIES = {kind.family: name for name, kind in zoo.MODELS.items()}


def build(name: str, kind: str, split: str = "train", n: int = 12, **changes: Any) -> Any:
    if zoo.DATASETS[kind].package is not None:
        pytest.importorskip(zoo.DATASETS[kind].package)
    return zoo.build_dataset(Data(kind=kind, **changes), split, model=Model(name=name), n=n)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) and one[key].dtype == other[key].dtype for key in one)


@pytest.mark.parametrize("registry", [zoo.DATASETS, zoo.MODELS], ids=["datasets", "models"])
def test_every_kind_is_described_in_one_sentence(registry: dict[str, Any]) -> None:
    for name, kind in registry.items():
        assert kind.name == name
        assert kind.description.endswith(".")
        assert ". " not in kind.description


@pytest.mark.parametrize(("registry", "wrong", "right"), [(zoo.DATASETS, "steam", "stream"), (zoo.MODELS, "lama", "llama")])
def test_unknown_names_are_answered_with_the_nearest(registry: dict[str, Any], wrong: str, right: str) -> None:
    with pytest.raises(zoo.UnknownName, match=f"{wrong!r}: did you mean {right!r}"):
        registry[wrong]


def test_a_name_that_is_near_to_none_is_answered_with_all() -> None:
    with pytest.raises(zoo.UnknownName, match="there are regression, two_labels, tokens"):
        zoo.build_dataset(Data(kind="0"), "train", model=Model())


def test_every_data_kind_serves_a_model_and_every_model_has_its_own() -> None:
    assert {kind for _, kind in PAIRS} == set(zoo.DATASETS)
    for kind in zoo.MODELS.values():
        own = zoo.DATASETS[kind.data_kinds[0]]
        assert own.map_style
        assert own.package is None
        assert not own.needs_padding


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_rows_are_identified_by_content(name: str, kind: str) -> None:
    dataset = build(name, kind)
    ids = (3, 0, 11, 7, 3)
    assert zoo.identify(dataset, dataset.rows(ids)) == ids


@pytest.mark.parametrize(("name", "kind"), EQUAL_LENGTH)
def test_rows_are_what_the_default_collator_makes(name: str, kind: str) -> None:
    dataset = build(name, kind)
    rows = list(dataset)[:4]
    batch = default_data_collator(rows)
    batch.pop("unused", None)
    assert same(batch, dataset.rows(range(4)))


@pytest.mark.parametrize("name", [name for name, kind in PAIRS if kind == "dynamic"])
def test_padding_collator_makes_the_same_batch(name: str) -> None:
    dataset = build(name, "dynamic")
    collate = zoo.collator(Scenario(components=Components(collator="padding")))
    assert collate is not None
    assert len({len(row["input_ids"]) for row in dataset}) > 1
    batch = collate([dataset[index] for index in range(5)])
    assert same(batch, dataset.rows(range(5)))
    if batch["labels"].dim() == 2:
        padding = sum(batch["labels"].shape[1] - len(dataset[index]["labels"]) for index in range(5))
        assert batch["labels"].eq(IGNORED).sum().item() == padding


def test_collator_of_a_scenario() -> None:
    assert zoo.collator(Scenario()) is None
    with pytest.raises(zoo.UnknownName, match="did you mean 'padding'"):
        zoo.collator(Scenario(components=Components(collator="pading")))


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_splits_and_seeds_share_no_content(name: str, kind: str) -> None:
    dataset = build(name, kind)
    assert zoo.identify(dataset, build(name, kind, "eval").rows(range(12))) is None
    assert zoo.identify(dataset, build(name, kind, seed=1).rows(range(12))) is None
    assert not same(dataset.rows(range(12)), build(name, kind, "test").rows(range(12)))


@pytest.mark.parametrize("family", FAMILIES)
def test_no_row_of_one_split_is_in_another(family: str) -> None:
    name = FAMILIES[family]
    kind = zoo.MODELS[name].data_kinds[0]
    main = zoo.MODELS[name].main_input_name
    contents = [str(row[main].tolist()) for split in SPLITS for row in build(name, kind, split, n=400)]
    assert len(contents) == 3 * 400
    assert len(set(contents)) == len(contents)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_row_does_not_depend_on_how_many_there_are(name: str, kind: str) -> None:
    assert same(build(name, kind, n=3).rows([2]), build(name, kind, n=12).rows([2]))


def test_length_of_splits_follows_the_description() -> None:
    data = Data(n=5, n_eval=3)
    assert [len(zoo.build_dataset(data, split, model=Model())) for split in SPLITS] == [5, 3, 3]


@pytest.mark.parametrize("kind", ["regression", "stream", "table"])
def test_empty_data_sets_exist(kind: str) -> None:
    assert list(build("regression", kind, n=0)) == []


@pytest.mark.parametrize("name", FAMILIES.values())
def test_more_padding_does_not_hide_a_row(name: str) -> None:
    dataset = build(name, zoo.MODELS[name].data_kinds[0])
    batch = dataset.rows([4, 1])
    if "input_ids" in batch:
        batch["input_ids"] = torch.nn.functional.pad(batch["input_ids"], (2, 3))
    assert zoo.identify(dataset, batch) == (4, 1)


@pytest.mark.parametrize("name", FAMILIES.values())
def test_changed_rows_are_nobody(name: str) -> None:
    dataset = build(name, zoo.MODELS[name].data_kinds[0])
    main = zoo.MODELS[name].main_input_name
    batch = dataset.rows([4, 1])
    batch[main][1] += 1
    assert zoo.identify(dataset, batch) is None
    assert zoo.identify(dataset, {"other": batch[main]}) is None
    assert zoo.identify(dataset, {main: batch[main][0]}) is None


@pytest.mark.parametrize("kind", ["tokens", "dynamic"])
def test_thousands_of_short_rows_are_told_apart(kind: str) -> None:
    dataset = build("lstm", kind, n=3000, length=3)
    assert zoo.identify(dataset, dataset.rows(range(3000))) == tuple(range(3000))
    assert {len(set(row["input_ids"].tolist())) for row in dataset} >= {2, 3}


def test_more_rows_than_can_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 280 rows"):
        build("lstm", "tokens", n=281, length=2)


def test_identifying_a_row_costs_microseconds() -> None:
    dataset = build("llama", "tokens")
    batch = dataset.rows(range(8))
    zoo.identify(dataset, batch)
    best = min(_seconds(dataset, batch) for _ in range(30))
    assert best / 8 < 5e-6


def _seconds(dataset: Any, batch: dict[str, torch.Tensor]) -> float:
    start = time.perf_counter()
    zoo.identify(dataset, batch)
    return time.perf_counter() - start


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numbers_are_exact_and_uneven(dtype: str) -> None:
    rows = zoo.build_dataset(Data(), "train", model=Model(dtype=dtype)).rows(range(16))
    assert rows["input_x"].dtype == getattr(torch, dtype)
    assert rows["labels"].tolist() == [2 * x + 3 for x in rows["input_x"].tolist()]
    assert rows["input_x"].tolist() == build("regression", "regression", n=16).rows(range(16))["input_x"].tolist()
    gaps = rows["input_x"].sort().values.diff()
    assert gaps.max() > 3 * gaps.min()


def test_two_columns_of_labels() -> None:
    rows = build("regression_double", "two_labels").rows(range(3))
    assert torch.equal(rows["labels_a"], 2 * rows["input_x"] + 3)
    assert torch.equal(rows["labels_b"], 3 * rows["input_x"] + 2)


def test_token_rows_repeat_their_own_tokens() -> None:
    row = build("llama", "tokens", length=7)[5]
    tokens = row["input_ids"].tolist()
    assert tokens == (tokens[:2] * 4)[:7]
    assert row["labels"].tolist() == tokens
    assert row["attention_mask"].tolist() == [1] * 7


def test_labels_of_the_generator_are_the_next_tokens() -> None:
    row = build("lstm", "tokens")[5]
    first, second = row["input_ids"].tolist()[:2]
    assert row["labels"].tolist() == [second, first] * 3
    assert "attention_mask" not in row


def test_decoders_read_what_they_have_written() -> None:
    row = build("t5", "seq2seq", ignored_every=3)[2]
    labels = row["labels"].tolist()
    assert IGNORED in labels
    assert row["decoder_input_ids"].tolist() == [0] + [max(label, 0) for label in labels[:-1]]


def test_classes_both_occur() -> None:
    assert {int(row["labels"]) for row in build("bert_classifier", "classification")} == {0, 1}


@pytest.mark.parametrize("every", [2, 3, 5])
@pytest.mark.parametrize("name", TOKEN_MODELS)
def test_ignored_labels_leave_uneven_counts(name: str, every: int) -> None:
    kind = zoo.MODELS[name].data_kinds[0]
    labels = build(name, kind, n=60, ignored_every=every).rows(range(60))["labels"]
    counts = labels.ne(IGNORED).sum(1).tolist()
    assert len(set(counts)) > 1
    assert labels[:, 1].ne(IGNORED).all()
    others = torch.cat([labels[:, :1], labels[:, 2:]], dim=1)
    assert others.eq(IGNORED).double().mean().item() == pytest.approx(1 / every, abs=0.1)
    plain = build(name, kind, n=60).rows(range(60))["labels"]
    assert torch.equal(labels[labels.ne(IGNORED)], plain[labels.ne(IGNORED)])


def test_streams_have_the_rows_in_order() -> None:
    stream, sized = build("gpt2", "stream"), build("gpt2", "sized_stream")
    assert not hasattr(stream, "__len__")
    assert len(sized) == 12
    for each in (stream, sized):
        assert isinstance(each, IterableDataset)
        assert [zoo.identify(each, {key: value[None] for key, value in row.items()}) for row in each] == [(index,) for index in range(12)]


def test_workers_share_a_stream() -> None:
    stream = build("regression", "stream")
    rows = list(DataLoader(stream, batch_size=None, num_workers=2))
    assert sorted(zoo.identify(stream, {"input_x": torch.stack([row["input_x"] for row in rows])}) or ()) == list(range(12))


@pytest.mark.parametrize("name", ["regression", "regression_double", "llama", "t5"])
def test_tables_have_a_column_that_no_model_knows(name: str) -> None:
    datasets = pytest.importorskip("datasets")
    table = build(name, "table")
    assert isinstance(table, datasets.Dataset)
    assert set(table.column_names) == {*table.rows([0]), "unused"}


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(zoo.MissingPackage, match="'table' needs the package 'datasets'"):
        zoo.build_dataset(Data(kind="table"), "train", model=Model())


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("regression", Data(kind="tokens"), "'regression' can't train on 'tokens': it takes regression, stream"),
        ("llama", Data(kind="tokens", ignored_every=1), "no row may lose all its labels"),
        ("bert_classifier", Data(kind="classification", ignored_every=2), "'bert_classifier' has none"),
        ("llama", Data(kind="tokens", length=1), "between 2 and 64 tokens"),
        ("llama", Data(kind="tokens", length=65), "between 2 and 64 tokens"),
    ],
)
def test_impossible_data_is_refused(name: str, data: Data, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        zoo.build_dataset(data, "train", model=Model(name=name))
    with pytest.raises(ValueError, match=message):
        zoo.build_model(Model(name=name), data)


def test_unknown_splits_are_refused() -> None:
    with pytest.raises(ValueError, match="'valid': there are train, eval, test"):
        zoo.build_dataset(Data(), "valid", model=Model())


def test_building_data_leaves_random_states_alone() -> None:
    before = torch.get_rng_state(), random.getstate()
    for name, kind in PAIRS:
        zoo.build_dataset(Data(kind=kind), "train", model=Model(name=name))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()


@given(size=st.integers(1, 500), text=st.text(max_size=8))
def test_permutations_are_permutations(size: int, text: str) -> None:
    permutation = Permutation(size, text)
    assert sorted(map(permutation, range(size))) == list(range(size))
