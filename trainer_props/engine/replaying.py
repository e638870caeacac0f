"""Replaying: cases that failed once are judged again before anything is drawn. Where they are kept is not known here."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from trainer_props.arguments import nearest
from trainer_props.case import Case
from trainer_props.engine.events import CANNOT_RUN, FAILING, FIXED, KNOWN, RUN_PROPERTY, Finding, Replayed
from trainer_props.engine.judging import Judged
from trainer_props.experiments import EXPERIMENTS
from trainer_props.properties import PROPERTIES


@dataclass(frozen=True)
class Replay:
    """A case to judge again.

    Attributes:
        id: under which the outcome is told.
        case: what to run.
        property: the one that it violated; None if that is not known, since the run was cut off: then whatever is chosen for the
            experiment judges it, or all that belongs there.
        attempts: how often to run it at most, until it fails.
        shrunk: the case is a smallest one.
    """

    id: str
    case: Case
    property: str | None = None
    attempts: int = 1
    shrunk: bool = True


def by_case(replays: Iterable[Replay]) -> list[list[Replay]]:
    """Those with equal cases together, in order: such a case is run once."""
    groups: dict[str, list[Replay]] = {}
    for each in replays:
        groups.setdefault(each.case.key, []).append(each)
    return list(groups.values())


def belongs(case: Case, identifier: str, experiments: Collection[str], properties: Collection[str]) -> bool:
    """Whether what was violated is looked for by who chose these experiments and properties.

    A property that is not judged in the experiment of the case stands for the end of its process: whoever runs the experiment meets that.
    """
    known = PROPERTIES.get(identifier)
    elsewhere = known is not None and case.experiment not in known.experiments
    return case.experiment in experiments and (identifier in properties or elsewhere)


def unknown(replay: Replay) -> str | None:
    """Why a case can't be judged by this version, or None."""
    experiment, identifier = replay.case.experiment, replay.property
    if experiment not in EXPERIMENTS:
        return f"there is no experiment {experiment!r}{nearest(experiment, list(EXPERIMENTS))}"
    if identifier is None:
        return None
    if identifier not in PROPERTIES:
        return f"there is no property {identifier!r}{nearest(identifier, list(PROPERTIES))}"
    if experiment not in PROPERTIES[identifier].experiments and identifier != RUN_PROPERTY:
        return f"{identifier} is not judged in {experiment}"
    return None


def findings_of(replay: Replay, judged: Judged) -> list[Finding]:
    """What the outcome says against the property of a replay, or against any if that is not known."""
    return [finding for finding in judged.findings if replay.property in (None, finding.property)]


def outcome(replay: Replay, judged: Judged, *, known: bool) -> Replayed:
    """What has become of a case.

    Args:
        known: whether what a known bug explains is told apart.
    """
    against = findings_of(replay, judged)
    new = [finding for finding in against if finding.known_bug is None or not known]
    if against:
        finding = (new or against)[0]
        return Replayed(replay.id, FAILING if new else KNOWN, finding, finding.known_bug or in_words(finding))
    if judged.could_not_run is not None:
        return Replayed(replay.id, CANNOT_RUN, None, judged.could_not_run)
    if judged.refused is not None:
        return Replayed(replay.id, CANNOT_RUN, None, f"refused by the subject: {judged.refused}")
    for identifier, reason in judged.not_applicable:
        if identifier == replay.property:
            return Replayed(replay.id, CANNOT_RUN, None, f"not applicable: {reason}")
    # where the end of a process is all that could be violated, coming back from the case is all that there is to judge
    came_back = replay.property == RUN_PROPERTY and replay.case.experiment not in PROPERTIES[RUN_PROPERTY].experiments
    if replay.property is not None and replay.property not in judged.holds and not came_back:
        return Replayed(replay.id, CANNOT_RUN, None, judged.errors[0] if judged.errors else f"{replay.property} was not judged")
    return Replayed(replay.id, FIXED, None, "")


def in_words(finding: Finding) -> str:
    """A finding in a line: what differs, in what way, and where first."""
    where = f" ({finding.divergence})" if finding.divergence else ""
    return f"{finding.quantity} {finding.symptom}{where}"
