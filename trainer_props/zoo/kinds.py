"""The registries of the zoo: which data sets and models exist, and what is true of each. Imports neither torch nor transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from trainer_props.arguments import nearest
from trainer_props.scenario import Data, Model, Scenario
from trainer_props.zoo.content import NUMBERS

K = TypeVar("K")


class UnknownName(KeyError):
    """A name that no registry of the zoo holds; the message names the nearest one that exists."""

    def __str__(self) -> str:
        return str(self.args[0])


class MissingPackage(ImportError):
    """An optional package is not installed: a reason to skip, not a failure."""


class Registry(dict[str, K]):
    """A dict from names to kinds whose look-up of an unknown name raises `UnknownName`."""

    def __init__(self, noun: str, kinds: Mapping[str, K]) -> None:
        super().__init__(kinds)
        self.noun = noun

    def __missing__(self, name: str) -> K:
        raise UnknownName(f"there is no {self.noun} {name!r}{nearest(str(name), list(self)) or ': there are ' + ', '.join(self)}")


@dataclass(frozen=True)
class DatasetKind:
    """A kind of data set.

    Attributes:
        name: as `Data.kind` spells it.
        description: one sentence.
        families: the families of models (`ModelKind.family`) that can train on it.
        map_style: rows are fetched by position; otherwise it is a `torch.utils.data.IterableDataset`.
        sized: it has a length.
        needs_padding: rows differ in length, so `Components.collator` must be `padding`.
        package: an optional package without which it can't be built, or None.
        lazy: rows are made when they are fetched, so that there can be any number of them.
    """

    name: str
    description: str
    families: tuple[str, ...]
    map_style: bool = True
    sized: bool = True
    needs_padding: bool = False
    package: str | None = None
    lazy: bool = False


@dataclass(frozen=True)
class Architecture:
    """A model of transformers: how it is loaded from the Hub's cache, and how it is built tiny where it is not cached.

    Attributes:
        auto_class: the Auto class whose `from_pretrained` loads it.
        config_class: the class of its configuration.
        settings: arguments of the configuration that make it tiny.
        hub_id: a tiny checkpoint on the Hub, or None.
    """

    auto_class: str
    config_class: str
    settings: Mapping[str, Any]
    hub_id: str | None = None


@dataclass(frozen=True)
class ModelKind:
    """A kind of model, and what is true of it.

    Attributes:
        name: as `Model.name` spells it.
        description: one sentence.
        family: what it learns from: `regression`, `two_labels`, `target`, `positions` (labels by other names), `unlabelled`, `next_token`
            (labels in place), `causal_lm` (labels are the inputs), `classification` or `seq2seq`.
        loss_reduction: `sum_over_items` if the loss is divided by `num_items_in_batch` where that is given, `mean_per_batch` if it is
            always the mean over the micro-batch (over its labels that are not -100).
        swallows_num_items: forward takes `**kwargs`, ignores `num_items_in_batch`, and says nothing about it, so that a Trainer which goes
            by the signature believes that it is honoured. (Older versions lack the `**kwargs`.)
        uncounted: forward takes `**kwargs`, and would divide by `num_items_in_batch`, but has no column `labels` of which a Trainer could
            count the items: it is never given.
        attention_mask: its batches hold an `attention_mask`.
        classifies: its second output is a tensor of scores over classes in the last dimension, as label smoothing needs.
        pretrained: it is a `transformers.PreTrainedModel`.
        cost: `cheap` (a training run costs about what a bare Trainer costs) or `tiny` (some times that).
        architecture: where transformers has the class; None for the zoo's own modules.
        max_length: the longest row, in tokens; None where it does not matter.
        dict_output: forward returns a dict, or a ModelOutput, and not a tuple.
        layered: it has layers, and is not just a slope and an intercept.
        has_rms_norm: it has a `torch.nn.RMSNorm` whose attribute name does not say what it is.
        dropout: it has dropout: while it trains, its forward draws from the global generator, and no oracle knows what.
        kinked: it has units that are on or off (ReLU), which rounding at zero can switch: its gradient is not continuous.
    """

    name: str
    description: str
    family: str
    loss_reduction: str = "mean_per_batch"
    swallows_num_items: bool = False
    uncounted: bool = False
    attention_mask: bool = False
    classifies: bool = False
    pretrained: bool = False
    cost: str = "cheap"
    architecture: Architecture | None = field(default=None, repr=False)
    max_length: int | None = None
    dict_output: bool = False
    layered: bool = False
    has_rms_norm: bool = False
    dropout: bool = False
    kinked: bool = False

    @property
    def data_kinds(self) -> tuple[str, ...]:
        """Names of the data sets that it can train on; the first is its own (what its streams and tables hold)."""
        return tuple(name for name, kind in DATASETS.items() if self.family in kind.families)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The columns of labels, as `TrainingArguments.label_names` takes them."""
        return _LABELS.get(self.family, ("labels",))

    @property
    def says_its_labels(self) -> bool:
        """Whether a Trainer finds the columns of labels by itself; otherwise `label_names` has to name them."""
        return self.family != "target"

    @property
    def main_input_name(self) -> str:
        """The column that the model predicts from, and by which a row is identified."""
        return "input_x" if self.family in NUMBERS else "input_ids"

    @property
    def labels_shifted(self) -> bool:
        """Whether outputs are compared with the label of the next position, so that the first label of a row never counts."""
        return self.family == "causal_lm"

    @property
    def token_labels(self) -> bool:
        """Whether labels are rows of tokens, of which some may be -100."""
        return self.family in TOKEN_LABELS


