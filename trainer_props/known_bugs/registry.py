"""The registry of known bugs: a region of the scenario space and a symptom, with a verdict and a link.

A violation inside the region with another symptom is a new violation; so is the symptom outside the region.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from packaging.specifiers import SpecifierSet

from trainer_props.case import Case
from trainer_props.judgement import Violated
from trainer_props.properties.registry import PROPERTIES
from trainer_props.record import Observation, Runs
from trainer_props.scenario import Scenario

Region = Callable[[Scenario], bool]
Symptom = Callable[[Violated, Any, Scenario], bool]

VERDICTS: Final = ("bug", "limit", "trap")


@dataclass(frozen=True)
class KnownBug:
    """A known misbehaviour.

    Attributes:
        id: stable, in words.
        verdict: `bug` (against the documentation), `limit` (documented or argued limit), `trap` (as documented, yet it surprises).
        sentence: what happens, in one sentence.
        link: public source.
        versions: of transformers, as a specifier.
        properties: ids of the properties whose violations it can explain.
        region: where it shows, in derived quantities of the scenario.
        symptom: what it predicts to be observed; where chapters of properties see it in different ways, by the name of the chapter.
        example: a case that shows it.
    """

    @property
    def shows(self) -> str:
        """The property that the example violates: the first of those that judge its experiment."""
        return next(name for name in self.properties if self.example.experiment in PROPERTIES[name].experiments)

    id: str
    verdict: str
    sentence: str
    link: str
    versions: str
    properties: tuple[str, ...]
    region: Region
    symptom: Symptom | Mapping[str, Symptom]
    example: Case

    def explains(self, property_id: str, judgement: Violated, record: Observation, scenario: Scenario) -> bool:
        """Whether a violation of one of its properties is what it predicts."""
        symptom = self.symptom[property_id.partition(".")[0]] if isinstance(self.symptom, Mapping) else self.symptom
        return any(map(self.region, _scenarios(record, scenario))) and symptom(judgement, record, scenario)


def _scenarios(record: Observation, scenario: Scenario) -> Iterator[Scenario]:
    """The scenario, and those of the runs that had other arguments: a bug may show in any of them."""
    yield scenario
    for each in record.values() if isinstance(record, Runs) else ():
        if each.arguments:
            yield scenario.with_arguments(**each.arguments)


KNOWN_BUGS: Final[dict[str, KnownBug]] = {}


def known_bug(bug: KnownBug) -> KnownBug:
    """Register a known bug.

    Raises:
        ValueError: its id is taken, or its verdict is none of VERDICTS.
    """
    if bug.id in KNOWN_BUGS or bug.verdict not in VERDICTS:
        raise ValueError(f"known bug {bug.id}: taken, or verdict {bug.verdict!r} is none of {VERDICTS}")
    KNOWN_BUGS[bug.id] = bug
    return bug


def explain(property_id: str, judgement: Violated, record: Observation, scenario: Scenario) -> KnownBug | None:
    """The known bug of the installed version that explains a violation, or None."""
    for bug in candidates(property_id):
        if bug.explains(property_id, judgement, record, scenario):
            return bug
    return None


@functools.cache
def candidates(property_id: str) -> Sequence[KnownBug]:
    """The known bugs of the installed version that may explain violations of a property."""
    installed = version("transformers")
    return [
        bug
        for bug in KNOWN_BUGS.values()
        if property_id in bug.properties and SpecifierSet(bug.versions).contains(installed, prereleases=True)
    ]
