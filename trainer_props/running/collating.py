"""Data collators, called by themselves: what they were given, and what they made of it, as plain data."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import random
import traceback
import warnings
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from trainer_props import compat
from trainer_props.arguments import nearest
from trainer_props.record import Failure, Record
from trainer_props.running.interrupt import pass_on
from trainer_props.running.output import output_directory
from trainer_props.running.randomness import kept_generators
from trainer_props.scenario import Scenario
from trainer_props.subjects import Parts, Subject, SubjectError
from trainer_props.zoo.collators import COLLATORS, seeding
from trainer_props.zoo.kinds import UnknownName
from trainer_props.zoo.vocabulary import ADDED, SIZE, SPECIALS, Vocabulary

T5: Final[Mapping[str, Any]] = {
    "vocab_size": SIZE, "d_model": 4, "d_kv": 2, "d_ff": 4, "num_layers": 1, "num_heads": 1, "decoder_start_token_id": 1,
    "pad_token_id": 0,
}  # fmt: skip
"""The configuration of a model that makes inputs of a decoder from labels."""
_PADDING_WARNING: Final = "Asking-to-pad-a-fast-tokenizer"


def collate(parameters: Mapping[str, Any], subject: Subject) -> Record:
    """Make a collator, and call it as the parameters of a case say.

    The results of the record: `parameters`; `tokens` (special tokens of the tokenizer by name); `batches`, of each call what came of it:
    key -> type and value; `before` and `after`: the samples, and the tokenizer's state, before the calls and after them; `random`: whether
    the global generator of torch moved while the collator had a seed of its own. Of options that are to be refused: `refusal`, the
    exception (`{"kinds", "message"}`), or None.

    Raises:
        SubjectError: the subject gave no Trainer.
        zoo.UnknownName: there is no such collator.
    """
    if parameters["collator"] not in COLLATORS:
        raise UnknownName(f"there is no collator {parameters['collator']!r}{nearest(parameters['collator'], list(COLLATORS))}")
    with kept_generators():  # a Trainer that is made seeds them
        kind = collator_of(subject, parameters["collator"])
    if isinstance(kind, Failure):
        return Record(failure=kind)
    vocabulary = Vocabulary.of(parameters["tokenizer"])
    record = Record(results={"parameters": parameters, "tokens": vocabulary.identities, "batches": []})
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(_as_main_process())
        stack.enter_context(kept_generators())
        if parameters["refused"]:
            record.results["refusal"] = _refusal(kind, vocabulary, parameters)
            return record
        try:
            _call(kind, vocabulary, parameters, record)
        except BaseException as error:  # noqa: BLE001  what is raised is part of the record
            pass_on(error)
            lines = tuple(traceback.format_exception(error)[-6:])
            record.failure = Failure("collate", type(error).__name__, str(error), lines)
    return record


def _call(kind: Any, vocabulary: Vocabulary, parameters: Mapping[str, Any], record: Record) -> None:
    tokenizer = tokenizer_of(vocabulary)
    made = functools.partial(_collator, kind, tokenizer, parameters)
    features = given(parameters)
    results = record.results
    results["before"] = [state_of(tokenizer), described(features)]
    collator, call, seed = made(), parameters["call"], parameters["seed"]
    batches = results["batches"]
    try:
        seed_all(seed)
        before = torch.get_rng_state()
        batches.append(batch_of(collator(features, **call)))
        results["random"] = not torch.equal(before, torch.get_rng_state())
        for which in parameters["calls"]:
            seeds = seeding(which, parameters["options"].get("seed"), seed)
            if seeds is None:
                batches.append(batch_of(collator(chosen(features, which), **call)))
                continue
            seed_all(seeds.everywhere)
            with as_worker(seeds.worker) if seeds.worker is not None else contextlib.nullcontext():
                batches.append(batch_of(made(**({} if seeds.own is None else {"seed": seeds.own}))(features, **call)))
        results["after"] = [state_of(tokenizer), described(features)]
    finally:
        if state_of(tokenizer)[:1] != [vocabulary.padding_side]:
            tokenizer_of.cache_clear()


def _refusal(kind: Any, vocabulary: Vocabulary, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        _collator(kind, tokenizer_of(vocabulary), parameters)(given(parameters), **parameters["call"])
    except BaseException as error:  # noqa: BLE001  what is raised is the finding
        pass_on(error)
        return {"kinds": [each.__name__ for each in type(error).__mro__], "message": str(error)}
    return None


def _collator(kind: Any, tokenizer: Any, parameters: Mapping[str, Any], **seeds: int) -> Any:
    name = parameters["collator"]
    if name == "default_data_collator":
        return kind
    options = {**parameters["options"], **seeds}
    if parameters["model"]:
        options["model"] = model_of(parameters["model"])
    return kind(tokenizer, **options) if COLLATORS[name] else kind(**options)


def chosen(features: Any, which: str) -> Any:
    """The samples of a further call: `again` all of them, `reversed` in the other order, or the `first` alone."""
    if which == "reversed":
        return features.flip(0) if isinstance(features, torch.Tensor) else features[::-1]
    return features[:1] if which == "first" else features


def given(parameters: Mapping[str, Any]) -> Any:
    """The samples as the collator gets them."""
    samples = [{key: longer(value, parameters["repeat"]) for key, value in each.items()} for each in parameters["features"]]
    samples *= parameters["copies"]
    return _GIVEN_AS[parameters["given_as"]](samples)


def longer(value: Any, times: int) -> Any:
    """A list so many times over; anything else as it is."""
    return value * times if isinstance(value, list) else value


def _converted(samples: Sequence[Mapping[str, Any]], convert: Callable[[Any], Any]) -> list[dict[str, Any]]:
    return [
        {key: value if value is None or isinstance(value, str) else convert(value) for key, value in each.items()} for each in samples
    ]


_GIVEN_AS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "lists": lambda samples: samples,
    "tensors": lambda samples: _converted(samples, torch.tensor),
    "arrays": lambda samples: _converted(samples, lambda value: np.array(value)[()]),
    "short_arrays": lambda samples: _converted(samples, lambda value: np.array(value, dtype=np.int32)),
    "zero_dimensional": lambda samples: _converted(samples, np.array),
    "objects": lambda samples: [SimpleNamespace(**each) for each in samples],
    "mappings": lambda samples: [UserDict(each) for each in samples],
    "rows": lambda samples: [each["input_ids"] for each in samples],
    "row_tensors": lambda samples: [torch.tensor(each["input_ids"]) for each in samples],
    "row_arrays": lambda samples: [np.array(each["input_ids"]) for each in samples],
    "matrix": lambda samples: torch.tensor([each["input_ids"] for each in samples]),
}


def described(value: Any) -> Any:
    """A value with all that is inside: tensors and arrays are pairs of their type and what they hold."""
    if isinstance(value, torch.Tensor):
        return [str(value.dtype), value.tolist()]
    if isinstance(value, (np.ndarray, np.generic)):
        return [f"numpy.{value.dtype}", value.tolist()]
    if isinstance(value, (Mapping, SimpleNamespace)):
        return {key: described(item) for key, item in (value if isinstance(value, Mapping) else vars(value)).items()}
    return [described(item) for item in value] if isinstance(value, (list, tuple)) else value


def batch_of(batch: Any) -> dict[str, Any]:
    """A batch: key -> the type of what is there, and what it holds."""
    return {key: described(value) if hasattr(value, "tolist") else [type(value).__name__, value] for key, value in batch.items()}


def state_of(tokenizer: Any) -> list[Any]:
    """What of a tokenizer a collator may change for a while, and has to put back."""
    return [tokenizer.padding_side, getattr(tokenizer, "deprecation_warnings", {}).get(_PADDING_WARNING, False)]


def seed_all(seed: int) -> None:
    """Seed the global generators of torch, NumPy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002  the generator that collators draw from
    random.seed(seed)