TOKEN_LABELS: Final = ("next_token", "causal_lm", "seq2seq")
_LABELS: Final[Mapping[str, tuple[str, ...]]] = {
    "two_labels": ("labels_a", "labels_b"), "target": ("target",), "positions": ("start_positions", "end_positions"), "unlabelled": (),
}  # fmt: skip
"""Columns of labels that are not called `labels`, by family."""
_TOKENS: Final = (*TOKEN_LABELS, "classification")
_ALL: Final = (*NUMBERS, *_TOKENS)

DATASETS: Final[Registry[DatasetKind]] = Registry("data set", {
    kind.name: kind
    for kind in (
        DatasetKind("regression", "Uneven numbers x with labels 2x + 3.", ("regression",)),
        DatasetKind("two_labels", "Uneven numbers x with two columns of labels, 2x + 3 and 3x + 2.", ("two_labels",)),
        DatasetKind("tokens", "Rows of equal length, each repeating its own few tokens, for language models.", ("next_token", "causal_lm")),
        DatasetKind("classification", "Rows of repeated tokens, each with the number of its class.", ("classification",)),
        DatasetKind("seq2seq", "Rows of repeated tokens, each with the same tokens in another order to be written.", ("seq2seq",)),
        DatasetKind("target", "Uneven numbers x with labels 2x + 3 in a column called target.", ("target",)),
        DatasetKind("positions", "Uneven numbers x with labels 2x + 3 and 3x + 2, called as those of an answer.", ("positions",)),
        DatasetKind("unlabelled", "Uneven numbers x and nothing else.", ("unlabelled",)),
        DatasetKind("dynamic", "Rows of tokens of different length, which need the padding collator.", _TOKENS, needs_padding=True),
        DatasetKind("stream", "The rows of the model's own kind as a stream without a length.", _ALL, map_style=False, sized=False),
        DatasetKind("sized_stream", "The rows of the model's own kind as a stream that has a length.", _ALL, map_style=False),
        DatasetKind("table", "The rows of the model's own kind as a `datasets.Dataset`, with a column that no model knows.", _ALL,
                    package="datasets"),
        DatasetKind("numbered", "Numbers x with labels 2x + 3, each made when it is fetched: there may be 10^9.", ("regression",),
                    lazy=True),
    )
})


_FAMILIES: Final = {
    "AutoModelForCausalLM": "causal_lm",
    "AutoModelForSeq2SeqLM": "seq2seq",
    "AutoModelForSequenceClassification": "classification",
}


def _tiny(name: str, description: str, auto_class: str, config_class: str, *, hub_id: str | None = None, sums: bool = False,
          swallows: bool = False, kinked: bool = False, **settings: Any) -> ModelKind:  # fmt: skip
    """A model of transformers with 32 tokens and at most 64 positions.

    Args:
        hub_id: a tiny checkpoint on the Hub.
        sums: its loss honours `num_items_in_batch`.
        swallows: it takes `num_items_in_batch` and ignores it.
        kinked: it has units of ReLU.
        settings: of its configuration, beside the vocabulary.
    """
    return ModelKind(
        name, description, _FAMILIES[auto_class], "sum_over_items" if sums else "mean_per_batch", swallows_num_items=swallows,
        attention_mask=True, classifies=True, pretrained=True, cost="tiny", max_length=64, dict_output=True, kinked=kinked,
        architecture=Architecture(auto_class, config_class, {"vocab_size": 32, "pad_token_id": 0, **settings}, hub_id),
    )


