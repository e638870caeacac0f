"""The regression example: a violation as data, with what it takes to run it again. Format 1 of the contract."""

from __future__ import annotations

import builtins
import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from trainer_props import serialization
from trainer_props.arguments import nearest
from trainer_props.case import Case
from trainer_props.engine.events import Finding
from trainer_props.properties import PROPERTIES
from trainer_props.regressions.cases import check_plain, read_case
from trainer_props.regressions.versions import versions

FORMAT: Final = 1
VERDICTS: Final = ("violated", "nondeterministic", "crashed", "hung")
LONGEST_TEXT: Final = 20_000
"""Characters of `expected` and of `observed`, as JSON: what is longer is cut, since nobody reads it and replaying measures it again."""

_SUBJECT: Final = re.compile(r"[\w.:<>-]{1,300}")
_LONGEST_LINE: Final = 500
_ENDED: Final = ("crashed", "hung")
_TEXTS: Final = ("property", "verdict", "subject", "found", "via", "quantity", "symptom", "divergence")
_REQUIRED: Final = (
    "property", "verdict", "known_bug", "subject", "case", "expected", "observed", "tolerance", "versions", "found", "via",
)  # fmt: skip


class InvalidExample(serialization.InvalidData):
    """The data is no example that this version can read; the message is one line, without the name of the file."""

    def __init__(self, reason: str) -> None:
        super().__init__(one_line(reason))


def fingerprint(finding: Finding | Example) -> str:
    """A short text from property, verdict, symptom and known bug, not from the numbers: it names a violation."""
    text = f"{finding.property}/{finding.verdict}/{finding.quantity}/{finding.symptom}"
    if finding.known_bug is not None:  # two known bugs may show by the same symptom
        text += f"/{finding.known_bug}"
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def violation_id(finding: Finding | Example) -> str:
    """The id of a violation, and of its example."""
    return f"{finding.property}--{fingerprint(finding)}"


@dataclass(frozen=True, eq=False)
class Example:
    """A violation that is stored. Equal if the JSON is.

    Attributes:
        property: id of the violated property.
        verdict: `violated`, `nondeterministic`, `crashed` or `hung`.
        known_bug: id of the known bug that explained it when it was stored, or None. The bug may be known no more.
        subject: `module:attribute`, as its finder named it.
        case: what was run.
        expected, observed: both sides as plain data.
        tolerance: of the comparison, relative; 0 means exact.
        versions: of what it was found with, by package.
        found: the day, as ISO 8601 has it.
        via: what found it: `check`, `pytest`.
        quantity, symptom: what differed and in what way, without numbers.
        divergence: the first place where both sides part.
    """

    property: str
    verdict: str
    known_bug: str | None
    subject: str
    case: Case
    expected: Any
    observed: Any
    tolerance: float
    versions: Mapping[str, str]
    found: str
    via: str
    quantity: str = ""
    symptom: str = ""
    divergence: str = ""
    _text: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_text", serialization.dumps(self.to_json()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Example) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def of(cls, finding: Finding, *, subject: str, via: str) -> Example:
        """The example of a finding, as found today with what is installed."""
        tolerance = finding.check.tolerance if finding.check is not None else PROPERTIES[finding.property].tolerance
        return cls(
            property=finding.property, verdict=finding.verdict, known_bug=finding.known_bug, subject=subject, case=finding.case,
            expected=_bounded(finding.expected), observed=_bounded(finding.observed), tolerance=tolerance,
            versions=versions(), found=dt.datetime.now(dt.UTC).date().isoformat(), via=via, quantity=finding.quantity,
            symptom=finding.symptom, divergence=finding.divergence,
        )

    @builtins.property
    def id(self) -> str:
        """What `trainer-props replay` calls it: that of the violation."""
        return violation_id(self)

    def to_json(self) -> dict[str, Any]:
        """The example as strict JSON data, NaN and infinities as strings."""
        data = {name: getattr(self, name) for name in (*_REQUIRED, "quantity", "symptom", "divergence")}
        return {"format": FORMAT, **serialization.to_data({**data, "case": self.case.to_json(), "versions": dict(self.versions)})}

    @classmethod
    def from_json(cls, data: Any) -> Example:
        """The inverse of `to_json`. Keys that it does not know are left alone: later versions may add some.

        Raises:
            InvalidExample: another format, a missing key, a value of another type or of absurd size, or a name that does not exist here.
        """
        try:
            return cls._read(data)
        except InvalidExample:
            raise
        except serialization.InvalidData as error:
            raise InvalidExample(str(error)) from None

    @classmethod
    def _read(cls, data: Any) -> Example:
        if not isinstance(data, dict):
            raise InvalidExample(f"an example is a JSON object, not {_kind(data)}")
        if type(data.get("format")) is not int or data["format"] != FORMAT:
            raise InvalidExample(f"format {data.get('format')!r} is unknown: this version reads format {FORMAT}")
        check_plain(data)
        if missing := [name for name in _REQUIRED if name not in data]:
            raise InvalidExample(f"{', '.join(missing)} missing")
        for name in _TEXTS:
            if not isinstance(data.get(name, ""), str):
                raise InvalidExample(f"{name} is {_kind(data[name])}, not a text")
        _check_names(data)
        try:
            case = read_case(data["case"])
        except serialization.InvalidData as error:
            raise InvalidExample(f"case: {error}") from None
        judged = PROPERTIES[data["property"]].experiments
        if case.experiment not in judged and data["verdict"] not in _ENDED:
            raise InvalidExample(f"{data['property']} is judged in {', '.join(judged)}, not in {case.experiment}")
        return cls(
            **{name: data[name] for name in (*_REQUIRED, *_TEXTS) if name in data} | {
                "case": case, "tolerance": float(data["tolerance"]),
                "expected": _values(data["expected"]), "observed": _values(data["observed"]),
            }
        )  # fmt: skip


def _check_names(data: Mapping[str, Any]) -> None:
    if data["property"] not in PROPERTIES:
        raise InvalidExample(f"there is no property {data['property']!r}{nearest(data['property'], list(PROPERTIES))}")
    if data["verdict"] not in VERDICTS:
        raise InvalidExample(f"verdict {data['verdict']!r} is none of {', '.join(VERDICTS)}")
    if not (data["known_bug"] is None or isinstance(data["known_bug"], str)):
        raise InvalidExample(f"known_bug is {_kind(data['known_bug'])}, not a text or null")
    if not _SUBJECT.fullmatch(data["subject"]):
        raise InvalidExample(f"subject {data['subject']!r} is no name like module:attribute")
    if isinstance(data["tolerance"], bool) or not isinstance(data["tolerance"], (int, float)) or not 0 <= data["tolerance"] <= 1:
        raise InvalidExample(f"tolerance is {data['tolerance']!r}, not a number from 0 to 1")
    found = data["versions"]
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise InvalidExample("versions is not an object of texts")


def one_line(text: str) -> str:
    """The text on one line that any terminal can show, shortened if it is long."""
    line = " ".join(text.split())
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 3]}..."


def _values(data: Any) -> Any:
    """The data with NaN and infinities as numbers again."""
    return serialization.from_data(data, Any)


def _bounded(side: Any) -> Any:
    value = serialization.plain(side)
    text = serialization.dumps(value)
    return value if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."


def _kind(value: Any) -> str:
    words = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return words.get(type(value), "a number")
