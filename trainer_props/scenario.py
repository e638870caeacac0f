"""The scenario: everything that determines one training run, as an immutable value.

A scenario says nothing that is not needed to repeat the run, and nothing about how the run is watched. It knows neither
torch nor transformers: `trainer_props.zoo` builds its model and data, `trainer_props.running` runs it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from trainer_props import arguments as _arguments
from trainer_props import serialization


class FrozenDict(dict[str, Any]):
    """A dict that can't be changed and can be hashed: values are frozen too (lists become tuples)."""

    __slots__ = ()

    def __init__(self, items: Mapping[str, Any] = {}) -> None:
        super().__init__({key: freeze(items[key]) for key in sorted(items)})

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(serialization.dumps(self))

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a scenario can't be changed: use its replace() or with_arguments()")

    __setitem__ = __delitem__ = update = pop = popitem = clear = setdefault = __ior__ = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return (FrozenDict, (dict(self),))


def freeze(value: Any) -> Any:
    """An immutable copy of a JSON-like value."""
    if isinstance(value, FrozenDict):
        return value
    if isinstance(value, Mapping):
        return FrozenDict(value)
    if isinstance(value, (list, tuple)):
        return tuple(freeze(item) for item in value)
    return value


def thaw(value: Any) -> Any:
    """The inverse of `freeze`: plain dicts and lists, as TrainingArguments takes them."""
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [thaw(item) for item in value]
    return value


class Value(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True, forbid_unknown_fields=True, eq=False, dict=True
):
    """Base of the parts of a scenario: equality, hash and repr follow the JSON form, so that NaN equals NaN."""

    @functools.cached_property
    def text(self) -> str:
        """The canonical JSON text: a value never changes, and caches ask for it at every look-up."""
        return serialization.dumps(self)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.text == other.text

    def __ne__(self, other: object) -> bool:  # msgspec has one of its own, which knows nothing of the above
        return not self == other

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.text))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={serialization.code(value)}' for name, value in self.non_defaults())})"

    def non_defaults(self) -> Iterator[tuple[str, Any]]:
        """Names and values of the fields that differ from their defaults, in the order of the class."""
        default = type(self)()
        for name in self.__struct_fields__:
            value, usual = getattr(self, name), getattr(default, name)
            if serialization.dumps(value) != serialization.dumps(usual):
                yield name, value

    def replace(self, **changes: Any) -> Any:
        """A copy with some fields changed."""
        return msgspec.structs.replace(self, **changes)


class Data(Value, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, eq=False):
    """Training and evaluation data.

    Attributes:
        kind: a name of `trainer-props list datasets`.
        n: number of training samples (of one pass, for a stream).
        n_eval: number of evaluation samples; 0 means that no evaluation data set is given.
        length: tokens in a row, for token data.
        ignored_every: every so-manieth label is -100, for token data; 0 means none.
        seed: what the values are made from.
        alike: all rows hold the same.
    """

    kind: str = "regression"
    n: int = 16
    n_eval: int = 0
    length: int = 6
    ignored_every: int = 0
    seed: int = 0
    alike: bool = False


class Model(Value, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, eq=False):
    """The model that is trained.

    Attributes:
        name: a name of `trainer-props list models`.
        dtype: `float64` or `float32`, the type of the parameters.
        frozen: names of parameters with `requires_grad=False`.
        seed: what the weights are made from (the regression models start at fixed values).
    """

    name: str = "regression"
    dtype: str = "float64"
    frozen: tuple[str, ...] = ()
    seed: int = 0


MOST_DEVICES = 8
"""Each may be a process of its own."""
MOST_RANKS = 1024
"""Of those that are played one by one, by one process: what their number costs is the longer list of batches."""


def most_devices(kind: str) -> int:
    """How many devices of a kind there may be."""
    return {"single": 1, "fake": MOST_RANKS}.get(kind, MOST_DEVICES)


class Devices(Value, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, eq=False):
    """On what the run is spread.

    Attributes:
        kind: names a backend: `single`, `data_parallel`, `gloo`, `fake`.
        count: the devices in data parallel.
    """

    kind: str = "single"
    count: int = 1


class EarlyStopping(Value, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, eq=False):
    """Arguments of `EarlyStoppingCallback`."""

    patience: int = 1
    threshold: float = 0.0


class Components(Value, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, eq=False):
    """What is handed to the Trainer beside its arguments, model and data.

    Attributes:
        collator: `default` (none is given to the Trainer), `padding` (rows of different length), or `noise` (labels that are numbers get
            noise from the global generator).
        loss: `model` (the model's own loss), or `compute_loss_func` (a loss function that divides the sum over the labels by
            `num_items_in_batch`, as the documentation asks).
        scores: what the metric `score` is at the first, second, ... evaluation of the run, the last one repeated; empty:
            no `compute_metrics` is given.
        poisoned: (micro-batch counted from 0, value) pairs: the loss of that training micro-batch is the value (NaN or an infinity).
        early_stopping: an EarlyStoppingCallback is added.
    """

    collator: str = "default"
    loss: str = "model"
    scores: tuple[float, ...] = ()
    poisoned: tuple[tuple[int, float], ...] = ()
    early_stopping: EarlyStopping | None = None


class Scenario(Value, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, eq=False):
    """Everything that determines one training run.

    Attributes:
        arguments: keyword arguments of TrainingArguments, by their newest names. What is not named has the documented default
            (`trainer_props.arguments.DEFAULTS`), apart from the few that every run fixes (`trainer_props.arguments.QUIET`).
    """

    arguments: dict[str, Any] = msgspec.field(default_factory=FrozenDict)
    data: Data = msgspec.field(default_factory=Data)
    model: Model = msgspec.field(default_factory=Model)
    devices: Devices = msgspec.field(default_factory=Devices)
    components: Components = msgspec.field(default_factory=Components)

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "arguments", FrozenDict(self.arguments))

    def argument(self, name: str) -> Any:
        """The value of a TrainingArguments field, its default where the scenario is silent.

        Raises:
            KeyError: no such field.
        """
        given = self.arguments
        return given[name] if name in given else _arguments.default(name)

    def with_arguments(self, **changes: Any) -> Scenario:
        """A copy with some arguments changed."""
        return self.replace(arguments={**self.arguments, **changes})  # type: ignore[no-any-return]

    def without_arguments(self, *names: str) -> Scenario:
        """A copy in which these arguments have their defaults."""
        return self.replace(arguments={key: value for key, value in self.arguments.items() if key not in names})  # type: ignore[no-any-return]

    def to_json(self) -> dict[str, Any]:
        """The scenario as strict JSON data (NaN and infinities as strings)."""
        return serialization.to_data(self)  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, data: Any) -> Scenario:
        """The inverse of `to_json`.

        Raises:
            serialization.InvalidData: with the place and what was expected there.
        """
        return serialization.from_data(data, cls)