@functools.lru_cache(maxsize=32)
def tokenizer_of(vocabulary: Vocabulary) -> Any:
    """A real fast tokenizer with these words, or a feature extractor."""
    if vocabulary.speech:
        return transformers.Wav2Vec2FeatureExtractor(padding_side=vocabulary.padding_side, return_attention_mask=True)
    words = {word: identity for identity, word in enumerate(vocabulary.words)}
    longest = {} if vocabulary.model_max_length is None else {"model_max_length": vocabulary.model_max_length}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token=SPECIALS["unk_token"])), padding_side=vocabulary.padding_side,
        verbose=False, **longest, **vocabulary.tokens,
    )  # fmt: skip
    tokenizer.add_tokens([ADDED])
    tokenizer.deprecation_warnings[_PADDING_WARNING] = False
    return tokenizer


@functools.cache
def model_of(name: str) -> Any:
    """`t5` shifts labels to inputs of its decoder; `linear` can't."""
    return transformers.T5ForConditionalGeneration(transformers.T5Config(**T5)) if name == "t5" else torch.nn.Linear(1, 1)


class _WithCollator(Parts):
    """Parts for a trainer that is given a collator."""

    def __init__(self, collator: Any) -> None:
        super().__init__(Scenario())
        self._collator = collator

    def trainer_kwargs(self, output_dir: str) -> dict[str, Any]:
        return {**super().trainer_kwargs(output_dir), "data_collator": self._collator}


def collator_of(subject: Subject, name: str) -> Any:
    """The class of a collator as a subject's trainer has it: that of transformers, unless the trainer brings a class derived from it.

    A Failure if the subject makes no trainer.
    """
    try:
        return _kind_of(subject.make, name)
    except (SubjectError, compat.Unsupported):
        raise
    except BaseException as error:  # noqa: BLE001  a refusal of the subject, and no fault of ours
        pass_on(error)
        return Failure("construction", type(error).__name__, str(error), tuple(traceback.format_exception(error)[-6:]))


@functools.lru_cache(maxsize=64)
def _kind_of(make: Callable[[Parts, str], Any], name: str) -> Any:
    stock: Any = getattr(transformers, name)
    if name == "default_data_collator":
        return stock
    try:
        usual = stock(tokenizer_of(Vocabulary())) if COLLATORS[name] else stock()
    except Exception:  # noqa: BLE001  not the trainer's: it will be raised again where the case makes one
        return stock
    with output_directory() as output_dir:
        found = type(make(_WithCollator(usual), output_dir).data_collator)
    return found if issubclass(found, stock) else stock


@contextlib.contextmanager
def as_worker(number: int) -> Iterator[None]:
    """As inside a worker of a DataLoader, as far as a collator can tell: another process, and a number of its own."""
    process, usual = multiprocessing.current_process(), torch.utils.data.get_worker_info
    name, process.name = process.name, f"worker {number}"
    torch.utils.data.get_worker_info = lambda: SimpleNamespace(id=number)  # type: ignore[assignment,return-value]
    try:
        yield
    finally:
        process.name, torch.utils.data.get_worker_info = name, usual


@contextlib.contextmanager
def _as_main_process() -> Iterator[None]:
    """By its name a collator tells the process that it is called in from a worker; a session may run in one of its own."""
    process = multiprocessing.current_process()
    name, process.name = process.name, "MainProcess"
    try:
        yield
    finally:
        process.name = name
