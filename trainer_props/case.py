"""The case: the input of one experiment. Cases are what is drawn, cached, shrunk, stored and replayed."""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import msgspec

from trainer_props import serialization
from trainer_props.scenario import FrozenDict, Scenario, Value

FORMAT = 1


class Case(Value, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, eq=False):
    """One experiment on one scenario.

    Attributes:
        experiment: a name of `trainer-props list experiments`.
        scenario: the run, or the one that all runs of the experiment are derived from.
        parameters: what the experiment needs beside it, as JSON data: `{"interrupt_at": [3]}`, `{"regroup": [4, 1]}`, `{"life": [...]}`.
    """

    experiment: str = "train_once"
    scenario: Scenario = msgspec.field(default_factory=Scenario)
    parameters: dict[str, Any] = msgspec.field(default_factory=FrozenDict)

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "parameters", FrozenDict(self.parameters))

    @functools.cached_property
    def key(self) -> str:
        """A short text that equal cases share: the key of caches and the name of files."""
        return hashlib.blake2b(self.text.encode(), digest_size=10).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The case as versioned strict JSON data."""
        return {"format": FORMAT, "experiment": self.experiment, **serialization.to_data(self)}

    @classmethod
    def from_json(cls, data: Any) -> Case:
        """The inverse of `to_json`.

        Raises:
            serialization.InvalidData: another format, or not a case; the message says where.
        """
        if not isinstance(data, dict):
            raise serialization.InvalidData(f"a case is a JSON object, not {type(data).__name__}")
        if data.get("format") != FORMAT:
            raise serialization.InvalidData(f"format {data.get('format')!r} is unknown: this version reads format {FORMAT}")
        return serialization.from_data({key: value for key, value in data.items() if key != "format"}, cls)
