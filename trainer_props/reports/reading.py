"""The JSON result of the contract, read back: what a report is made from, as values. A file is data, and may be anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, Final

import msgspec

from trainer_props import serialization

FORMAT: Final = 1
"""Of the JSON result."""


class UnreadableResult(ValueError):
    """A file, or data, that is no result; the message is one line that names what is wrong, and where."""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One update of the run of a smallest case, as `engine.events.Moment` has it."""

    update: int
    epoch: int
    batches: tuple[tuple[int, ...] | None, ...] = ()
    sizes: tuple[int, ...] = ()
    losses: tuple[float | None, ...] = ()
    learning_rate: float | None = None
    gradient_norm: float | None = None
    happened: tuple[str, ...] = ()
    loss: float | None = None


class Shrunk(msgspec.Struct, frozen=True, kw_only=True):
    """What shrinking took, whether it came to its end, and how many cases it ran."""

    seconds: float
    complete: bool
    runs: int = 0


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `violations`."""

    id: str
    property: str
    verdict: str
    expected: Any
    observed: Any
    divergence: str
    case: dict[str, Any]
    shrunk: Shrunk
    known_bug: str | None = None
    accepted: bool = False
    script: str | None = None
    script_verified: bool = False
    regression: str | None = None
    quantity: str = ""
    symptom: str = ""
    statement: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()
    timeline: tuple[Moment, ...] = ()


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `experiments`."""

    name: str
    examples: int
    refused: int
    rejected: int
    seconds: float
    could_not_run: int = 0


class Property(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `properties`."""

    id: str
    chapter: str
    evaluated: int
    not_applicable: int
    violated: int
    known: int


class KnownBug(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `known_bugs`."""

    id: str
    property: str
    seen: int
    fixed: bool
    link: str
    sentence: str = ""


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `examples`: a regression example that was judged again, and what has become of it."""

    id: str
    status: str
    file: str = ""
    reason: str = ""


class StillThere(msgspec.Struct, frozen=True, kw_only=True):
    """A violation that an earlier start of a campaign had found."""

    property: str
    since: str


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """What `campaign` says beyond the start that the result is of."""

    still_there: tuple[StillThere, ...] = ()


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A whole result, format 1. Keys that this version does not know are passed over."""

    command: str
    subject: str
    profile: str
    seed: int
    interrupted: bool
    versions: dict[str, str]
    seconds: float
    runs: int
    evaluations: int
    experiments: tuple[Experiment, ...]
    properties: tuple[Property, ...]
    violations: tuple[Violation, ...]
    known_bugs: tuple[KnownBug, ...]
    coverage: dict[str, dict[str, dict[str, int]]]
    never_tried: tuple[str, ...] = ()
    pairs_never_tried: tuple[tuple[str, str], ...] = ()
    examples: tuple[Example, ...] = ()
    repeat: str = ""
    refusals: dict[str, int] = {}
    impossible: dict[str, int] = {}
    errors: tuple[str, ...] = ()
    campaign: Campaign | None = None

    @property
    def new(self) -> tuple[Violation, ...]:
        """The violations that nobody has accepted."""
        return tuple(each for each in self.violations if not each.accepted)


def replayable(identifier: str, regression: str | None) -> str:
    """What `trainer-props replay` and `script` take: the id of a violation, or its example's file where that is not in the usual folder."""
    if regression is None or PurePath(regression).parent.parts[-2:] == (".hypothesis", "regressions"):
        return identifier
    return regression


def parse(data: Any) -> Result:
    """A result from plain data.

    Raises:
        UnreadableResult: another format, a key that is missing, or a value of another type.
    """
    if not isinstance(data, Mapping):
        raise UnreadableResult(f"a result is a JSON object, not {type(data).__name__}")
    number = data.get("format")
    if "violations" not in data or number is None:
        raise UnreadableResult("it is no result of trainer-props check --json")
    if isinstance(number, bool) or number != FORMAT:
        shown = repr(number) if isinstance(number, int | float) else type(number).__name__
        raise UnreadableResult(f"format {shown} is unknown: this version reads format {FORMAT}")
    try:
        return serialization.from_data(_whole(data), Result)
    except serialization.InvalidData as error:
        raise UnreadableResult(" ".join(str(error).split())) from None
    except RecursionError:
        raise UnreadableResult("nested too deeply") from None


def _whole(value: Any) -> Any:
    """The data without halves of surrogate pairs, which are valid in JSON, and no characters: they become their escapes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, (list, tuple)) else value


def read(path: Path) -> Result:
    """The result that a file holds.

    Raises:
        UnreadableResult: it can't be read, is not JSON, or no result.
    """
    try:
        return parse(serialization.loads(path.read_bytes()))
    except OSError as error:
        raise UnreadableResult(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise UnreadableResult(f"{path}: {error}") from None