MODELS: Final[Registry[ModelKind]] = Registry("model", {
    kind.name: kind
    for kind in (
        ModelKind("regression", "A line with slope a and intercept b; forward returns (loss, y).", "regression"),
        ModelKind("regression_dict", "The line, with a dict as output.", "regression", dict_output=True),
        ModelKind("regression_double", "Two lines that share a and b; two outputs, two columns of labels.", "two_labels"),
        ModelKind("regression_kwargs", "The line, whose forward takes **kwargs and divides by num_items_in_batch.", "regression",
                  loss_reduction="sum_over_items"),
        ModelKind("regression_kwargs_ignored", "The line, whose forward ignores its **kwargs: accepts_loss_kwargs=False.", "regression"),
        ModelKind("regression_kwargs_unaware", "The line, whose forward ignores its **kwargs and does not say so.", "regression",
                  swallows_num_items=True),
        ModelKind("regression_renamed", "The line, whose forward takes its labels as target, and **kwargs.", "target",
                  uncounted=True, dict_output=True),
        ModelKind("regression_unlabelled", "The line that learns its own input, without labels; forward takes **kwargs.", "unlabelled",
                  uncounted=True, dict_output=True),
        ModelKind("regression_positions", "Two lines whose labels are called as those of an answer; forward takes **kwargs.", "positions",
                  uncounted=True, dict_output=True),
        ModelKind("regression_layers", "Two linear layers with biases and a LayerNorm between them, from one number to one.", "regression",
                  layered=True),
        ModelKind("regression_rms_norm", "Two linear layers with biases and torch's RMSNorm between them, named ln_f.", "regression",
                  layered=True, has_rms_norm=True),
        ModelKind("regression_dropout", "Two linear layers with biases and dropout between them, from one number to one.", "regression",
                  layered=True, dropout=True),
        ModelKind("regression_pretrained", "The line as a PreTrainedModel, which saves and loads.", "regression", pretrained=True),
        ModelKind("lstm", "A small LSTM text generator.", "next_token", classifies=True, max_length=64),
        _tiny("llama", "A tiny Llama for causal language modelling.", "AutoModelForCausalLM", "LlamaConfig", sums=True,
              hub_id="hf-internal-testing/tiny-random-LlamaForCausalLM", hidden_size=16, intermediate_size=32, num_hidden_layers=2,
              num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64, initializer_range=0.1),
        _tiny("gpt2", "A tiny GPT-2 for causal language modelling.", "AutoModelForCausalLM", "GPT2Config", sums=True,
              hub_id="hf-internal-testing/tiny-random-GPT2LMHeadModel", n_embd=16, n_layer=2, n_head=2, n_positions=64,
              bos_token_id=1, eos_token_id=2, initializer_range=0.1),
        _tiny("bert_classifier", "A tiny BERT for the classification of sequences.", "AutoModelForSequenceClassification", "BertConfig",
              hub_id="hf-internal-testing/tiny-random-BertForSequenceClassification", swallows=True, hidden_size=16, intermediate_size=32,
              num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64, initializer_range=0.1),
        _tiny("t5", "A tiny T5, an encoder-decoder.", "AutoModelForSeq2SeqLM", "T5Config", swallows=True, kinked=True,
              hub_id="hf-internal-testing/tiny-random-T5ForConditionalGeneration", d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
              decoder_start_token_id=0),
    )
})


def check(model: Model, data: Data) -> tuple[ModelKind, DatasetKind]:
    """The kinds of a model and its data.

    Raises:
        UnknownName: one of the names does not exist.
        ValueError: the model can't train on that data, or the data is impossible; the message says what would do.
    """
    model_kind, data_kind = MODELS[model.name], DATASETS[data.kind]
    if model_kind.family not in data_kind.families:
        raise ValueError(f"model {model.name!r} can't train on {data.kind!r}: it takes {', '.join(model_kind.data_kinds)}")
    if data.alike and data_kind.lazy:
        raise ValueError(f"rows of {data.kind!r} are told apart by their numbers: they can't be alike")
    if data.ignored_every < 0 or data.ignored_every == 1:
        raise ValueError(f"ignored_every must be 0 (none) or at least 2, not {data.ignored_every}: no row may lose all its labels")
    if data.ignored_every and not model_kind.token_labels:
        raise ValueError(f"ignored_every is about labels that are tokens: model {model.name!r} has none")
    if model_kind.family in _TOKENS and not 2 <= data.length <= (model_kind.max_length or data.length):
        raise ValueError(f"length must be between 2 and {model_kind.max_length} tokens for model {model.name!r}, not {data.length}")
    return model_kind, data_kind


def draws_random_numbers(scenario: Scenario) -> bool:
    """Whether what a run computes depends on torch's global generator: by dropout, or by noise that a collator draws."""
    return MODELS[scenario.model.name].dropout or scenario.components.collator == "noise"
