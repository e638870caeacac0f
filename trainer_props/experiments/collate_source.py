"""Calling a data collator as source code for standalone scripts, and what a case says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from trainer_props.case import Case
from trainer_props.experiments.registry import Body, Wanted
from trainer_props.scenario import thaw
from trainer_props.zoo.collators import COLLATORS, seeding
from trainer_props.zoo.vocabulary import ADDED, Vocabulary

DEFAULTS: Final[Mapping[str, Any]] = {
    "collator": "default_data_collator", "features": [{"label": 0}], "options": {}, "call": {}, "tokenizer": {}, "given_as": "lists",
    "repeat": 1, "copies": 1, "model": None, "seed": 0, "calls": [], "refused": False,
}  # fmt: skip
_GENERATORS: Final = ("DataCollatorForLanguageModeling", "DataCollatorForPermutationLanguageModeling")


def complete(case: Case) -> dict[str, Any]:
    """What a case says, and what follows where it says nothing. Without samples the rest means nothing."""
    said = thaw(case.parameters)
    return {**DEFAULTS, **said.pop("collate"), **said} if "collate" in said else dict(DEFAULTS)


_DESCRIBED: Final = '''\
def described(value):
    """A value with all that is inside: tensors and arrays are pairs of their type and what they hold."""
    if isinstance(value, torch.Tensor):
        return [str(value.dtype), value.tolist()]
    if isinstance(value, (np.ndarray, np.generic)):
        return [f"numpy.{value.dtype}", value.tolist()]
    if isinstance(value, SimpleNamespace):
        return described(vars(value))
    if isinstance(value, Mapping):
        return {key: described(item) for key, item in value.items()}
    return [described(item) for item in value] if isinstance(value, (list, tuple)) else value'''
_BATCH_OF: Final = '''\
def batch_of(batch):
    """Each entry of a batch: its type, and what it holds."""
    entries = {}
    for key, value in batch.items():
        if isinstance(value, torch.Tensor):
            entries[key] = [str(value.dtype), value.tolist()]
        elif isinstance(value, np.ndarray):
            entries[key] = [f"numpy.{value.dtype}", value.tolist()]
        else:
            entries[key] = [type(value).__name__, value]
    return entries'''
_SEED_ALL: Final = """\
def seed_all(seed):
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)"""
_AS_WORKER: Final = '''\
@contextlib.contextmanager
def as_worker(number):
    """As inside a worker of a DataLoader, as far as a collator can tell."""
    process, usual = multiprocessing.current_process(), torch.utils.data.get_worker_info
    name, process.name = process.name, f"worker {number}"
    torch.utils.data.get_worker_info = lambda: SimpleNamespace(id=number)
    try:
        yield
    finally:
        process.name, torch.utils.data.get_worker_info = name, usual'''
_CONVERTED: Final = "[{{key: value if is_plain(value) else {} for key, value in each.items()}} for each in features]"
_IS_PLAIN: Final = """\
def is_plain(value):
    return value is None or isinstance(value, str)"""
_GIVEN_AS: Final[Mapping[str, str]] = {
    "tensors": _CONVERTED.format("torch.tensor(value)"),
    "arrays": _CONVERTED.format("np.array(value)[()]"),
    "short_arrays": _CONVERTED.format("np.array(value, dtype=np.int32)"),
    "zero_dimensional": _CONVERTED.format("np.array(value)"),
    "objects": "[SimpleNamespace(**each) for each in features]",
    "mappings": "[UserDict(each) for each in features]",
    "rows": '[each["input_ids"] for each in features]',
    "row_tensors": '[torch.tensor(each["input_ids"]) for each in features]',
    "row_arrays": '[np.array(each["input_ids"]) for each in features]',
    "matrix": 'torch.tensor([each["input_ids"] for each in features])',
}
_WIDTH: Final = 90
_SAMPLES: Final[Mapping[str, str]] = {"again": "features", "reversed": "features[::-1]", "first": "features[:1]"}


def body(case: Case, wanted: Wanted) -> Body:
    """The same in source, where the class of the collator has its name in transformers."""
    writer = _Writer(complete(case), wanted)
    writer.write()
    return Body(writer.lines, writer.imports, writer.definitions, trainer=False)


class _Writer:
    """Writes the steps of `running.collating`, those alone whose results are wanted."""

    def __init__(self, said: Mapping[str, Any], wanted: Wanted) -> None:
        self._keeps = "results" in wanted.fields
        self._said, self._words = said, wanted.words if self._keeps else frozenset[str]()
        self.lines: list[str] = []
        self.imports = ["import numpy as np", "import torch"]
        self.definitions: list[str] = []

    def write(self) -> None:
        said = self._said
        if said["refused"]:
            self._refused()
            return
        draws = said["collator"] in _GENERATORS
        self.definitions += [_BATCH_OF, *([_SEED_ALL] if draws else [])]
        self.imports += ["import random"] if draws else []
        if "after" in self._words:
            self.definitions.insert(0, _DESCRIBED)
            self.imports += ["from collections.abc import Mapping", "from types import SimpleNamespace"]
        if "after" in self._words and not COLLATORS[said["collator"]]:
            self._tokenizer()
        self.lines += self._features()
        self.lines += f"collator = {self._collator()}".splitlines()
        if draws:
            self.lines.append(f"seed_all({said['seed']})")
        if "random" in self._words:
            self.lines.append("before = torch.get_rng_state()")
        kept = 'record.results["batches"] = ' if self._keeps else ""
        self.lines.append(f"batches = {kept}[{self._batch('collator', 'features')}]")
        if "random" in self._words:
            self.lines.append('record.results["random"] = not torch.equal(before, torch.get_rng_state())')
        for which in said["calls"]:
            self._further(which)
        if "after" in self._words:
            warned = 'getattr(tokenizer, "deprecation_warnings", {}).get("Asking-to-pad-a-fast-tokenizer", False)'
            state = f"tokenizer.padding_side, {warned}"
            self.lines.append(f'record.results["after"] = [[{state}], described(features)]')

    def _refused(self) -> None:
        steps = [*self._features(), f"({self._collator()})({self._arguments('features')})"]
        self.lines += [
            "error = None",
            "try:",
            *(f"    {line}" for step in steps for line in step.splitlines()),
            "except Exception as raised:",
            '    error = {"kinds": [each.__name__ for each in type(raised).__mro__], "message": str(raised)}',
            'record.results["refusal"] = error',
        ]

    def _further(self, which: str) -> None:
        seeds = seeding(which, self._said["options"].get("seed"), self._said["seed"])
        if seeds is not None:
            made = self._collator(**({} if seeds.own is None else {"seed": seeds.own}))
            self.lines += [*f"another = {made}".splitlines(), f"seed_all({seeds.everywhere})"]
            if seeds.worker is not None:
                self.lines.append(f"with as_worker({seeds.worker}):")
                if _AS_WORKER not in self.definitions:
                    self.definitions.append(_AS_WORKER)
                    self.imports += ["import contextlib", "import multiprocessing", "import torch.utils.data"]
                    self.imports.append("from types import SimpleNamespace")
            self.lines.append(f"{'' if seeds.worker is None else '    '}batches.append({self._batch('another', 'features')})")
        else:
            samples = "features.flip(0)" if which == "reversed" and self._said["given_as"] == "matrix" else _SAMPLES[which]
            self.lines.append(f"batches.append({self._batch('collator', samples)})")

    def _batch(self, collator: str, features: str) -> str:
        return f"batch_of({collator}({self._arguments(features)}))"

    def _arguments(self, features: str) -> str:
        return ", ".join([features, *_keywords(self._said["call"])])

    def _features(self) -> list[str]:
        said = self._said
        rows = [
            "{" + ", ".join(f'"{key}": {_value(value, said["repeat"])}' for key, value in each.items()) + "}," for each in said["features"]
        ]
        copies = f" * {said['copies']}" if said["copies"] != 1 else ""
        lines = ["features = [", *(f"    {row}" for row in rows), f"]{copies}"]
        if said["given_as"] in _GIVEN_AS:
            lines.append(f"features = {_GIVEN_AS[said['given_as']]}")
            self.imports += ["from collections import UserDict"] if said["given_as"] == "mappings" else []
            self.imports += ["from types import SimpleNamespace"] if said["given_as"] == "objects" else []
            self.definitions += [_IS_PLAIN] if "is_plain" in lines[-1] else []
        return lines

    def _collator(self, **seeds: int) -> str:
        said = self._said
        if said["collator"] == "default_data_collator":
            return "default_data_collator"
        options = _keywords({**said["options"], **seeds})
        if COLLATORS[said["collator"]]:
            self._tokenizer()
            options = ["tokenizer", *options]
        if said["model"]:
            options.append(f"model={self._model()}")
        return _call(said["collator"], options)

    def _model(self) -> str:
        if self._said["model"] != "t5":
            return "torch.nn.Linear(1, 1)"
        if "model = " not in "".join(self.lines):
            from trainer_props.running.collating import T5  # it imports transformers

            self.imports.append("from transformers import T5Config, T5ForConditionalGeneration")
            self.lines.append(f"model = T5ForConditionalGeneration(T5Config({', '.join(_keywords(T5))}))")
        return "model"

    def _tokenizer(self) -> None:
        if any(line.startswith("tokenizer = ") for line in self.lines):
            return
        vocabulary = Vocabulary.of(self._said["tokenizer"])
        if vocabulary.speech:
            self.imports.append("from transformers import Wav2Vec2FeatureExtractor")
            side = _quoted(vocabulary.padding_side)
            self.lines.append(f"tokenizer = Wav2Vec2FeatureExtractor(padding_side={side}, return_attention_mask=True)")
            return
        tokens = ", ".join(f'{name}="{word}"' for name, word in vocabulary.tokens.items())
        more = [] if vocabulary.model_max_length is None else [f"model_max_length={vocabulary.model_max_length}"]
        self.imports += ["from tokenizers import Tokenizer", "from tokenizers.models import WordLevel"]
        self.imports.append("from transformers import PreTrainedTokenizerFast")
        self.lines += [
            f"words = {' '.join(vocabulary.words).split()!r}".replace("'", '"'),
            'model_of_words = WordLevel({word: identity for identity, word in enumerate(words)}, unk_token="[UNK]")',
            "tokenizer = PreTrainedTokenizerFast(",
            "    tokenizer_object=Tokenizer(model_of_words),",
            f"    {tokens},",
            f"    {', '.join([f'padding_side={_quoted(vocabulary.padding_side)}', 'verbose=False', *more])},",
            ")",
            f'tokenizer.add_tokens(["{ADDED}"])',
        ]


def _call(function: str, arguments: Sequence[str]) -> str:
    """A call, on one line if that is not too long."""
    line = f"{function}({', '.join(arguments)})"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"{function}(", *(f"    {each}," for each in arguments), ")"])


def _keywords(values: Mapping[str, Any]) -> list[str]:
    return [f"{name}={_quoted(value)}" for name, value in values.items()]


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _value(value: Any, times: int) -> str:
    return f"{value!r} * {times}" if isinstance(value, list) and times != 1 else _quoted(value)
